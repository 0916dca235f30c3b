//! Puts the agent together: sockets first, so that Envoy finds them, then Envoy, then the wait for its end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::Context;
use process::signals::Signals;
use proto::envoy::service::secret::v3::secret_discovery_service_server::SecretDiscoveryServiceServer;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_stream::wrappers::UnixListenerStream;

use crate::ads::{LocalTypes, Relay};
use crate::args::EnvoyKind;
use crate::bootstrap::{Addresses, Config, StockEnvoy, envoy_override, write};
use crate::dns::{DnsServer, Naming, Resolver, ResolverOptions};
use crate::envoy::{
    Admin, DrainPolicy, EnvoyBuild, EnvoyCommand, Launcher, Orders, Supervisor, detect_build,
};
use crate::health::app::{AppPlace, AppProbes};
use crate::health::ready::ReadyProbe;
use crate::health::workload::WorkloadProbe;
use crate::node::Node;
use crate::sds::{CaClient, SdsService, SecretStore, WallClock, keep_issued};
use crate::settings::{ISTIO_VERSION, Settings};
use crate::stats::expand::OwnWorkload;
use crate::stats::merge::Merger;
use crate::stats::own::OwnMetrics;
use crate::stats::targets::scrape_targets;
use crate::status::StatusServer;
use process::name_servers::{Forwarder, ResolvConf};

const CRL: &str = "/var/run/secrets/istio/crl/ca-crl.pem";
const DNS_PORT: u16 = 15053;
/// User of the proxy when the agent is root and serves DNS on its own port.
const PROXY_USER: u32 = 1337;

/// The parts that others need.
struct Parts {
    settings: Settings,
    tasks: JoinSet<()>,
    store: Arc<SecretStore>,
    resolver: Option<Arc<Resolver>>,
    relay: Relay,
    orders: Orders,
    /// Envoy runs as another user than the agent, so the sockets must be open to it.
    run_as: Option<u32>,
}

/// Runs the agent until Envoy has ended; gives the exit code. `launcher` is this program itself, to start Envoy with.
///
/// # Errors
/// When something that is needed cannot be started; the text says what to do.
pub async fn run(settings: Settings, launcher: Option<PathBuf>, started: Instant) -> anyhow::Result<u8> {
    let signals = Signals::install().context("cannot take over signals")?;
    let mut parts = Parts::start(settings).await?;
    let node = parts.settings.node();
    let admin = Admin::new(
        &parts.settings.localhost().to_string(),
        parts.settings.proxy_config.port("proxyAdminPort"),
    );
    let runs_envoy = !parts.settings.disable_envoy;
    let ready = Arc::new(ReadyProbe::new(runs_envoy.then(|| admin.clone()), parts.resolver.clone()));
    let build = if runs_envoy { parts.envoy_build().await? } else { EnvoyBuild::Istio };
    parts.start_status_server(&node, &ready, &admin, build, started).await?;
    parts.start_workload_probe(&ready)?;
    if !runs_envoy {
        return Ok(wait_without_envoy(signals, &parts.orders).await);
    }
    let supervisor = parts.start_envoy(node, admin, build, launcher)?;
    let ended = supervisor.run(signals, || ready.end()).await.context("cannot wait for Envoy")?;
    parts.tasks.shutdown().await;
    Ok(ended.exit_code())
}

async fn wait_without_envoy(mut signals: Signals, orders: &Orders) -> u8 {
    tokio::select! {
        _ = signals.next() => {}
        () = orders.stopped() => {}
    }
    0
}

impl Parts {
    /// Starts everything that Envoy looks for.
    async fn start(settings: Settings) -> anyhow::Result<Self> {
        let mut tasks = JoinSet::new();
        let dns_address = settings.env.text("DNS_PROXY_ADDR", &format!("localhost:{DNS_PORT}"));
        let is_root = nix::unistd::geteuid().is_root();
        let run_as = (is_root && dns_address.ends_with(":53")).then_some(PROXY_USER);
        let socket_mode = if run_as.is_some() { 0o666 } else { 0o660 };
        let resolver = if settings.serves_dns() {
            Some(start_dns(&settings, &dns_address, is_root, &mut tasks).await?)
        } else {
            None
        };

        let store = Arc::new(SecretStore::new(settings.security.files.clone()));
        let renew = Arc::new(Notify::new());
        if settings.security.asks_ca {
            let issuer = CaClient::new(settings.security.ca());
            tasks.spawn(keep_issued(
                Arc::clone(&store),
                issuer,
                settings.security.issue.clone(),
                Arc::clone(&renew),
                WallClock::default(),
            ));
        }
        let watched = Arc::clone(&store);
        tasks.spawn(async move { watched.watch_files().await });
        start_sds(&settings.sds_socket, socket_mode, &store, &mut tasks)?;

        let roots = settings.env.flag("PROXY_CONFIG_XDS_AGENT", false).then(|| {
            let store = Arc::clone(&store);
            let take = move |roots: &[String]| {
                // The peers that trust the new roots may want a certificate that leads to them.
                if store.set_mesh_roots(roots) {
                    renew.notify_one();
                }
            };
            Arc::new(take) as Arc<_>
        });
        let local = LocalTypes { names: resolver.clone(), roots };
        let relay = Relay::new(settings.security.discovery(), local);
        let serving = relay.serve(&settings.config_path().join("XDS"), socket_mode)?;
        tasks.spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(target: "xdsproxy", "the xDS socket broke: {error}");
            }
        });
        Ok(Self { settings, tasks, store, resolver, relay, orders: Orders::default(), run_as })
    }

    fn binary(&self) -> PathBuf {
        PathBuf::from(self.settings.proxy_config.text("binaryPath"))
    }

    /// Finds out which Envoy it is; the binary is read in another thread, since it is large.
    async fn envoy_build(&self) -> anyhow::Result<EnvoyBuild> {
        match self.settings.envoy_kind {
            EnvoyKind::Istio => return Ok(EnvoyBuild::Istio),
            EnvoyKind::Stock => return Ok(EnvoyBuild::Stock),
            EnvoyKind::Auto => {}
        }
        let binary = self.binary();
        let cache = self.settings.config_path().join("envoy-build");
        let looked = binary.clone();
        let found = tokio::task::spawn_blocking(move || detect_build(&looked, Some(&cache))).await?;
        let build = found.with_context(|| {
            format!("cannot read Envoy's binary {}; name another with --binaryPath", binary.display())
        })?;
        tracing::info!("Envoy is {} ({build:?} build)", binary.display());
        Ok(build)
    }

    async fn start_status_server(
        &mut self,
        node: &Node,
        ready: &Arc<ReadyProbe>,
        admin: &Admin,
        build: EnvoyBuild,
        started: Instant,
    ) -> anyhow::Result<()> {
        let settings = &self.settings;
        let port = settings.proxy_config.port("statusPort");
        if port == 0 {
            return Ok(());
        }
        let env = &settings.env;
        let app_host = settings.place.pod_ip.or(settings.place.bind).unwrap_or(settings.localhost());
        let legacy_probes = env.flag("REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION", false);
        let place = AppPlace {
            host: if legacy_probes { "localhost".to_owned() } else { app_host.to_string() },
            ipv6: app_host.is_ipv6(),
            status_port: port,
            http2: env.flag("ISTIO_ENABLE_HTTP2_PROBING", true),
            from_probe_address: settings.place.bind.is_none(),
        };
        let app_probes = AppProbes::parse(env.get("ISTIO_KUBE_APP_PROBERS").unwrap_or_default(), place)
            .map_err(anyhow::Error::msg)?;
        // The port of a gateway is open to the world, so its application is never merged.
        let annotations = env.get("ISTIO_PROMETHEUS_ANNOTATIONS").filter(|_| settings.place.is_sidecar());
        let application = match annotations {
            Some(text) => scrape_targets(text, port).map_err(anyhow::Error::msg)?,
            None => Vec::new(),
        };
        let merges_envoy = !settings.disable_envoy && env.flag("AGENT_MERGE_ENVOY_STATS", true);
        let trust_domain = &settings.security.trust_domain;
        let merger = Merger {
            own: OwnMetrics::new(
                started,
                Some(self.relay.clone()),
                self.resolver.clone(),
                Arc::clone(&self.store),
            ),
            envoy: merges_envoy.then(|| admin.target().clone()),
            expand: (build == EnvoyBuild::Stock).then(|| Arc::new(OwnWorkload::of_node(node, trust_domain))),
            version: ISTIO_VERSION.to_owned(),
            application,
            application_host: match settings.place.bind {
                Some(bind) => bind.to_string(),
                None => "localhost".to_owned(),
            },
        };
        let server = StatusServer {
            ready: Arc::clone(ready),
            merger,
            app_probes,
            resolver: self.resolver.clone(),
            orders: self.orders.clone(),
            metrics_local_only: env.flag("METRICS_LOCALHOST_ACCESS_ONLY", false),
            was_ready: AtomicBool::new(false),
        };
        let listener = listen(settings.place.status_address(), port).await?;
        self.tasks.spawn(server.serve(listener));
        Ok(())
    }

    fn start_workload_probe(&mut self, ready: &Arc<ReadyProbe>) -> anyhow::Result<()> {
        let Some(config) = self.settings.proxy_config.get("readinessProbe").filter(|probe| probe.is_object())
        else {
            return Ok(());
        };
        let place = &self.settings.place;
        let host = place.addresses.first().map_or_else(|| "localhost".to_owned(), ToString::to_string);
        let probe = WorkloadProbe::parse(config, &host, place.is_ipv6()).map_err(anyhow::Error::msg)?;
        let relay = self.relay.clone();
        let ready = Arc::clone(ready);
        self.tasks.spawn(async move { probe.run(ready, |health| relay.set_health(health)).await });
        Ok(())
    }

    fn start_envoy(
        &self,
        node: Node,
        admin: Admin,
        build: EnvoyBuild,
        launcher: Option<PathBuf>,
    ) -> anyhow::Result<Supervisor> {
        let settings = &self.settings;
        let (env, proxy) = (&settings.env, &settings.proxy_config);
        let compliance = env.text("COMPLIANCE_POLICY", "");
        let dual_stack = env.flag("ISTIO_DUAL_STACK", false);
        let addresses = Addresses::of_proxy(&node.instance_ips, dual_stack, settings.place.bind);
        let wildcard = addresses.wildcard.clone();
        let config = Config {
            node,
            addresses,
            log_as_json: settings.log_as_json,
            delta_xds: env.flag("ISTIO_DELTA_XDS", true),
            status_port_proxy_protocol: env.flag("ENVOY_STATUS_PORT_ENABLE_PROXY_PROTOCOL", false),
            strip_fragment: env.flag("HTTP_STRIP_FRAGMENT_FROM_PATH_UNSAFE_IF_DISABLED", true),
            host_ip: env.get("HOST_IP").map(str::to_owned),
            stock: (build == EnvoyBuild::Stock).then(StockEnvoy::default),
            compliance_policy: compliance.clone(),
        };
        let custom = settings.custom_bootstrap();
        let bootstrap = write(&config, &settings.config_path(), custom.as_deref())
            .context("cannot write Envoy's bootstrap")?;
        let override_json = match env.get("ISTIO_BOOTSTRAP_OVERRIDE").filter(|path| !path.is_empty()) {
            Some(path) => envoy_override(Path::new(path), env.get("HOST_IP").unwrap_or_default())
                .inspect_err(|error| tracing::warn!("Failed to read bootstrap override: {error}"))
                .ok(),
            None => None,
        };
        let command = EnvoyCommand {
            binary: self.binary(),
            bootstrap,
            drain: proxy.duration("drainDuration").unwrap_or(Duration::from_secs(45)),
            ipv6_only: settings.place.is_ipv6(),
            file_flush_interval: proxy.duration("fileFlushInterval"),
            file_flush_min_size_kb: count(proxy.number("fileFlushMinSizeKb")),
            log_level: settings.envoy_log.0.clone(),
            component_log_level: settings.envoy_log.1.clone(),
            skip_deprecated_logs: env.flag("ENVOY_SKIP_DEPRECATED_LOGS", true),
            core_dump: env.flag("ISTIO_ENVOY_ENABLE_CORE_DUMP", false),
            override_json,
            concurrency: count(proxy.number("concurrency")),
        };
        let policy = DrainPolicy {
            duration: proxy.duration("terminationDrainDuration").unwrap_or_default(),
            until_nobody_is_connected: settings.exit_on_zero_active_connections,
            at_least: settings.minimum_drain,
            not_counted: DrainPolicy::own_listeners(&wildcard, &settings.envoy_ports),
            inbound_only: settings.place.is_sidecar(),
        };
        let launcher = launcher.map(|program| Launcher { program, run_as: self.run_as });
        let ciphers = [("GRPC_SSL_CIPHER_SUITES", FIPS_CIPHERS)];
        let more: &[_] = if compliance.starts_with("fips-140-") { &ciphers } else { &[] };
        Supervisor::start(&command, launcher.as_ref(), more, admin, policy, self.orders.clone())
            .with_context(|| format!("cannot start {}", command.binary.display()))
    }
}

const FIPS_CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384";

fn count(number: Option<i64>) -> u32 {
    number.and_then(|number| u32::try_from(number).ok()).unwrap_or_default()
}

/// Listens; where there is no IPv6 at all, on the IPv4 wildcard.
async fn listen(address: IpAddr, port: u16) -> anyhow::Result<tokio::net::TcpListener> {
    match process::listen::tcp(SocketAddr::new(address, port)).await {
        Err(process::listen::Error::Io { .. }) if address == Ipv6Addr::UNSPECIFIED => {
            Ok(process::listen::tcp(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)).await?)
        }
        listener => Ok(listener?),
    }
}

fn start_sds(
    socket: &Path,
    mode: u32,
    store: &Arc<SecretStore>,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    let listener = process::listen::unix(socket, mode)?;
    let service = SecretDiscoveryServiceServer::new(SdsService::new(Arc::clone(store), Some(CRL.into())));
    let serving = tonic::transport::Server::builder()
        .add_service(service)
        .serve_with_incoming(UnixListenerStream::new(listener));
    tasks.spawn(async move {
        if let Err(error) = serving.await {
            tracing::error!(target: "sds", "the SDS socket broke: {error}");
        }
    });
    Ok(())
}

/// Starts the DNS proxy. As pkg/dns/client/dns.go: NewLocalDNSServer.
async fn start_dns(
    settings: &Settings,
    address: &str,
    is_root: bool,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<Arc<Resolver>> {
    let env = &settings.env;
    // On its own port the proxy *is* the machine's resolver, and a copy says who was before.
    let replaces_resolver = is_root && address.ends_with(":53");
    let saved = Path::new("/var/lib/istio/resolv.conf");
    let path = if replaces_resolver && saved.exists() { saved } else { Path::new("/etc/resolv.conf") };
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let machine = ResolvConf::parse(&text);
    let addresses = dns_addresses(settings.place.bind, address, &machine)?;
    let parallel = env.flag("DNS_FORWARD_PARALLEL", false);
    let patience = env.duration("DNS_FORWARD_TIMEOUT", Duration::from_secs(5));
    let resolver = Arc::new(Resolver::new(ResolverOptions {
        naming: Naming::new(&settings.place.namespace, &settings.place.domain, &machine.search),
        forwarder: Forwarder::new(machine.servers, parallel, patience),
        forward_before_names: replaces_resolver,
    }));
    let server = DnsServer::start(&addresses, &resolver)
        .await
        .with_context(|| format!("cannot listen for DNS on {addresses:?}"))?;
    tasks.spawn(async move {
        let _serving = server;
        std::future::pending::<()>().await;
    });
    Ok(resolver)
}

fn dns_addresses(
    bind: Option<IpAddr>,
    address: &str,
    machine: &ResolvConf,
) -> anyhow::Result<Vec<SocketAddr>> {
    let bad = || anyhow::anyhow!("DNS_PROXY_ADDR={address}: want host:port");
    let (host, port) = address.rsplit_once(':').ok_or_else(bad)?;
    let port: u16 = port.parse().map_err(|_| bad())?;
    if host != "localhost" {
        let ip: IpAddr = host.trim_matches(['[', ']']).parse().map_err(|_| bad())?;
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    if let Some(bind) = bind {
        return Ok(vec![SocketAddr::new(bind, port)]);
    }
    let has = |v4: bool| machine.servers.iter().any(|server| server.is_ipv4() == v4);
    let mut out = Vec::new();
    if has(true) || !has(false) {
        out.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
    }
    if has(false) {
        out.push(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port));
    }
    Ok(out)
}
