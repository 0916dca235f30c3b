//! Destination rules: merged per host and visibility.

mod lookup;
pub(crate) mod merge;

pub use lookup::{candidates, for_host, select};

use std::collections::BTreeSet;
use std::sync::Arc;

use config::networking::DestinationRule;
use config::{Host, Visibility};

/// One rule after merging (as pilot/pkg/model/push_context.go: `ConsolidatedDestRule`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Namespace of the rule(s).
    pub namespace: Arc<str>,
    /// `namespace/name` of every object merged into it, oldest first: metadata and provenance.
    pub from: Vec<Arc<str>>,
    /// Unix seconds of the oldest.
    pub created: i64,
    /// Already defaulted; as `Service::export_to`: empty means everybody, `{None}` nobody.
    pub export_to: BTreeSet<Visibility>,
    /// `workloadSelector.matchLabels`, if any.
    pub selector: Option<config::Labels>,
    /// The merged spec; `host` is fully qualified.
    pub rule: Arc<DestinationRule>,
    /// Generated from a policy of the Gateway API: a user's rule of the same host goes before it.
    pub of_policy: bool,
}

/// All rules of one namespace for one host (which may be a wildcard), in the order of precedence.
/// Key: `(namespace, host)`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostRules {
    /// The fully qualified host.
    pub host: Host,
    /// What holds in the namespace itself. Usually one; more where visibility or workload selectors differ.
    pub rules: Vec<Rule>,
    /// What is exported to other namespaces, merged among themselves.
    pub exported: Vec<Rule>,
    /// In the root namespace only: what is not exported.
    pub private: Vec<Rule>,
    /// The last subset that was left out, since an earlier object has one of its name.
    pub repeated_subset: Option<Box<str>>,
}

impl Rule {
    /// Label keys of callers that it asks for: its selector's, and those that failover goes by, with repetitions.
    pub fn asked_labels(&self) -> impl Iterator<Item = &str> {
        let policies = self.rule.traffic_policy.iter();
        let policies = policies.chain(self.rule.subsets.iter().filter_map(|s| s.traffic_policy.as_ref()));
        let balancers = policies.flat_map(|p| {
            let ports = p.port_level_settings.iter().filter_map(|s| s.load_balancer.as_ref());
            p.load_balancer.iter().chain(ports)
        });
        let failover = balancers.flat_map(|b| {
            let locality = b.locality_lb_setting.iter().flat_map(|s| &s.failover_priority);
            locality.chain(b.zone_aware_lb_setting.iter().flat_map(|s| &s.failover_priority))
        });
        let keys = failover.map(|label| label.split('=').next().unwrap_or(label));
        self.selector.iter().flat_map(|s| s.keys().map(String::as_str)).chain(keys)
    }
}

impl HostRules {
    /// See [`Rule::asked_labels`].
    pub fn asked_labels(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().chain(&self.exported).chain(&self.private).flat_map(Rule::asked_labels)
    }
}

#[cfg(test)]
mod tests;
