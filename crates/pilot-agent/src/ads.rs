//! The xDS relay: Envoy's stream over a unix socket, joined byte for byte with one to the control plane.

mod relay;
mod session;
mod wire;

pub use relay::{Health, LocalTypes, Relay, RelayCounters};
pub use wire::{HEALTH_INFO, LISTENER, NAME_TABLE, PROXY_CONFIG};
