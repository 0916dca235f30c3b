//! What each declaration says of a service, and the words that both kinds of declaration share.

use std::sync::Arc;

use tables::{Level, Reads, Table};

use super::{Claim, Service, TrafficDistribution, entry, kubernetes};
use crate::inputs::{ClaimKey, Declaration, DeclarationKey, NodeFacts};
use crate::world::Ground;

/// The annotation of Services, ServiceEntries and Namespaces that prefers near endpoints.
const DISTRIBUTION: &str = "networking.istio.io/traffic-distribution";

/// Stage: the services a declaration claims, one for each host.
pub(crate) fn of<L: Level>(
    r: &Reads<L>,
    ground: Ground<'_>,
    nodes: &Table<NodeFacts>,
    key: &DeclarationKey,
    declaration: &Declaration,
) -> Vec<(ClaimKey, Claim)> {
    let services = match declaration {
        Declaration::Kube(fact) => {
            kubernetes::service(r, ground, nodes, &key.object, fact).into_iter().collect()
        }
        Declaration::Entry(fact) => entry::services(r, ground, &key.object, fact),
    };
    let claim = |service: Service| ((service.key.clone(), key.clone()), Claim { service });
    services.into_iter().map(claim).collect()
}

/// The name of a declaring object, for people: `ServiceEntry default/web`.
pub(super) fn declared_by(meta: &config::Meta) -> Vec<Arc<str>> {
    vec![meta.to_string().into()]
}

/// Field, then own annotation, then the namespace's; an unknown word in an annotation ends the search
/// (as pilot/pkg/model/service.go: `GetTrafficDistribution`).
pub(super) fn traffic_distribution<L: Level>(
    r: &Reads<L>,
    ground: Ground<'_>,
    key: &crate::ObjectKey,
    field: &str,
    meta: &config::Meta,
) -> TrafficDistribution {
    match field {
        "PreferSameZone" | "PreferClose" => return TrafficDistribution::PreferSameZone,
        "PreferSameNode" => return TrafficDistribution::PreferSameNode,
        _ => {}
    }
    let own = meta.annotations.get(DISTRIBUTION).map(String::as_str).filter(|v| !v.is_empty());
    let word = own.or_else(|| ground.annotation(r, key, DISTRIBUTION)).unwrap_or_default();
    match word.to_ascii_lowercase().as_str() {
        "prefersamezone" | "preferclose" => TrafficDistribution::PreferSameZone,
        "prefersamenode" => TrafficDistribution::PreferSameNode,
        _ => TrafficDistribution::Any,
    }
}
