//! Endpoints (EDS): which of a service's endpoints a proxy may call, by locality, with weights and metadata
//! (as pilot/pkg/xds/endpoints/endpoint_builder.go).

use std::collections::BTreeMap;
use std::sync::Arc;

use config::networking::{ClientTlsSettingsTlsMode as TlsMode, DestinationRule, TrafficPolicy};
use mesh::World;
use mesh::endpoints::{Endpoint as Row, Health, Locality};
use mesh::services::{Resolution, Service, TrafficDistribution};
use mesh::settings::Settings;
use mesh::workloads::{LabelSet, WorkloadLabels};
use proto::envoy::config::core::v3::{
    Address, HealthStatus, Locality as EnvoyLocality, Metadata, Pipe, SocketAddress, address as core_address,
    socket_address::PortSpecifier,
};
use proto::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, endpoint::AdditionalAddress,
    lb_endpoint::HostIdentifier,
};
use proto::google::protobuf::{Struct, Value, value::Kind};
use tables::{Level, Reads};

use crate::authentication::{self, MutualTls};
use crate::clusters::{EdsName, balance, policy};
use crate::encoded::{Resource, TypeName, u32_value};
use crate::provenance;
use crate::proxy::Proxy;

mod locality;
mod network;
mod origins;

/// Locality groups while they are being made: rows and their Envoy form side by side.
#[derive(Clone, Default)]
struct Group {
    rows: Vec<Arc<Row>>,
    built: LocalityLbEndpoints,
}

/// The EDS resource of a cluster.
pub fn assignment<L: Level>(r: &Reads<L>, world: &World, proxy: &Proxy, cluster: &EdsName) -> Resource {
    let build = || build(r, world, proxy, cluster);
    Resource::encode(
        cluster.name.clone(),
        &provenance::resource(r, TypeName::Endpoint, || cluster.name.clone(), build),
    )
}

/// The load assignment of a cluster: for EDS, and for DNS clusters that carry it themselves.
pub fn build<L: Level>(
    r: &Reads<L>,
    world: &World,
    proxy: &Proxy,
    cluster: &EdsName,
) -> ClusterLoadAssignment {
    let mut out =
        ClusterLoadAssignment { cluster_name: cluster.name.to_string(), ..ClusterLoadAssignment::default() };
    let settings = crate::settings(r, world);
    let Some(service) = world.services.get(r, &cluster.service) else { return out };
    let Some(port) = service.port(cluster.port) else { return out };
    let merged = cluster.rule.as_ref().and_then(|name| name.read(r, world));
    provenance::notes(r, |say| origins::tell(settings, service, merged, cluster, say));
    let rule = merged.map(|rule| &*rule.rule);
    let view = View {
        r,
        world,
        proxy,
        settings,
        service,
        rule,
        cluster,
        unhealthy: unhealthy(settings, service, rule, cluster),
    };
    let Some(rows) = world.endpoints.get(r, &cluster.service) else { return out };
    let labels = rule.and_then(|d| d.subsets.iter().find(|s| s.name == *cluster.subset)).map(|s| &s.labels);
    let dns = matches!(service.resolution, Resolution::DnsLb | Resolution::DnsRoundRobinLb);
    let fits = |row: &&Arc<Row>| {
        row.service_port == port.name
            && (dns
                || row
                    .addresses
                    .first()
                    .is_none_or(|a| a.is_empty() || row.port == 0 || a.parse::<std::net::IpAddr>().is_ok()))
            && labels.is_none_or(|selector| row.labels.has_all(selector))
    };
    let groups = view.groups(rows.endpoints.iter().filter(fits));
    let mut groups = network::split(r, world, proxy, groups, dns);
    if cluster.name.starts_with("outbound_.") {
        groups.iter_mut().for_each(network::only_tls);
    }
    let policy = rule.and_then(|d| policy::of_rule(d, cluster.port, &cluster.subset));
    let lb = policy.as_ref().and_then(|p| p.load_balancer.as_ref());
    let outlier = policy.as_ref().is_some_and(|p| p.outlier_detection.is_some());
    let effective = balance::effective(&settings.mesh, lb, Some(service));
    out.endpoints = locality::apply(groups, proxy, effective.as_ref(), outlier);
    if dns && service.resolution == Resolution::DnsRoundRobinLb {
        out.endpoints.truncate(1);
    }
    out
}

/// `PILOT_AUTO_SEND_UNHEALTHY_ENDPOINTS`, process wide, or forced for this service
/// (as `Service.SupportsUnhealthyEndpoints`).
#[must_use]
pub fn sends_unhealthy(settings: &Settings, service: &Service) -> bool {
    settings.switches.pilot_auto_send_unhealthy_endpoints || forces_unhealthy(settings, service)
}

/// As `Service.ForcesSupportUnhealthyEndpoints`.
#[must_use]
pub fn forces_unhealthy(settings: &Settings, service: &Service) -> bool {
    settings.switches.pilot_send_unhealthy_endpoints
        || service.traffic_distribution != TrafficDistribution::Any
}

fn unhealthy(
    settings: &Settings,
    service: &Service,
    rule: Option<&DestinationRule>,
    cluster: &EdsName,
) -> bool {
    if forces_unhealthy(settings, service) {
        return true;
    }
    let refused = rule
        .and_then(|d| policy::of_rule(d, cluster.port, &cluster.subset))
        .is_some_and(|p| p.outlier_detection.as_ref().is_some_and(|o| o.min_health_percent > 0));
    sends_unhealthy(settings, service) && !refused
}

/// What decides about one endpoint.
struct View<'a, L: Level> {
    r: &'a Reads<L>,
    world: &'a World,
    proxy: &'a Proxy,
    settings: &'a Settings,
    service: &'a Service,
    rule: Option<&'a DestinationRule>,
    cluster: &'a EdsName,
    unhealthy: bool,
}

impl<L: Level> View<'_, L> {
    /// Visible endpoints by locality, sorted by its text.
    fn groups<'b>(&self, rows: impl Iterator<Item = &'b Arc<Row>>) -> Vec<Group> {
        let mode = self.rule.and_then(|rule| tls_mode(rule, &self.cluster.subset, self.cluster.port));
        let mut by_locality: BTreeMap<String, Group> = BTreeMap::new();
        for row in rows.filter(|row| self.visible(row)) {
            let group = by_locality.entry(text(&row.locality)).or_insert_with(|| Group {
                rows: Vec::new(),
                built: LocalityLbEndpoints {
                    locality: Some(envoy(&row.locality)),
                    ..LocalityLbEndpoints::default()
                },
            });
            provenance::notes(self.r, |say| {
                origins::tell_endpoint(self.r, self.world, self.service, row, say);
            });
            group.built.lb_endpoints.push(self.endpoint(row, self.uses_tls(mode, row)));
            group.rows.push(row.clone());
        }
        let mut groups: Vec<Group> = by_locality.into_values().collect();
        groups.iter_mut().for_each(|g| weigh(&mut g.built));
        groups
    }

    /// As `filterIstioEndpoint`.
    fn visible(&self, row: &Row) -> bool {
        let proxy = self.proxy;
        // nodes of two clusters may have one name
        if self.service.node_local && (row.node != proxy.node || row.cluster != proxy.cluster) {
            return false;
        }
        if row.stays_in_cluster && row.cluster != proxy.cluster {
            return false;
        }
        if !proxy.network_view.is_empty()
            && !row.network.is_empty()
            && !proxy.network_view.contains(&row.network)
        {
            return false;
        }
        if self.cluster_local() && row.cluster != proxy.cluster {
            return false;
        }
        if row.addresses.is_empty() || (!self.unhealthy && row.health == Health::Unhealthy) {
            return false;
        }
        let switches = &self.settings.switches;
        let drains = &*switches.pilot_draining_label;
        let draining = row.health == Health::Draining
            || (!drains.is_empty() && row.labels.value(drains).is_some_and(|v| !v.is_empty()));
        let persistent =
            self.service.labels.get(&*switches.pilot_persistent_session_label).is_some_and(|v| !v.is_empty());
        row.health != Health::Terminating && (!draining || persistent)
    }

    fn cluster_local(&self) -> bool {
        crate::scope::is_cluster_local(self.settings, self.service)
    }

    /// As `checkMtlsEnabled`.
    fn uses_tls(&self, rule: Option<TlsMode>, row: &Row) -> bool {
        if let Some(mode) = rule {
            return mode == TlsMode::IstioMutual;
        }
        &*row.tls_mode == "istio"
            && authentication::workload_mode(self.r, self.world, &row.namespace, &row.labels).port(row.port)
                != MutualTls::Disable
    }

    fn endpoint(&self, row: &Row, tls: bool) -> LbEndpoint {
        let switches = &self.settings.switches;
        let drains = &*switches.pilot_draining_label;
        let draining = !drains.is_empty() && row.labels.value(drains).is_some_and(|v| !v.is_empty());
        let health = match row.health {
            _ if draining => HealthStatus::Draining,
            // Nobody checks what a ServiceEntry or a WorkloadEntry names: upstream says nothing of its health.
            Health::Healthy if row.external => HealthStatus::Unknown,
            Health::Healthy => HealthStatus::Healthy,
            Health::Unhealthy => HealthStatus::Unhealthy,
            Health::Draining | Health::Terminating => HealthStatus::Draining,
        };
        let more = row.addresses.iter().skip(1).filter(|_| switches.istio_dual_stack);
        LbEndpoint {
            health_status: health.into(),
            load_balancing_weight: u32_value(row.weight.max(1)),
            metadata: Some(self.metadata(row, tls)),
            host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
                address: row.addresses.first().map(|a| address(a, row.port)),
                additional_addresses: more
                    .map(|a| AdditionalAddress { address: Some(address(a, row.port)) })
                    .collect(),
                ..Endpoint::default()
            })),
        }
    }

    fn metadata(&self, row: &Row, tls: bool) -> Metadata {
        let switches = &self.settings.switches;
        let own = |key: &str| self.service.labels.get(key).cloned().unwrap_or_default();
        let mut canonical = canonical(&row.labels, &row.workload);
        let mut namespace = row.namespace.clone();
        if switches.label_canonical_services_for_mesh_external_service_entries && self.service.mesh_external {
            if self.service.labels.contains_key(CANONICAL_NAME) {
                canonical = (own(CANONICAL_NAME), own(CANONICAL_REVISION));
            }
            namespace = self.service.key.namespace.clone();
        }
        let telemetry = switches.pilot_enable_telemetry_label && switches.pilot_endpoint_telemetry_label;
        let workload =
            format!("{};{namespace};{};{};{}", row.workload, canonical.0, canonical.1, row.cluster);
        metadata(
            (tls && &*row.tls_mode != "disabled").then_some(&*row.tls_mode),
            telemetry.then_some(workload),
        )
    }
}

const CANONICAL_NAME: &str = "service.istio.io/canonical-name";
const CANONICAL_REVISION: &str = "service.istio.io/canonical-revision";

/// Canonical name and revision of a workload, an unknown revision empty
/// (as pkg/kube/labels: `CanonicalService`, with `latest` left out).
fn canonical(labels: &WorkloadLabels, workload: &Arc<str>) -> (Arc<str>, Arc<str>) {
    let first = |keys: &[&str]| keys.iter().find_map(|k| labels.value(k)).map(config::text);
    let name = first(&[CANONICAL_NAME, "app.kubernetes.io/name", "app"]).unwrap_or_else(|| workload.clone());
    let revision = first(&[CANONICAL_REVISION, "app.kubernetes.io/version", "version"]);
    (name, revision.filter(|r| &**r != "latest").unwrap_or_default())
}

/// Endpoint metadata: TLS mode for the socket match, and who it is for telemetry.
fn metadata(tls: Option<&str>, workload: Option<String>) -> Metadata {
    let string = |s: String| Value { kind: Some(Kind::StringValue(s)) };
    let mut out = Metadata::default();
    if let Some(mode) = tls.filter(|m| !m.is_empty()) {
        let fields = [("tlsMode".to_owned(), string(mode.to_owned()))].into();
        out.filter_metadata.insert("envoy.transport_socket_match".into(), Struct { fields });
    }
    if let Some(workload) = workload {
        let fields = [("workload".to_owned(), string(workload))].into();
        out.filter_metadata.insert("istio".into(), Struct { fields });
    }
    out
}

/// As `tlsModeForDestinationRule`.
fn tls_mode(rule: &DestinationRule, subset: &str, port: u32) -> Option<TlsMode> {
    let of = |policy: Option<&TrafficPolicy>| {
        let policy = policy?;
        let own = policy
            .port_level_settings
            .iter()
            .find(|p| p.tls.is_some() && p.port.as_ref().is_some_and(|s| s.number == port));
        own.and_then(|p| p.tls.as_ref()).or(policy.tls.as_ref()).map(|t| t.mode)
    };
    if subset.is_empty() {
        return of(rule.traffic_policy.as_ref());
    }
    let own = rule.subsets.iter().find(|s| s.name == subset)?;
    of(own.traffic_policy.as_ref()).or_else(|| of(rule.traffic_policy.as_ref()))
}

/// The weight of a locality is the sum of its endpoints'.
fn weigh(group: &mut LocalityLbEndpoints) {
    let sum = group
        .lb_endpoints
        .iter()
        .map(|e| e.load_balancing_weight.map_or(0, |w| w.value))
        .fold(0u32, u32::saturating_add);
    group.load_balancing_weight = if group.lb_endpoints.is_empty() { None } else { u32_value(sum) };
}

/// `region/zone/subzone` as upstream labels it, without trailing empty parts.
fn text(locality: &Locality) -> String {
    let all = format!("{}/{}/{}", locality.region, locality.zone, locality.subzone);
    all.trim_end_matches('/').to_owned()
}

/// Envoy's form.
pub(crate) fn envoy(locality: &Locality) -> EnvoyLocality {
    EnvoyLocality {
        region: locality.region.to_string(),
        zone: locality.zone.to_string(),
        sub_zone: locality.subzone.to_string(),
    }
}

/// A socket address, or a pipe for `unix://` (as pilot/pkg/networking/util: `BuildAddress`).
pub(crate) fn address(host: &str, port: u32) -> Address {
    let address = match host.strip_prefix("unix://") {
        Some(path) => core_address::Address::Pipe(Pipe { path: path.into(), ..Pipe::default() }),
        None => core_address::Address::SocketAddress(SocketAddress {
            address: host.into(),
            port_specifier: Some(PortSpecifier::PortValue(port)),
            ..SocketAddress::default()
        }),
    };
    Address { address: Some(address) }
}
