//! The watch of a kind in the binary form: the list as it comes in, then what happens, for as long as somebody listens.
//!
//! It goes as kube's watcher does, which speaks JSON only; who follows it cannot tell the one from the other. The list is
//! asked for as such: sent as the beginning of a watch it costs an API server half as much again, an event for each object.

use std::io;
use std::time::Duration;

use config::Kind;
use futures_util::{Stream, stream};
use http::HeaderValue;
use http::header::{ACCEPT, ACCEPT_ENCODING};
use kube::Resource as _;
use kube::api::{ApiResource, ListParams, VersionMatch, WatchParams};
use kube::client::Body;
use kube::core::{Request, Status};
use kube::runtime::watcher::{Error, Event};

use super::protobuf::{Binary, Frame};
use super::raw::{Raw, resource};
use super::watch::Watched;

mod incoming;

use incoming::{Frames, Incoming, Items};

/// How objects are asked for. API servers without this form say so with 406, and are asked for JSON.
const LIST: &str = "application/vnd.kubernetes.protobuf";
const WATCH: &str = "application/vnd.kubernetes.protobuf;stream=watch";
/// A watch that says nothing for so long after it should have ended is dead.
const MARGIN: Duration = Duration::from_secs(5);

/// The kind of a resource that is read in the binary form.
pub(super) fn kind(of: &ApiResource) -> Option<Kind> {
    let is = |kind: &Kind| kind.versions().first().is_some_and(|version| resource(*kind, version) == *of);
    Binary::KINDS.into_iter().find(is)
}

/// Everything that happens to the objects of a kind, errors included; never ends. Whoever polls it makes the pauses after
/// errors.
pub(super) fn events(kind: Kind, watched: Watched) -> impl Stream<Item = Result<Event<Raw>, Error>> + Send {
    let watch = Watch { asked: Asked { kind, watched }, state: State::Nothing };
    stream::unfold(watch, |mut watch| async move { Some((watch.next().await, watch)) })
}

struct Watch {
    asked: Asked,
    state: State,
}

/// What is asked for.
struct Asked {
    kind: Kind,
    watched: Watched,
}

/// How far it is.
enum State {
    /// Nothing is known.
    Nothing,
    /// The list comes in.
    Listing(Items),
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
            State::Nothing => match self.asked.list().await {
                Ok(items) => {
                    self.state = State::Listing(items);
                    Some(Ok(Event::Init))
                }
                Err(error) => Some(Err(Error::InitialListFailed(error))),
            },
            // a list that breaks off is asked for again
            State::Listing(mut items) => match items.next().await {
                Ok(Some(object)) => {
                    self.state = State::Listing(items);
                    Some(Ok(Event::InitApply(object)))
                }
                Ok(None) => {
                    self.state = State::Known(items.version);
                    Some(Ok(Event::InitDone))
                }
                Err(error) => Some(Err(Error::InitialListFailed(error))),
            },
            State::Known(version) => match self.asked.begin(&version).await {
                Ok(frames) => {
                    self.state = State::Watching(version, frames);
                    None
                }
                Err(error) => {
                    // a version that is forgotten there is told here or, by others, in the first event
                    if !matches!(&error, kube::Error::Api(status) if status.code == 410) {
                        self.state = State::Known(version);
                    }
                    Some(Err(Error::WatchStartFailed(error)))
                }
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
            Ok(Frame::Put(object)) => {
                self.state = State::Watching(object.version().to_owned(), frames);
                Some(Ok(Event::Apply(object)))
            }
            Ok(Frame::Gone(object)) => {
                self.state = State::Watching(object.version().to_owned(), frames);
                Some(Ok(Event::Delete(object)))
            }
            Ok(Frame::Bookmark { version }) => {
                self.state = State::Watching(version, frames);
                None
            }
            Ok(Frame::Failed { code, reason, message }) => {
                // what happened since is forgotten there: everything is asked for again
                if code != 410 {
                    self.state = State::Known(version);
                }
                Some(Err(Error::WatchError(Status::failure(&message, &reason).with_code(code).boxed())))
            }
            Err(error) => {
                // connections break; whether there is trouble is seen when it is asked again
                let plural = self.asked.kind.plural();
                tracing::debug!(target: "kube", "the watch of {plural} broke off: {error}");
                self.state = State::Known(version);
                None
            }
        }
    }
}

impl Asked {
    /// Asks for all of them, in whatever version the API server has at hand.
    async fn list(&self) -> Result<Items, kube::Error> {
        let Watched { labels, fields, .. } = &self.watched;
        let params = ListParams {
            label_selector: labels.clone(),
            field_selector: fields.clone(),
            version_match: Some(VersionMatch::NotOlderThan),
            resource_version: Some("0".to_owned()),
            ..ListParams::default()
        };
        let request = self.requests().list(&params).map_err(kube::Error::BuildRequest)?;
        Ok(Items::new(self.kind, self.ask(request, LIST).await?))
    }

    /// Asks for what comes after a version.
    async fn begin(&self, version: &str) -> Result<Frames, kube::Error> {
        let Watched { labels, fields, renewed, .. } = &self.watched;
        let params = WatchParams {
            label_selector: labels.clone(),
            field_selector: fields.clone(),
            timeout: Some(*renewed),
            bookmarks: true,
            send_initial_events: false,
        };
        let request = self.requests().watch(&params, version).map_err(kube::Error::BuildRequest)?;
        Ok(Frames::new(self.kind, self.ask(request, WATCH).await?))
    }

    fn requests(&self) -> Request {
        Request::new(Raw::url_path(&self.watched.resource, self.watched.namespace.as_deref()))
    }

    async fn ask(
        &self,
        request: http::Request<Vec<u8>>,
        form: &'static str,
    ) -> Result<Incoming, kube::Error> {
        let mut request = request.map(Body::from);
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static(form));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let patience = Duration::from_secs(self.watched.renewed.into()) + MARGIN;
        Incoming::open(&self.watched.client, request, patience).await
    }
}

/// What came is not what was asked for.
fn unreadable(kind: io::ErrorKind, text: String) -> kube::Error {
    kube::Error::ReadEvents(io::Error::new(kind, text))
}
