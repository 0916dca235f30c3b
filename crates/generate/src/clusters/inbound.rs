//! Clusters of the proxy's own ports (as pilot/pkg/networking/core/cluster.go: `buildInboundClusters`).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use config::mesh::InboundTrafficPolicyMode;
use config::networking::{ConnectionPoolSettings, IstioIngressListener, Sidecar, TrafficPolicy};
use config::protocol::Protocol;
use mesh::World;
use mesh::services::{Port, Service};
use mesh::settings::Settings;
use mesh::workloads::ServiceTarget;
use proto::envoy::config::cluster::v3::Cluster;
use proto::envoy::config::cluster::v3::cluster::{DiscoveryType, LbPolicy};
use proto::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier,
};
use tables::{Level, Reads};

use super::build::{Draft, preserves_case, service_metadata, stat_name, string};
use super::{fixed, origins, policy, pool};
use crate::encoded::{TypeName, seconds};
use crate::endpoints::address;
use crate::provenance;
use crate::proxy::{Interception, IpMode, Proxy};
use crate::scope::Named;

/// Go's longest duration in seconds: original-destination hosts are never cleaned up.
const MAX_SECONDS: i64 = 9_223_372_035;

/// One inbound port: where it is reached, where it leads, what it serves.
struct Inbound<'a> {
    /// Number in the cluster name.
    number: u32,
    /// Address to call; empty = original destination.
    bind: String,
    /// Port to call.
    target: u32,
    port: &'a Port,
    services: Vec<&'a Service>,
}

/// See [`super::inbound`].
pub(super) fn clusters<L: Level>(
    r: &Reads<L>,
    world: &World,
    proxy: &Proxy,
    sidecar: Option<&Named>,
    targets: &[ServiceTarget],
) -> Vec<Cluster> {
    let settings = crate::settings(r, world);
    let sidecar = sidecar.and_then(|name| Some((name, &*world.sidecars.get(r, name)?.sidecar)));
    let services: BTreeMap<_, _> = targets
        .iter()
        .filter_map(|t| Some((t.service.clone(), world.services.get(r, &t.service)?.clone())))
        .collect();
    let ingress: &[IstioIngressListener] = sidecar.map_or(&[], |(_, s)| &s.ingress);
    let build = |inbound: Inbound<'_>| build_one(r, world, proxy, settings, sidecar, &inbound);
    if ingress.is_empty() {
        if proxy.interception == Interception::None {
            return Vec::new();
        }
        return from_targets(settings, proxy, targets, &services, &[]).into_iter().map(build).collect();
    }
    let mut out = Vec::new();
    if settings.switches.pilot_allow_sidecar_service_inbound_listener_merge {
        let taken: Vec<u32> = ingress.iter().filter_map(|l| Some(l.port.as_ref()?.number)).collect();
        out.extend(from_targets(settings, proxy, targets, &services, &taken).into_iter().map(build));
    }
    for listener in ingress {
        let Some(port) = &listener.port else { continue };
        let Some((bind, target)) = endpoint(&listener.default_endpoint, proxy) else { continue };
        let own = Port {
            name: port.name.as_str().into(),
            number: port.number,
            protocol: Protocol::parse(&port.protocol),
        };
        let known =
            targets.iter().find(|t| t.target_port == port.number).and_then(|t| services.get(&t.service));
        let inbound = Inbound {
            number: port.number,
            bind,
            target,
            port: &own,
            services: known.iter().map(|s| &***s).collect(),
        };
        out.push(build(inbound));
    }
    out
}

fn from_targets<'a>(
    settings: &Settings,
    proxy: &Proxy,
    targets: &'a [ServiceTarget],
    services: &'a BTreeMap<mesh::ServiceKey, Arc<Service>>,
    taken: &[u32],
) -> Vec<Inbound<'a>> {
    let passthrough = settings
        .mesh
        .inbound_traffic_policy
        .as_ref()
        .is_some_and(|p| p.mode == InboundTrafficPolicyMode::Passthrough);
    let bind = if passthrough { "" } else { proxy.loopback() };
    let mut by_port: BTreeMap<u32, Vec<&ServiceTarget>> = BTreeMap::new();
    for target in targets {
        by_port.entry(target.target_port).or_default().push(target);
    }
    let mut out = Vec::new();
    for (number, targets) in by_port {
        if taken.contains(&number) {
            continue;
        }
        let first = targets[0];
        // Services told in the metadata: those that serve here under the first one's port number, once each.
        let mut own: Vec<&Service> = Vec::new();
        for target in &targets {
            let Some(service) = services.get(&target.service) else { continue };
            let known = own.iter().any(|s| s.key.hostname == service.key.hostname);
            if target.port.number == first.port.number && !known {
                own.push(service);
            }
        }
        out.push(Inbound { number, bind: bind.to_owned(), target: number, port: &first.port, services: own });
    }
    out
}

/// Where a Sidecar's `defaultEndpoint` leads; `None` if it is unusable, an empty address for none given.
fn endpoint(text: &str, proxy: &Proxy) -> Option<(String, u32)> {
    if text.is_empty() {
        return Some((String::new(), 0));
    }
    if text.starts_with("unix://") {
        return Some((text.to_owned(), 0));
    }
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let own = |want: fn(&IpAddr) -> bool, otherwise: &str| {
        proxy.ips.iter().find(|ip| want(ip)).map_or_else(|| otherwise.to_owned(), ToString::to_string)
    };
    let address = match host.trim_matches(['[', ']']) {
        "0.0.0.0" => own(IpAddr::is_ipv4, "127.0.0.1"),
        "::" => own(IpAddr::is_ipv6, "::1"),
        "127.0.0.1" if proxy.ip_mode != IpMode::V6 => "127.0.0.1".to_owned(),
        "127.0.0.1" => "::1".to_owned(),
        "::1" if proxy.ip_mode != IpMode::V4 => "::1".to_owned(),
        "::1" => "127.0.0.1".to_owned(),
        _ => String::new(),
    };
    Some((address, port))
}

/// As `buildInboundCluster`.
fn build_one<L: Level>(
    r: &Reads<L>,
    world: &World,
    proxy: &Proxy,
    settings: &Settings,
    sidecar: Option<(&Named, &Sidecar)>,
    inbound: &Inbound<'_>,
) -> Cluster {
    let mesh = &*settings.mesh;
    let name = format!("inbound|{}||", inbound.number);
    let original = inbound.bind.is_empty();
    let kind = if original { DiscoveryType::OriginalDst } else { DiscoveryType::Static };
    let mut draft = Draft::new(name.clone(), kind);
    if original {
        draft.cluster.cleanup_interval = Some(seconds(MAX_SECONDS));
    } else {
        draft.cluster.load_assignment = Some(local(&name, &inbound.bind, inbound.target));
    }
    draft.set_upstream_protocol(proxy, inbound.port, preserves_case(proxy, mesh));
    let first = inbound.services.first().copied();
    if let Some(service) = first {
        if settings.switches.pilot_enable_telemetry_label && !service.mesh_external {
            draft.istio().insert("services".into(), service_metadata(inbound.services.iter().copied()));
        }
        if !mesh.inbound_cluster_stat_name.is_empty() {
            let pattern = &mesh.inbound_cluster_stat_name;
            draft.cluster.alt_stat_name = stat_name(pattern, service, "", inbound.port, inbound.number);
        }
    }
    let mut own = None;
    let found = first.and_then(|s| mesh::rules::for_host(r, world, &s.key.namespace, s, &proxy.labels));
    if let Some(found) = &found
        && let Some(whole) = &found.rule.traffic_policy
    {
        own = policy::for_port(Some(whole), inbound.port.number).0.map(std::borrow::Cow::into_owned);
        if draft.cluster.metadata.is_some()
            && let Some((namespace, name)) = found.from.first().and_then(|n| n.split_once('/'))
        {
            let path = format!("/apis/networking.istio.io/v1/namespaces/{namespace}/destination-rule/{name}");
            draft.istio().insert("config".into(), string(path));
        }
    }
    let mut own = policy::with_default(own, mesh.default_traffic_policy.as_ref());
    if let Some(connections) = inbound_pool(sidecar.map(|(_, s)| s), inbound.number) {
        own.get_or_insert_with(TrafficPolicy::default).connection_pool = Some(connections.clone());
    }
    let none = ConnectionPoolSettings::default();
    let connections = own.as_ref().and_then(|p| p.connection_pool.as_ref()).unwrap_or(&none);
    let budget = own.as_ref().and_then(|p| p.retry_budget.as_ref());
    pool::apply(&mut draft, mesh, connections, budget, !settings.switches.disable_track_remaining_cb_metrics);
    if original {
        draft.set_policy(LbPolicy::ClusterProvided);
    }
    if inbound.bind != "127.0.0.1" && inbound.bind != "::1" {
        let both = settings.switches.istio_dual_stack && proxy.ip_mode == IpMode::Dual;
        draft.cluster.upstream_bind_config = Some(fixed::bind(proxy, both));
    }
    provenance::resource(
        r,
        TypeName::Cluster,
        || name,
        || {
            let at = (inbound.number, inbound.port, &inbound.services[..]);
            origins::tell_inbound(r, settings, sidecar, at, found.as_ref(), own.as_ref());
        },
    );
    draft.finish()
}

/// A Sidecar's connection pool for a port: the listener's own, else the general one
/// (as pilot/pkg/model/sidecar.go: `InboundConnectionPoolForPort`).
fn inbound_pool(sidecar: Option<&Sidecar>, port: u32) -> Option<&ConnectionPoolSettings> {
    let sidecar = sidecar?;
    let own = sidecar.ingress.iter().find(|l| l.port.as_ref().is_some_and(|p| p.number == port));
    own.and_then(|l| l.connection_pool.as_ref()).or(sidecar.inbound_connection_pool.as_ref())
}

fn local(name: &str, bind: &str, port: u32) -> ClusterLoadAssignment {
    ClusterLoadAssignment {
        cluster_name: name.into(),
        endpoints: vec![LocalityLbEndpoints {
            lb_endpoints: vec![LbEndpoint {
                host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
                    address: Some(address(bind, port)),
                    ..Endpoint::default()
                })),
                ..LbEndpoint::default()
            }],
            ..LocalityLbEndpoints::default()
        }],
        ..ClusterLoadAssignment::default()
    }
}
