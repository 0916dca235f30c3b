//! The server: a pure state machine per stream, and the shell that carries it over gRPC.

mod body;
mod codec;
mod connections;
mod holding;
pub mod incoming;
mod metrics;
mod queue;
mod requests;
mod serve;
mod session;
mod stream;
mod subscription;

pub use connections::{Connection, Connections};
pub use metrics::{Metrics, code_name};
pub use queue::{Permit, PushBudget};
pub use serve::{Options, Server};
pub use session::{Event, Session, Source, TypeStatus};
pub use subscription::{Interner, NameSet};
