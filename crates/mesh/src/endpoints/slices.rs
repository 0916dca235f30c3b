//! Endpoints of a Kubernetes Service: its EndpointSlices, and WorkloadEntries that its selector selects.

use std::collections::BTreeSet;
use std::sync::Arc;

use config::Shared;
use config::kubernetes as kube;
use tables::{Level, Reads};

use super::build::Sources;
use super::entries::candidates;
use super::{Endpoint, Health, Locality};
use crate::inputs::Fact;
use crate::key::{ObjectKey, WorkloadKey, WorkloadKind};
use crate::networks::network_of;
use crate::services::{Resolution, Service, TargetPort, TrafficDistribution};
use crate::settings::Settings;
use crate::workloads::labels::{LabelSet, Place, WorkloadLabels};
use crate::workloads::{Attributes, Workload};
use crate::world::{SlicesOf, WorkloadsAt};

/// The label of slices that other clusters exported; they belong to another service.
const IMPORTED: &str = "multicluster.kubernetes.io/service-name";

/// What the slices of the Service say
/// (as pilot/pkg/serviceregistry/kube/controller/endpointslice.go: `updateEndpointCacheForSlice`), and into `podless`
/// what they say of pods that are not known.
pub(super) fn endpoints<L: Level>(
    r: &Reads<L>,
    sources: Sources<'_>,
    settings: &Settings,
    key: &ObjectKey,
    service: &Service,
    podless: &mut Vec<(Arc<str>, Arc<str>)>,
) -> Vec<Endpoint> {
    let bucket = (key.namespace.clone(), key.name.clone());
    let mut slices: Vec<_> = sources.slices.bucket::<SlicesOf, L>(r, &bucket).collect();
    slices.retain(|(k, s)| {
        let usable = s.spec.address_type != "FQDN" && !s.meta.labels.contains_key(IMPORTED);
        k.cluster == key.cluster && usable
    });
    // slices made here from an Endpoints object step back for real ones
    if slices.iter().any(|(k, _)| !k.name.contains('~')) {
        slices.retain(|(k, _)| !k.name.contains('~'));
    }
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for (slice_key, slice) in slices {
        for endpoint in &slice.spec.endpoints {
            let found = of_endpoint(r, sources, settings, (slice_key, slice), endpoint, service, podless);
            out.extend(
                found
                    .into_iter()
                    .filter(|e| seen.insert((e.addresses.first().cloned(), e.service_port.clone()))),
            );
        }
    }
    out
}

fn of_endpoint<L: Level>(
    r: &Reads<L>,
    sources: Sources<'_>,
    settings: &Settings,
    (key, slice): (&ObjectKey, &Fact<kube::EndpointSlice>),
    endpoint: &kube::Endpoint,
    service: &Service,
    podless: &mut Vec<(Arc<str>, Arc<str>)>,
) -> Vec<Endpoint> {
    let health = health(settings, service, &endpoint.conditions);
    let send_unhealthy = sends_unhealthy(settings, service);
    let target = endpoint.target_ref.as_ref().filter(|t| &*t.kind == "Pod");
    let mut out = Vec::new();
    for address in &endpoint.addresses {
        let pod = pod(r, sources, key, target, address);
        if pod.is_none() && target.is_some() {
            // it will be there once its pod is known: without it nobody knows who answers
            podless.push((key.cluster.clone(), address.clone()));
            continue;
        }
        let vips = service.cluster_vips.get(&key.cluster).map_or(0, Vec::len);
        let both = pod.map_or(0, |p| p.addresses.len()) > 1 && target.is_some() && vips > 1;
        let mut addresses = vec![address.clone()];
        if settings.switches.istio_dual_stack && both {
            if slice.spec.address_type == "IPv6" {
                continue; // the IPv4 slice has this pod, with both of its addresses
            }
            addresses = pod.map_or(addresses, |p| p.addresses.clone());
        }
        let base = match pod {
            Some(pod) => from_workload(r, sources, settings, pod, address),
            None => without_pod(r, sources, settings, key, address),
        };
        for port in &slice.spec.ports {
            out.push(Endpoint {
                addresses: addresses.clone(),
                port: port.port.and_then(|p| u32::try_from(p).ok()).unwrap_or(0),
                service_port: config::text(&port.name),
                health,
                send_unhealthy,
                ..base.clone()
            });
        }
    }
    out
}

/// The pod of an endpoint: the one it names, else one at its address in the same namespace.
fn pod<'a, L: Level>(
    r: &Reads<L>,
    sources: Sources<'a>,
    key: &ObjectKey,
    target: Option<&kube::TargetRef>,
    address: &str,
) -> Option<&'a Arc<Workload>> {
    if let Some(target) = target {
        let namespace =
            if target.namespace.is_empty() { key.namespace.clone() } else { target.namespace.clone() };
        let object = ObjectKey { cluster: key.cluster.clone(), namespace, name: target.name.clone() };
        return sources.workloads.get(r, &WorkloadKey { kind: WorkloadKind::Pod, object });
    }
    let mut there = sources.workloads.bucket::<WorkloadsAt, L>(r, &address.into());
    let own = |k: &WorkloadKey, w: &Workload| {
        let first = w.addresses.first().is_some_and(|a| &**a == address);
        let place = k.object.cluster == key.cluster && k.object.namespace == key.namespace;
        k.kind == WorkloadKind::Pod && first && place && w.health == Health::Healthy
    };
    there.find(|(k, w)| own(k, w)).map(|(_, w)| w)
}

/// An endpoint at a workload, without its port.
pub(super) fn from_workload<L: Level>(
    r: &Reads<L>,
    sources: Sources<'_>,
    settings: &Settings,
    workload: &Workload,
    address: &str,
) -> Endpoint {
    let mut attributes = workload.attributes.clone();
    if attributes.network.is_empty() && workload.key.kind == WorkloadKind::Pod {
        let network =
            network_of(r, sources.ground, settings, &attributes.cluster, address, &attributes.labels);
        if !network.is_empty() {
            Arc::make_mut(&mut attributes).network = network;
        }
    }
    Endpoint { addresses: workload.addresses.clone(), attributes, ..Endpoint::default() }
}

fn without_pod<L: Level>(
    r: &Reads<L>,
    sources: Sources<'_>,
    settings: &Settings,
    key: &ObjectKey,
    address: &str,
) -> Endpoint {
    let network = network_of(r, sources.ground, settings, &key.cluster, address, &config::Labels::new());
    let place = Place { cluster: &key.cluster, network: &network, node: "", locality: &Locality::default() };
    let attributes = Attributes {
        labels: WorkloadLabels::new(Shared::default(), &place),
        cluster: key.cluster.clone(),
        tls_mode: config::text("disabled"),
        network,
        ..Attributes::default()
    };
    Endpoint { attributes: Arc::new(attributes), ..Endpoint::default() }
}

/// As pilot/pkg/serviceregistry/kube/controller/endpointslice.go: `endpointHealthStatus`; an unknown condition counts
/// as true.
fn health(settings: &Settings, service: &Service, conditions: &kube::EndpointConditions) -> Health {
    if conditions.ready.unwrap_or(true) {
        return Health::Healthy;
    }
    let terminating = conditions.terminating.unwrap_or(true);
    match (terminating, drains(settings, service) && conditions.serving.unwrap_or(true)) {
        (true, true) => Health::Draining,
        (true, false) => Health::Terminating,
        (false, _) => Health::Unhealthy,
    }
}

/// Only services with persistent sessions keep endpoints that are going away.
fn drains(settings: &Settings, service: &Service) -> bool {
    let switches = &settings.switches;
    let has = |label: &str| !label.is_empty() && service.labels.get(label).is_some_and(|v| !v.is_empty());
    has(&switches.pilot_persistent_session_label) || has(&switches.pilot_persistent_session_header_label)
}

/// As pilot/pkg/model/service.go: `SupportsUnhealthyEndpoints`.
fn sends_unhealthy(settings: &Settings, service: &Service) -> bool {
    let switches = &settings.switches;
    switches.pilot_auto_send_unhealthy_endpoints
        || switches.pilot_send_unhealthy_endpoints
        || service.traffic_distribution != TrafficDistribution::Any
}

/// WorkloadEntries of the same cluster that the selector selects
/// (as pilot/pkg/serviceregistry/kube/controller/controller.go: `serviceInstancesFromWorkloadInstances`).
pub(super) fn selected<L: Level>(
    r: &Reads<L>,
    sources: Sources<'_>,
    settings: &Settings,
    key: &ObjectKey,
    service: &Service,
) -> Vec<Endpoint> {
    let balanced = service.resolution == Resolution::ClientSideLb && !service.mesh_external;
    if service.selector.is_empty() || !balanced || !settings.switches.pilot_enable_k8s_select_workload_entries
    {
        return Vec::new();
    }
    let mut out = Vec::new();
    for entry in candidates(r, sources.workloads, WorkloadKind::Entry, &key.namespace, &service.selector) {
        let usable = entry.health == Health::Healthy && !entry.needs_dns();
        if !usable || entry.key.object.cluster != key.cluster || !entry.labels.has_all(&*service.selector) {
            continue;
        }
        let base = from_workload(r, sources, settings, entry, "");
        for port in &service.ports {
            if let Some(number) = entry_port(service, entry, port) {
                out.push(Endpoint {
                    port: number,
                    service_port: port.name.clone(),
                    external: true,
                    ..base.clone()
                });
            }
        }
    }
    out
}

/// The port of a WorkloadEntry that a Service means: its own word for the (target) port name goes first.
pub(crate) fn entry_port(service: &Service, entry: &Workload, port: &crate::services::Port) -> Option<u32> {
    match service.target_ports.get(&port.number) {
        Some(TargetPort::Name(name)) => entry.port_overrides.get(name).copied().filter(|n| *n != 0),
        Some(TargetPort::Number(number)) => {
            let own =
                entry.port_overrides.get(&port.name).copied().filter(|n| *n != 0 && !port.name.is_empty());
            Some(own.unwrap_or(*number))
        }
        None => Some(port.number),
    }
}
