//! The little that the relay must know of a message: which type it is about, found without decoding it.

use prost::encoding::{WireType, decode_key, decode_varint};
use xds::Variant;

/// Types that Envoy understands start so.
pub(super) const ENVOY_TYPE_PREFIX: &str = "type.googleapis.com/envoy.";
/// Listeners.
pub const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
/// Virtual hosts as resources of their own, which not every control plane has.
pub(super) const VIRTUAL_HOST: &str = "type.googleapis.com/envoy.config.route.v3.VirtualHost";
/// The table of the DNS proxy.
pub const NAME_TABLE: &str = "type.googleapis.com/istio.networking.nds.v1.NameTable";
/// Dynamic ProxyConfig, of which the agent takes the roots.
pub const PROXY_CONFIG: &str = "type.googleapis.com/istio.mesh.v1alpha1.ProxyConfig";
/// Health of a workload outside Kubernetes.
pub const HEALTH_INFO: &str = "type.googleapis.com/istio.v1.HealthInformation";
/// Peers' metadata, for Istio's own proxy.
pub(super) const WORKLOAD: &str = "type.googleapis.com/istio.workload.Workload";

/// The field of the type URL in responses of both variants, and in requests for whole lists.
const TYPE_URL: u32 = 4;
/// The same in requests for differences.
const DELTA_REQUEST_TYPE_URL: u32 = 2;

/// The type a request is about.
pub(super) fn request_type(variant: Variant, message: &[u8]) -> Option<&str> {
    text_in(message, if variant == Variant::Delta { DELTA_REQUEST_TYPE_URL } else { TYPE_URL })
}

/// The type a response is about.
pub(super) fn response_type(message: &[u8]) -> Option<&str> {
    text_in(message, TYPE_URL)
}

/// The text in the top-level field `wanted` of a message; `None` when it is not there or the bytes are no message. Other
/// fields are stepped over by their length, so large resources cost nothing.
fn text_in(mut message: &[u8], wanted: u32) -> Option<&str> {
    let rest = &mut message;
    let mut found = None;
    while !rest.is_empty() {
        let (field, wire_type) = decode_key(rest).ok()?;
        let length = match wire_type {
            WireType::Varint => {
                decode_varint(rest).ok()?;
                0
            }
            WireType::ThirtyTwoBit => 4,
            WireType::SixtyFourBit => 8,
            WireType::LengthDelimited => usize::try_from(decode_varint(rest).ok()?).ok()?,
            WireType::StartGroup | WireType::EndGroup => return None,
        };
        let value = rest.get(..length)?;
        *rest = rest.get(length..)?;
        if field == wanted && matches!(wire_type, WireType::LengthDelimited) {
            found = std::str::from_utf8(value).ok();
        }
    }
    found
}

#[cfg(test)]
mod tests;
