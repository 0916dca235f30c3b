//! WorkloadEntries as workloads, whether objects of their own or endpoints within a ServiceEntry.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use config::Shared;
use config::networking::WorkloadEntry;
use tables::{Level, Reads};

use super::labels::{self, Place, WorkloadLabels};
use super::{Attributes, Workload};
use crate::endpoints::{Health, Locality};
use crate::inputs::Fact;
use crate::key::WorkloadKey;
use crate::networks::network_of;
use crate::settings::Settings;
use crate::world::Ground;

/// The workload a WorkloadEntry object is (as pilot/pkg/serviceregistry/serviceentry/conversion.go:
/// `ConvertWorkloadEntry`, `convertWorkloadEntryToWorkloadInstance`).
pub(crate) fn workload<L: Level>(
    r: &Reads<L>,
    ground: Ground<'_>,
    key: &WorkloadKey,
    fact: &Fact<WorkloadEntry>,
) -> Option<Workload> {
    let settings = ground.seen(r, &key.object)?;
    let mut own = fact.spec.labels.clone();
    own.extend(fact.meta.labels.iter().map(|(name, value)| (name.clone(), value.clone())));
    let group = fact.meta.annotations.get("istio.io/autoRegistrationGroup").map(|g| Arc::from(&**g));
    let named = || labels::workload_name(&fact.meta.labels);
    let name = group.or_else(named).unwrap_or_else(|| key.object.name.clone());
    let mut made = instance(r, ground, settings, key, &fact.spec, own, name);
    made.created = fact.meta.creation;
    if settings.switches.pilot_enable_workload_entry_healthchecks && !is_healthy(fact) {
        made.health = Health::Unhealthy;
    }
    Some(made)
}

/// The workload that a WorkloadEntry with these labels is, `key` saying where it stands.
pub(crate) fn instance<L: Level>(
    r: &Reads<L>,
    ground: Ground<'_>,
    settings: &Settings,
    key: &WorkloadKey,
    entry: &WorkloadEntry,
    own: config::Labels,
    name: Arc<str>,
) -> Workload {
    let mut locality = Locality::parse(&entry.locality);
    if entry.locality.is_empty() {
        locality = labels::locality(&own).unwrap_or_default();
    }
    let network: Arc<str> = if entry.network.is_empty() {
        network_of(r, ground, settings, &key.object.cluster, &entry.address, &own)
    } else {
        config::text(&entry.network)
    };
    let tls_mode = match own.get(config::label::TLS_MODE) {
        Some(mode) => config::text(mode),
        None if entry.service_account.is_empty() => config::text("disabled"),
        None => config::text("istio"),
    };
    let place = Place { cluster: &key.object.cluster, network: &network, node: "", locality: &locality };
    let attributes = Attributes {
        labels: WorkloadLabels::new(own.into(), &place),
        identity: settings.spiffe(&key.object.namespace, &entry.service_account),
        cluster: key.object.cluster.clone(),
        namespace: key.object.namespace.clone(),
        // upstream sends endpoints of a WorkloadEntry to the network that the entry itself names, no other
        network: config::text(&entry.network),
        locality: locality.into(),
        tls_mode,
        workload: name,
        weight: entry.weight,
        ..Attributes::default()
    };
    Workload {
        key: key.clone(),
        addresses: vec![config::text(&entry.address)],
        attributes: Arc::new(attributes),
        service_account: config::text(&entry.service_account),
        container_ports: Shared::default(),
        port_overrides: entry
            .ports
            .iter()
            .map(|(k, v)| (config::text(k), *v))
            .collect::<BTreeMap<_, _>>()
            .into(),
        health: Health::Healthy,
        host_network: false,
        created: 0,
    }
}

impl Workload {
    /// Its address is a host name or a unix socket, so only DNS resolution can use it.
    pub(crate) fn needs_dns(&self) -> bool {
        self.addresses.first().is_some_and(|a| !a.is_empty() && a.parse::<IpAddr>().is_err())
    }
}

/// A WorkloadEntry with health checks is unhealthy until its status says otherwise.
fn is_healthy(fact: &Fact<WorkloadEntry>) -> bool {
    let checked = fact.meta.annotations.get("proxy.istio.io/health-checks-enabled");
    if !checked.is_some_and(|v| matches!(v.as_str(), "1" | "t" | "T" | "TRUE" | "true" | "True")) {
        return true;
    }
    let conditions = fact.status.as_ref().and_then(|s| s.get("conditions")?.as_list());
    let healthy = conditions.unwrap_or_default().iter().find(|c| text(c, "type") == Some("Healthy"));
    healthy.is_some_and(|c| text(c, "status") == Some("True"))
}

fn text<'v>(value: &'v config::Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str()
}
