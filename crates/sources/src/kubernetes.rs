//! Kubernetes API servers: every object the mesh reads, watched, and told only when it says something else.
//!
//! `clusters` owns everything: an `instance` per cluster, which has a `watch` per kind; `held` is what a watch
//! remembers, `raw` what it gets; pods come by a watch of their own, `pods`, in the form of `protobuf`. `definitions` says
//! which custom kinds there are, `remote` and `kubeconfigs` which other clusters, `maps` what mesh configuration stands in
//! ConfigMaps.

mod binary;
mod clusters;
mod connect;
mod counters;
mod definitions;
mod directory;
mod held;
mod instance;
mod kubeconfigs;
mod maps;
mod pace;
mod protobuf;
mod raw;
mod remote;
mod watch;

pub use clusters::{Options, begin};
pub use connect::{Error, connect, connect_locally};
pub use counters::Counters;
pub use definitions::Wanted;
pub use directory::{Directory, Other, State, Status};
pub use held::Held;
pub use instance::Multicluster;
pub use maps::{Maps, follow as follow_maps};
pub use pace::Pace;
pub use raw::Raw;
pub use remote::{LABEL as REMOTE_SECRETS, Unusable};
pub use watch::RENEWAL;
