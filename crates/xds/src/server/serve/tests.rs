//! The server over real gRPC: loopback, memory, TLS, unix sockets; slow readers; the table and the metrics.

mod admissions;
mod peers;
mod pushes;
mod slow;

use std::collections::BTreeMap;

use parking_lot::Mutex;
use proto::envoy::config::core::v3::Node;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;

use super::*;
use crate::catalog::{Intercept, Observation, Refusal};
use crate::client::dial::{self, Dial};
use crate::client::wire::RawResponse;
use crate::client::{self};
use crate::edition::{Edition, Resource};
use crate::request::Request;
use crate::server::incoming::{Io, Transport};
use crate::type_url::TypeUrl;

/// A catalog the test writes into; it remembers what it was told.
pub(super) struct Fake {
    editions: Mutex<(u64, BTreeMap<TypeUrl, Arc<Edition>>)>,
    ticks: watch::Sender<u64>,
    events: Mutex<Vec<String>>,
    peers: Mutex<Vec<Peer>>,
    /// Admissions under way.
    deciding: Arc<()>,
}

impl Fake {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            editions: Mutex::default(),
            ticks: watch::Sender::new(0),
            events: Mutex::default(),
            peers: Mutex::default(),
            deciding: Arc::default(),
        })
    }

    fn set(&self, type_url: TypeUrl, resources: Vec<Resource>) {
        let mut editions = self.editions.lock();
        editions.0 += 1;
        let edition = Edition::new(editions.0, resources);
        editions.1.insert(type_url, edition);
        self.ticks.send_replace(editions.0);
    }

    fn events(&self, of: &str) -> Vec<String> {
        self.events.lock().iter().filter(|event| event.contains(of)).cloned().collect()
    }
}

impl Catalog for Fake {
    type Client = Arc<str>;

    async fn admit(&self, node: &Node, peer: &Peer) -> Result<Arc<str>, Refusal> {
        let _deciding = self.deciding.clone();
        self.peers.lock().push(peer.clone());
        match node.id.as_str() {
            "unknowable" => std::future::pending().await,
            "stranger" => Err(Refusal::new(tonic::Code::Unauthenticated, "no credentials")),
            id => Ok(id.into()),
        }
    }

    fn edition(&self, _: &Arc<str>, type_url: &TypeUrl) -> Option<Arc<Edition>> {
        self.editions.lock().1.get(type_url).cloned()
    }

    fn intercept(&self, _: &Arc<str>, request: &Request) -> Intercept {
        match request.type_url.as_str() {
            "istio.io/debug/syncz" => Intercept::Answer(vec![resource("syncz", "{}")].into()),
            _ => Intercept::Pass,
        }
    }

    fn watch(&self, _: &Arc<str>) -> watch::Receiver<u64> {
        self.ticks.subscribe()
    }

    fn observe(&self, client: &Arc<str>, event: Observation<'_>) {
        let event = match event {
            Observation::Connected { connection, .. } => format!("connected {connection}"),
            Observation::Sent { type_url, resources, bytes, .. } => {
                format!("sent {client} {} {} {}", type_url.short(), resources.len(), bytes > 0)
            }
            Observation::Ack { type_url, revision, .. } => {
                format!("ack {client} {} {revision}", type_url.short())
            }
            Observation::Nack { type_url, message, names, .. } => {
                format!("nack {client} {} {names:?} {message}", type_url.short())
            }
            Observation::Converged { revision, .. } => format!("converged {client} {revision}"),
            Observation::Disconnected => format!("disconnected {client}"),
            _ => return,
        };
        self.events.lock().push(event);
    }
}

fn resource(name: &str, content: &str) -> Resource {
    Resource::new(name, content.as_bytes().to_vec())
}

fn node(id: &str) -> Node {
    Node { id: id.into(), ..Node::default() }
}

/// A server in memory. It goes down when this is dropped.
pub(super) struct Running {
    catalog: Arc<Fake>,
    server: Server<Fake>,
    dial: Dial,
    _stop: oneshot::Sender<()>,
}

impl Running {
    fn start(options: Options, metrics: Metrics) -> Self {
        let (catalog, (tx, rx)) = (Fake::new(), mpsc::channel(16));
        let server = Server::new(catalog.clone(), options, metrics);
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = server.clone();
        tokio::spawn(async move {
            let stopped = async move { drop(stopped.await) };
            serving.serve_with_incoming(ReceiverStream::new(rx), stopped).await
        });
        let dial = dial::with(vec!["memory".into()], move |_| {
            let tx = tx.clone();
            async move {
                let (client, server) = tokio::io::duplex(1 << 16);
                let io = Io::new(server, Transport::default());
                tx.send(Ok(io)).await.map_err(|_| io::Error::other("the server is down"))?;
                Ok(client)
            }
        });
        Self { catalog, server, dial, _stop: stop }
    }

    fn default() -> Self {
        Self::start(Options::default(), Metrics::default())
    }

    async fn stream(&self, variant: Variant, id: &str) -> client::Stream {
        let channel = (self.dial)(0).await.unwrap();
        client::Stream::new(channel, variant, node(id), http::HeaderMap::new())
    }
}

/// The next response, soon.
async fn next(stream: &mut client::Stream) -> RawResponse {
    soon(stream.next()).await.unwrap().expect("the server ended the stream")
}

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it takes too long")
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn names(response: &RawResponse) -> Vec<&str> {
    response.resources.iter().map(|resource| resource.name.as_str()).collect()
}
