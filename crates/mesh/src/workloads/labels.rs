//! The labels of workloads: what upstream adds to them, and what it reads from them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::endpoints::Locality;

/// Labels as rows hold them.
pub(crate) type Labels = BTreeMap<Arc<str>, Arc<str>>;

/// `security.istio.io/tlsMode`.
pub(crate) const TLS_MODE: &str = "security.istio.io/tlsMode";
const WORKLOAD_NAME: &str = "service.istio.io/workload-name";

/// What is added to the labels of a workload.
pub(crate) struct Place<'a> {
    pub(crate) cluster: &'a str,
    pub(crate) network: &'a str,
    pub(crate) node: &'a str,
    pub(crate) locality: &'a Locality,
}

/// The labels with those that say where the workload is
/// (as pilot/pkg/serviceregistry/util/label: `AugmentLabels`).
pub(crate) fn augmented(mut labels: Labels, place: &Place<'_>) -> Arc<Labels> {
    let mut set = |name: &str, value: &str| {
        if !value.is_empty() {
            labels.insert(config::text(name), config::text(value));
        }
    };
    set("topology.kubernetes.io/region", &place.locality.region);
    set("topology.kubernetes.io/zone", &place.locality.zone);
    set("topology.istio.io/subzone", &place.locality.subzone);
    set("topology.istio.io/cluster", place.cluster);
    set("kubernetes.io/hostname", place.node);
    if labels.get(crate::networks::LABEL).is_none_or(|n| n.is_empty()) && !place.network.is_empty() {
        labels.insert(config::text(crate::networks::LABEL), config::text(place.network));
    }
    Arc::new(labels)
}

/// Labels of metadata as labels of rows.
pub(crate) fn shared<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> Labels {
    labels.into_iter().map(|(k, v)| (config::text(k), config::text(v))).collect()
}

/// The locality that a workload's own labels claim (as pkg/model: `GetLocalityLabel`, `SanitizeLocalityLabel`).
pub(crate) fn locality(labels: &Labels) -> Option<Locality> {
    let label = labels.get("topology.istio.io/locality").or_else(|| labels.get("istio-locality"))?;
    if label.is_empty() {
        None
    } else if label.contains('/') {
        Some(Locality::parse(label))
    } else {
        Some(Locality::parse(&label.replace('.', "/")))
    }
}

/// The workload name a label claims.
pub(crate) fn workload_name(labels: &Labels) -> Option<Arc<str>> {
    labels.get(WORKLOAD_NAME).cloned()
}

/// Whether `labels` have all of `selector`; the empty selector selects everybody.
pub(crate) fn selects(selector: &Labels, labels: &Labels) -> bool {
    selector.iter().all(|(k, v)| labels.get(k) == Some(v))
}
