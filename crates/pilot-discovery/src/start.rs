//! The assembly: every room put together, started in order, stopped in order.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mesh::Mesh;
use mesh::settings::Settings;
use process::clock::{Clock, Real};
use process::log::Scope;
use process::metrics::Metrics;
use process::signals::{Signals, Stop};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use sources::Change;
use sources::files::{Folder, Root};
use sources::kubernetes::{self, Directory};
use sources::mesh_config::MeshConfiguration;
use sources::names::{self, Names};
use sources::watch::Sources;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use xds::server::Server;

use crate::admission::{Admission, Rules};
use crate::ca::TrustDomain;
use crate::catalog::{self, MeshCatalog};
use crate::debug::{self, Debug};
use crate::events::Events;
use crate::intake::{Counters, Debounce, Intake};
use crate::objects::Objects;
use crate::options::Options;
use crate::ports;
use crate::push_status::PushStatus;
use crate::registration::Registration;
use crate::reports::Reports;
use crate::traces::{BadEndpoint, Exporter};
use crate::writes;

mod own_certificate;
#[cfg(test)]
mod tests;
mod trust;

/// The scopes of the log.
pub const SCOPES: &[Scope] = &[
    Scope { name: "ads", description: "connections and pushes of the discovery service" },
    Scope { name: "kube", description: "Kubernetes API servers: what is watched and what fails" },
    Scope { name: "model", description: "configuration: what is read and what is refused" },
    Scope { name: "pkica", description: "the certificate authority" },
    Scope { name: "pkira", description: "certificates signed by others" },
    Scope { name: "serverca", description: "the certificate service" },
    Scope { name: "trustBundle", description: "roots of others that are believed" },
];

/// The release that is told to others.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How long the start waits for name servers.
const HOSTS_PATIENCE: Duration = Duration::from_secs(10);

/// Why a control plane does not start.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What was built (as pkg/version: `BuildInfo`).
pub(crate) fn build() -> serde_json::Value {
    serde_json::json!({
        "version": VERSION, "revision": "unknown", "golang_version": "", "status": "Modified", "tag": VERSION,
    })
}

/// What `version` answers (as pkg/version).
///
/// # Errors
/// `output` names no form; empty is text.
pub fn version(short: bool, output: &str) -> Result<String, String> {
    let info = build();
    match (output, short) {
        ("json", _) => Ok(format!("{:#}", serde_json::json!({ "clientVersion": info }))),
        ("yaml", _) => {
            let fields = info.as_object().into_iter().flatten();
            // a string of JSON is one of YAML
            let lines = fields.map(|(name, value)| format!("  {name}: {value}\n"));
            Ok(std::iter::once("clientVersion:\n".to_owned()).chain(lines).collect())
        }
        ("", true) => Ok(VERSION.to_owned()),
        ("", false) => Ok(format!("version.BuildInfo{{Version:\"{VERSION}\", Component:\"pilot\"}}")),
        (other, _) => Err(format!("--output must be yaml or json, not {other:?}")),
    }
}

/// What the monitoring port's `/version` answers, which istioctl takes apart (as pkg/version: `BuildInfo.String`).
pub(crate) fn build_line() -> String {
    let info = build();
    let part = |name: &str| info[name].as_str().unwrap_or_default().to_owned();
    format!("{}-{}-{}", part("version"), part("revision"), part("status"))
}

/// A running control plane.
pub struct Running {
    /// The xDS server.
    pub server: Server<MeshCatalog>,
    /// What it serves.
    pub catalog: Arc<MeshCatalog>,
    /// Where it listens: the addresses of plaintext gRPC, gRPC over TLS, HTTP, monitoring; `None` for those not served.
    pub addresses: [Option<std::net::SocketAddr>; 4],
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    ready: Arc<AtomicBool>,
    /// Answers questions on xDS streams, where no HTTP port is served as well.
    _debug: Arc<Debug>,
}

/// Runs until a signal says to stop.
///
/// # Errors
/// Why it cannot start.
pub async fn run(options: Options) -> Result<(), Failure> {
    let mut signals = Signals::install()?;
    let grace = options.shutdown;
    // an API server that does not answer is waited for, but not for ever against the wish of who runs this
    let running = tokio::select! {
        running = start(options) => running?,
        _ = signals.next() => return Ok(()),
    };
    let Stop::Graceful(name) = signals.next().await else { return Ok(()) };
    tracing::info!("{name}: stopping");
    tokio::select! {
        () = running.stop(grace) => {}
        _ = signals.next() => tracing::warn!("stopping at once"),
    }
    Ok(())
}

impl Running {
    /// Is no longer ready, ends all streams and lets what is under way finish, for at most `grace`.
    pub async fn stop(self, grace: Duration) {
        self.ready.store(false, Ordering::SeqCst);
        self.stop.send_replace(true);
        self.server.connections().disconnect_all();
        let finish = async {
            for task in self.tasks {
                let _ = task.await;
            }
        };
        if tokio::time::timeout(grace, finish).await.is_err() {
            tracing::warn!("some connections did not end within {grace:?}");
        }
    }
}

/// The listeners, opened in this order: first what fails early, gRPC last.
struct Listeners {
    http: Option<TcpListener>,
    /// Where xDS without TLS has no port of its own: that of HTTP.
    both: Option<TcpListener>,
    monitoring: Option<TcpListener>,
    plain: Option<ports::Plain>,
    secure: Option<TcpListener>,
}

/// Starts everything: what is in files is read and committed before anybody is served.
///
/// # Errors
/// Why it cannot start.
pub async fn start(options: Options) -> Result<Running, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(Real::new());
    let metrics = new_metrics();
    let events = Arc::new(Events::default());

    let Facts { sources, clusters, mut first, changes, mut arriving } = facts(&options, &metrics).await?;
    let settings = sources.mesh().settings().clone();
    let trust_domain = TrustDomain::new(&settings.mesh.trust_domain);
    let mesh_places = sources.mesh().places();
    let followed = writes::Followed::of(sources.mesh());
    let effective = sources.mesh().effective();

    let cluster = clusters.as_ref().and_then(|clusters| clusters.client(clusters.own()));
    // keys are made while lists come in
    let (identity, listed) = tokio::try_join!(
        trust::Identity::open(&options, clusters.as_ref(), &effective, &trust_domain, (&clock, &metrics)),
        listed(clusters.as_ref(), &mut arriving),
    )?;
    first.merge(listed);
    let authority = identity.authority.clone();
    let admission =
        Admission::new(identity.chain.clone(), clock.clone(), rules_of(&options, settings.root_namespace()));

    let mesh = Mesh::new(settings);
    let served = catalog::Options::of(&options);
    let catalog = Arc::new(MeshCatalog::new(mesh.world(), events.clone(), admission, served));
    let registration =
        cluster.as_ref().and_then(|to| Registration::new(&options, to.clone(), clock.clone(), &metrics));
    trust::judge_secrets(&options, &catalog, clusters.as_ref(), &metrics);
    let reports = Reports::of(&options, cluster.as_ref()).await;
    let (signer, roots_of_signer) = trust::signer_of(&options, cluster, &catalog, clock)?;
    let trust_bundle = trust::bundle(&options, &authority, roots_of_signer, effective, &catalog);
    let objects = Arc::new(Objects::new(options.cluster.as_str().into()));
    let counters = Counters::register(&metrics);
    let intake = Intake::new(mesh, catalog.clone(), events.clone(), objects.clone(), trust_domain, counters);
    let intake = begun(intake.reporting(reports.clone()), first, &options, changes.clone()).await;
    let server =
        Server::new(catalog.clone(), xds_options(&options), xds::server::Metrics::register(&metrics));
    let ready = Arc::new(AtomicBool::new(false));
    let debug = Arc::new(Debug {
        catalog: catalog.clone(),
        connections: server.connections().clone(),
        events,
        objects,
        mesh_places,
        metrics,
        ready: ready.clone(),
        cluster: options.cluster.clone(),
        clusters: clusters.clone(),
        enabled: options.switches.enable_debug_on_http,
        admin: options.switches.unsafe_enable_admin_endpoints,
        profile: options.profile,
        metrics_here_only: options.switches.metrics_localhost_access_only,
    });
    catalog.ask(&debug);
    PushStatus::register(&debug.metrics, &catalog);

    let listeners = listen(&options, authority.tls().is_some()).await?;
    let addresses = listeners.addresses();
    let (stop, stopped) = watch::channel(false);
    let pages = pages_of_http(&listeners, &debug);
    let mut tasks = serve_pages(listeners.monitoring, (listeners.http, &pages), &debug, &stopped);
    tasks.extend(trace(&options, &catalog, &debug.metrics, &stopped)?);
    if let (Some(clusters), Some(reports)) = (&clusters, reports.clone()) {
        tasks.extend(writes::begin(&options, clusters, &authority, followed, reports, stopped.clone())?);
    }
    if let Some(registration) = registration {
        catalog.register(registration.clone());
        tasks.push(tokio::spawn(registration.run(stopped.clone())));
    }
    tokio::spawn(intake.run(arriving, debounce_of(&options)));
    tokio::spawn(sources.run(changes));
    let requests = identity.chain_of_requests.clone();
    let service = trust::service_of(&authority, requests, &options, &catalog, signer);
    if let Some((listener, tls)) = listeners.secure.zip(authority.tls()) {
        tasks.push(ports::serve_tls(&server, service, tls, listener, stopped.clone()));
    }
    tasks.extend(identity.keep(trust_bundle, reports, &stopped));
    tasks.extend(listeners.both.map(|listener| ports::serve_both(&server, listener, pages, stopped.clone())));
    tasks.extend(listeners.plain.map(|listener| ports::serve_plain(&server, listener, stopped)));
    ready.store(true, Ordering::SeqCst);
    announce(&addresses);
    Ok(Running { server, catalog, addresses, stop, tasks, ready, _debug: debug })
}

/// Tells where what is served, in the order of [`Running::addresses`].
fn announce(addresses: &[Option<std::net::SocketAddr>; 4]) {
    let places = ["plaintext xDS", "xDS over TLS", "HTTP", "monitoring"].iter().zip(addresses);
    for (what, address) in places.filter_map(|(what, address)| Some((what, (*address)?))) {
        tracing::info!("serving {what} on {address}");
    }
}

/// Has what is committed and pushed from now on told to a collector, if the environment names one.
fn trace(
    options: &Options,
    catalog: &MeshCatalog,
    metrics: &Metrics,
    stopped: &ports::Stop,
) -> Result<Option<JoinHandle<()>>, BadEndpoint> {
    let exporter = Exporter::new(&options.switches, &options.pod, &options.cluster, metrics)?;
    Ok(exporter.map(|(tracer, exporter)| {
        catalog.trace(tracer);
        tokio::spawn(exporter.run(stopped.clone()))
    }))
}

/// Commits what was read, and the addresses of hosts in it: before anybody is served, but it does not wait long for name
/// servers that are silent.
async fn begun(intake: Intake, first: Change, options: &Options, changes: mpsc::Sender<Change>) -> Intake {
    let (hosts, wanted) = watch::channel(Names::default());
    let mut intake = intake.naming(hosts);
    intake.begin(first);
    let Some(options) = options.hosts.clone() else {
        tokio::spawn(names::leave_out(wanted));
        return intake;
    };
    let mut hosts = names::Hosts::new(options);
    let names = wanted.borrow().clone();
    intake.commit(hosts.begin(&names, HOSTS_PATIENCE).await);
    tokio::spawn(hosts.follow(wanted, changes));
    intake
}

fn debounce_of(options: &Options) -> Debounce {
    Debounce::new(
        options.switches.pilot_debounce_after.to_std().unwrap_or(Duration::from_millis(100)),
        options.switches.pilot_debounce_max.to_std().unwrap_or(Duration::from_secs(10)),
    )
}

/// What is read, and how it changes.
struct Facts {
    sources: Sources,
    clusters: Option<Directory>,
    /// What files say.
    first: Change,
    changes: mpsc::Sender<Change>,
    arriving: mpsc::Receiver<Change>,
}

/// Reads files and begins to read the API server.
async fn facts(options: &Options, metrics: &Metrics) -> Result<Facts, Failure> {
    let client = match options.kubernetes {
        true => Some(kubernetes::connect(options.kubeconfig.as_deref(), options.pace).await?),
        false => None,
    };
    let registries = registries_of(options)?;
    let (changes, arriving) = mpsc::channel(16);
    let clusters = client.clone().map(|client| {
        let counters = kubernetes::Counters::register(metrics);
        kubernetes::begin(client, registries, clusters_of(options), counters, changes.clone())
    });
    let mut sources = sources_of(options, client.as_ref()).await;
    let (sources, first) = tokio::task::spawn_blocking(move || {
        let first = sources.load();
        (sources, first)
    })
    .await?;
    Ok(Facts { sources, clusters, first: first?, changes, arriving })
}

/// Who has the Secrets that name other clusters, if that is not the cluster that configures the mesh (as
/// pkg/kube/multicluster/secretcontroller.go: NewController).
fn registries_of(options: &Options) -> Result<Option<kube::Client>, kubernetes::Error> {
    let switches = &options.switches;
    let locally = switches.external_istiod
        && switches.local_cluster_secret_watcher
        && switches.pilot_multicluster_kubeconfig_path.is_empty();
    (options.kubernetes && locally).then(|| kubernetes::connect_locally(options.pace)).transpose()
}

/// What an API server has, as soon as every list of it is complete.
async fn listed(
    clusters: Option<&Directory>,
    arriving: &mut mpsc::Receiver<Change>,
) -> Result<Change, Failure> {
    if clusters.is_none() {
        return Ok(Change::default());
    }
    tracing::info!(target: "kube", "waiting until everything is read from the API server");
    Ok(arriving.recv().await.ok_or("the reader of the API server ended")?)
}

impl Listeners {
    fn addresses(&self) -> [Option<std::net::SocketAddr>; 4] {
        let of = |listener: &Option<TcpListener>| listener.as_ref().and_then(|l| l.local_addr().ok());
        let plain = match &self.plain {
            Some(ports::Plain::Tcp(listener)) => listener.local_addr().ok(),
            Some(ports::Plain::Unix(_)) => None,
            None => of(&self.both),
        };
        [plain, of(&self.secure), of(&self.http).or(of(&self.both)), of(&self.monitoring)]
    }
}

/// What the HTTP port shows; without a port for monitoring, its pages as well.
fn pages_of_http(listeners: &Listeners, debug: &Arc<Debug>) -> axum::Router {
    match listeners.monitoring {
        Some(_) => debug::http(debug.clone()),
        None => debug::monitoring(debug.clone()),
    }
}

/// Serves pages, where there are listeners.
fn serve_pages(
    monitoring: Option<TcpListener>,
    (http, pages): (Option<TcpListener>, &axum::Router),
    debug: &Arc<Debug>,
    stopped: &ports::Stop,
) -> Vec<JoinHandle<()>> {
    let served = [(monitoring, debug::monitoring(debug.clone())), (http, pages.clone())];
    let served = served.into_iter().filter_map(|(listener, router)| Some((listener?, router)));
    served.map(|(listener, router)| ports::serve_http(listener, router, stopped.clone())).collect()
}

async fn listen(options: &Options, has_certificate: bool) -> Result<Listeners, process::listen::Error> {
    let secure = if has_certificate { options.secure_grpc.as_str() } else { "" };
    let http = ports::tcp(&options.http).await?;
    let (http, both) = if options.grpc.is_empty() { (None, http) } else { (http, None) };
    Ok(Listeners {
        http,
        both,
        monitoring: ports::tcp(&options.monitoring).await?,
        secure: ports::tcp(secure).await?,
        plain: ports::plain(&options.grpc).await?,
    })
}

/// The registry, with what is true of any program of ours.
fn new_metrics() -> Metrics {
    let metrics = Metrics::new();
    metrics.register_process();
    let info = Family::<[(&'static str, &'static str); 2], Gauge>::default();
    info.get_or_create(&[("component", "pilot"), ("tag", VERSION)]).set(1);
    metrics.register("istio_build", "Constant 1, labelled with what is running.", info);
    let info = Family::<[(&'static str, &'static str); 1], Gauge>::default();
    info.get_or_create(&[("version", VERSION)]).set(1);
    metrics.register("pilot_info", "Constant 1, labelled with the version.", info);
    metrics.register_collector(Uptime(Instant::now()));
    metrics
}

/// How long this control plane has been running.
#[derive(Debug)]
struct Uptime(Instant);

impl Collector for Uptime {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let uptime = ConstGauge::new(self.0.elapsed().as_secs_f64());
        let help = "Seconds since the control plane was started.";
        let encoder = encoder.encode_descriptor("istiod_uptime_seconds", help, None, uptime.metric_type())?;
        uptime.encode(encoder)
    }
}

/// What is read of API servers.
fn clusters_of(options: &Options) -> kubernetes::Options {
    let switches = &options.switches;
    kubernetes::Options {
        cluster: options.cluster.as_str().into(),
        configures: options.folder.is_none(),
        revision: switches.revision.clone(),
        namespace: switches.istio_watch_namespace.clone(),
        wanted: kubernetes::Wanted {
            ignored: switches.pilot_ignore_resources.clone(),
            included: switches.pilot_include_resources.clone(),
        },
        multicluster: switches.enable_mcs_service_discovery.then(|| kubernetes::Multicluster {
            group: switches.mcs_api_group.clone(),
            version: switches.mcs_api_version.clone(),
            imports: mesh::services::multicluster::has_common_names(switches),
        }),
        remote_workloads: switches.pilot_enable_cross_cluster_workload_entry
            && switches.pilot_enable_k8s_select_workload_entries,
        remote_credentials: switches.pilot_enable_remote_credentials_controller,
        renewal: options.watch_renewal,
        registries_namespace: options.registries_namespace.clone(),
        kubeconfigs: Some(&switches.pilot_multicluster_kubeconfig_path)
            .filter(|path| !path.is_empty())
            .map(Into::into),
        remote_timeout: switches.pilot_remote_cluster_timeout.to_std().unwrap_or(Duration::from_secs(30)),
        insecure: switches.pilot_insecure_multicluster_kubeconfig_options.clone(),
        pace: options.pace,
    }
}

/// What is read of files, and the mesh configuration wherever it stands.
async fn sources_of(options: &Options, client: Option<&kube::Client>) -> Sources {
    let cluster: Arc<str> = options.cluster.as_str().into();
    let roots = [(&options.folder, false), (&options.generated, true)];
    let roots: Vec<Root> = roots
        .into_iter()
        .filter_map(|(path, generated)| Some(Root { path: path.clone()?, generated }))
        .collect();
    let folder = (!roots.is_empty()).then(|| Folder::new(roots, cluster.clone()));
    let base = Settings {
        switches: Arc::new(options.switches.clone()),
        domain: options.domain.as_str().into(),
        cluster,
        system_namespace: options.namespace.as_str().into(),
        ..Settings::default()
    };
    let revision = &options.switches.revision;
    let mut mesh =
        MeshConfiguration::new(base, options.mesh_config.clone(), options.networks_config.clone(), revision);
    if let Some(client) = client {
        let names = mesh.config_maps();
        mesh = mesh.with_maps(kubernetes::follow_maps(client.clone(), &options.namespace, names).await);
    }
    Sources::new(folder, mesh)
}

fn rules_of(options: &Options, root_namespace: &str) -> Rules {
    let switches = &options.switches;
    let allowed = switches.debug_endpoint_auth_allowed_namespaces.split(',').map(str::trim);
    let own = [options.namespace.as_str(), root_namespace];
    let debug_namespaces: BTreeSet<String> =
        allowed.chain(own).filter(|ns| !ns.is_empty()).map(str::to_owned).collect();
    Rules {
        authenticate: switches.xds_auth,
        authenticate_plaintext: switches.xds_auth_plaintext,
        check_identity: switches.pilot_enable_xds_identity_check,
        debug_by_namespace: switches.enable_debug_endpoint_auth,
        debug_namespaces,
    }
}

fn xds_options(options: &Options) -> xds::server::Options {
    let control_plane = serde_json::json!({
        "Component": "istiod", "ID": options.pod, "Info": { "version": VERSION },
    });
    let switches = &options.switches;
    xds::server::Options {
        keepalive_interval: options.keepalive.0,
        keepalive_timeout: options.keepalive.1,
        max_age: options.max_age,
        // a review, and what is written or asked beside it
        admission_timeout: options.review_limit * 2,
        send_timeout: options.send_timeout,
        new_streams_per_second: switches.pilot_max_requests_per_second,
        max_pushes: switches.pilot_push_throttle as usize,
        max_streams: switches.istio_gprc_maxstreams,
        max_request_bytes: switches.istio_gprc_maxrecvmsgsize as usize,
        control_plane: control_plane.to_string(),
        ..xds::server::Options::default()
    }
}
