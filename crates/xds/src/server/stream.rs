//! One stream: carries a session over gRPC, answers requests before it pushes, and has one response under way.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use proto::envoy::config::core::v3::Node;
use proto::google::protobuf::value::Kind;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Sleep;
use tonic::{Code, Status};

use super::body::Outgoing;
use super::codec::Frame;
use super::connections::Registration;
use super::queue::Permit;
use super::requests::{Received, Requests};
use super::serve::Shared;
use super::session::{Event, Session, Source};
use crate::catalog::{Catalog, Intercept, Observation, Peer};
use crate::edition::{Edition, Resource};
use crate::request::{Request, Response};
use crate::type_url::TypeUrl;

/// Requests that are there are all read before something is pushed, up to this many.
const BURST: usize = 64;

/// How long the last words may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// A catalog as one client sees it.
struct Seen<'a, C: Catalog>(&'a C, &'a C::Client);

impl<C: Catalog> Source for Seen<'_, C> {
    fn edition(&self, type_url: &TypeUrl) -> Option<Arc<Edition>> {
        self.0.edition(self.1, type_url)
    }

    fn on_demand(&self, type_url: &TypeUrl) -> bool {
        self.0.on_demand(self.1, type_url)
    }

    fn lookup(&self, type_url: &TypeUrl, name: &str) -> Option<Resource> {
        self.0.lookup(self.1, type_url, name)
    }
}

/// What becomes of the response under way.
enum Push {
    None,
    /// It waits for a share of the budget.
    Waiting(Box<Frame>, Pin<Box<dyn Future<Output = Permit> + Send>>),
    /// The connection is taking it.
    Leaving(Box<Leaving>),
}

struct Leaving {
    taken: oneshot::Receiver<()>,
    permit: Option<Permit>,
    stalled: Pin<Box<Sleep>>,
    timeout: Option<Pin<Box<Sleep>>>,
    since: Duration,
}

enum Progress {
    Allowed(Permit),
    Taken,
    Stalled,
    TimedOut,
}

impl Push {
    /// Waits for the next thing to happen to the response under way. Nothing is lost if it is dropped.
    async fn progress(&mut self) -> Progress {
        match self {
            Self::None => std::future::pending().await,
            Self::Waiting(_, permit) => Progress::Allowed(permit.await),
            Self::Leaving(leaving) => {
                let Leaving { taken, permit, stalled, timeout, .. } = &mut **leaving;
                let timed_out = async {
                    match timeout {
                        Some(timeout) => timeout.await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    _ = taken => Progress::Taken,
                    () = timed_out => Progress::TimedOut,
                    () = stalled, if permit.is_some() => Progress::Stalled,
                }
            }
        }
    }
}

/// The task of one stream, after its client was admitted.
struct Stream<C: Catalog> {
    shared: Arc<Shared<C>>,
    client: C::Client,
    registration: Registration,
    version: String,
    session: Session,
    out: mpsc::Sender<Outgoing>,
    push: Push,
    /// Answers outside of subscriptions, and the last nonce of each type of them.
    answers: VecDeque<Response>,
    answered: HashMap<TypeUrl, Arc<str>>,
    /// When a change was noticed that has not been sent in full.
    changed: Option<Duration>,
    looked: bool,
    newest: u64,
}

/// Serves one stream to its end.
pub(crate) async fn run<C: Catalog>(
    shared: Arc<Shared<C>>,
    session: Session,
    peer: Peer,
    mut requests: Requests,
    out: mpsc::Sender<Outgoing>,
) {
    let address = peer.address;
    let status = match begin(&shared, session, &peer, &mut requests, &out).await {
        Ok(Some((mut stream, first))) => match stream.serve(first, &mut requests).await {
            Ok(()) => Status::ok(""),
            Err(status) => status,
        },
        Ok(None) => Status::ok(""),
        Err(status) => status,
    };
    if matches!(status.code(), Code::Internal | Code::DataLoss) {
        shared.metrics.internal_error();
    }
    tracing::debug!(target: "ads", ?address, code = ?status.code(), reason = status.message(), "stream ended");
    // A client that does not listen any more does not get its last words.
    let _ = tokio::time::timeout(FAREWELL, out.send(Outgoing::End(status))).await;
}

/// Waits for the first request and admits its client.
async fn begin<C: Catalog>(
    shared: &Arc<Shared<C>>,
    session: Session,
    peer: &Peer,
    requests: &mut Requests,
    out: &mpsc::Sender<Outgoing>,
) -> Result<Option<(Stream<C>, Request)>, Status> {
    let turn = shared.turn();
    let turn = turn.ok_or_else(|| Status::resource_exhausted("too many new streams, try again later"))?;
    tokio::time::sleep(turn).await;
    let received = loop {
        let received = tokio::select! {
            received = requests.next() => received,
            () = out.closed() => return Ok(None),
        };
        match received {
            None => return Ok(None),
            Some(Err(status)) => return ended_by(&status).map(|()| None),
            // As upstream: an agent may report health before Envoy has said who it is.
            Some(Ok(received)) if received.request.type_url == TypeUrl::HealthInformation => {}
            Some(Ok(received)) => break received,
        }
    };
    shared.metrics.received(received.size);
    let node = received.node.filter(|node| !node.id.is_empty());
    let node = node.ok_or_else(|| Status::invalid_argument("missing node information"))?;
    let Some(client) = admit(shared, &node, peer, out).await? else { return Ok(None) };
    let version = metadata(&node, "ISTIO_VERSION").unwrap_or("unknown").to_owned();
    let now = shared.clock.now();
    let registration = shared.connections.add(node, peer.address, session.variant(), now);
    shared.metrics.connected(&version);
    tracing::info!(target: "ads", connection = %registration.id(), variant = ?session.variant(), "connected");
    let connected = Observation::Connected { connection: registration.id(), at: now };
    shared.catalog.observe(&client, connected);
    let stream = Stream {
        shared: shared.clone(),
        client,
        registration,
        version,
        session,
        out: out.clone(),
        push: Push::None,
        answers: VecDeque::new(),
        answered: HashMap::new(),
        changed: None,
        looked: false,
        newest: 0,
    };
    Ok(Some((stream, received.request)))
}

/// Lets the catalog decide about a client, which may take others' time; `None` if the client has gone meanwhile.
async fn admit<C: Catalog>(
    shared: &Shared<C>,
    node: &Node,
    peer: &Peer,
    out: &mpsc::Sender<Outgoing>,
) -> Result<Option<C::Client>, Status> {
    let undecided = || Status::unavailable("the client could not be authenticated in time, try again later");
    let decided = async {
        let _place = shared.admissions.acquire().await.map_err(|_| undecided())?;
        let decided = shared.catalog.admit(node, peer).await;
        decided.map_err(|refusal| Status::new(refusal.code, refusal.message))
    };
    tokio::select! {
        biased;
        decided = tokio::time::timeout(shared.options.admission_timeout, decided) => {
            decided.map_err(|_| undecided())?.map(Some)
        }
        () = shared.connections.closing() => Err(Status::unavailable("the server closes the connection")),
        () = out.closed() => Ok(None),
    }
}

/// How a stream ends when reading it failed: proxies go away in many ways, and all of them are normal.
fn ended_by(status: &Status) -> Result<(), Status> {
    match status.code() {
        Code::InvalidArgument | Code::OutOfRange | Code::ResourceExhausted => Err(status.clone()),
        _ => Ok(()),
    }
}

fn metadata<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    match node.metadata.as_ref()?.fields.get(key)?.kind.as_ref()? {
        Kind::StringValue(value) => Some(value),
        _ => None,
    }
}

impl<C: Catalog> Stream<C> {
    async fn serve(&mut self, first: Request, requests: &mut Requests) -> Result<(), Status> {
        let mut ticks = self.shared.catalog.watch(&self.client);
        ticks.mark_unchanged();
        let mut ticking = true;
        let mut age = self.shared.age().map(|age| Box::pin(tokio::time::sleep(age)));
        let out = self.out.clone();
        self.handle(first)?;
        loop {
            if !self.read_waiting(requests)? {
                return Ok(());
            }
            if matches!(self.push, Push::None) {
                self.next_push();
            }
            let aged = async {
                match &mut age {
                    Some(age) => age.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = out.closed() => return Ok(()),
                () = self.registration.stopped() => {
                    return Err(Status::unavailable("the server closes the connection"));
                }
                () = aged => return Err(Status::unavailable("the connection has reached its age limit")),
                received = requests.next() => match received {
                    None => return Ok(()),
                    Some(Err(status)) => return ended_by(&status),
                    Some(Ok(received)) => self.take(received)?,
                },
                progress = self.push.progress() => self.progressed(progress).await?,
                () = self.registration.asked_to_look() => self.note_change(),
                changed = tick(&mut ticks), if ticking => {
                    ticking = changed;
                    self.note_change();
                }
            }
        }
    }

    /// Reads the requests that are there already. False if the client has gone.
    fn read_waiting(&mut self, requests: &mut Requests) -> Result<bool, Status> {
        for _ in 0..BURST {
            match requests.next().now_or_never() {
                None => break,
                Some(None) => return Ok(false),
                Some(Some(Err(status))) => return ended_by(&status).map(|()| false),
                Some(Some(Ok(received))) => self.take(received)?,
            }
        }
        Ok(true)
    }

    fn note_change(&mut self) {
        self.session.on_change();
        if self.changed.is_none() {
            self.changed = Some(self.shared.clock.monotonic());
            self.looked = false;
        }
    }

    fn take(&mut self, received: Received) -> Result<(), Status> {
        self.shared.metrics.received(received.size);
        if let Some(node) = &received.node
            && !node.id.is_empty()
            && *node != **self.registration.node()
        {
            self.shared.catalog.node_changed(&self.client, node);
        }
        self.handle(received.request)
    }

    fn handle(&mut self, request: Request) -> Result<(), Status> {
        let catalog = &self.shared.catalog;
        if !request.nonce.is_empty()
            && self.answered.get(&request.type_url).is_some_and(|nonce| **nonce == request.nonce)
        {
            // The ACK of an answer that is not a subscription.
            return Ok(());
        }
        catalog.observe(&self.client, Observation::Request { request: &request });
        match catalog.intercept(&self.client, &request) {
            Intercept::Drop => return Ok(()),
            Intercept::Refuse(refusal) => return Err(Status::new(refusal.code, refusal.message)),
            Intercept::Answer(resources) => {
                let response = self.session.answer(request.type_url.clone(), resources);
                self.answered.insert(request.type_url, response.nonce.clone());
                self.answers.push_back(response);
                return Ok(());
            }
            Intercept::Pass => {}
        }
        let type_url = request.type_url.clone();
        for event in self.session.on_request(request) {
            self.tell(&event);
        }
        self.registration.report(&type_url, self.session.status_of(&type_url));
        Ok(())
    }

    fn tell(&self, event: &Event) {
        let (metrics, id) = (&self.shared.metrics, self.registration.id());
        match event {
            Event::Ack { type_url, nonce, revision } => {
                let ack = Observation::Ack { type_url, nonce, revision: *revision };
                self.shared.catalog.observe(&self.client, ack);
            }
            Event::Nack { type_url, nonce, revision, names, code, message } => {
                let kind = type_url.short();
                tracing::warn!(target: "ads", connection = %id, kind, message, "refused by the client");
                metrics.rejected(type_url, &self.registration.node().id, *code);
                let nack = Observation::Nack { type_url, nonce, revision: *revision, names, message };
                self.shared.catalog.observe(&self.client, nack);
            }
            Event::Stale { type_url } => metrics.stale(type_url),
        }
    }

    /// Decides what to send next, and begins to wait for room for it.
    fn next_push(&mut self) {
        let shared = self.shared.clone();
        let begin = shared.clock.monotonic();
        if let Some(changed) = self.changed.filter(|_| !self.looked) {
            self.looked = true;
            shared.metrics.queued(begin.saturating_sub(changed));
        }
        let source = Seen(&*shared.catalog, &self.client);
        let response = match self.answers.pop_front() {
            Some(answer) => Some(answer),
            None => self.session.next_response(&source, shared.clock.now()),
        };
        let Some(response) = response else {
            if let Some(changed) = self.changed.take() {
                let took = shared.clock.monotonic().saturating_sub(changed);
                shared.metrics.converged(took);
                let converged = Observation::Converged { revision: self.newest, took };
                shared.catalog.observe(&self.client, converged);
            }
            return;
        };
        self.newest = self.newest.max(response.revision);
        let took = shared.clock.monotonic().saturating_sub(begin);
        let bytes = response.resources.iter().map(|resource| resource.body.len()).sum();
        shared.metrics.pushed(&response.type_url, took, bytes);
        let frame = Frame::new(response, shared.control_plane.clone());
        let (budget, bytes) = (shared.budget.clone(), frame.len());
        let permit = Box::pin(async move { budget.acquire(bytes).await });
        self.push = Push::Waiting(Box::new(frame), permit);
    }

    async fn progressed(&mut self, progress: Progress) -> Result<(), Status> {
        match (progress, std::mem::replace(&mut self.push, Push::None)) {
            (Progress::Allowed(permit), Push::Waiting(frame, _)) => self.hand_over(frame, permit).await,
            (Progress::Taken, Push::Leaving(leaving)) => {
                let now = self.shared.clock.monotonic();
                self.shared.metrics.sent(now.saturating_sub(leaving.since));
            }
            (Progress::Stalled, Push::Leaving(mut leaving)) => {
                // A slow reader must not keep others waiting: what it holds by now is bounded by its own buffers.
                leaving.permit = None;
                self.push = Push::Leaving(leaving);
            }
            (Progress::TimedOut, _) => {
                self.shared.metrics.timed_out();
                return Err(Status::deadline_exceeded("the client did not take a response in time"));
            }
            (_, push) => self.push = push,
        }
        Ok(())
    }

    async fn hand_over(&mut self, frame: Box<Frame>, permit: Permit) {
        let shared = self.shared.clone();
        let response = frame.response();
        let sent = Observation::Sent {
            type_url: &response.type_url,
            resources: &response.resources,
            removed: &response.removed,
            bytes: frame.len(),
            nonce: &response.nonce,
            revision: response.revision,
        };
        shared.catalog.observe(&self.client, sent);
        let type_url = response.type_url.clone();
        self.registration.report(&type_url, self.session.status_of(&type_url));
        let (taken, receiver) = oneshot::channel();
        // One response is under way at a time, so the channel has room; if the reader is gone, the loop sees it.
        let _ = self.out.send(Outgoing::Frame { frame, taken }).await;
        self.push = Push::Leaving(Box::new(Leaving {
            taken: receiver,
            permit: Some(permit),
            stalled: Box::pin(tokio::time::sleep(shared.options.stall_after)),
            timeout: shared.options.send_timeout.map(|after| Box::pin(tokio::time::sleep(after))),
            since: shared.clock.monotonic(),
        }));
    }
}

/// Waits for a tick; false if there will never be one again.
async fn tick(ticks: &mut watch::Receiver<u64>) -> bool {
    ticks.changed().await.is_ok()
}

impl<C: Catalog> Drop for Stream<C> {
    fn drop(&mut self) {
        self.shared.metrics.disconnected(&self.version);
        self.shared.catalog.observe(&self.client, Observation::Disconnected);
        tracing::info!(target: "ads", connection = %self.registration.id(), "disconnected");
    }
}
