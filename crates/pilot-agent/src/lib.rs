//! pilot-agent - what runs beside each Envoy: starts it, feeds it, gives it certificates, answers for it.
//! In: flags, environment, mounted files, streams of the control plane. Out: Envoy's process and bootstrap, xDS, SDS, DNS, metrics.
//! Here: supervision, bootstrap, SDS, ADS relay, DNS proxy, status server, expansion of metrics.
//! Never here: meshes, Kubernetes, Envoy configuration beyond the bootstrap.
//! Start reading at: wiring.rs

pub mod ads;
pub mod args;
pub mod bootstrap;
pub mod commands;
pub mod control_plane;
pub mod dns;
pub mod environment;
pub mod envoy;
pub mod health;
pub mod http_client;
pub mod node;
pub mod proxy_config;
pub mod sds;
pub mod settings;
pub mod stats;
pub mod status;
pub mod wiring;
