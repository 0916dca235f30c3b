//! Discovery messages read without decoding what they carry: bodies stay slices of the message they came in.

use bytes::{Buf, Bytes};
use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::request::Variant;
use crate::type_url::TypeUrl;

#[cfg(test)]
mod tests;

/// A resource as received.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawResource {
    /// Its name; empty in state-of-the-world responses, which do not say it.
    pub name: String,
    /// Its version; in state-of-the-world responses that of the response.
    pub version: String,
    /// The type URL of its `Any`.
    pub type_url: String,
    /// The encoded message inside the `Any`.
    pub body: Bytes,
}

/// A response as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawResponse {
    /// Which variant it is of.
    pub variant: Variant,
    /// `version_info` or `system_version_info`.
    pub version: String,
    /// Its type.
    pub type_url: TypeUrl,
    /// To be named in the answer.
    pub nonce: String,
    /// The resources, in order.
    pub resources: Vec<RawResource>,
    /// Names that are gone; delta only.
    pub removed: Vec<String>,
    /// `ControlPlane.identifier`.
    pub control_plane: String,
}

/// What a relay wants to know of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peek {
    /// The type URL.
    pub type_url: String,
    /// The nonce: of the response itself, or of the response a request answers.
    pub nonce: String,
    /// Requests: subscribed names. Responses: names of resources (delta only).
    pub names: Vec<String>,
    /// Requests: unsubscribed names. Responses: removed names. Delta only.
    pub removed: Vec<String>,
    /// Requests: how many versions are claimed. Delta only.
    pub claims: usize,
    /// Requests: the client's words if it refuses a response.
    pub error: Option<String>,
    /// Requests: whether the node is in it.
    pub node: bool,
}

/// One length-delimited field; others are skipped.
fn each_field(
    mut bytes: Bytes,
    mut take: impl FnMut(u32, Bytes) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    while bytes.has_remaining() {
        let (tag, wire_type) = decode_key(&mut bytes)?;
        if wire_type == WireType::LengthDelimited {
            let len = usize::try_from(decode_varint(&mut bytes)?).unwrap_or(usize::MAX);
            if len > bytes.remaining() {
                // The error type cannot be made by hand; this reads past the end and gives the right one.
                return skip_field(WireType::ThirtyTwoBit, 1, &mut Bytes::new(), DecodeContext::default());
            }
            take(tag, bytes.split_to(len))?;
        } else {
            skip_field(wire_type, tag, &mut bytes, DecodeContext::default())?;
        }
    }
    Ok(())
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn read_any(bytes: Bytes, resource: &mut RawResource) -> Result<(), DecodeError> {
    each_field(bytes, |tag, value| {
        match tag {
            1 => resource.type_url = text(&value),
            2 => resource.body = value,
            _ => {}
        }
        Ok(())
    })
}

/// Reads a response. Bodies are not decoded and not copied.
///
/// # Errors
/// The bytes are not a protobuf message.
pub fn read_response(variant: Variant, bytes: Bytes) -> Result<RawResponse, DecodeError> {
    let mut response = RawResponse {
        variant,
        version: String::new(),
        type_url: TypeUrl::Other("".into()),
        nonce: String::new(),
        resources: Vec::new(),
        removed: Vec::new(),
        control_plane: String::new(),
    };
    let control_plane = if variant == Variant::Delta { 7 } else { 6 };
    each_field(bytes, |tag, value| {
        match tag {
            1 => response.version = text(&value),
            2 => {
                let mut resource = RawResource::default();
                match variant {
                    Variant::Sotw => read_any(value, &mut resource)?,
                    Variant::Delta => each_field(value, |tag, value| {
                        match tag {
                            1 => resource.version = text(&value),
                            2 => read_any(value, &mut resource)?,
                            3 => resource.name = text(&value),
                            _ => {}
                        }
                        Ok(())
                    })?,
                }
                response.resources.push(resource);
            }
            4 => response.type_url = TypeUrl::parse(&text(&value)),
            5 => response.nonce = text(&value),
            tag if tag == control_plane => each_field(value, |tag, value| {
                if tag == 1 {
                    response.control_plane = text(&value);
                }
                Ok(())
            })?,
            6 => response.removed.push(text(&value)),
            _ => {}
        }
        Ok(())
    })?;
    if variant == Variant::Sotw {
        for resource in &mut response.resources {
            resource.version.clone_from(&response.version);
        }
    }
    Ok(response)
}

/// Looks into a response for its type, nonce and names.
///
/// # Errors
/// The bytes are not a protobuf message.
pub fn peek_response(variant: Variant, bytes: &Bytes) -> Result<Peek, DecodeError> {
    let mut peek = Peek::default();
    each_field(bytes.clone(), |tag, value| {
        match (tag, variant) {
            (2, Variant::Delta) => each_field(value, |tag, value| {
                if tag == 3 {
                    peek.names.push(text(&value));
                }
                Ok(())
            })?,
            (4, _) => peek.type_url = text(&value),
            (5, _) => peek.nonce = text(&value),
            (6, Variant::Delta) => peek.removed.push(text(&value)),
            _ => {}
        }
        Ok(())
    })?;
    Ok(peek)
}

/// Looks into a request for its type, nonce, names, and whether it refuses.
///
/// # Errors
/// The bytes are not a protobuf message.
pub fn peek_request(variant: Variant, bytes: &Bytes) -> Result<Peek, DecodeError> {
    let mut peek = Peek::default();
    let mut take = |tag, value: Bytes, at: [u32; 5]| {
        let [node, type_url, names, nonce, error] = at;
        if tag == node {
            peek.node = true;
        } else if tag == type_url {
            peek.type_url = text(&value);
        } else if tag == names {
            peek.names.push(text(&value));
        } else if tag == nonce {
            peek.nonce = text(&value);
        } else if tag == error {
            let mut message = String::new();
            each_field(value, |tag, value| {
                if tag == 2 {
                    message = text(&value);
                }
                Ok(())
            })?;
            peek.error = Some(message);
        } else if variant == Variant::Delta && tag == 4 {
            peek.removed.push(text(&value));
        } else if variant == Variant::Delta && tag == 5 {
            peek.claims += 1;
        }
        Ok(())
    };
    each_field(bytes.clone(), |tag, value| match variant {
        Variant::Delta => take(tag, value, [1, 2, 3, 6, 7]),
        Variant::Sotw => take(tag, value, [2, 4, 3, 5, 6]),
    })?;
    Ok(peek)
}
