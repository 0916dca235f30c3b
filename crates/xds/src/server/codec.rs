//! The wire form of responses: gRPC messages written chunk by chunk from shared parts.

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::WireType::LengthDelimited;
use prost::encoding::{encode_key, encode_varint, encoded_len_varint, key_len};

use crate::edition::{Resource, Section, wire_version};
use crate::request::{Piece, Response, Variant};
use crate::type_url::TypeUrl;

#[cfg(test)]
mod tests;

/// Small parts are gathered up to this size; it is also all that a stream copies at a time.
const GATHER: usize = 32 * 1024;

/// Parts from this size on go out as they are, shared by all streams.
const SHARE: usize = 16 * 1024;

/// Compression flag and length before each gRPC message.
pub(crate) const PREFIX: usize = 5;

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

/// How the resources of one response are written.
#[derive(Debug)]
struct Form {
    variant: Variant,
    type_url: TypeUrl,
}

impl Form {
    /// What the resources of a piece are: most are what the response is.
    fn type_of<'a>(&'a self, piece: &'a Piece) -> &'a str {
        match piece {
            Piece::Foreign(type_url, _) => type_url.as_str(),
            _ => self.type_url.as_str(),
        }
    }

    fn any_len(of: &str, resource: &Resource) -> usize {
        let body = if resource.body.is_empty() { 0 } else { bytes_len(2, resource.body.len()) };
        string_len(1, of) + body
    }

    /// Length of one element of `resources`: an `Any`, in delta inside a `Resource`.
    fn resource_len(&self, of: &str, resource: &Resource) -> usize {
        let any = Self::any_len(of, resource);
        match self.variant {
            Variant::Sotw => any,
            Variant::Delta => bytes_len(1, VERSION_LEN) + bytes_len(2, any) + string_len(3, &resource.name),
        }
    }

    /// Length of all elements with their tags.
    fn len(&self, of: &str, resources: &[Resource]) -> usize {
        resources.iter().map(|resource| bytes_len(2, self.resource_len(of, resource))).sum()
    }

    /// Everything of a resource before its body.
    fn put_before(&self, buf: &mut BytesMut, of: &str, resource: &Resource) {
        put_head(buf, 2, self.resource_len(of, resource));
        if self.variant == Variant::Delta {
            put_string(buf, 1, &wire_version(resource.version));
            put_head(buf, 2, Self::any_len(of, resource));
        }
        put_string(buf, 1, of);
        if !resource.body.is_empty() {
            put_head(buf, 2, resource.body.len());
        }
    }

    /// Everything of a resource after its body.
    fn put_after(&self, buf: &mut BytesMut, resource: &Resource) {
        if self.variant == Variant::Delta {
            put_string(buf, 3, &resource.name);
        }
    }

    /// The bytes of a piece that all clients share.
    fn shared(&self, piece: &Piece) -> Option<Bytes> {
        match piece {
            Piece::Section(section) => self.whole(section),
            Piece::Single(_) | Piece::Foreign(..) => None,
        }
    }

    /// A whole section as all clients of the variant are sent it; `None` where that would be no gain: little is quickly
    /// copied, big bodies are shared as they are, and many sections are one client's only.
    fn whole(&self, section: &Section) -> Option<Bytes> {
        let resources = section.resources();
        let worth = self.variant == Variant::Delta && resources.iter().all(|r| r.body.len() < SHARE);
        let of = self.type_url.as_str();
        let len = if worth { self.len(of, resources) } else { 0 };
        if len < SHARE {
            return None;
        }
        section.written(&self.type_url, || {
            let mut buf = BytesMut::with_capacity(len);
            for resource in resources {
                self.put_before(&mut buf, of, resource);
                buf.put_slice(&resource.body);
                self.put_after(&mut buf, resource);
            }
            buf.freeze()
        })
    }
}

/// One response being written. Holds shared bytes only; what is copied is copied when asked for.
#[derive(Debug)]
pub(crate) struct Frame {
    response: Response,
    form: Form,
    /// Of each piece the bytes that all clients share, if they do.
    shared: Box<[Option<Bytes>]>,
    control_plane: Bytes,
    version: String,
    len: usize,
    /// What of the message has been given out.
    given: usize,
    at: Position,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    Start,
    /// A piece: before a resource of it.
    Resource(usize, usize),
    /// Before a resource's body.
    Body(usize, usize),
    /// After it.
    After(usize, usize),
    Tail,
    End,
}

impl Frame {
    /// `control_plane` is an encoded `ControlPlane` message, left out if empty.
    pub(crate) fn new(response: Response, control_plane: Bytes) -> Self {
        let version = response.revision.to_string();
        let form = Form { variant: response.variant, type_url: response.type_url.clone() };
        let shared = response.resources.pieces().iter().map(|piece| form.shared(piece)).collect();
        let at = Position::Start;
        let mut frame = Self { response, form, shared, control_plane, version, len: 0, given: 0, at };
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
        let pieces = self.response.resources.pieces().iter().zip(&self.shared);
        let resources: usize = pieces
            .map(|(piece, shared)| {
                let own = || self.form.len(self.form.type_of(piece), piece.resources());
                shared.as_ref().map_or_else(own, Bytes::len)
            })
            .sum();
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

    /// What is next as it is, shared by all streams; and where the message goes on after it.
    fn next_shared(&self) -> Option<(Bytes, Position)> {
        match self.at {
            Position::Resource(piece, 0) => {
                let bytes = self.shared.get(piece)?.clone()?;
                Some((bytes, Position::Resource(piece + 1, 0)))
            }
            Position::Body(piece, at) => {
                let body = &self.resource(piece, at)?.body;
                (body.len() >= SHARE).then(|| (body.clone(), Position::After(piece, at)))
            }
            _ => None,
        }
    }

    fn piece(&self, piece: usize) -> Option<&Piece> {
        self.response.resources.pieces().get(piece)
    }

    fn resource(&self, piece: usize, at: usize) -> Option<&Resource> {
        self.piece(piece)?.resources().get(at)
    }

    /// The next piece, at most about [`GATHER`] bytes of copies or one shared part; `None` at the end.
    pub(crate) fn next_chunk(&mut self) -> Option<Bytes> {
        if let Some((bytes, next)) = self.next_shared() {
            self.given += bytes.len();
            self.at = next;
            return Some(bytes);
        }
        let rest = (PREFIX + self.len).saturating_sub(self.given);
        let mut buf = BytesMut::with_capacity(rest.min(GATHER + SHARE));
        while buf.len() < GATHER && self.at != Position::End && self.next_shared().is_none() {
            self.at = self.put_next(&mut buf);
        }
        self.given += buf.len();
        (!buf.is_empty()).then(|| buf.freeze())
    }

    /// Copies what is next. Gives what comes after it.
    fn put_next(&self, buf: &mut BytesMut) -> Position {
        match self.at {
            Position::Start => {
                buf.put_u8(0);
                buf.put_u32(u32::try_from(self.len).unwrap_or(u32::MAX));
                put_string(buf, 1, &self.version);
                Position::Resource(0, 0)
            }
            Position::Resource(piece, at) => match self.piece(piece).map(|p| (p, p.resources().get(at))) {
                Some((of, Some(resource))) => {
                    self.form.put_before(buf, self.form.type_of(of), resource);
                    Position::Body(piece, at)
                }
                Some((_, None)) => Position::Resource(piece + 1, 0),
                None => Position::Tail,
            },
            Position::Body(piece, at) => {
                buf.put_slice(self.resource(piece, at).map_or(&[], |resource| &resource.body));
                Position::After(piece, at)
            }
            Position::After(piece, at) => {
                self.resource(piece, at).into_iter().for_each(|resource| self.form.put_after(buf, resource));
                Position::Resource(piece, at + 1)
            }
            Position::Tail => {
                self.put_tail(buf);
                Position::End
            }
            Position::End => Position::End,
        }
    }
}
