//! xds - the aggregated discovery service, server and client, as a protocol: it knows subscriptions, not meshes.
//! In: a Catalog of editions (server), addresses (client). Out: responses to Envoys; resources to callers.
//! Here: subscriptions, nonces, differences, order, push budget, gRPC framing, reconnecting.
//! Never here: what a resource means, authentication, debouncing.
//! Start reading at: server/session.rs

mod catalog;
pub mod client;
mod edition;
mod request;
pub mod server;
mod type_url;

pub use catalog::{Catalog, Intercept, Observation, Peer, Refusal, Token, UnixCredentials};
pub use edition::{Difference, Edition, Resource, Section, Sections, parent_of, wire_version};
pub use request::{Rejection, Request, Resources, Response, VIRTUAL_HOSTS_HEADER, Variant, Wish};
pub use type_url::TypeUrl;
