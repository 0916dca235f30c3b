//! The DNS proxy: answers for the mesh's names from the control plane's name table, hands everything else on.

mod answer;
mod forward;
mod resolv_conf;
mod server;
mod table;

pub use forward::{Forwarder, Transport};
pub use resolv_conf::ResolvConf;
pub use server::{DnsCounters, DnsServer, Resolver, ResolverOptions};
pub use table::{Family, Lookup, LookupTable, Naming};
