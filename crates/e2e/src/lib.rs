//! e2e - stories told by the real programs: istioctl, pilot-discovery, pilot-agent and a real Envoy.
//! In: the workspace's own binaries, an Envoy of this machine. Out: verdicts.
//! Here: finding the programs, running them in a place of their own, asking over HTTP.
//! Never here: what a single crate can prove by itself.
//! Start reading at: tests/it/local_mesh.rs

mod programs;

pub use programs::{Mesh, envoy, programs};
pub use testkit::{Answer, get};
