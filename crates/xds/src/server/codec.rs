//! The wire form of responses: gRPC messages written chunk by chunk from shared parts, and requests read with a limit.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use prost::encoding::WireType::LengthDelimited;
use prost::encoding::{encode_key, encode_varint, encoded_len_varint, key_len};
use proto::envoy::config::core::v3::Node;
use proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use tonic::Status;
use tonic::codec::{DecodeBuf, Decoder};

use crate::edition::{Resource, wire_version};
use crate::request::{Request, Response, Variant};

#[cfg(test)]
mod tests;

/// Small parts are gathered up to this size; it is also all that a stream copies at a time.
const GATHER: usize = 64 * 1024;

/// Parts from this size on go out as they are, shared by all streams.
const SHARE: usize = 16 * 1024;

/// Compression flag and length before each gRPC message.
const PREFIX: usize = 5;

/// Length of a version on the wire.
const VERSION_LEN: usize = 16;

fn bytes_len(tag: u32, len: usize) -> usize {
    key_len(tag) + encoded_len_varint(len as u64) + len
}

/// Proto3 does not write empty strings.
fn string_len(tag: u32, value: &str) -> usize {
    if value.is_empty() { 0 } else { bytes_len(tag, value.len()) }
}

fn put_head(buf: &mut impl BufMut, tag: u32, len: usize) {
    encode_key(tag, LengthDelimited, buf);
    encode_varint(len as u64, buf);
}

fn put_string(buf: &mut impl BufMut, tag: u32, value: &str) {
    if !value.is_empty() {
        put_head(buf, tag, value.len());
        buf.put_slice(value.as_bytes());
    }
}

/// One response being written. Holds shared bytes only; what is copied is copied when asked for.
#[derive(Debug)]
pub(crate) struct Frame {
    response: Response,
    control_plane: Bytes,
    version: String,
    len: usize,
    at: Position,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    Start,
    Resource(usize),
    /// Inside a resource's body: resource, chunk.
    Body(usize, usize),
    Tail,
    End,
}

impl Frame {
    /// `control_plane` is an encoded `ControlPlane` message, left out if empty.
    pub(crate) fn new(response: Response, control_plane: Bytes) -> Self {
        let version = response.revision.to_string();
        let mut frame = Self { response, control_plane, version, len: 0, at: Position::Start };
        frame.len = frame.message_len();
        frame
    }

    /// Length of the message, without the gRPC prefix.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn response(&self) -> &Response {
        &self.response
    }

    fn message_len(&self) -> usize {
        let type_url = self.response.type_url.as_str();
        let resources: usize =
            self.response.resources.iter().map(|r| bytes_len(2, self.resource_len(r))).sum();
        let removed: usize = self.response.removed.iter().map(|name| bytes_len(6, name.len())).sum();
        let control_plane = match self.control_plane.len() {
            0 => 0,
            len => bytes_len(self.control_plane_tag(), len),
        };
        string_len(1, &self.version)
            + resources
            + string_len(4, type_url)
            + string_len(5, &self.response.nonce)
            + removed
            + control_plane
    }

    fn control_plane_tag(&self) -> u32 {
        match self.response.variant {
            Variant::Delta => 7,
            Variant::Sotw => 6,
        }
    }

    fn any_len(&self, resource: &Resource) -> usize {
        let body = if resource.body.is_empty() { 0 } else { bytes_len(2, resource.body.len()) };
        string_len(1, self.response.type_url.as_str()) + body
    }

    /// Length of one element of `resources`: an `Any`, in delta inside a `Resource`.
    fn resource_len(&self, resource: &Resource) -> usize {
        let any = self.any_len(resource);
        match self.response.variant {
            Variant::Sotw => any,
            Variant::Delta => bytes_len(1, VERSION_LEN) + bytes_len(2, any) + string_len(3, &resource.name),
        }
    }

    /// Everything of a resource before its body.
    fn put_before(&self, buf: &mut BytesMut, resource: &Resource) {
        put_head(buf, 2, self.resource_len(resource));
        if self.response.variant == Variant::Delta {
            put_string(buf, 1, &wire_version(resource.version));
            put_head(buf, 2, self.any_len(resource));
        }
        put_string(buf, 1, self.response.type_url.as_str());
        if !resource.body.is_empty() {
            put_head(buf, 2, resource.body.len());
        }
    }

    fn put_tail(&self, buf: &mut BytesMut) {
        put_string(buf, 4, self.response.type_url.as_str());
        put_string(buf, 5, &self.response.nonce);
        for name in &self.response.removed {
            put_head(buf, 6, name.len());
            buf.put_slice(name.as_bytes());
        }
        if !self.control_plane.is_empty() {
            put_head(buf, self.control_plane_tag(), self.control_plane.len());
            buf.put_slice(&self.control_plane);
        }
    }

    /// The next piece, at most about [`GATHER`] bytes of copies or one shared part; `None` at the end.
    pub(crate) fn next_chunk(&mut self) -> Option<Bytes> {
        let mut buf = BytesMut::new();
        while buf.len() < GATHER {
            match self.at {
                Position::Start => {
                    buf.reserve((PREFIX + self.len).min(GATHER + SHARE));
                    buf.put_u8(0);
                    buf.put_u32(u32::try_from(self.len).unwrap_or(u32::MAX));
                    put_string(&mut buf, 1, &self.version);
                    self.at = Position::Resource(0);
                }
                Position::Resource(at) => match self.response.resources.get(at) {
                    Some(resource) => {
                        self.put_before(&mut buf, resource);
                        self.at = Position::Body(at, 0);
                    }
                    None => self.at = Position::Tail,
                },
                Position::Body(at, chunk) => {
                    let Some(resource) = self.response.resources.get(at) else { break };
                    match resource.body.chunks().get(chunk) {
                        Some(part) if part.len() >= SHARE && buf.is_empty() => {
                            self.at = Position::Body(at, chunk + 1);
                            return Some(part.clone());
                        }
                        Some(part) if part.len() >= SHARE => break,
                        Some(part) => {
                            buf.put_slice(part);
                            self.at = Position::Body(at, chunk + 1);
                        }
                        None => {
                            if self.response.variant == Variant::Delta {
                                put_string(&mut buf, 3, &resource.name);
                            }
                            self.at = Position::Resource(at + 1);
                        }
                    }
                }
                Position::Tail => {
                    self.put_tail(&mut buf);
                    self.at = Position::End;
                }
                Position::End => break,
            }
        }
        (!buf.is_empty()).then(|| buf.freeze())
    }
}

/// A request as read from the wire.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) node: Option<Node>,
    pub(crate) request: Request,
    pub(crate) size: usize,
}

/// Reads the requests of one variant.
#[derive(Debug)]
pub(crate) struct RequestDecoder(pub(crate) Variant);

impl Decoder for RequestDecoder {
    type Item = Received;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<Received>, Status> {
        let size = buf.remaining();
        let bad = |error: prost::DecodeError| {
            Status::invalid_argument(format!("the discovery request cannot be decoded: {error}"))
        };
        let (node, request) = match self.0 {
            Variant::Delta => {
                let mut request = DeltaDiscoveryRequest::decode(buf).map_err(bad)?;
                (request.node.take(), request.into())
            }
            Variant::Sotw => {
                let mut request = DiscoveryRequest::decode(buf).map_err(bad)?;
                (request.node.take(), request.into())
            }
        };
        Ok(Some(Received { node, request, size }))
    }
}
