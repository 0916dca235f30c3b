//! Traces of what a change causes, for collectors of OpenTelemetry: the event, its commit, the pushes and their ACKs.
//!
//! A commit that changes anything is one trace, known by its revision. A span is made when what it tells of is over, from
//! what the intake and the discovery service say anyway. Whoever says it never waits: what does not fit is dropped and
//! counted.

mod export;
mod span;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use proto::opentelemetry::proto::trace::v1::Span;
use tables::Story;
use tokio::sync::mpsc;

pub use export::{BadEndpoint, Exporter};
use span::{Context, number, text, texts};

#[cfg(test)]
mod tests;

/// Spans that wait for the exporter.
const QUEUE: usize = 2048;
/// Commits whose pushes are followed at a time.
const OPEN: usize = 32;
/// Pushes of one commit that have a span, the first ones.
const PUSHES: usize = 64;
/// Objects and tables that a span names, the first ones.
const NAMED: usize = 16;
/// An ACK that comes later than this finds its trace closed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Takes part in traces. Cheap to clone.
#[derive(Clone)]
pub struct Tracer(Arc<Inner>);

struct Inner {
    cluster: String,
    open: Mutex<VecDeque<Open>>,
    finished: mpsc::Sender<Span>,
    dropped: Counter,
}

/// A commit whose pushes are followed.
struct Open {
    revision: u64,
    since: SystemTime,
    event: Context,
    commit: Context,
    /// How many pushes have a span, or will have one.
    followed: usize,
    /// Those without an answer yet.
    pushes: BTreeMap<Named, Push>,
}

/// Names a response: the proxy, the type and the nonce.
type Named = (Arc<str>, String, String);

struct Push {
    context: Context,
    sent: SystemTime,
    bytes: usize,
    resources: usize,
    removed: usize,
}

/// A commit that is over.
pub struct Committed<'a> {
    /// When the first of its changes was read.
    pub received: SystemTime,
    /// When it began.
    pub began: SystemTime,
    /// What was edited: `added VirtualService default/reviews`.
    pub edits: Vec<String>,
    /// What it came to.
    pub story: &'a Story,
    /// How many classes of proxies have to be looked at.
    pub woken: usize,
}

/// A response that went out.
pub struct Sent<'a> {
    /// The node id of the proxy.
    pub proxy: &'a Arc<str>,
    /// The type, in short.
    pub of: &'a str,
    /// The nonce.
    pub nonce: &'a str,
    /// Its size on the wire.
    pub bytes: usize,
    /// How many resources it has.
    pub resources: usize,
    /// How many names it declares gone.
    pub removed: usize,
}

impl Tracer {
    fn new(cluster: &str, dropped: Counter) -> (Self, mpsc::Receiver<Span>) {
        let (finished, spans) = mpsc::channel(QUEUE);
        let inner = Inner { cluster: cluster.to_owned(), open: Mutex::default(), finished, dropped };
        (Self(Arc::new(inner)), spans)
    }

    /// From now on pushes of this revision are of a trace. To be called before anybody can push it.
    pub fn begin(&self, revision: u64) {
        let event = Context::root();
        let commit = event.child();
        let (since, followed, pushes) = (SystemTime::now(), 0, BTreeMap::new());
        let mut open = self.0.open.lock();
        open.push_back(Open { revision, since, event, commit, followed, pushes });
        let late = if open.len() > OPEN { open.pop_front() } else { None };
        drop(open);
        late.into_iter().for_each(|open| self.close(open));
    }

    /// Tells of the commit that made the revision it began with.
    pub fn committed(&self, commit: &Committed<'_>) {
        let revision = commit.story.revision.0;
        let contexts = {
            let open = self.0.open.lock();
            open.iter().rev().find(|open| open.revision == revision).map(|open| (open.event, open.commit))
        };
        let Some((event, inner)) = contexts else { return };
        let mut tables: BTreeMap<&str, usize> = BTreeMap::new();
        for change in commit.story.changes() {
            *tables.entry(change.table).or_default() += 1;
        }
        let now = SystemTime::now();
        let named = commit.edits.iter().take(NAMED).cloned();
        self.finish(event.span(
            "event",
            commit.received,
            now,
            vec![
                text("k8s.cluster.name", &self.0.cluster),
                texts("meltemi.objects", named),
                number("meltemi.edits", commit.edits.len()),
            ],
        ));
        let changed = tables.iter().take(NAMED).map(|(table, rows)| format!("{table}: {rows}"));
        self.finish(inner.span(
            "commit",
            commit.began,
            now,
            vec![
                number("meltemi.revision", usize::try_from(revision).unwrap_or(usize::MAX)),
                number("meltemi.rows", commit.story.len()),
                texts("meltemi.tables", changed),
                number("meltemi.classes", commit.woken),
            ],
        ));
    }

    /// Tells of a response to a revision.
    pub fn sent(&self, revision: u64, sent: &Sent<'_>) {
        let mut open = self.0.open.lock();
        let Some(trace) = open.iter_mut().rev().find(|open| open.revision == revision) else { return };
        if trace.followed == PUSHES {
            return;
        }
        trace.followed += 1;
        let push = Push {
            context: trace.commit.child(),
            sent: SystemTime::now(),
            bytes: sent.bytes,
            resources: sent.resources,
            removed: sent.removed,
        };
        trace.pushes.insert((sent.proxy.clone(), sent.of.to_owned(), sent.nonce.to_owned()), push);
    }

    /// Tells of the answer to a response: `None` accepts it, else it is why not.
    pub fn answered(&self, revision: u64, proxy: &Arc<str>, of: &str, nonce: &str, refusal: Option<&str>) {
        let name = (proxy.clone(), of.to_owned(), nonce.to_owned());
        let push = {
            let mut open = self.0.open.lock();
            let trace = open.iter_mut().rev().find(|open| open.revision == revision);
            trace.and_then(|trace| trace.pushes.remove(&name))
        };
        let Some(push) = push else { return };
        let mut span = push.span(&name, SystemTime::now());
        match refusal {
            None => span::add_event(&mut span, "ack"),
            Some(why) => {
                span::add_event(&mut span, "nack");
                span::fail(&mut span, why);
            }
        }
        self.finish(span);
    }

    /// Ends what nobody is expected to answer any more.
    fn expire(&self, now: SystemTime) {
        let is_late = |open: &Open| now.duration_since(open.since).is_ok_and(|age| age > PATIENCE);
        let late: Vec<Open> = {
            let mut open = self.0.open.lock();
            let count = open.iter().take_while(|open| is_late(open)).count();
            open.drain(..count).collect()
        };
        late.into_iter().for_each(|open| self.close(open));
    }

    /// Ends everything.
    fn end(&self) {
        let open = std::mem::take(&mut *self.0.open.lock());
        open.into_iter().for_each(|open| self.close(open));
    }

    /// Pushes without an answer end where they began.
    fn close(&self, open: Open) {
        for (name, push) in open.pushes {
            self.finish(push.span(&name, push.sent));
        }
    }

    fn finish(&self, span: Span) {
        if self.0.finished.try_send(span).is_err() {
            self.0.dropped.inc();
        }
    }
}

impl Push {
    fn span(&self, (proxy, of, nonce): &Named, end: SystemTime) -> Span {
        self.context.span(
            "push",
            self.sent,
            end,
            vec![
                text("xds.node", proxy),
                text("xds.type", of),
                text("xds.nonce", nonce),
                number("xds.bytes", self.bytes),
                number("xds.resources", self.resources),
                number("xds.removed", self.removed),
            ],
        )
    }
}
