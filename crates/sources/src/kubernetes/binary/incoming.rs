//! What an API server answers in the binary form, cut into objects as it comes in.

use std::io::ErrorKind;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use config::Kind;
use futures_util::{Stream, StreamExt as _};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use kube::core::Status;

use super::unreadable;
use crate::kubernetes::protobuf::{Binary, Frame, MARK, frame, version_of_list};
use crate::kubernetes::raw::Raw;

/// No object in an API server is that large.
const LARGEST: usize = 16 << 20;
/// What is read of an error.
const LARGEST_ERROR: usize = 64 << 10;

/// The body of an answer, and what came of it and is not read yet.
pub(super) struct Incoming {
    body: Pin<Box<dyn Stream<Item = Result<Bytes, kube::Error>> + Send>>,
    buffer: BytesMut,
    /// How long may pass without a word.
    patience: Duration,
}

impl Incoming {
    /// Asks.
    ///
    /// # Errors
    /// What the API server says instead, or that it cannot be reached.
    pub(super) async fn open(
        client: &Client,
        request: http::Request<Body>,
        patience: Duration,
    ) -> Result<Self, kube::Error> {
        let answer = client.send(request).await?;
        let status = answer.status();
        let mut body = Box::pin(answer.into_body().into_data_stream());
        if status.is_success() {
            return Ok(Self { body, buffer: BytesMut::new(), patience });
        }
        let mut text = Vec::new();
        while let Some(Ok(bytes)) = body.next().await {
            text.extend_from_slice(&bytes);
            if text.len() > LARGEST_ERROR {
                break;
            }
        }
        let told: Option<Status> = serde_json::from_slice(&text).ok();
        let told = told.unwrap_or_else(|| {
            Status::failure(
                &format!("the API server answers {status}"),
                status.canonical_reason().unwrap_or(""),
            )
        });
        Err(kube::Error::Api(told.with_code(status.as_u16()).boxed()))
    }

    /// Waits for more; `None` at the end, or when the API server is not heard of any more.
    async fn more(&mut self) -> Option<Result<(), kube::Error>> {
        let bytes = tokio::time::timeout(self.patience, self.body.next()).await.ok()??;
        Some(bytes.map(|bytes| self.buffer.extend_from_slice(&bytes)))
    }
}

/// The frames of a watch: each with its length before it, as apimachinery's pkg/util/framer.
pub(super) struct Frames {
    kind: Kind,
    incoming: Incoming,
}

impl Frames {
    /// Those of the watch of a kind.
    pub(super) fn new(kind: Kind, incoming: Incoming) -> Self {
        Self { kind, incoming }
    }

    /// The next one; `None` when the API server has ended the watch, or is not heard of any more.
    pub(super) async fn next(&mut self) -> Option<Result<Frame, kube::Error>> {
        let wrong = |text: String| unreadable(ErrorKind::InvalidData, text);
        loop {
            match cut_frame(&mut self.incoming.buffer) {
                Ok(Some(bytes)) => return Some(frame(self.kind, bytes).map_err(wrong)),
                Ok(None) => {}
                Err(text) => return Some(Err(wrong(text))),
            }
            if let Err(error) = self.incoming.more().await? {
                return Some(Err(error));
            }
        }
    }
}

/// Takes a whole frame off the front.
fn cut_frame(buffer: &mut BytesMut) -> Result<Option<Bytes>, String> {
    let Some(head) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX);
    Ok(cut(buffer, 4, length)?.then(|| buffer.split_to(length).freeze()))
}

/// Takes what stands before `length` bytes off the front, if all of them are there.
fn cut(buffer: &mut BytesMut, head: usize, length: usize) -> Result<bool, String> {
    if length > LARGEST {
        return Err(format!("an object of {length} bytes; at most {LARGEST} are read"));
    }
    let whole = head + length;
    if buffer.len() < whole {
        buffer.reserve(whole - buffer.len());
        return Ok(false);
    }
    buffer.advance(head);
    Ok(true)
}

/// A list: one message within another (apimachinery's runtime.Unknown), whose parts are looked at as they come in.
pub(super) struct Items {
    kind: Kind,
    incoming: Incoming,
    place: Place,
    /// The version it is of, which stands before the objects.
    pub(super) version: String,
}

/// Where in a list the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before everything.
    Mark,
    /// In the outer message, before the list.
    Before,
    /// In the list, of which so many bytes are left.
    Within(usize),
    /// In the outer message, behind the list.
    After,
}

/// A part of a list, unread.
#[derive(Debug, PartialEq)]
enum Part {
    Metadata(Bytes),
    Object(Bytes),
}

impl Items {
    /// Those of the list of a kind.
    pub(super) fn new(kind: Kind, incoming: Incoming) -> Self {
        Self { kind, incoming, place: Place::Mark, version: String::new() }
    }

    /// The next object; `None` when there was the last.
    ///
    /// # Errors
    /// The list breaks off, or is none.
    pub(super) async fn next(&mut self) -> Result<Option<Raw>, kube::Error> {
        let wrong = |text: String| unreadable(ErrorKind::InvalidData, text);
        loop {
            match cut_part(&mut self.incoming.buffer, &mut self.place).map_err(wrong)? {
                Some(Part::Metadata(bytes)) => {
                    self.version = version_of_list(bytes).map_err(wrong)?;
                    continue;
                }
                Some(Part::Object(bytes)) => {
                    return Ok(Some(Binary::read(self.kind, bytes).map_err(wrong)?.into_raw()));
                }
                None => {}
            }
            let is_whole = self.place == Place::After && self.incoming.buffer.is_empty();
            match self.incoming.more().await {
                Some(more) => more?,
                None if is_whole && !self.version.is_empty() => return Ok(None),
                None => {
                    let text = format!("the list of {} ended early", self.kind.plural());
                    return Err(unreadable(ErrorKind::UnexpectedEof, text));
                }
            }
        }
    }
}

/// Takes the next part of a list off the front; `None` if it is not all there, or there is none any more.
fn cut_part(buffer: &mut BytesMut, place: &mut Place) -> Result<Option<Part>, String> {
    loop {
        match *place {
            Place::Mark => {
                let Some(mark) = buffer.first_chunk::<4>() else { return Ok(None) };
                if mark != MARK {
                    return Err("an answer that is not in the binary form".to_owned());
                }
                buffer.advance(MARK.len());
                *place = Place::Before;
            }
            Place::Within(0) => *place = Place::After,
            Place::Before | Place::After => {
                let Some(Field { number, length, head }) = field(buffer)? else { return Ok(None) };
                if number == 2 && *place == Place::Before {
                    buffer.advance(head);
                    *place = Place::Within(length);
                } else if cut(buffer, head, length)? {
                    buffer.advance(length);
                } else {
                    return Ok(None);
                }
            }
            Place::Within(left) => {
                let Some(Field { number, length, head }) = field(buffer)? else { return Ok(None) };
                let rest = left.checked_sub(head).and_then(|left| left.checked_sub(length));
                let rest = rest.ok_or("a part of a list that is longer than the list")?;
                if !cut(buffer, head, length)? {
                    return Ok(None);
                }
                let bytes = buffer.split_to(length).freeze();
                *place = Place::Within(rest);
                match number {
                    1 => return Ok(Some(Part::Metadata(bytes))),
                    2 => return Ok(Some(Part::Object(bytes))),
                    _ => {}
                }
            }
        }
    }
}

/// The beginning of a field that has a length.
struct Field {
    number: u64,
    length: usize,
    /// How many bytes say so.
    head: usize,
}

/// Reads it; `None` if it is not all there.
fn field(bytes: &[u8]) -> Result<Option<Field>, String> {
    let Some((tag, first)) = varint(bytes)? else { return Ok(None) };
    if tag & 7 != 2 {
        return Err(format!("a list with a field of wire type {}", tag & 7));
    }
    let Some((length, second)) = varint(&bytes[first..])? else { return Ok(None) };
    let length = usize::try_from(length).map_err(|_| format!("a field of {length} bytes"))?;
    Ok(Some(Field { number: tag >> 3, length, head: first + second }))
}

/// A number, and how many bytes it takes; `None` if it is not all there.
fn varint(bytes: &[u8]) -> Result<Option<(u64, usize)>, String> {
    let mut number = 0;
    for (index, byte) in bytes.iter().take(9).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((number, index + 1)));
        }
    }
    if bytes.len() >= 9 { Err("a number that does not end".to_owned()) } else { Ok(None) }
}

#[cfg(test)]
mod tests;
