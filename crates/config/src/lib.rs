//! config - what a user may write: kinds, their fields, how text becomes objects, and the vocabulary they share.
//! In: YAML or JSON text, JSON values, switch pairs. Out: typed objects that remember file, line and column.
//! Here: specs of every kind, decoding, hosts, protocols, labels, mesh configuration and its defaults, switches.
//! Never here: sockets, files, the environment, clocks, Envoy types, deductions about a mesh.
//! Start reading at: src/decode.rs

pub mod annotation;
pub mod decode;
pub mod duration;
pub mod extensions;
pub mod gateway_api;
pub mod host;
pub mod kind;
pub mod kubernetes;
pub mod label;
pub mod labels;
pub mod mesh;
pub mod networking;
pub mod object;
pub mod problem;
pub mod protocol;
pub mod security;
pub mod selector;
pub mod shared;
pub mod switches;
pub mod telemetry;
mod validate;
pub mod value;
pub mod visibility;

pub use duration::Duration;
pub use host::Host;
pub use kind::{Body, Kind, Spec};
pub use labels::Labels;
pub use object::{Location, Meta, Object, Origin, Owner};
pub use problem::{Problem, Severity};
pub use protocol::Protocol;
pub use shared::{Pool, Pooled, Shared, text};
pub use switches::Switches;
pub use value::{Bytes, Value};
pub use visibility::Visibility;
