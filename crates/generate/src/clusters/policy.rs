//! Which traffic policy holds: port level, subset, mesh default.

use std::borrow::Cow;

use config::mesh::DefaultTrafficPolicy;
use config::networking::{DestinationRule, PortTrafficPolicy, TrafficPolicy};

/// The policy for a port, and whether it is port-level. Port-level settings inherit nothing
/// (as pilot/pkg/networking/util/util.go: `GetPortLevelTrafficPolicy`).
#[must_use]
pub fn for_port(policy: Option<&TrafficPolicy>, port: u32) -> (Option<Cow<'_, TrafficPolicy>>, bool) {
    let Some(policy) = policy else { return (None, false) };
    let own = policy.port_level_settings.iter().find(|p| p.port.as_ref().is_some_and(|s| s.number == port));
    match own {
        None => (Some(Cow::Borrowed(policy)), false),
        Some(own) => (Some(Cow::Owned(widen(own))), true),
    }
}

fn widen(port: &PortTrafficPolicy) -> TrafficPolicy {
    TrafficPolicy {
        connection_pool: port.connection_pool.clone(),
        load_balancer: port.load_balancer.clone(),
        outlier_detection: port.outlier_detection.clone(),
        tls: port.tls.clone(),
        ..TrafficPolicy::default()
    }
}

/// The rule's policy for a port with a subset's merged over it (as `MergeSubsetTrafficPolicy`).
#[must_use]
pub fn for_subset<'a>(
    original: Option<&'a TrafficPolicy>,
    subset: Option<&'a TrafficPolicy>,
    port: u32,
) -> Option<Cow<'a, TrafficPolicy>> {
    let (original, _) = for_port(original, port);
    if subset.is_none() {
        return original;
    }
    let (subset, port_level) = for_port(subset, port);
    match (original, subset) {
        (None, subset) => subset,
        (original, None) => original,
        (Some(original), Some(subset)) => Some(Cow::Owned(merge(original.into_owned(), &subset, port_level))),
    }
}

/// Subset values over original ones (as pilot/pkg/model/destination_rule.go: `MergeTrafficPolicy`). With a port-level
/// subset policy, what it leaves out goes back to the default.
fn merge(mut original: TrafficPolicy, subset: &TrafficPolicy, port_level: bool) -> TrafficPolicy {
    if port_level || subset.connection_pool.is_some() {
        original.connection_pool.clone_from(&subset.connection_pool);
    }
    if port_level || subset.outlier_detection.is_some() {
        original.outlier_detection.clone_from(&subset.outlier_detection);
    }
    if port_level || subset.load_balancer.is_some() {
        original.load_balancer.clone_from(&subset.load_balancer);
    }
    if port_level || subset.tls.is_some() {
        original.tls.clone_from(&subset.tls);
    }
    if subset.tunnel.is_some() {
        original.tunnel.clone_from(&subset.tunnel);
    }
    if subset.proxy_protocol.is_some() {
        original.proxy_protocol.clone_from(&subset.proxy_protocol);
    }
    if subset.retry_budget.is_some() {
        original.retry_budget.clone_from(&subset.retry_budget);
    }
    original
}

/// The policy of a rule for a port and (possibly empty) subset.
#[must_use]
pub fn of_rule<'a>(rule: &'a DestinationRule, port: u32, subset: &str) -> Option<Cow<'a, TrafficPolicy>> {
    let own = rule.subsets.iter().find(|s| s.name == subset).and_then(|s| s.traffic_policy.as_ref());
    for_subset(rule.traffic_policy.as_ref(), own, port)
}

/// The policy of the whole service for a port: the rule's, with the mesh's default.
#[must_use]
pub fn of_port(
    rule: Option<&DestinationRule>,
    port: u32,
    default: Option<&DefaultTrafficPolicy>,
) -> Option<TrafficPolicy> {
    let own = rule.and_then(|rule| for_port(rule.traffic_policy.as_ref(), port).0);
    with_default(own.map(Cow::into_owned), default)
}

/// Fills what a policy leaves out from the mesh's default (as `applyDefaultTrafficPolicy`).
#[must_use]
pub fn with_default(
    policy: Option<TrafficPolicy>,
    default: Option<&DefaultTrafficPolicy>,
) -> Option<TrafficPolicy> {
    let Some(default) = default else { return policy };
    if default.connection_pool.is_none() && default.outlier_detection.is_none() {
        return policy;
    }
    let mut policy = policy.unwrap_or_default();
    if policy.connection_pool.is_none() {
        policy.connection_pool.clone_from(&default.connection_pool);
    }
    if policy.outlier_detection.is_none() {
        policy.outlier_detection.clone_from(&default.outlier_detection);
    }
    Some(policy)
}
