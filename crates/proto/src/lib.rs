//! proto - the wire messages and gRPC services of Envoy, xDS and Istio, generated.
//! In: descriptor sets and `.proto` files. Out: one Rust module per protobuf package, and with `reflect` their JSON form.
//! Here: nothing written by hand but what is the same for every message.
//! Never here: logic of a mesh, defaults, validation.
//! Start reading at: protos/

extern crate tonic_codegen as tonic;

mod packages {
    include!(concat!(env!("OUT_DIR"), "/packages.rs"));
}

pub use packages::*;

#[cfg(feature = "reflect")]
pub mod reflect;

#[cfg(test)]
mod tests;

/// The message packed under its type URL (`type.googleapis.com/<full name>`).
pub fn any<M: prost::Message + prost::Name>(message: &M) -> google::protobuf::Any {
    google::protobuf::Any { type_url: M::type_url(), value: message.encode_to_vec().into() }
}
