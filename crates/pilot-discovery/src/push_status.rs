//! What is odd about the mesh as it stands, under the names of upstream's gauges (pilot/pkg/model/push_context.go).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Weak};

use config::host;
use config::networking::Subset;
use generate::{Class, Finding};
use mesh::World;
use mesh::services::Resolution;
use mesh::workloads::LabelSet as _;
use parking_lot::Mutex;
use process::metrics::Metrics;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::gauge::ConstGauge;
use rustc_hash::FxHashSet;
use serde::Serialize;
use serde_json::{Value, json};
use tables::{Revision, Snapshot as _};

use crate::catalog::MeshCatalog;

#[cfg(test)]
mod tests;

const WITHOUT_ENDPOINTS: &str = "pilot_eds_no_instances";
const WITHOUT_NAMES: &str = "pilot_dns_cluster_without_endpoints";
const WITHOUT_POD: &str = "endpoint_no_pod";
const PENDING_PODS: &str = "pilot_k8s_endpoints_pending_pod";
const REPEATED_SUBSETS: &str = "pilot_destrule_subsets";
const REPEATED_DOMAINS: &str = "pilot_vservice_dup_domain";
const OUTBOUND_CONFLICTS: &str = "pilot_conflict_outbound_listener_tcp_over_current_tcp";
const INBOUND_CONFLICTS: &str = "pilot_conflict_inbound_listener";
const UNREADY: &str = "pilot_endpoint_not_ready";

/// Name and meaning of each gauge.
const GAUGES: [(&str, &str); 11] = [
    (WITHOUT_ENDPOINTS, "Clusters that have no endpoints: ports of services, and of their subsets."),
    (WITHOUT_NAMES, "Clusters that are resolved by name and have no names to resolve."),
    (WITHOUT_POD, "Services with endpoints whose pods are not known."),
    (PENDING_PODS, "Addresses of endpoints whose pods are not known."),
    (REPEATED_SUBSETS, "Hosts with subsets that several destination rules declare."),
    (REPEATED_DOMAINS, "Virtual hosts that lack domains which others have."),
    (OUTBOUND_CONFLICTS, "Listeners with services that have no place, as others have their conditions."),
    (INBOUND_CONFLICTS, "Proxies with a port on which services want different protocols."),
    (UNREADY, "Proxies whose workload is not ready, as slices of services without a selector say."),
    // upstream declares these as well; the first is of a case that cannot be here, and it never counts the second
    ("pilot_duplicate_envoy_clusters", "Always 0: a host has one cluster per port and subset."),
    ("pilot_no_ip", "Always 0."),
];

/// What is odd, by gauge and by the key that upstream counts it under.
type Odd = BTreeMap<&'static str, BTreeMap<String, Entry>>;

/// As pilot/pkg/model/push_context.go: `ProxyPushStatus`.
#[derive(Debug, Default, Serialize)]
struct Entry {
    /// The proxy, `pod.namespace`; empty for what concerns all of them.
    #[serde(skip_serializing_if = "String::is_empty")]
    proxy: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
}

/// Subsets that destination rules of whichever namespace declare.
struct Subsets<'w> {
    of_host: BTreeMap<&'w str, Vec<&'w Subset>>,
    of_many: Vec<(&'w str, &'w [Subset])>,
}

impl<'w> Subsets<'w> {
    fn of(world: &'w World) -> Self {
        let mut out = Self { of_host: BTreeMap::new(), of_many: Vec::new() };
        for (_, row) in world.rules.iter() {
            let host = row.host.as_str();
            let all = row.rules.iter().chain(&row.exported).chain(&row.private);
            for rule in all.filter(|rule| !rule.rule.subsets.is_empty()) {
                if host::is_wildcard(host) {
                    out.of_many.push((host, &rule.rule.subsets));
                } else {
                    out.of_host.entry(host).or_default().extend(&rule.rule.subsets);
                }
            }
        }
        out
    }

    /// Those that there are of a service.
    fn named(&self, service: &str) -> Vec<&'w Subset> {
        let many = self.of_many.iter().filter(|(wild, _)| host::subset_of(service, wild));
        let many = many.flat_map(|(_, subsets)| subsets.iter());
        self.of_host.get(service).into_iter().flatten().copied().chain(many).collect()
    }
}

/// Clusters of services that proxies reach through endpoints, and that have none: the gauge that counts it, and its name.
fn bare_clusters(world: &World) -> Vec<(&'static str, String)> {
    let subsets = Subsets::of(world);
    let mut out = Vec::new();
    for (key, service) in world.services.iter() {
        let gauge = match service.resolution {
            Resolution::ClientSideLb => WITHOUT_ENDPOINTS,
            Resolution::DnsLb | Resolution::DnsRoundRobinLb => WITHOUT_NAMES,
            _ => continue,
        };
        let host = key.hostname.as_str();
        let subsets = subsets.named(host);
        let endpoints = world.endpoints.peek(key).map_or(&[][..], |row| &row.endpoints);
        for port in &service.ports {
            let mut here = endpoints.iter().filter(|endpoint| endpoint.service_port == port.name);
            let bare =
                subsets.iter().filter(|s| !here.clone().any(|endpoint| endpoint.labels.has_all(&s.labels)));
            let cluster = |subset: &str| format!("outbound|{}|{subset}|{host}", port.number);
            out.extend(bare.map(|subset| (gauge, cluster(&subset.name))));
            if here.next().is_none() {
                out.push((gauge, cluster("")));
            }
        }
    }
    out
}

/// What is odd about the mesh, whoever asks.
fn of_mesh(world: &World) -> Odd {
    let mut out = Odd::new();
    for (gauge, cluster) in bare_clusters(world) {
        out.entry(gauge).or_default().insert(cluster, Entry::default());
    }
    let mut put = |gauge, key: &str, message| {
        out.entry(gauge).or_default().insert(key.to_owned(), Entry { message, ..Entry::default() });
    };
    for (key, row) in world.endpoints.iter() {
        if let Some((_, address)) = row.podless.last() {
            put(WITHOUT_POD, key.hostname.as_str(), address.to_string());
        }
    }
    for (_, row) in world.rules.iter() {
        if let Some(subset) = &row.repeated_subset {
            let host = row.host.as_str();
            let message =
                format!("several destination rules for {host} have a subset {subset}: the first one stands");
            put(REPEATED_SUBSETS, host, message);
        }
    }
    out
}

/// What is odd about what connected proxies were given.
fn of_proxies(catalog: &MeshCatalog) -> Odd {
    let mut out = Odd::new();
    let mut found = catalog.findings();
    // of several proxies one is named, always the same
    found.sort_by(|(a, _), (b, _)| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    let mut seen = FxHashSet::default();
    for (class, findings) in &found {
        let again = !seen.insert(findings.as_ptr());
        for finding in findings.iter().filter(|finding| !again || finding.is_of_proxy()) {
            let (gauge, key, message) = told(class, finding);
            let proxy = name(class);
            out.entry(gauge).or_default().insert(key, Entry { proxy, message });
        }
    }
    out
}

/// What proxies of a class are called: `pod.namespace`.
fn name(class: &Class) -> String {
    format!("{}.{}", class.name, class.namespace)
}

/// The gauge of a finding, the key that it is counted under, and what it says.
fn told(class: &Class, finding: &Finding) -> (&'static str, String, String) {
    match finding {
        Finding::OutboundListener { listener, accepted, rejected, host } => (
            OUTBOUND_CONFLICTS,
            listener.to_string(),
            format!(
                "{host} ({rejected}) has no place at the listener {listener}: another service ({accepted}) has it"
            ),
        ),
        Finding::InboundListener { port, accepted, rejected } => (
            INBOUND_CONFLICTS,
            name(class),
            format!(
                "{accepted} and {rejected} want different protocols on port {port}: it has that of {accepted}"
            ),
        ),
        Finding::Domain { virtual_host, service } => {
            let of = if *service { "service" } else { "virtual service" };
            let message = format!("a {of} repeats domains of others in {virtual_host}");
            (REPEATED_DOMAINS, virtual_host.to_string(), message)
        }
        Finding::Unready => (UNREADY, name(class), String::new()),
    }
}

/// All of it as a page (as `PushContext.StatusJSON`).
#[must_use]
pub fn page(catalog: &MeshCatalog) -> Value {
    let mut all = of_mesh(&catalog.world());
    all.extend(of_proxies(catalog));
    json!(all)
}

/// Numbers, by gauge.
type Counts = BTreeMap<&'static str, usize>;

fn counts(odd: &Odd) -> impl Iterator<Item = (&'static str, usize)> {
    odd.iter().map(|(gauge, entries)| (*gauge, entries.len()))
}

/// Shows the numbers at each scrape; those of the mesh are counted once for each world that is scraped.
pub struct PushStatus {
    catalog: Weak<MeshCatalog>,
    counted: Mutex<Option<(Revision, Counts)>>,
}

impl PushStatus {
    /// Shows these gauges, and what proxies are not given, of a catalog.
    pub fn register(metrics: &Metrics, catalog: &Arc<MeshCatalog>) {
        metrics.register_collector(Self::of(catalog));
        catalog.count_secret_errors(metrics);
    }

    /// Of the worlds of this catalog, as long as it is there.
    fn of(catalog: &Arc<MeshCatalog>) -> Self {
        Self { catalog: Arc::downgrade(catalog), counted: Mutex::default() }
    }

    /// The numbers; `None` once the catalog is gone.
    fn counts(&self) -> Option<Counts> {
        let catalog = self.catalog.upgrade()?;
        let mut all = self.of_mesh(&catalog.world());
        all.extend(counts(&of_proxies(&catalog)));
        Some(all)
    }

    fn of_mesh(&self, world: &World) -> Counts {
        let mut counted = self.counted.lock();
        let known = counted.take().filter(|(of, _)| *of == world.revision()).map(|(_, counts)| counts);
        let all = known.unwrap_or_else(|| {
            let pending: BTreeSet<_> = world.endpoints.iter().flat_map(|(_, row)| &row.podless).collect();
            counts(&of_mesh(world)).chain([(PENDING_PODS, pending.len())]).collect()
        });
        *counted = Some((world.revision(), all.clone()));
        all
    }
}

impl fmt::Debug for PushStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PushStatus")
    }
}

impl Collector for PushStatus {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(counts) = self.counts() else { return Ok(()) };
        for (name, help) in GAUGES {
            let gauge =
                ConstGauge::new(counts.get(name).map_or(0, |n| i64::try_from(*n).unwrap_or(i64::MAX)));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}
