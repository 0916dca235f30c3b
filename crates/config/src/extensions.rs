//! What users plug into proxies: the kinds of extensions.istio.io.

mod traffic_extension;
mod wasm;

pub use traffic_extension::*;
pub use wasm::*;
