//! Endpoints of ServiceEntries: inline ones, selected workloads, or the host itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use config::networking::{ServiceEntry, ServicePort};
use tables::{Level, Reads, Table};

use super::build::Sources;
use super::slices::from_workload;
use super::{Endpoint, Health};
use crate::inputs::Fact;
use crate::key::{ObjectKey, WorkloadKey, WorkloadKind};
use crate::services::{Resolution, Service};
use crate::settings::Settings;
use crate::workloads::labels::{LabelSet, Labels, looked_up, shared};
use crate::workloads::{Attributes, Workload, entries};
use crate::world::{Workloads, WorkloadsLabelled, WorkloadsOf};

/// A ServiceEntry, and the service it claims.
pub(super) type Said<'a> = (&'a ObjectKey, &'a Fact<ServiceEntry>, &'a Service);

/// The endpoints of all ServiceEntries of one name, oldest first
/// (as pilot/pkg/serviceregistry/serviceentry/conversion.go: `services`, `mergeServicesInstancesByNamespaceHost`).
pub(super) fn endpoints<L: Level>(
    r: &Reads<L>,
    sources: Sources<'_>,
    settings: &Settings,
    said: &[Said<'_>],
) -> Vec<Endpoint> {
    let mut out = Vec::new();
    let mut taken = BTreeSet::new();
    for (key, fact, service) in said {
        for endpoint in of_entry(r, sources, settings, key, fact, service) {
            // logical DNS has room for one endpoint of a port
            let first = taken.insert(endpoint.service_port_number);
            if first || service.resolution != Resolution::DnsRoundRobinLb {
                out.push(endpoint);
            }
        }
    }
    out
}

fn of_entry<L: Level>(
    r: &Reads<L>,
    sources: Sources<'_>,
    settings: &Settings,
    key: &ObjectKey,
    fact: &Fact<ServiceEntry>,
    service: &Service,
) -> Vec<Endpoint> {
    let entry = &*fact.spec;
    let dns = matches!(service.resolution, Resolution::DnsLb | Resolution::DnsRoundRobinLb);
    if let Some(selector) = &entry.workload_selector {
        let workloads = select(r, sources, settings, key, &shared(&selector.labels), dns);
        let ports = |w: &Arc<Workload>| {
            let mut base = from_workload(r, sources, settings, w, "");
            base.send_unhealthy = w.key.kind == WorkloadKind::Pod
                && (settings.switches.pilot_send_unhealthy_endpoints
                    || settings.switches.pilot_auto_send_unhealthy_endpoints);
            on_ports(&base, w, &entry.ports)
        };
        return workloads.into_iter().flat_map(ports).collect();
    }
    if entry.endpoints.is_empty() && dns {
        return entry.ports.iter().map(|p| host(settings, key, service, p)).collect();
    }
    let inline = entry.endpoints.iter().enumerate().flat_map(|(at, endpoint)| {
        let name: Arc<str> = format!("{}-{at}", key.name).into();
        let object = ObjectKey { name: name.clone(), ..(*key).clone() };
        let own = WorkloadKey { kind: WorkloadKind::Entry, object };
        let labels = endpoint.labels.clone();
        let workload = entries::instance(r, sources.ground, settings, &own, endpoint, labels, name);
        on_ports(&from_workload(r, sources, settings, &workload, ""), &workload, &entry.ports)
    });
    inline.collect()
}

/// The host itself as the endpoint of a port: proxies resolve it.
fn host(settings: &Settings, key: &ObjectKey, service: &Service, port: &ServicePort) -> Endpoint {
    let attributes = Attributes {
        cluster: settings.cluster.clone(),
        tls_mode: config::text("disabled"),
        namespace: key.namespace.clone(),
        workload: key.name.clone(),
        ..Attributes::default()
    };
    Endpoint {
        addresses: vec![service.name.clone()],
        port: if port.target_port > 0 { port.target_port } else { port.number },
        service_port: port.name.as_str().into(),
        attributes: Arc::new(attributes),
        external: true,
        service_port_number: port.number,
        ..Endpoint::default()
    }
}

/// Healthy workloads of the namespace, Pods before WorkloadEntries.
fn select<'a, L: Level>(
    r: &Reads<L>,
    sources: Sources<'a>,
    settings: &Settings,
    key: &ObjectKey,
    selector: &Labels,
    dns: bool,
) -> Vec<&'a Arc<Workload>> {
    let mut found = candidates(r, sources.workloads, WorkloadKind::Entry, &key.namespace, selector);
    if settings.switches.pilot_enable_serviceentry_select_pods {
        found.extend(candidates(r, sources.workloads, WorkloadKind::Pod, &key.namespace, selector));
    }
    found.retain(|w| w.health == Health::Healthy && (dns || !w.needs_dns()) && w.labels.has_all(selector));
    found.sort_by_key(|w| (w.key.kind, &w.key.object.namespace, &w.key.object.name, &w.key.object.cluster));
    found
}

/// Workloads of a kind and namespace: all that have the labels of a selector, and maybe others.
pub(super) fn candidates<'a, L: Level>(
    r: &Reads<L>,
    workloads: &'a Table<Workloads>,
    kind: WorkloadKind,
    namespace: &Arc<str>,
    selector: &Labels,
) -> Vec<&'a Arc<Workload>> {
    if let Some((label, value)) = looked_up(selector) {
        let bucket = (kind, namespace.clone(), label.clone(), value.clone());
        return workloads.bucket::<WorkloadsLabelled, L>(r, &bucket).map(|(_, w)| w).collect();
    }
    let all = workloads.bucket::<WorkloadsOf, L>(r, namespace);
    all.filter(|(key, _)| key.kind == kind).map(|(_, w)| w).collect()
}

/// One endpoint for each port: a unix socket has no number, the workload's word goes before the entry's.
fn on_ports(base: &Endpoint, workload: &Workload, ports: &[ServicePort]) -> Vec<Endpoint> {
    let unix = workload.addresses.first().is_some_and(|a| a.starts_with("unix://"));
    let number = |port: &ServicePort| {
        let named = workload
            .port_overrides
            .get(port.name.as_str())
            .or_else(|| workload.container_ports.get(port.name.as_str()));
        match named.copied().filter(|n| *n > 0) {
            _ if unix => 0,
            Some(number) => number,
            None if port.target_port > 0 => port.target_port,
            None => port.number,
        }
    };
    let on = |port: &ServicePort| Endpoint {
        port: number(port),
        service_port: port.name.as_str().into(),
        service_port_number: port.number,
        external: workload.key.kind == WorkloadKind::Entry,
        ..base.clone()
    };
    ports.iter().map(on).collect()
}
