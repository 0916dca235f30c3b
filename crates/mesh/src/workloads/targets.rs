//! The services a proxy serves: from its own workload back to what selects it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tables::{Level, Reads};

use super::Workload;
use super::labels::{LabelSet, Labels};
use crate::endpoints::Health;
use crate::key::{ObjectKey, ServiceKey, WorkloadKey, WorkloadKind};
use crate::services::{Port, Resolution, Service, TargetPort, multicluster};
use crate::world::{ClaimsSelecting, EndpointsAt, WorkloadsAt, World};

/// What a proxy says of itself, as far as its services depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Proxy<'a> {
    /// Cluster id of its metadata; empty means the config cluster.
    pub cluster: &'a str,
    /// Namespace of its metadata.
    pub namespace: &'a str,
    /// Name of its pod or WorkloadEntry: the part of the node id before the namespace.
    pub name: &'a str,
    /// Its addresses, the primary one first.
    pub ips: &'a [Arc<str>],
    /// Labels of its metadata: they count while its pod is unknown.
    pub labels: &'a Labels,
    /// Container ports by name of its metadata (`POD_PORTS`): they count while its pod is unknown.
    pub pod_ports: &'a BTreeMap<Arc<str>, u32>,
}

/// A port of a service that a proxy serves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceTarget {
    /// The service.
    pub service: ServiceKey,
    /// Its port.
    pub port: Port,
    /// Where the workload listens for it; 0 for a unix socket.
    pub target_port: u32,
    /// Whether slices that name the workload's address say that it is not ready. Only those of services without a selector
    /// are asked.
    pub unready: bool,
}

/// Targets, each with the time its service was made, by which they are sorted.
type Found = Vec<(i64, ServiceTarget)>;

/// The service ports that a proxy's own workload serves, oldest service first, then by host name, ports as declared
/// (as pilot/pkg/model/context.go: `SetServiceTargets`, pilot/pkg/serviceregistry/aggregate:
/// `GetProxyServiceTargets`). A proxy without addresses serves nothing.
#[must_use]
pub fn service_targets<L: Level>(r: &Reads<L>, world: &World, proxy: &Proxy<'_>) -> Vec<ServiceTarget> {
    let Some(first) = proxy.ips.first() else { return Vec::new() };
    let Some(settings) = world.settings.get(r, &()) else { return Vec::new() };
    let cluster = if proxy.cluster.is_empty() { settings.cluster.clone() } else { proxy.cluster.into() };
    let mut found = of_kubernetes(r, world, proxy, &cluster, first);
    for ip in proxy.ips {
        found.extend(of_entries(r, world, proxy, ip));
    }
    found.sort_by(|(a, x), (b, y)| (a, &x.service.hostname).cmp(&(b, &y.service.hostname)));
    found.into_iter().map(|(_, target)| target).collect()
}

/// As pilot/pkg/serviceregistry/kube/controller/controller.go: `GetProxyServiceTargets`.
fn of_kubernetes<L: Level>(
    r: &Reads<L>,
    world: &World,
    proxy: &Proxy<'_>,
    cluster: &Arc<str>,
    ip: &Arc<str>,
) -> Found {
    if let Some(entry) = entry_at(r, world, proxy, cluster, ip) {
        let services = selecting(r, world, cluster, &entry.key.object.namespace, &entry.labels);
        let balanced = services.into_iter().filter(|s| s.resolution == Resolution::ClientSideLb);
        return balanced.flat_map(|s| of_entry(s, entry)).collect();
    }
    let vm = proxy.labels.get("istio.io/test-vm").is_some_and(|v| !v.is_empty());
    if let Some(pod) = pod_of(r, world, proxy, cluster, ip).filter(|_| !vm) {
        let services = selecting(r, world, cluster, &pod.key.object.namespace, &pod.labels);
        if services.is_empty() {
            return at_address(r, world, proxy, ip);
        }
        let found = services.into_iter().flat_map(|s| on_ports(s, &pod.container_ports)).collect();
        return with_common_names(r, world, cluster, found);
    }
    let services = selecting(r, world, cluster, &proxy.namespace.into(), proxy.labels);
    let found = services.into_iter().flat_map(|s| on_ports(s, proxy.pod_ports)).collect();
    with_common_names(r, world, cluster, found)
}

/// The same ports again under the common names that the services have in this cluster
/// (as pilot/pkg/serviceregistry/kube/controller/controller.go: `servicesForNamespacedName`).
fn with_common_names<L: Level>(r: &Reads<L>, world: &World, cluster: &Arc<str>, mut found: Found) -> Found {
    let Some(settings) = world.settings.get(r, &()).filter(|s| multicluster::has_common_names(&s.switches))
    else {
        return found;
    };
    let mut more = Vec::new();
    for (created, target) in &found {
        let common = multicluster::common_name(settings, &target.service);
        let row = common.as_ref().and_then(|key| world.services.get(r, key));
        if row.is_some_and(|row| row.common_name_of.is_some() && row.cluster_vips.contains_key(cluster))
            && let Some(service) = common
        {
            more.push((*created, ServiceTarget { service, ..target.clone() }));
        }
    }
    found.append(&mut more);
    found
}

/// The WorkloadEntry at an address; of several the one with the proxy's name, else one of its namespace
/// (as pilot/pkg/serviceregistry/util/workloadinstances: `GetInstanceForProxy`).
fn entry_at<'w, L: Level>(
    r: &Reads<L>,
    world: &'w World,
    proxy: &Proxy<'_>,
    cluster: &Arc<str>,
    ip: &Arc<str>,
) -> Option<&'w Arc<Workload>> {
    let mut there: Vec<_> = world.workloads.bucket::<WorkloadsAt, L>(r, ip).collect();
    there.retain(|(k, w)| {
        let usable = w.health == Health::Healthy && !w.needs_dns() && !w.labels.is_empty();
        k.kind == WorkloadKind::Entry && k.object.cluster == *cluster && usable
    });
    let own = |k: &WorkloadKey| *k.object.namespace == *proxy.namespace;
    let named = there.iter().find(|(k, _)| own(k) && *k.object.name == *proxy.name);
    named.or_else(|| there.iter().find(|(k, _)| own(k))).or(there.first()).map(|(_, w)| *w)
}

fn pod_of<'w, L: Level>(
    r: &Reads<L>,
    world: &'w World,
    proxy: &Proxy<'_>,
    cluster: &Arc<str>,
    ip: &Arc<str>,
) -> Option<&'w Arc<Workload>> {
    let object =
        ObjectKey { cluster: cluster.clone(), namespace: proxy.namespace.into(), name: proxy.name.into() };
    if let Some(pod) = world.workloads.get(r, &WorkloadKey { kind: WorkloadKind::Pod, object }) {
        return Some(pod);
    }
    let settings = world.settings.get(r, &())?;
    if !settings.switches.enable_proxy_find_pod_by_ip {
        return None;
    }
    let mut there: Vec<_> = world.workloads.bucket::<WorkloadsAt, L>(r, ip).collect();
    there.retain(|(k, _)| k.kind == WorkloadKind::Pod && k.object.cluster == *cluster);
    match *there {
        [(_, only)] => Some(only),
        _ => there.iter().find(|(k, _)| *k.object.namespace == *proxy.namespace).map(|(_, w)| *w),
    }
}

/// The Kubernetes Services of a cluster and namespace whose selector takes these labels.
fn selecting<'w, L: Level>(
    r: &Reads<L>,
    world: &'w World,
    cluster: &Arc<str>,
    namespace: &Arc<str>,
    labels: &impl LabelSet,
) -> Vec<&'w Service> {
    let mut out = Vec::new();
    for (name, value) in labels.pairs() {
        let bucket = (cluster.clone(), namespace.clone(), config::text(name), config::text(value));
        let claims = world.claims.bucket::<ClaimsSelecting, L>(r, &bucket);
        out.extend(claims.map(|(_, c)| &c.service).filter(|s| labels.has_all(&*s.selector)));
    }
    out.sort_by(|a, b| (a.created, &a.key).cmp(&(b.created, &b.key)));
    out
}

/// The ports of a service on a pod: of several with one target and protocol the first.
fn on_ports(service: &Service, named: &BTreeMap<Arc<str>, u32>) -> Found {
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for port in &service.ports {
        let target = match service.target_ports.get(&port.number) {
            Some(TargetPort::Number(number)) => Some(*number),
            Some(TargetPort::Name(name)) => named.get(name).copied(),
            None => None,
        };
        if let Some(target_port) = target
            && seen.insert((target_port, port.protocol))
        {
            out.push(found(service, port, target_port));
        }
    }
    out
}

fn of_entry(service: &Service, entry: &Workload) -> Found {
    let tcp = service.ports.iter().filter(|p| p.protocol != config::Protocol::Udp);
    let port = |p: &Port| Some(found(service, p, crate::endpoints::entry_port(service, entry, p)?));
    tcp.filter_map(port).collect()
}

fn found(service: &Service, port: &Port, target_port: u32) -> (i64, ServiceTarget) {
    let target =
        ServiceTarget { service: service.key.clone(), port: port.clone(), target_port, unready: false };
    (service.created, target)
}

/// Services without a selector whose slices name the address.
fn at_address<L: Level>(r: &Reads<L>, world: &World, proxy: &Proxy<'_>, ip: &Arc<str>) -> Found {
    let mut out = Vec::new();
    for key in world.endpoints.keys::<EndpointsAt, L>(r, &(false, ip.clone())) {
        if *key.namespace == *proxy.namespace {
            out.extend(endpoints_at(r, world, key, ip, false));
        }
    }
    out
}

/// Services of ServiceEntries of the proxy's namespace with an endpoint at the address
/// (as pilot/pkg/serviceregistry/serviceentry/controller.go: `GetProxyServiceTargets`).
fn of_entries<L: Level>(r: &Reads<L>, world: &World, proxy: &Proxy<'_>, ip: &Arc<str>) -> Found {
    let mut out = Vec::new();
    for key in world.endpoints.keys::<EndpointsAt, L>(r, &(true, ip.clone())) {
        if proxy.namespace.is_empty() || *key.namespace == *proxy.namespace {
            out.extend(endpoints_at(r, world, key, ip, true));
        }
    }
    out
}

fn endpoints_at<L: Level>(
    r: &Reads<L>,
    world: &World,
    key: &ServiceKey,
    ip: &Arc<str>,
    of_entry: bool,
) -> Found {
    let (Some(service), Some(row)) = (world.services.get(r, key), world.endpoints.get(r, key)) else {
        return Vec::new();
    };
    // under its common name a service is served where it is imported
    let is_known = |e: &&Arc<crate::endpoints::Endpoint>| {
        service.common_name_of.is_none() || service.cluster_vips.contains_key(&e.cluster)
    };
    let here = row
        .endpoints
        .iter()
        .filter(|e| e.of_service_entry() == of_entry && e.addresses.first() == Some(ip))
        .filter(is_known);
    let port = |name: &str| service.ports.iter().find(|p| *p.name == *name);
    let target = |e: &Arc<crate::endpoints::Endpoint>| {
        let (created, target) = found(service, port(&e.service_port)?, e.port);
        let unready = !of_entry && e.health == Health::Unhealthy;
        Some((created, ServiceTarget { unready, ..target }))
    };
    here.filter_map(target).collect()
}
