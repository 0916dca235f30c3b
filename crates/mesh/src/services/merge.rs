//! From claims to services: who of several declarations of one name counts, and what the others add.

use std::collections::BTreeSet;
use std::sync::Arc;

use litemap::LiteMap;
use tables::{Level, Reads, Table};

use super::{Claim, Registry, Resolution, Service, multicluster};
use crate::inputs::{ClaimKey, ServiceImportFacts};
use crate::key::ServiceKey;
use crate::world::{Claims, ClaimsAliasing, Ground};

/// Stage: the service of a name, and under its common name if it is imported.
///
/// A Kubernetes Service takes precedence over ServiceEntries, the older ServiceEntry over the younger
/// (as pilot/pkg/model/push_context.go: `initServiceRegistry`). Services of several clusters are one, whose words
/// are those of the config cluster, else of the first cluster by name
/// (as pilot/pkg/serviceregistry/aggregate: `mergeService`).
pub(crate) fn service<'m, L: Level>(
    r: &Reads<L>,
    ground: Ground<'_>,
    claims: &Table<Claims>,
    imports: &Table<ServiceImportFacts>,
    key: &ServiceKey,
    members: &mut dyn Iterator<Item = (&'m ClaimKey, &'m Arc<Claim>)>,
) -> Vec<(ServiceKey, Service)> {
    let Some(settings) = ground.settings(r) else { return Vec::new() };
    let (mut kube, mut entries): (Vec<_>, Vec<_>) = members.partition(|(k, _)| !k.1.entry);
    kube.sort_by_key(|(k, _)| (k.1.object.cluster != settings.cluster, &k.1));
    entries.sort_by_key(|(k, c)| (c.service.created, &k.1));
    let kube: Vec<&Service> = kube.into_iter().map(|(_, c)| &c.service).collect();
    let entries: Vec<&Service> = entries.into_iter().map(|(_, c)| &c.service).collect();
    let Some(mut service) = of_clusters(&kube).or_else(|| of_entries(&entries)) else { return Vec::new() };
    if kube.is_empty() && multicluster::is_taken(r, ground, settings, claims, imports, key) {
        return Vec::new();
    }
    let others = if kube.is_empty() { entries.get(1..).unwrap_or_default() } else { &entries };
    service.others = others.iter().map(|s| Arc::new((*s).clone())).collect();
    service.declared_by.extend(others.iter().flat_map(|s| s.declared_by.iter().cloned()));
    if service.resolution != Resolution::Alias {
        service.aliases = aliases(r, claims, key);
    }
    let mut imported = None;
    if !kube.is_empty() {
        imported = multicluster::imported(r, ground, settings, imports, &service);
    }
    if let Some(imported) = imported.as_mut().filter(|i| i.resolution != Resolution::Alias) {
        imported.aliases = aliases(r, claims, &imported.key);
    }
    [service].into_iter().chain(imported).map(|service| (service.key.clone(), service)).collect()
}

fn of_clusters(services: &[&Service]) -> Option<Service> {
    let (first, others) = services.split_first()?;
    let mut out = (*first).clone();
    for other in others {
        let absent = |mine: &mut LiteMap<Arc<str>, Vec<Arc<str>>>, theirs: &_| {
            for (cluster, addresses) in theirs {
                mine.entry(Arc::clone(cluster)).or_insert_with(|| Vec::clone(addresses));
            }
        };
        absent(&mut out.cluster_vips, &other.cluster_vips);
        absent(&mut out.external_addresses, &other.external_addresses);
        for (cluster, ports) in &other.external_ports {
            out.external_ports.entry(cluster.clone()).or_insert_with(|| ports.clone());
        }
        out.declared_accounts.extend(other.declared_accounts.iter().cloned());
        for name in &other.declared_by {
            if !out.declared_by.contains(name) {
                out.declared_by.push(name.clone());
            }
        }
    }
    out.declared_accounts.sort();
    out.declared_accounts.dedup();
    Some(out)
}

/// The oldest, with the ports that others add who agree with it in everything that matters
/// (as pilot/pkg/model/sidecar.go: `appendSidecarServices`, `canMergeServices`).
fn of_entries(services: &[&Service]) -> Option<Service> {
    let (first, others) = services.split_first()?;
    let mut out = (*first).clone();
    for other in others {
        let agrees = other.registry == Registry::External
            && other.resolution == out.resolution
            && other.labels == out.labels
            && other.selector == out.selector
            && other.export_to == out.export_to;
        for port in other.ports.iter().filter(|_| agrees) {
            if out.port(port.number).is_none() {
                out.ports.push(port.clone());
                if let Some(target) = other.target_ports.get(&port.number) {
                    Arc::make_mut(&mut out.target_ports).insert(port.number, target.clone());
                }
            }
        }
    }
    Some(out)
}

/// The ExternalName services that stand for this name, at first or at second hand
/// (as pilot/pkg/model/push_context.go: `resolveServiceAliases`). Names that stand for each other in a circle are
/// never reached from a service that is none of them.
fn aliases<L: Level>(r: &Reads<L>, claims: &Table<Claims>, key: &ServiceKey) -> Vec<ServiceKey> {
    let mut found: BTreeSet<(Arc<str>, ServiceKey)> = BTreeSet::new();
    let mut open = vec![key.hostname.clone()];
    while let Some(host) = open.pop() {
        for alias in claims.keys::<ClaimsAliasing, L>(r, &host) {
            let alias = &alias.0;
            if alias.hostname != key.hostname && found.insert((alias.namespace.clone(), alias.clone())) {
                open.push(alias.hostname.clone());
            }
        }
    }
    found.into_iter().map(|(_, alias)| alias).collect()
}
