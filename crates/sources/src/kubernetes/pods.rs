//! The watch of pods, in the binary form: the list as a stream, then what happens, for as long as somebody listens.
//!
//! It goes as kube's watcher does, which speaks JSON only; who follows it cannot tell the one from the other.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream};
use http_body_util::BodyExt as _;
use kube::api::WatchParams;
use kube::client::Body;
use kube::core::{Request, Status};
use kube::runtime::watcher::{Error, Event};
use kube::{Client, Resource as _};

use super::protobuf::{Frame, frame};
use super::raw::Raw;
use super::watch::Watched;

/// How pods are asked for. API servers without this form say so with 406, and are asked for JSON.
const ACCEPT: &str = "application/vnd.kubernetes.protobuf;stream=watch";
/// No object in an API server is that large.
const LARGEST: usize = 16 << 20;
/// What is read of an error.
const LARGEST_ERROR: usize = 64 << 10;
/// A watch that says nothing for so long after it should have ended is dead.
const MARGIN: Duration = Duration::from_secs(5);

/// Everything that happens to pods, errors included; never ends. Whoever polls it makes the pauses after errors.
pub(super) fn events(watched: Watched) -> impl Stream<Item = Result<Event<Raw>, Error>> + Send {
    let watch = Watch { watched, state: State::Nothing };
    stream::unfold(watch, |mut watch| async move { Some((watch.next().await, watch)) })
}

struct Watch {
    watched: Watched,
    state: State,
}

/// How far it is.
enum State {
    /// Nothing is known.
    Nothing,
    /// The list comes in.
    Listing(Frames),
    /// Everything up to a version is known, and nobody watches.
    Known(String),
    /// What comes after that is watched.
    Watching(String, Frames),
}

impl Watch {
    async fn next(&mut self) -> Result<Event<Raw>, Error> {
        loop {
            if let Some(event) = self.step().await {
                return event;
            }
        }
    }

    /// One step; what it leaves to tell.
    async fn step(&mut self) -> Option<Result<Event<Raw>, Error>> {
        match std::mem::replace(&mut self.state, State::Nothing) {
            State::Nothing => match begin(&self.watched, "0", true).await {
                Ok(frames) => {
                    self.state = State::Listing(frames);
                    Some(Ok(Event::Init))
                }
                Err(error) => Some(Err(Error::WatchStartFailed(error))),
            },
            State::Known(version) => match begin(&self.watched, &version, false).await {
                Ok(frames) => {
                    self.state = State::Watching(version, frames);
                    None
                }
                Err(error) => {
                    self.state = State::Known(version);
                    Some(Err(Error::WatchStartFailed(error)))
                }
            },
            // a list that breaks off is asked for again
            State::Listing(mut frames) => match frames.next().await.unwrap_or_else(|| Err(short())) {
                Ok(Frame::Put(pod)) => {
                    self.state = State::Listing(frames);
                    Some(Ok(Event::InitApply(pod)))
                }
                Ok(Frame::Bookmark { version, listed: true }) => {
                    self.state = State::Watching(version, frames);
                    Some(Ok(Event::InitDone))
                }
                Ok(Frame::Bookmark { .. } | Frame::Gone(_)) => {
                    self.state = State::Listing(frames);
                    None
                }
                Ok(Frame::Failed { code, reason, message }) => Some(Err(ended(code, &reason, &message))),
                Err(error) => Some(Err(Error::WatchFailed(error))),
            },
            State::Watching(version, frames) => self.watch(version, frames).await,
        }
    }

    async fn watch(&mut self, version: String, mut frames: Frames) -> Option<Result<Event<Raw>, Error>> {
        let Some(next) = frames.next().await else {
            self.state = State::Known(version);
            return None;
        };
        match next {
            Ok(Frame::Put(pod)) => {
                self.state = State::Watching(pod.version().to_owned(), frames);
                Some(Ok(Event::Apply(pod)))
            }
            Ok(Frame::Gone(pod)) => {
                self.state = State::Watching(pod.version().to_owned(), frames);
                Some(Ok(Event::Delete(pod)))
            }
            Ok(Frame::Bookmark { version, .. }) => {
                self.state = State::Watching(version, frames);
                None
            }
            Ok(Frame::Failed { code, reason, message }) => {
                // what happened since is forgotten there: everything is asked for again
                if code != 410 {
                    self.state = State::Known(version);
                }
                Some(Err(ended(code, &reason, &message)))
            }
            Err(error) => {
                // connections break; whether there is trouble is seen when it is asked again
                tracing::debug!(target: "kube", "the watch of pods broke off: {error}");
                self.state = State::Known(version);
                None
            }
        }
    }
}

/// Asks for what comes after a version, or for the list and what comes after that.
async fn begin(watched: &Watched, version: &str, list: bool) -> Result<Frames, kube::Error> {
    let Watched { client, resource, namespace, fields, labels, renewed, .. } = watched;
    let params = WatchParams {
        label_selector: labels.clone(),
        field_selector: fields.clone(),
        timeout: Some(*renewed),
        bookmarks: true,
        send_initial_events: list,
    };
    let request = Request::new(Raw::url_path(resource, namespace.as_deref()));
    let mut request = request.watch(&params, version).map_err(kube::Error::BuildRequest)?.map(Body::from);
    let headers = request.headers_mut();
    headers.insert(http::header::ACCEPT, http::HeaderValue::from_static(ACCEPT));
    headers.insert(http::header::ACCEPT_ENCODING, http::HeaderValue::from_static("identity"));
    Frames::open(client, request, Duration::from_secs((*renewed).into()) + MARGIN).await
}

/// Why the API server ended a watch.
fn ended(code: u16, reason: &str, message: &str) -> Error {
    Error::WatchError(Status::failure(message, reason).with_code(code).boxed())
}

/// A list that ended without its end.
fn short() -> kube::Error {
    kube::Error::ReadEvents(io::Error::new(io::ErrorKind::UnexpectedEof, "the list of pods ended early"))
}

/// The frames of one answer: each with its length before it, as apimachinery's pkg/util/framer.
struct Frames {
    body: Pin<Box<dyn Stream<Item = Result<Bytes, kube::Error>> + Send>>,
    buffer: BytesMut,
    /// How long may pass without a word.
    patience: Duration,
}

impl Frames {
    async fn open(
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

    /// The next one; `None` when the API server has ended the watch, or is not heard of any more.
    async fn next(&mut self) -> Option<Result<Frame, kube::Error>> {
        let wrong = |text: String| kube::Error::ReadEvents(io::Error::new(io::ErrorKind::InvalidData, text));
        loop {
            match cut(&mut self.buffer) {
                Ok(Some(bytes)) => return Some(frame(bytes).map_err(wrong)),
                Ok(None) => {}
                Err(text) => return Some(Err(wrong(text))),
            }
            match tokio::time::timeout(self.patience, self.body.next()).await.ok()?? {
                Ok(bytes) => self.buffer.extend_from_slice(&bytes),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// Takes a whole frame off the front.
fn cut(buffer: &mut BytesMut) -> Result<Option<Bytes>, String> {
    let Some(head) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX);
    if length > LARGEST {
        return Err(format!("a frame of {length} bytes; at most {LARGEST} are read"));
    }
    if buffer.len() < 4 + length {
        buffer.reserve(4 + length - buffer.len());
        return Ok(None);
    }
    buffer.advance(4);
    Ok(Some(buffer.split_to(length).freeze()))
}

#[cfg(test)]
mod tests;
