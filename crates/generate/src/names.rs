//! The name table (NDS): what a proxy's agent answers to DNS questions
//! (as pkg/dns/server/name_table.go: `BuildNameTable`).

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use mesh::World;
use mesh::endpoints::Health;
use mesh::services::{Registry, Resolution, Service};
use proto::istio::networking::nds::v1::{NameTable, name_table::NameInfo};
use tables::{Level, Reads};

use crate::addresses;
use crate::encoded::{Resource, TypeName};
use crate::provenance::{self, Origin};
use crate::proxy::Proxy;
use crate::scope::Services;

/// Suffix of multi-cluster service hosts, which have no short names.
const CLUSTERSET: &str = ".clusterset.local";

/// The table of a proxy whose egress listeners have these services; its resource name is empty, as upstream's.
pub fn table<L: Level>(r: &Reads<L>, world: &World, proxy: &Proxy, services: &[Services]) -> Resource {
    let mut out = NameTable::default();
    provenance::resource(
        r,
        TypeName::NameTable,
        || "",
        || {
            provenance::note(r, || ("", Origin::default("the names of all services that the proxy sees")));
        },
    );
    for services in services {
        for scoped in services.iter() {
            if let Some(service) = world.services.get(r, &scoped.key) {
                add(r, world, proxy, service, &mut out.table);
            }
        }
    }
    Resource::encode("", &out)
}

fn registry(service: &Service) -> String {
    match service.registry {
        Registry::Kubernetes => "Kubernetes".into(),
        Registry::External => "External".into(),
    }
}

fn add<L: Level>(
    r: &Reads<L>,
    world: &World,
    proxy: &Proxy,
    service: &Service,
    table: &mut BTreeMap<String, NameInfo>,
) {
    let settings = crate::settings(r, world);
    let host = service.key.hostname.as_str();
    let all = addresses::all(settings, proxy, service);
    let headless = all.iter().any(|a| &**a == addresses::UNSPECIFIED);
    let mut ips: Vec<String> = all
        .iter()
        .take_while(|a| &***a != addresses::UNSPECIFIED)
        .filter(|a| a.parse::<IpAddr>().is_ok())
        .map(ToString::to_string)
        .collect();
    if ips.len() == 1 && service.registry == Registry::External && service.addresses.len() > 1 {
        // Each address of a ServiceEntry is one that callers may use.
        ips = service
            .addresses
            .iter()
            .filter(|a| a.parse::<IpAddr>().is_ok())
            .map(ToString::to_string)
            .collect();
    }
    if headless && service.resolution == Resolution::Passthrough && !service.ports.is_empty() {
        headless_names(r, world, proxy, service, &mut ips, table);
    }
    if ips.is_empty() {
        return;
    }
    provenance::resource(
        r,
        TypeName::NameTable,
        || "",
        || {
            provenance::note(r, || (format!("table[{host}]"), Origin::service(service, None)));
        },
    );
    let kube = service.registry == Registry::Kubernetes;
    let named = kube && !host.ends_with(CLUSTERSET);
    let info = NameInfo {
        ips,
        registry: registry(service),
        namespace: if named { service.key.namespace.to_string() } else { String::new() },
        shortname: if named { service.name.to_string() } else { String::new() },
        ..NameInfo::default()
    };
    match table.get_mut(host) {
        None => {
            table.insert(host.to_owned(), info);
        }
        Some(held) if held.registry == "Kubernetes" => {}
        Some(held) if kube => *held = info,
        Some(held) => held.ips.extend(info.ips),
    }
}

/// Addresses of a headless service, and a name for each of its pods that has one.
fn headless_names<L: Level>(
    r: &Reads<L>,
    world: &World,
    proxy: &Proxy,
    service: &Service,
    ips: &mut Vec<String>,
    table: &mut BTreeMap<String, NameInfo>,
) {
    let multicluster = crate::settings(r, world).switches.enable_multicluster_headless;
    let Some(rows) = world.endpoints.get(r, &service.key) else { return };
    let mut seen = HashSet::new();
    let mut local: BTreeMap<String, NameInfo> = BTreeMap::new();
    let mut remote: BTreeMap<String, NameInfo> = BTreeMap::new();
    for row in &rows.endpoints {
        let valid = !row.addresses.is_empty() && row.addresses.iter().all(|a| a.parse::<IpAddr>().is_ok());
        if !valid
            || (!service.publish_not_ready && row.health != Health::Healthy)
            || !seen.insert(row.addresses[0].clone())
        {
            continue;
        }
        let near = proxy.network.is_empty() || row.network.is_empty() || proxy.network == row.network;
        let same = proxy.cluster.is_empty() || row.cluster.is_empty() || proxy.cluster == row.cluster;
        let all = || row.addresses.iter().map(ToString::to_string);
        if !row.subdomain.is_empty()
            && near
            && let Some((_, domain)) = service.key.hostname.as_str().split_once('.')
        {
            let short = format!("{}.{}", row.hostname, row.subdomain);
            let info = if same { &mut local } else { &mut remote }
                .entry(format!("{short}.{domain}"))
                .or_insert_with(|| NameInfo {
                    registry: registry(service),
                    namespace: service.key.namespace.to_string(),
                    shortname: short,
                    ..NameInfo::default()
                });
            info.ips.extend(all());
        }
        if near && (same || multicluster) {
            ips.extend(all());
        }
    }
    remote.retain(|host, _| !local.contains_key(host));
    table.extend(local);
    table.extend(remote);
}
