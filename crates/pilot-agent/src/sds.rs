//! Secrets for Envoy: the workload's own certificate and roots, and certificates mounted as files, over a unix socket.

mod files;
mod issue;
mod names;
mod output;
mod server;
mod store;

pub use issue::{CaClient, IssueOptions, Issued, Issuer, KeyKind, WallClock, keep_issued, rotate_after};
pub use names::SecretName;
pub use output::write_key_and_certificate;
pub use server::SdsService;
pub use store::{FilePaths, SecretError, SecretItem, SecretStore};
