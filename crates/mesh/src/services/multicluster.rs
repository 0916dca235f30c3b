//! Services of several clusters by the Multi-Cluster Services API: who sees the endpoints of which cluster, and the
//! common name `<service>.<namespace>.svc.clusterset.local` that an imported service has everywhere
//! (as pilot/pkg/serviceregistry/kube/controller: `serviceexportcache.go`, `serviceimportcache.go`).

use std::net::IpAddr;
use std::sync::Arc;

use config::host::{self, CLUSTER_SET};
use config::{Host, Switches};
use litemap::LiteMap;
use tables::{Level, Reads, Table};

use super::Service;
use crate::inputs::ServiceImportFacts;
use crate::key::ServiceKey;
use crate::settings::Settings;
use crate::world::{Claims, ClaimsOn, Ground, ImportsOf};

/// Whether imported services have their common names (as pilot/pkg/features: `EnableMCSHost`).
#[must_use]
pub fn has_common_names(switches: &Switches) -> bool {
    switches.enable_mcs_host && switches.enable_mcs_service_discovery
}

/// Whether under its own name a service is called in the caller's cluster only (as pilot/pkg/features:
/// `EnableMCSClusterLocal`).
fn own_names_stay(switches: &Switches) -> bool {
    switches.enable_mcs_cluster_local && has_common_names(switches)
}

/// Whether endpoints of a service in `cluster` are for callers of that cluster only, `exported` being whether the service
/// has a ServiceExport there (as `EndpointDiscoverabilityPolicy`).
#[must_use]
pub fn stays_in_cluster(settings: &Settings, service: &Service, cluster: &str, exported: bool) -> bool {
    let switches = &settings.switches;
    if !switches.enable_mcs_service_discovery {
        return false;
    }
    match service.common_name_of {
        // where it is not imported nobody knows it by that name
        Some(_) => !service.cluster_vips.contains_key(cluster) || !exported,
        None => own_names_stay(switches) || !exported,
    }
}

/// The common name of a service of Kubernetes; `None` for a host of another domain.
pub(crate) fn common_name(settings: &Settings, key: &ServiceKey) -> Option<ServiceKey> {
    let short = key.hostname.as_str().strip_suffix(&*settings.domain)?.strip_suffix(".svc.")?;
    let hostname = Host::from(format!("{short}.svc.{CLUSTER_SET}").as_str());
    Some(ServiceKey { hostname, namespace: key.namespace.clone() })
}

/// The service under its common name, with the addresses that ServiceImports give it; `None` if they give none.
pub(super) fn imported<L: Level>(
    r: &Reads<L>,
    ground: Ground<'_>,
    settings: &Settings,
    imports: &Table<ServiceImportFacts>,
    service: &Service,
) -> Option<Service> {
    if !has_common_names(&settings.switches) {
        return None;
    }
    let vips = vips(r, ground, imports, &service.key.namespace, &service.name);
    let first = vips.get(&settings.cluster).or_else(|| vips.values().next())?.first()?;
    Some(Service {
        key: common_name(settings, &service.key)?,
        default_address: first.clone(),
        cluster_vips: vips,
        aliases: Vec::new(),
        others: Vec::new(),
        common_name_of: Some(service.key.clone()),
        ..service.clone()
    })
}

/// Whether a host that ServiceEntries declare is the common name of an imported service, which goes before them.
pub(super) fn is_taken<L: Level>(
    r: &Reads<L>,
    ground: Ground<'_>,
    settings: &Settings,
    claims: &Table<Claims>,
    imports: &Table<ServiceImportFacts>,
    key: &ServiceKey,
) -> bool {
    if !has_common_names(&settings.switches) {
        return false;
    }
    let end = format!(".{}.svc.{CLUSTER_SET}", key.namespace);
    let Some(name) = key.hostname.as_str().strip_suffix(&end) else { return false };
    let own = host::service(name, &key.namespace, &settings.domain);
    let own = ServiceKey { hostname: Host::from(own.as_str()), namespace: key.namespace.clone() };
    claims.keys::<ClaimsOn, L>(r, &own).any(|claim| !claim.1.entry)
        && !vips(r, ground, imports, &key.namespace, &name.into()).is_empty()
}

/// The addresses of a common name by cluster, sorted; clusters without any are left out.
fn vips<L: Level>(
    r: &Reads<L>,
    ground: Ground<'_>,
    imports: &Table<ServiceImportFacts>,
    namespace: &Arc<str>,
    name: &Arc<str>,
) -> LiteMap<Arc<str>, Vec<Arc<str>>> {
    let named = imports.bucket::<ImportsOf, L>(r, &(namespace.clone(), name.clone()));
    let seen = named.filter(|(key, _)| ground.seen(r, key).is_some());
    let of = seen.map(|(key, import)| {
        let ips = import.spec.ips.iter().filter(|ip| ip.parse::<IpAddr>().is_ok());
        let mut ips: Vec<Arc<str>> = ips.map(|ip| Arc::from(&**ip)).collect();
        ips.sort();
        (key.cluster.clone(), ips)
    });
    of.filter(|(_, ips)| !ips.is_empty()).collect()
}
