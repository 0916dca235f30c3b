//! The requests of a stream, read message by message. A stream is quiet most of its life, so between messages it keeps no
//! buffer: a first subscription is large, and hundreds of streams would each hold on to the room for it.

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use prost::Message;
use proto::envoy::config::core::v3::Node;
use proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use tonic::Status;

use super::codec::PREFIX;
use crate::request::{Request, Variant};

#[cfg(test)]
mod tests;

/// A request as read from the wire.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) node: Option<Node>,
    pub(crate) request: Request,
    pub(crate) size: usize,
}

/// Reads the requests of one variant from the body of a call.
#[derive(Debug)]
pub(crate) struct Requests {
    body: tonic::body::Body,
    variant: Variant,
    /// Larger messages end the stream.
    limit: usize,
    /// What has arrived of messages that are not read yet.
    rest: Rest,
    ended: bool,
}

/// Bytes that wait to be read: those of one frame as they came, or those of several put together.
#[derive(Debug)]
enum Rest {
    Frame(Bytes),
    Gathered(BytesMut),
}

impl Rest {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Frame(bytes) => bytes,
            Self::Gathered(bytes) => bytes,
        }
    }

    /// Takes a message out from behind its prefix.
    fn take(&mut self, len: usize) -> Bytes {
        let message = match self {
            Self::Frame(bytes) => {
                bytes.advance(PREFIX);
                bytes.split_to(len)
            }
            Self::Gathered(bytes) => {
                bytes.advance(PREFIX);
                bytes.split_to(len).freeze()
            }
        };
        if self.bytes().is_empty() {
            *self = Self::Frame(Bytes::new());
        }
        message
    }

    /// Appends a frame; `room` is what the message at hand needs in all.
    fn push(&mut self, frame: Bytes, room: usize) {
        if self.bytes().is_empty() {
            *self = Self::Frame(frame);
            return;
        }
        if let Self::Frame(first) = self {
            let mut gathered = BytesMut::with_capacity(room.max(first.len() + frame.len()));
            gathered.extend_from_slice(first);
            *self = Self::Gathered(gathered);
        }
        if let Self::Gathered(bytes) = self {
            bytes.extend_from_slice(&frame);
        }
    }
}

impl Requests {
    pub(crate) fn new<B>(body: B, variant: Variant, limit: usize) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let rest = Rest::Frame(Bytes::new());
        Self { body: tonic::body::Body::new(body), variant, limit, rest, ended: false }
    }

    /// The next request; `None` once the client has none any more. Nothing is lost if this is dropped.
    pub(crate) async fn next(&mut self) -> Option<Result<Received, Status>> {
        loop {
            match self.waiting() {
                Ok(Some(received)) => return Some(Ok(received)),
                Ok(None) if self.ended => return None,
                Ok(None) => {}
                Err(status) => {
                    self.ended = true;
                    self.rest = Rest::Frame(Bytes::new());
                    return Some(Err(status));
                }
            }
            match self.body.frame().await {
                None => self.ended = true,
                Some(Err(status)) => {
                    self.ended = true;
                    return Some(Err(status));
                }
                // trailers of a client say nothing
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        let room = self.head().map_or(0, |(_, len)| PREFIX + len.min(self.limit));
                        self.rest.push(data, room);
                    }
                }
            }
        }
    }

    /// The prefix of the message at hand: whether it is compressed, and its length.
    fn head(&self) -> Option<(u8, usize)> {
        let (compressed, mut len) = self.rest.bytes().get(..PREFIX)?.split_first()?;
        usize::try_from(len.get_u32()).ok().map(|len| (*compressed, len))
    }

    /// A request that has arrived in full.
    fn waiting(&mut self) -> Result<Option<Received>, Status> {
        let Some((compressed, len)) = self.head() else { return Ok(None) };
        if compressed != 0 {
            return Err(Status::unimplemented("compressed requests are not understood; send them plain"));
        }
        if len > self.limit {
            let limit = self.limit;
            return Err(Status::out_of_range(format!("a request of {len} bytes; the limit is {limit}")));
        }
        if self.rest.bytes().len() < PREFIX + len {
            return Ok(None);
        }
        let message = self.rest.take(len);
        self.decode(message).map(Some)
    }

    fn decode(&self, message: Bytes) -> Result<Received, Status> {
        let size = message.len();
        let bad = |error: prost::DecodeError| {
            Status::invalid_argument(format!("the discovery request cannot be decoded: {error}"))
        };
        let (node, request) = match self.variant {
            Variant::Delta => {
                let mut request = DeltaDiscoveryRequest::decode(message).map_err(bad)?;
                (request.node.take(), request.into())
            }
            Variant::Sotw => {
                let mut request = DiscoveryRequest::decode(message).map_err(bad)?;
                (request.node.take(), request.into())
            }
        };
        Ok(Received { node, request, size })
    }
}
