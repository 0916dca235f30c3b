//! The machine's name servers: which there are, and questions handed on to them.

mod forward;
mod resolv_conf;

pub use forward::{Forwarder, Transport};
pub use resolv_conf::ResolvConf;
