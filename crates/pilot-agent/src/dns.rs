//! The DNS proxy: answers for the mesh's names from the control plane's name table, hands everything else on.

mod answer;
mod server;
mod table;

pub use server::{DnsCounters, DnsServer, Resolver, ResolverOptions};
pub use table::{Family, Lookup, LookupTable, Naming};
