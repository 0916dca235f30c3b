//! The gRPC service and its transport: `AggregatedDiscoveryService` over whatever connections are given.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use parking_lot::Mutex;
use process::clock::{Clock, Real};
use prost::Message;
use proto::envoy::config::core::v3::ControlPlane;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::Stream;
use tonic::Status;
use tonic::server::NamedService;
use tonic::transport::server::Connected;
use tower::Service;

use super::body::ResponseBody;
use super::connections::Connections;
use super::incoming::Transport;
use super::metrics::Metrics;
use super::queue::PushBudget;
use super::requests::Requests;
use super::session::Session;
use super::stream;
use super::subscription::Interner;
use crate::catalog::{Catalog, Peer, Token};
use crate::request::{VIRTUAL_HOSTS_HEADER, Variant};

#[cfg(test)]
mod tests;

/// How a server behaves. The defaults are upstream's where it has such an option.
#[derive(Debug, Clone)]
pub struct Options {
    /// Larger requests end their stream. A virtual host held by a client costs about 70 bytes at a reconnect.
    pub max_request_bytes: usize,
    /// Bytes that may be on their way to all clients together.
    pub budget_bytes: usize,
    /// Responses that may be on their way to all clients together, besides (`PILOT_PUSH_THROTTLE`; upstream counts
    /// what it computes, too, which here is shared and costs a client nothing). Zero: as many as their bytes allow.
    pub max_pushes: usize,
    /// A client that takes longer than this for a response gives its share of the budget to others.
    pub stall_after: Duration,
    /// A client that takes longer than this is disconnected (`PILOT_XDS_SEND_TIMEOUT`).
    pub send_timeout: Option<Duration>,
    /// How often an idle connection is pinged.
    pub keepalive_interval: Duration,
    /// How long a ping may remain unanswered.
    pub keepalive_timeout: Duration,
    /// Streams are ended at this age, spread by a tenth to both sides, so that clients balance over replicas.
    pub max_age: Option<Duration>,
    /// Streams per connection.
    pub max_streams: u32,
    /// New streams per second; more wait up to a second and are then refused (`PILOT_MAX_REQUESTS_PER_SECOND`).
    /// Zero: as many as come.
    pub new_streams_per_second: f64,
    /// Clients about whom the catalog may be deciding at once; more wait for their turn.
    pub max_admissions: usize,
    /// A client about whom nothing was decided by then, the wait for its turn included, is told to try again.
    pub admission_timeout: Duration,
    /// `ControlPlane.identifier` of every response: who answers, for `istioctl`. Left out if empty.
    pub control_plane: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_request_bytes: 4 << 20,
            budget_bytes: 32 << 20,
            max_pushes: 0,
            stall_after: Duration::from_millis(500),
            send_timeout: None,
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            max_age: None,
            max_streams: 100_000,
            new_streams_per_second: 0.0,
            max_admissions: 256,
            admission_timeout: Duration::from_secs(20),
            control_plane: String::new(),
        }
    }
}

/// What all streams of a server share.
pub(crate) struct Shared<C> {
    pub(crate) catalog: Arc<C>,
    pub(crate) options: Options,
    pub(crate) budget: PushBudget,
    pub(crate) admissions: Semaphore,
    pub(crate) connections: Connections,
    pub(crate) metrics: Metrics,
    pub(crate) control_plane: Bytes,
    pub(crate) clock: Arc<dyn Clock>,
    interner: Arc<Interner>,
    random: RandomState,
    /// When the next new stream may begin, in the clock's monotonic time.
    next_stream: Mutex<Duration>,
}

/// How long a new stream may wait for its turn.
const TURN: Duration = Duration::from_secs(1);

impl<C> Shared<C> {
    /// How long a new stream must wait for its turn; `None` if that is too long.
    pub(crate) fn turn(&self) -> Option<Duration> {
        let rate = self.options.new_streams_per_second;
        if rate <= 0.0 {
            return Some(Duration::ZERO);
        }
        let now = self.clock.monotonic();
        let mut next = self.next_stream.lock();
        let wait = next.saturating_sub(now);
        if wait > TURN {
            return None;
        }
        *next = (*next).max(now) + Duration::try_from_secs_f64(1.0 / rate).unwrap_or(TURN);
        Some(wait)
    }

    fn random(&self) -> u64 {
        self.random.hash_one(self.clock.monotonic())
    }

    /// The age at which a new stream will be ended.
    pub(crate) fn age(&self) -> Option<Duration> {
        let thousandth = u32::try_from(self.random() % 201).unwrap_or(100);
        self.options.max_age.map(|age| age / 1000 * (900 + thousandth))
    }
}

/// The server: a gRPC service over a catalog. Clones are the same server.
pub struct Server<C>(Arc<Shared<C>>);

impl<C> Clone for Server<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C> std::fmt::Debug for Server<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl<C: Catalog> Server<C> {
    /// A server of `catalog`.
    #[must_use]
    pub fn new(catalog: Arc<C>, options: Options, metrics: Metrics) -> Self {
        let identifier = options.control_plane.clone();
        Self(Arc::new(Shared {
            catalog,
            budget: PushBudget::new(options.budget_bytes, options.max_pushes),
            admissions: Semaphore::new(options.max_admissions.clamp(1, Semaphore::MAX_PERMITS)),
            connections: Connections::default(),
            metrics,
            control_plane: ControlPlane { identifier }.encode_to_vec().into(),
            clock: Arc::new(Real::new()),
            interner: Arc::default(),
            random: RandomState::new(),
            next_stream: Mutex::default(),
            options,
        }))
    }

    /// The table of its connections.
    #[must_use]
    pub fn connections(&self) -> &Connections {
        &self.0.connections
    }

    /// The bytes on their way.
    #[must_use]
    pub fn budget(&self) -> &PushBudget {
        &self.0.budget
    }

    /// A transport with this server's limits, for ports that serve other services as well; add the server to its
    /// routes as any other service.
    #[must_use]
    pub fn transport(&self) -> tonic::transport::Server {
        let options = &self.0.options;
        tonic::transport::Server::builder()
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20)
            .max_frame_size(1 << 20)
            .max_concurrent_streams(options.max_streams)
            .http2_keepalive_interval(Some(options.keepalive_interval))
            .http2_keepalive_timeout(Some(options.keepalive_timeout))
    }

    /// Serves the connections given until `shutdown`, then ends all streams.
    ///
    /// # Errors
    /// The transport failed.
    pub async fn serve_with_incoming<I, IO>(
        &self,
        incoming: I,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), tonic::transport::Error>
    where
        I: Stream<Item = io::Result<IO>>,
        IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Connected + Unpin + Send + 'static,
    {
        let connections = self.0.connections.clone();
        let shutdown = async move {
            shutdown.await;
            connections.disconnect_all();
        };
        let router = self.transport().add_service(self.clone());
        router.serve_with_incoming_shutdown(incoming, shutdown).await
    }

    fn open<B>(&self, request: http::Request<B>, variant: Variant) -> http::Response<tonic::body::Body>
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let transport = parts.extensions.get::<Transport>().cloned().unwrap_or_default();
        let bearer = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let peer = Peer {
            variant,
            address: transport.address,
            certificates: transport.certificates,
            tls: transport.tls,
            unix: transport.unix,
            token: bearer.and_then(|value| value.strip_prefix("Bearer ")).map(Token::new),
            authority: parts.uri.authority().map(ToString::to_string),
            headers: {
                let mut headers = parts.headers;
                headers.remove(AUTHORIZATION);
                headers
            },
        };
        let requests = Requests::new(body, variant, self.0.options.max_request_bytes);
        #[expect(clippy::cast_possible_truncation, reason = "any 32 of the random bits will do")]
        let session = Session::new(variant, self.0.random() as u32, self.0.interner.clone());
        let (tx, rx) = mpsc::channel(1);
        tokio::spawn(stream::run(self.0.clone(), session, peer, requests, tx));
        let mut response = http::Response::new(tonic::body::Body::new(ResponseBody::new(rx)));
        let grpc = http::HeaderValue::from_static("application/grpc");
        response.headers_mut().insert(CONTENT_TYPE, grpc);
        if variant == Variant::Delta {
            let known = http::HeaderValue::from_static("true");
            response.headers_mut().insert(VIRTUAL_HOSTS_HEADER, known);
        }
        response
    }
}

impl<C> NamedService for Server<C> {
    const NAME: &'static str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
}

impl<C, B> Service<http::Request<B>> for Server<C>
where
    C: Catalog,
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let method = request.uri().path().rsplit('/').next();
        ready(Ok(match method {
            Some("DeltaAggregatedResources") => self.open(request, Variant::Delta),
            Some("StreamAggregatedResources") => self.open(request, Variant::Sotw),
            _ => Status::unimplemented("no such method of the discovery service").into_http(),
        }))
    }
}
