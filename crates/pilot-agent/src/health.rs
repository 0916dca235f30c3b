//! Is the proxy ready, is the application: probes of both, asked by kubelet or by the control plane.

pub mod app;
pub mod probe;
pub mod ready;
pub mod workload;
