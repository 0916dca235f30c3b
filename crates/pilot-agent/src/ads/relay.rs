//! Joins Envoy's streams with streams to the control plane, and takes out what is meant for the agent itself.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::HeaderMap;
use prost::Message;
use proto::istio::mesh::v1alpha1::ProxyConfig;
use proto::istio::networking::nds::v1::NameTable;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::{Request, Status, Streaming};
use xds::client::relay::{Handler, Responses, Service, open};
use xds::{VIRTUAL_HOSTS_HEADER, Variant};

use super::session::{Down, Up};
use super::wire::{NAME_TABLE, PROXY_CONFIG};
use crate::control_plane::ControlPlane;
use crate::dns::Resolver;

/// What the probes of a workload outside Kubernetes found: an error says why it is not healthy.
pub type Health = Result<(), String>;

/// Takes the additional roots of the mesh, PEM each.
pub(super) type TakeRoots = Arc<dyn Fn(&[String]) + Send + Sync>;

/// Types that end at the agent.
#[derive(Clone, Default)]
pub struct LocalTypes {
    /// The DNS proxy, where it runs.
    pub names: Option<Arc<Resolver>>,
    /// `PROXY_CONFIG_XDS_AGENT`: roots that the mesh configuration adds.
    pub roots: Option<TakeRoots>,
}

impl LocalTypes {
    /// The types to subscribe to.
    pub(super) fn subscribed(&self) -> impl Iterator<Item = &'static str> {
        let names = self.names.is_some().then_some(NAME_TABLE);
        names.into_iter().chain(self.roots.is_some().then_some(PROXY_CONFIG))
    }

    /// Takes a resource; the text says why it is refused.
    pub(super) fn take(&self, type_url: &str, value: &Bytes) -> Result<(), String> {
        match (type_url, &self.names, &self.roots) {
            (NAME_TABLE, Some(resolver), _) => {
                resolver.update(NameTable::decode(value.clone()).map_err(|error| error.to_string())?);
            }
            (PROXY_CONFIG, _, Some(roots)) => {
                let config = ProxyConfig::decode(value.clone()).map_err(|error| error.to_string())?;
                roots(&config.ca_certificates_pem);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Counters of the relay; each is a metric of Istio's agent.
#[derive(Debug, Default)]
pub struct RelayCounters {
    /// `istio_agent_xds_proxy_requests`
    pub requests: AtomicU64,
    /// `istio_agent_xds_proxy_responses`
    pub responses: AtomicU64,
    /// `istio_agent_istiod_connection_failures`
    pub connection_failures: AtomicU64,
    /// `istio_agent_istiod_connection_terminations{type="cancelled"}`
    pub control_plane_ended: AtomicU64,
    /// `istio_agent_istiod_connection_terminations{type="error"}`
    pub control_plane_broke: AtomicU64,
    /// `istio_agent_envoy_connection_terminations{type="cancelled"}`
    pub envoy_ended: AtomicU64,
}

struct Inner {
    control_plane: Arc<ControlPlane>,
    local: LocalTypes,
    counters: RelayCounters,
    health: watch::Sender<Option<Health>>,
    /// Dropping it ends the stream before this one: there is one Envoy.
    current: Mutex<Option<oneshot::Sender<()>>>,
}

/// The relay. Cheap to clone.
#[derive(Clone)]
pub struct Relay(Arc<Inner>);

impl Relay {
    /// A relay to `control_plane`.
    #[must_use]
    pub fn new(control_plane: ControlPlane, local: LocalTypes) -> Self {
        Self(Arc::new(Inner {
            control_plane: Arc::new(control_plane),
            local,
            counters: RelayCounters::default(),
            health: watch::Sender::new(None),
            current: Mutex::new(None),
        }))
    }

    /// What has been relayed so far.
    #[must_use]
    pub fn counters(&self) -> &RelayCounters {
        &self.0.counters
    }

    /// Tells the control plane about the workload's health, now and on each new stream.
    pub fn set_health(&self, health: Health) {
        self.0.health.send_replace(Some(health));
    }

    /// Accepts Envoy on a unix socket; serves until the returned future is dropped.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn serve(
        &self,
        socket: &Path,
        mode: u32,
    ) -> Result<impl Future<Output = Result<(), tonic::transport::Error>> + use<>, process::listen::Error>
    {
        let listener = process::listen::unix(socket, mode)?;
        Ok(Server::builder()
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(1 << 20)
            .add_service(Service(self.clone()))
            .serve_with_incoming(UnixListenerStream::new(listener)))
    }

    fn supersede(&self) -> oneshot::Receiver<()> {
        let (keep, superseded) = oneshot::channel();
        let mut current = self.0.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.replace(keep).is_some_and(|before| !before.is_closed()) {
            tracing::debug!(target: "xdsproxy", "Envoy opened another stream; closing the one before");
        }
        superseded
    }

    fn headers(&self) -> HeaderMap {
        let mut metadata = MetadataMap::new();
        self.0.control_plane.authorize(&mut metadata);
        metadata.into_headers()
    }

    async fn join(&self, variant: Variant, requests: Streaming<Bytes>) -> Result<Responses, Status> {
        let superseded = self.supersede();
        let inner = &self.0;
        let address = inner.control_plane.address();
        let channel = inner.control_plane.connect().await.map_err(|error| {
            inner.counters.connection_failures.fetch_add(1, Ordering::Relaxed);
            let why = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            tracing::error!(target: "xdsproxy", "failed to connect to upstream {address}: {error}: {why}");
            Status::unavailable(format!("no connection to {address}: {error}: {why}"))
        })?;
        let (to_control_plane, relayed) = mpsc::channel(1);
        // Answers of the agent itself never wait for the control plane to read; they are few and small.
        let (answer, answers) = mpsc::unbounded_channel();
        let (learnt, virtual_hosts) = watch::channel(None);
        let up = Up {
            variant,
            envoy: requests,
            answers,
            to_control_plane,
            health: inner.health.subscribe(),
            local: inner.local.clone(),
            virtual_hosts,
            held_back: Vec::new(),
        };
        let relay = self.clone();
        let pumping = tokio::spawn(async move { up.pump(&relay.0.counters).await });
        let responses = open(channel, variant, ReceiverStream::new(relayed), self.headers()).await;
        let responses = responses.inspect_err(|status| {
            inner.counters.control_plane_broke.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(target: "xdsproxy", "failed to open a stream: {status}");
            pumping.abort();
        })?;
        learnt.send_replace(Some(responses.metadata().contains_key(VIRTUAL_HOSTS_HEADER)));
        let responses = responses.into_inner();
        tracing::info!(target: "xdsproxy", "connected to {variant:?} upstream XDS server: {address}");
        let (to_envoy, out) = mpsc::channel(1);
        let down = Down { variant, responses, answer, to_envoy, superseded, local: inner.local.clone() };
        let relay = self.clone();
        tokio::spawn(async move {
            down.pump(&relay.0.counters).await;
            pumping.abort(); // ends the stream to the control plane, too
        });
        Ok(Box::pin(ReceiverStream::new(out)))
    }
}

impl Handler for Relay {
    async fn open(&self, variant: Variant, request: Request<Streaming<Bytes>>) -> Result<Responses, Status> {
        self.join(variant, request.into_inner()).await
    }
}
