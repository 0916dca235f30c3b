//! ServiceEntries as services.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use config::mesh::{Matcher, ServiceEntryVisibility, Visibility as Cap};
use config::networking::{self, ServiceEntry};
use config::{Host, Protocol, Visibility};
use litemap::LiteMap;
use tables::{Level, Reads};

use super::claims::{declared_by, traffic_distribution};
use super::{Port, Registry, Resolution, Service, TargetPort};
use crate::exports::audience;
use crate::inputs::Fact;
use crate::key::{ObjectKey, ServiceKey};
use crate::settings::Settings;
use crate::workloads::labels::{Labels, shared};
use crate::world::Ground;

const UNSPECIFIED: &str = "0.0.0.0";

/// The services of a ServiceEntry, one for each host
/// (as pilot/pkg/serviceregistry/serviceentry/conversion.go: `convertServices`).
pub(super) fn services<L: Level>(
    r: &Reads<L>,
    ground: Ground<'_>,
    key: &ObjectKey,
    fact: &Fact<ServiceEntry>,
) -> Vec<Service> {
    let Some(settings) = ground.local(r, key) else { return Vec::new() };
    let entry = &*fact.spec;
    let addresses = addresses(entry);
    // an entry none of whose addresses can be read has no place to listen on
    if addresses.is_empty() && !entry.addresses.is_empty() {
        return Vec::new();
    }
    let resolution = resolution(entry.resolution);
    let base = Service {
        key: ServiceKey { hostname: Host::from(""), namespace: key.namespace.clone() },
        name: Arc::from(""),
        registry: Registry::External,
        ports: entry.ports.iter().map(port).collect(),
        own_ports: entry.ports.len(),
        resolution,
        mesh_external: entry.location == networking::Location::MeshExternal,
        default_address: addresses.first().cloned().unwrap_or_else(|| UNSPECIFIED.into()),
        cluster_vips: LiteMap::new(),
        addresses,
        auto_allocated_v4: None,
        auto_allocated_v6: None,
        created: fact.meta.creation,
        export_to: exports(r, ground, settings, key, entry),
        labels: Arc::new(labels(settings, entry, &fact.meta)),
        selector: entry.workload_selector.as_ref().map(|s| Arc::new(shared(&s.labels))).unwrap_or_default(),
        declared_accounts: sorted(&entry.subject_alt_names),
        external_name: None,
        aliases: Vec::new(),
        external_addresses: LiteMap::new(),
        external_ports: LiteMap::new(),
        passthrough_target_ports: passthrough_ports(entry, resolution),
        node_local: false,
        traffic_distribution: traffic_distribution(r, ground, key, "", &fact.meta),
        publish_not_ready: false,
        target_ports: Arc::new(target_ports(entry)),
        declared_by: declared_by(&fact.meta),
        kube_type: Arc::from(""),
        race_connect: races(&fact.meta),
        others: Vec::new(),
        common_name_of: None,
    };
    let allocated = allocated(settings, fact);
    let hosts: BTreeSet<&String> = entry.hosts.iter().collect();
    let named = |host: &String| {
        let mut service = base.clone();
        service.key.hostname = Host::from(host.as_str());
        service.name = host.as_str().into();
        for address in allocated.get(host.as_str()).into_iter().flatten() {
            match address {
                IpAddr::V4(ip) => service.auto_allocated_v4 = Some(ip.to_string().into()),
                IpAddr::V6(ip) => service.auto_allocated_v6 = Some(ip.to_string().into()),
            }
        }
        service
    };
    hosts.into_iter().map(named).collect()
}

fn resolution(resolution: networking::Resolution) -> Resolution {
    match resolution {
        networking::Resolution::None => Resolution::Passthrough,
        networking::Resolution::Static => Resolution::ClientSideLb,
        networking::Resolution::Dns => Resolution::DnsLb,
        networking::Resolution::DnsRoundRobin => Resolution::DnsRoundRobinLb,
        networking::Resolution::DynamicDns => Resolution::DynamicDns,
    }
}

pub(crate) fn port(p: &networking::ServicePort) -> Port {
    Port { name: p.name.as_str().into(), number: p.number, protocol: Protocol::parse(&p.protocol) }
}

fn target_ports(entry: &ServiceEntry) -> LiteMap<u32, TargetPort> {
    let target = |p: &networking::ServicePort| if p.target_port > 0 { p.target_port } else { p.number };
    entry.ports.iter().map(|p| (p.number, TargetPort::Number(target(p)))).collect()
}

fn passthrough_ports(entry: &ServiceEntry, resolution: Resolution) -> LiteMap<u32, u32> {
    if resolution != Resolution::Passthrough {
        return LiteMap::new();
    }
    entry.ports.iter().filter(|p| p.target_port != 0).map(|p| (p.number, p.target_port)).collect()
}

/// Addresses and ranges that can be read; a range of one address is that address.
fn addresses(entry: &ServiceEntry) -> Vec<Arc<str>> {
    let mut out: Vec<Arc<str>> = Vec::new();
    for text in &entry.addresses {
        let address = match (text.parse::<IpAddr>(), text.parse::<ipnet::IpNet>()) {
            (Ok(_), _) => Arc::from(&**text),
            (_, Ok(net)) if net.prefix_len() == net.max_prefix_len() => net.addr().to_string().into(),
            (_, Ok(_)) => Arc::from(&**text),
            _ => continue,
        };
        if !out.contains(&address) {
            out.push(address);
        }
    }
    out
}

/// The addresses allocated to hosts, unless the entry has its own or wants none
/// (as pilot/pkg/networking/serviceentry: `ShouldV2AutoAllocateIPFromConfig`, `GetHostAddressesFromConfig`).
fn allocated<'f>(settings: &Settings, fact: &'f Fact<ServiceEntry>) -> BTreeMap<&'f str, Vec<IpAddr>> {
    let mut out: BTreeMap<&str, Vec<IpAddr>> = BTreeMap::new();
    let label = fact.meta.labels.get("networking.istio.io/enable-autoallocate-ip");
    let refused = label.is_some_and(|v| v.eq_ignore_ascii_case("false"));
    let unused = fact.spec.resolution == networking::Resolution::None || !fact.spec.addresses.is_empty();
    if refused || unused || !settings.switches.pilot_enable_ip_autoallocate {
        return out;
    }
    let status = fact.status.as_ref().and_then(|s| s.get("addresses")?.as_list());
    for address in status.unwrap_or_default() {
        let text = |name: &str| address.get(name).and_then(config::Value::as_str);
        if let (Some(host), Some(Ok(ip))) = (text("host"), text("value").map(str::parse)) {
            out.entry(host).or_default().push(ip);
        }
    }
    out
}

/// External services get canonical names as workloads have them, where that is switched on.
fn labels(settings: &Settings, entry: &ServiceEntry, meta: &config::Meta) -> Labels {
    let mut out = shared(&*meta.labels);
    let external = entry.location == networking::Location::MeshExternal;
    if external && settings.switches.label_canonical_services_for_mesh_external_service_entries {
        let first = |names: [&str; 3]| names.iter().find_map(|n| out.get(*n).cloned());
        let name = first(["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"]);
        let revision = first(["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"]);
        out.insert("service.istio.io/canonical-name".into(), name.unwrap_or_else(|| meta.name.clone()));
        out.insert("service.istio.io/canonical-revision".into(), revision.unwrap_or_else(|| "latest".into()));
    }
    out
}

fn races(meta: &config::Meta) -> bool {
    let strategy = meta.annotations.get("istio.io/connect-strategy");
    strategy.is_some_and(|s| s.eq_ignore_ascii_case("RACE_FIRST_TCP_CONNECT"))
}

fn sorted(words: &[String]) -> Vec<Arc<str>> {
    let set: BTreeSet<Arc<str>> = words.iter().map(|w| Arc::from(&**w)).collect();
    set.into_iter().collect()
}

/// `exportTo`, narrowed by MeshConfig's `serviceEntryVisibility` where that counts for sidecars
/// (as pilot/pkg/model/push_context.go: `serviceExportTo`).
fn exports<L: Level>(
    r: &Reads<L>,
    ground: Ground<'_>,
    settings: &Settings,
    key: &ObjectKey,
    entry: &ServiceEntry,
) -> BTreeSet<Visibility> {
    let words = entry.export_to.iter().map(String::as_str);
    let said = audience(words, &settings.mesh.default_service_export_to, &key.namespace);
    let Some(rules) = settings.mesh.service_entry_visibility.as_ref().filter(|v| v.apply_to_sidecars) else {
        return said;
    };
    match cap(r, ground, key, rules) {
        Cap::None => BTreeSet::from([Visibility::None]),
        Cap::Namespace if said.is_empty() || said.contains(&Visibility::Private) => {
            BTreeSet::from([Visibility::Private])
        }
        Cap::Namespace => BTreeSet::from([Visibility::None]),
        Cap::Public | Cap::VisibilityUnspecified => said,
    }
}

/// The first policy all of whose rules match the namespace, else the default.
fn cap<L: Level>(r: &Reads<L>, ground: Ground<'_>, key: &ObjectKey, rules: &ServiceEntryVisibility) -> Cap {
    let labels = ground.labels(r, key).cloned().unwrap_or_default();
    let policy = rules.policies.iter().find(|p| {
        p.matching_rules.iter().all(|rule| match &rule.matcher {
            Some(Matcher::NamespaceSelector(s)) => config::labels::selector_matches(s, &labels),
            None => false,
        })
    });
    policy.map_or(rules.default_visibility, |p| p.visibility)
}
