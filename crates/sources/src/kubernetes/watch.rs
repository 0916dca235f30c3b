//! One watch: the objects of one kind, listed and followed until somebody ends it, whatever the API server does.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::Either;
use futures_util::{Stream, StreamExt as _};
use kube::Client;
use kube::api::{Api, ApiResource};
use kube::runtime::utils::{Backoff, StreamBackoff};
use kube::runtime::watcher::{self, Error, Event, InitialListStrategy, watcher};
use parking_lot::Mutex;
use process::retry::{Delays, Policy};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::binary;
use super::held::Held;
use super::raw::Raw;
use crate::change::Change;

/// A watch is begun anew after this long, from where it was: a connection that died without a word is noticed then.
pub const RENEWAL: Duration = Duration::from_secs(90);
/// At most so many events are looked at in one go.
const TOGETHER: usize = 128;
/// Delays after errors. Evenly drawn below a growing ceiling, so that many watches do not come back as one; with the
/// highest, a cluster that was away is heard again within seconds.
pub(crate) const DELAYS: Policy =
    Policy { initial: Duration::from_millis(400), max: Duration::from_secs(10), factor: 1.8, attempts: None };

/// What to watch.
#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) client: Client,
    pub(crate) resource: ApiResource,
    /// Only there; everywhere if `None`.
    pub(crate) namespace: Option<String>,
    /// Restricts the objects by their fields, as the API server understands it.
    pub(crate) fields: Option<String>,
    /// Restricts the objects by their labels.
    pub(crate) labels: Option<String>,
    /// Whether the API server can send a list as a stream.
    pub(crate) streaming: bool,
    /// Whether it can send objects in the binary form.
    pub(crate) binary: bool,
    /// After so many seconds it is begun anew.
    pub(crate) renewed: u32,
}

/// A time after which watches are begun anew, as API servers are told.
pub(crate) fn seconds(renewal: Duration) -> u32 {
    u32::try_from(renewal.as_secs()).unwrap_or(u32::MAX).max(1)
}

/// What a watch tells.
#[derive(Debug)]
pub(crate) enum Told {
    /// Objects came or went.
    Change(Change),
    /// A list is complete, with what it changed.
    Complete(Change),
    /// It does not work; it is tried again.
    Failed(Trouble),
}

/// Why a watch does not work.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    /// In words.
    pub(crate) text: String,
    /// Whether this is nothing that passes by itself: we may not read the kind, or the API server has none such.
    pub(crate) lasting: bool,
}

impl Trouble {
    pub(crate) fn of(error: &Error) -> Self {
        let code = status_code(error);
        let text = match code {
            Some(403) => format!("may not be read: {error}"),
            _ => error.to_string(),
        };
        Self { text, lasting: matches!(code, Some(401 | 403 | 404)) }
    }
}

/// The HTTP status that the API server answered with.
fn status_code(error: &Error) -> Option<u16> {
    match error {
        Error::InitialListFailed(kube::Error::Api(status))
        | Error::WatchStartFailed(kube::Error::Api(status))
        | Error::WatchFailed(kube::Error::Api(status)) => Some(status.code),
        Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}

/// Delays that begin anew when something worked.
struct Pauses<R>(Delays<R>);

impl<R: FnMut() -> f64> Iterator for Pauses<R> {
    type Item = Duration;
    fn next(&mut self) -> Option<Duration> {
        // never at once: an error that comes back immediately must not turn into a loop without a pause
        self.0.next().map(|delay| delay + Duration::from_millis(50))
    }
}

impl<R: FnMut() -> f64 + Send + Sync + Unpin> Backoff for Pauses<R> {
    fn reset(&mut self) {
        self.0.reset();
    }
}

/// How is watched, before anything is restricted.
pub(crate) fn config(streaming: bool) -> watcher::Config {
    let mut config = watcher::Config::default().timeout(seconds(RENEWAL));
    if streaming {
        config.initial_list_strategy = InitialListStrategy::StreamingList;
    }
    config
}

/// Everything that happens to objects, with pauses after errors; never ends.
pub(crate) fn events<K>(
    api: Api<K>,
    config: watcher::Config,
) -> impl Stream<Item = Result<Event<K>, Error>> + Send
where
    K: kube::Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    paused(watcher(api, config))
}

/// With pauses after errors.
fn paused<K: Send>(
    events: impl Stream<Item = Result<Event<K>, Error>> + Send,
) -> impl Stream<Item = Result<Event<K>, Error>> + Send {
    StreamBackoff::new(events, Pauses(DELAYS.delays()))
}

impl Watched {
    fn api(&self) -> Api<Raw> {
        match &self.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &self.resource),
            None => Api::all_with(self.client.clone(), &self.resource),
        }
    }

    /// Everything that happens, with pauses after errors; never ends.
    pub(crate) fn events(&self) -> impl Stream<Item = Result<Event<Raw>, Error>> + Send + use<> {
        if let Some(kind) = binary::kind(&self.resource).filter(|_| self.binary) {
            return Either::Left(paused(binary::events(kind, self.clone())));
        }
        let mut config = config(self.streaming).timeout(self.renewed);
        config.field_selector.clone_from(&self.fields);
        config.label_selector.clone_from(&self.labels);
        Either::Right(events(self.api(), config))
    }

    /// Watches until nobody receives. What `held` says and what was told never differ, wherever this is dropped: an event
    /// is looked at only when there is room to tell of it.
    pub(crate) async fn follow<T>(
        mut self,
        held: Arc<Mutex<Held>>,
        tell: mpsc::Sender<T>,
        wrap: impl Fn(Told) -> T,
    ) {
        let mut pauses = Pauses(DELAYS.delays());
        loop {
            let mut events = std::pin::pin!(self.events().ready_chunks(TOGETHER));
            while let Some(chunk) = events.next().await {
                let Ok(room) = tell.reserve().await else { return };
                let mut heard = Heard::default();
                heard.take(chunk, &mut held.lock());
                let unable = heard.unstreamable && self.streaming || heard.unreadable && self.binary;
                let begin_again = heard.away || unable;
                // not with an older API server, nor with one that has this switched off
                self.streaming &= !heard.unstreamable;
                self.binary &= !heard.unreadable;
                if heard.complete {
                    pauses.reset();
                }
                if let Some(told) = heard.told() {
                    room.send(wrap(told));
                }
                if begin_again {
                    break;
                }
            }
            tokio::time::sleep(pauses.next().unwrap_or(DELAYS.max)).await;
        }
    }
}

/// What a chunk of events says.
#[derive(Default)]
struct Heard {
    change: Change,
    complete: bool,
    trouble: Option<Trouble>,
    unstreamable: bool,
    /// There is no binary form.
    unreadable: bool,
    /// The API server could not be reached. When it is back it may know less than before (its store was restored), so it
    /// is not asked for what came after the last event, but for everything; what is held spares the rest.
    away: bool,
}

impl Heard {
    fn take(&mut self, chunk: Vec<Result<Event<Raw>, Error>>, held: &mut Held) {
        for event in chunk {
            match event {
                Ok(event) => self.complete |= held.hear(event, &mut self.change),
                Err(error) => {
                    let code = status_code(&error);
                    self.unstreamable |= matches!(code, Some(400 | 422));
                    self.unreadable |= code == Some(406);
                    self.away |=
                        matches!(&error, Error::WatchStartFailed(why) if !matches!(why, kube::Error::Api(_)));
                    self.trouble = Some(Trouble::of(&error));
                }
            }
        }
    }

    fn told(self) -> Option<Told> {
        if self.complete {
            return Some(Told::Complete(self.change));
        }
        if let (Some(trouble), true) = (self.trouble, self.change.is_empty()) {
            return Some(Told::Failed(trouble));
        }
        (!self.change.is_empty()).then_some(Told::Change(self.change))
    }
}
