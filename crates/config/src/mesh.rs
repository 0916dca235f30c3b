//! The configuration of the mesh itself: MeshConfig, ProxyConfig and MeshNetworks.

mod check;
mod cluster_local;
mod defaults;
mod merge;
mod mesh_config;
mod network;
mod provider;
mod proxy_config;

pub use cluster_local::is_cluster_local;
pub use defaults::*;
pub use merge::{
    Outcome, apply_mesh_config, apply_proxy_config, mesh_config_places, parse_mesh_config,
    parse_mesh_networks,
};
pub use mesh_config::*;
pub use network::*;
pub use provider::*;
pub use proxy_config::*;
