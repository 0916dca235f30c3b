//! Clusters of services: default and subsets, with their destination rule
//! (as pilot/pkg/networking/core/cluster.go: `buildOutboundClusters`, cluster_builder.go: `applyDestinationRule`).

use std::sync::Arc;

use config::networking::{DestinationRule, LbPolicy, SimpleLb, Subset, TrafficPolicy};
use config::protocol::Protocol;
use mesh::World;
use mesh::rules::Rule;
use mesh::services::{Port, Resolution, Service};
use mesh::settings::Settings;
use proto::envoy::config::cluster::v3::cluster::{self, DiscoveryType, EdsClusterConfig};
use proto::envoy::config::core::v3::{
    AggregatedConfigSource, ApiVersion, ConfigSource, HealthStatus, HealthStatusSet, TypedExtensionConfig,
    config_source::ConfigSourceSpecifier,
};
use proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use proto::envoy::extensions::network::dns_resolver::cares::v3::CaresDnsResolverConfig;
use proto::google::protobuf::{UInt32Value, Value, value::Kind};
use tables::{Level, Reads};

use super::build::{Draft, preserves_case, service_metadata, stat_name, string};
use super::origins::Told;
use super::{Built, EdsName, balance, fixed, policy, pool, sni_key, subset_key, tls};
use crate::authentication::{self, MutualTls};
use crate::encoded::{Resource, TypeName, duration, seconds};
use crate::endpoints;
use crate::plan::ServiceClusters;
use crate::provenance;
use crate::proxy::Proxy;

/// Everything that stays the same for all clusters of one service.
struct Builder<'a, L: Level> {
    r: &'a Reads<L>,
    world: &'a World,
    ask: &'a ServiceClusters,
    settings: &'a Settings,
    service: &'a Service,
    rule: Option<&'a Rule>,
    accounts: Vec<String>,
    /// Clusters that a gateway forwards to by SNI: named so, and without TLS of their own.
    by_sni: bool,
}

/// See [`super::sni_service`].
pub(super) fn sni_service<L: Level>(r: &Reads<L>, world: &World, ask: &ServiceClusters) -> Built {
    let mut out = Built::default();
    let service = world.services.get(r, &ask.service.key).filter(|s| !s.mesh_external);
    let Some(service) = service.filter(|s| s.resolution != Resolution::Alias) else { return out };
    let builder = Builder {
        r,
        world,
        ask,
        settings: crate::settings(r, world),
        service,
        rule: ask.rule.as_ref().and_then(|name| name.read(r, world)),
        accounts: Vec::new(),
        by_sni: true,
    };
    for port in service.ports.iter().filter(|p| ask.service.has_port(p.number) && p.protocol != Protocol::Udp)
    {
        builder.port(port, &mut out);
    }
    out
}

/// See [`super::service`].
pub(super) fn service<L: Level>(r: &Reads<L>, world: &World, ask: &ServiceClusters) -> Built {
    let mut out = Built::default();
    let Some(service) = world.services.get(r, &ask.service.key) else { return out };
    if service.resolution == Resolution::Alias {
        return out;
    }
    let builder = Builder {
        r,
        world,
        ask,
        settings: crate::settings(r, world),
        service,
        rule: ask.rule.as_ref().and_then(|name| name.read(r, world)),
        accounts: accounts(r, world, service),
        by_sni: false,
    };
    let ports =
        service.ports.iter().filter(|p| ask.service.has_port(p.number) && p.protocol != Protocol::Udp);
    if service.resolution == Resolution::DynamicDns && service.key.hostname.is_wildcard() {
        for port in ports.filter(|p| fixed::forwards(p.protocol)) {
            builder.dynamic(port, &mut out);
        }
        return out;
    }
    for port in ports {
        builder.port(port, &mut out);
    }
    out
}

/// SPIFFE identities expected behind a service: declared ones and those of its endpoints, sorted.
fn accounts<L: Level>(r: &Reads<L>, world: &World, service: &Service) -> Vec<String> {
    let mut all: Vec<String> = service.declared_accounts.iter().map(ToString::to_string).collect();
    if let Some(row) = world.accounts.get(r, &service.key) {
        all.extend(row.accounts.iter().map(ToString::to_string));
    }
    all.sort();
    all.dedup();
    all
}

impl<L: Level> Builder<'_, L> {
    fn proxy(&self) -> &Proxy {
        &self.ask.proxy
    }

    fn spec(&self) -> Option<&DestinationRule> {
        self.rule.map(|r| &*r.rule)
    }

    /// The name of a cluster.
    fn name(&self, port: &Port, subset: &str) -> String {
        let host = self.service.key.hostname.as_str();
        let key = if self.by_sni { sni_key } else { subset_key };
        key("outbound", port.number, subset, host)
    }

    /// The default cluster of a port and one for each subset.
    fn port(&self, port: &Port, out: &mut Built) {
        let kind = self.discovery();
        let default = self.settings.mesh.default_traffic_policy.as_ref();
        let policy = policy::of_port(self.spec(), port.number, default);
        let name = self.name(port, "");
        let Some(mut draft) = self.draft(name, kind, port, "") else { return };
        if self.keeps_draining() && !self.by_sni {
            draft.lb().override_host_status = Some(HealthStatusSet {
                statuses: [
                    HealthStatus::Healthy,
                    HealthStatus::Draining,
                    HealthStatus::Unknown,
                    HealthStatus::Degraded,
                ]
                .map(i32::from)
                .to_vec(),
            });
        }
        let whole = self.spec().and_then(|s| s.traffic_policy.as_ref());
        let sni = sni_key("outbound", port.number, "", self.service.key.hostname.as_str());
        self.finish(draft, policy.as_ref(), port, "", &sni, self.service_mode(whole, port), out);
        for subset in self.spec().iter().flat_map(|s| &s.subsets) {
            self.subset(subset, policy.as_ref(), port, kind, out);
        }
    }

    fn subset(
        &self,
        subset: &Subset,
        original: Option<&TrafficPolicy>,
        port: &Port,
        kind: DiscoveryType,
        out: &mut Built,
    ) {
        let host = self.service.key.hostname.as_str();
        let own = subset.traffic_policy.as_ref();
        let kind = if is_passthrough(own) { DiscoveryType::OriginalDst } else { kind };
        let name = self.name(port, &subset.name);
        let Some(draft) = self.draft(name, kind, port, &subset.name) else { return };
        let policy = policy::for_subset(original, own, port.number);
        let sni = sni_key("outbound", port.number, &subset.name, host);
        self.finish(draft, policy.as_deref(), port, &subset.name, &sni, self.service_mode(own, port), out);
    }

    /// Policy, EDS, metadata; then the resource.
    #[expect(clippy::too_many_arguments, reason = "the parts of one cluster, passed once")]
    fn finish(
        &self,
        mut draft: Draft,
        policy: Option<&TrafficPolicy>,
        port: &Port,
        subset: &str,
        sni: &str,
        mode: MutualTls,
        out: &mut Built,
    ) {
        self.apply_policy(&mut draft, policy, port, sni, mode);
        let eds = draft.kind() == DiscoveryType::Eds
            && draft.cluster.cluster_discovery_type.is_some()
            && !draft.dynamic_forward;
        if eds {
            draft.cluster.eds_cluster_config = Some(eds_config(&draft.cluster.name));
        }
        draft.add_metadata_exchange(self.proxy(), self.settings.switches.pilot_enable_metadata_exchange);
        if subset.is_empty() && self.service.mesh_external {
            draft.istio().insert("external".into(), Value { kind: Some(Kind::BoolValue(true)) });
        }
        if let Some(rule) = self.rule {
            annotate(&mut draft, rule, subset, policy);
        }
        let cluster = draft.finish();
        let name: Arc<str> = cluster.name.as_str().into();
        provenance::resource(
            self.r,
            TypeName::Cluster,
            || name.clone(),
            || {
                let (settings, service, rule) = (self.settings, self.service, self.rule);
                let told = Told { settings, service, rule, port, subset, policy, cluster: &cluster };
                told.tell(self.r, self.world);
            },
        );
        out.resources.push(Resource::encode(name.clone(), &cluster));
        if eds {
            let proxy = self.ask.proxy.clone();
            out.eds.push((
                proxy,
                EdsName {
                    name,
                    service: self.service.key.clone(),
                    port: port.number,
                    subset: subset.into(),
                    rule: self.ask.rule.clone(),
                },
            ));
        }
    }

    fn discovery(&self) -> DiscoveryType {
        match self.service.resolution {
            Resolution::DnsLb => DiscoveryType::StrictDns,
            Resolution::DnsRoundRobinLb => DiscoveryType::LogicalDns,
            Resolution::Passthrough
                if !super::is_eds(
                    self.proxy().kind,
                    self.service,
                    self.settings.switches.pilot_enable_eds_for_headless_services,
                ) =>
            {
                DiscoveryType::OriginalDst
            }
            _ => DiscoveryType::Eds,
        }
    }

    /// As `buildCluster`: `None` for a DNS cluster without endpoints.
    fn draft(&self, name: String, kind: DiscoveryType, port: &Port, subset: &str) -> Option<Draft> {
        let mesh = &self.settings.mesh;
        let mut draft = Draft::new(name, kind);
        match kind {
            DiscoveryType::StrictDns | DiscoveryType::LogicalDns => {
                let eds = EdsName {
                    name: draft.cluster.name.as_str().into(),
                    service: self.service.key.clone(),
                    port: port.number,
                    subset: subset.into(),
                    rule: self.ask.rule.clone(),
                };
                let assignment = provenance::resource(
                    self.r,
                    TypeName::Cluster,
                    || eds.name.clone(),
                    || {
                        let build = || endpoints::build(self.r, self.world, self.proxy(), &eds);
                        provenance::within(self.r, || "load_assignment".to_owned(), build)
                    },
                );
                if assignment.endpoints.is_empty() {
                    return None;
                }
                dns(&mut draft, self.proxy(), self.settings, assignment);
            }
            DiscoveryType::OriginalDst => {
                if let Some(target) = self.service.passthrough_target_ports.get(&port.number) {
                    draft.cluster.lb_config =
                        Some(cluster::LbConfig::OriginalDstLbConfig(cluster::OriginalDstLbConfig {
                            upstream_port_override: Some(UInt32Value { value: *target }),
                            ..cluster::OriginalDstLbConfig::default()
                        }));
                }
            }
            _ => {}
        }
        draft.set_upstream_protocol(self.proxy(), port, preserves_case(self.proxy(), mesh));
        if self.settings.switches.pilot_enable_telemetry_label {
            draft.istio().insert("services".into(), service_metadata([self.service]));
        }
        if !mesh.outbound_cluster_stat_name.is_empty() {
            draft.cluster.alt_stat_name =
                stat_name(&mesh.outbound_cluster_stat_name, self.service, subset, port, 0);
        }
        Some(draft)
    }

    /// As `applyTrafficPolicy` for outbound clusters.
    fn apply_policy(
        &self,
        draft: &mut Draft,
        policy: Option<&TrafficPolicy>,
        port: &Port,
        sni: &str,
        mode: MutualTls,
    ) {
        let settings = self.settings;
        let (mesh, switches) = (&*settings.mesh, &*settings.switches);
        let none = config::networking::ConnectionPoolSettings::default();
        let connections = policy.and_then(|p| p.connection_pool.as_ref());
        if pool::upgrades_http2(mesh, port, connections) {
            draft.use_http2();
        }
        let budget = policy.and_then(|p| p.retry_budget.as_ref());
        pool::apply(
            draft,
            mesh,
            connections.unwrap_or(&none),
            budget,
            !switches.disable_track_remaining_cb_metrics,
        );
        let forced = endpoints::forces_unhealthy(settings, self.service);
        if let Some(outlier) = policy.and_then(|p| p.outlier_detection.as_ref()) {
            pool::outlier(draft, outlier, forced);
        }
        let context = balance::Context {
            mesh,
            service: Some(self.service),
            port: Some(port),
            always_weighted: switches.enable_locality_weighted_lb_config,
            unhealthy: endpoints::sends_unhealthy(settings, self.service),
            redis: switches.pilot_enable_redis_filter,
        };
        balance::apply(draft, policy.and_then(|p| p.load_balancer.as_ref()), &context);
        let context = tls::Context {
            proxy: self.proxy(),
            mesh,
            accounts: &self.accounts,
            sni: if draft.dynamic_forward { "" } else { sni },
            external: self.service.mesh_external,
            registry: Some(self.service.registry),
            service_mode: mode,
            selected: self.rule.is_some_and(|r| r.selector.is_some()),
            exchange_alpn: switches.pilot_enable_metadata_exchange && !switches.pilot_disable_mx_alpn,
            prefer_rule: switches.prefer_destinationrule_tls_for_external_services,
        };
        if !self.by_sni {
            tls::apply(draft, policy.and_then(|p| p.tls.as_ref()), &context);
            tls::proxy_protocol(draft, policy.and_then(|p| p.proxy_protocol.as_ref()));
        }
        if draft.kind() == DiscoveryType::OriginalDst && !draft.dynamic_forward {
            draft.set_policy(cluster::LbPolicy::ClusterProvided);
        }
    }

    /// As `BestEffortInferServiceMTLSMode`.
    fn service_mode(&self, policy: Option<&TrafficPolicy>, port: &Port) -> MutualTls {
        if self.service.mesh_external {
            return MutualTls::Unknown;
        }
        if self.service.resolution == Resolution::Passthrough || is_passthrough(policy) {
            let empty = mesh::endpoints::Endpoints::default();
            let row = self.world.endpoints.get(self.r, &self.service.key).map_or(&empty, |e| &**e);
            let mut own = row.endpoints.iter().filter(|e| e.service_port == port.name).peekable();
            if own.peek().is_none() || own.any(|e| &*e.tls_mode == "disabled" || e.tls_mode.is_empty()) {
                return MutualTls::Disable;
            }
        }
        match authentication::namespace_mode(self.r, self.world, &self.service.key.namespace) {
            MutualTls::Unknown => MutualTls::Permissive,
            mode => mode,
        }
    }

    fn keeps_draining(&self) -> bool {
        let switches = &self.settings.switches;
        let labelled =
            |name: &str| !name.is_empty() && self.service.labels.get(name).is_some_and(|v| !v.is_empty());
        labelled(&switches.pilot_persistent_session_label)
            || labelled(&switches.pilot_persistent_session_header_label)
    }

    /// A wildcard host that is resolved per request.
    fn dynamic(&self, port: &Port, out: &mut Built) {
        let mut draft = fixed::dynamic_forward(self.proxy(), self.service, port, &self.settings.mesh);
        let default = self.settings.mesh.default_traffic_policy.as_ref();
        let policy = policy::of_port(self.spec(), port.number, default);
        draft.dynamic_forward = true;
        let whole = self.spec().and_then(|s| s.traffic_policy.as_ref());
        self.finish(draft, policy.as_ref(), port, "", "", self.service_mode(whole, port), out);
    }
}

fn is_passthrough(policy: Option<&TrafficPolicy>) -> bool {
    let lb = policy.and_then(|p| p.load_balancer.as_ref()).and_then(|l| l.lb_policy.as_ref());
    matches!(lb, Some(LbPolicy::Simple(SimpleLb::Passthrough)))
}

/// DNS resolution at the proxy.
fn dns(draft: &mut Draft, proxy: &Proxy, settings: &Settings, assignment: ClusterLoadAssignment) {
    let cluster = &mut draft.cluster;
    cluster.dns_lookup_family = fixed::lookup_family(proxy, settings).into();
    cluster.typed_dns_resolver_config = Some(TypedExtensionConfig {
        name: "envoy.network.dns_resolver.cares".into(),
        typed_config: Some(proto::any(&CaresDnsResolverConfig {
            udp_max_queries: crate::encoded::u32_value(settings.switches.pilot_dns_cares_udp_max_queries),
            ..CaresDnsResolverConfig::default()
        })),
    });
    #[expect(
        deprecated,
        reason = "as upstream: its successor, the typed DNS cluster, is another cluster type"
    )]
    {
        cluster.dns_jitter = Some(duration(settings.switches.pilot_dns_jitter_duration));
        cluster.dns_refresh_rate = settings.mesh.dns_refresh_rate.map(duration);
        cluster.respect_dns_ttl = true;
    }
    cluster.load_assignment = Some(assignment);
}

fn eds_config(name: &str) -> EdsClusterConfig {
    EdsClusterConfig {
        service_name: name.into(),
        eds_config: Some(ConfigSource {
            config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource::default())),
            initial_fetch_timeout: Some(seconds(0)),
            resource_api_version: ApiVersion::V3.into(),
            ..ConfigSource::default()
        }),
    }
}

/// The rule's name, the subset and the ALPN override in the `istio` metadata.
fn annotate(draft: &mut Draft, rule: &Rule, subset: &str, policy: Option<&TrafficPolicy>) {
    use config::networking::ClientTlsSettingsTlsMode as Mode;
    let path = rule.from.first().map(|name| {
        let (namespace, name) = name.split_once('/').unwrap_or(("", name));
        format!("/apis/networking.istio.io/v1/namespaces/{namespace}/destination-rule/{name}")
    });
    let fields = draft.istio();
    if let Some(path) = path {
        fields.insert("config".into(), string(path));
    }
    if !subset.is_empty() {
        fields.insert("subset".into(), string(subset));
    }
    if matches!(policy.and_then(|p| p.tls.as_ref()).map(|t| t.mode), Some(Mode::Simple | Mode::Mutual)) {
        fields.insert("alpn_override".into(), string("false"));
    }
}
