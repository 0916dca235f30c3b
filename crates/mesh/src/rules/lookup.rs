//! Which destination rule holds for a service, seen from a namespace.

use std::sync::Arc;

use config::{Host, Visibility};
use tables::{Level, Reads};

use super::{HostRules, Rule};
use crate::services::Service;
use crate::workloads::LabelSet;
use crate::world::{RulesOf, WildcardRulesOf, World};

/// The rules that may hold for a service when proxies of `namespace` call it, best first: of the proxy's own
/// namespace, else what the service's namespace exports to it, else what the root namespace exports
/// (as pilot/pkg/model/push_context.go: `destinationRule`). Rules with a selector are for some proxies only.
#[must_use]
pub fn candidates<L: Level>(
    r: &Reads<L>,
    world: &World,
    namespace: &Arc<str>,
    service: &Service,
) -> Vec<Rule> {
    let Some(settings) = world.settings.get(r, &()) else { return Vec::new() };
    let host = &service.key.hostname;
    let root: Arc<str> = settings.root_namespace().into();
    // in the root namespace rules for everybody stand, which must not hide those of the service's own namespace
    let own = if *namespace == root {
        best(r, world, namespace, host, |rules| &rules.private)
    } else {
        best(r, world, namespace, host, |rules| &rules.rules)
    };
    if let Some(rules) = own {
        return rules.to_vec();
    }
    for owner in [&service.key.namespace, &root] {
        let rules = best(r, world, owner, host, |rules| &rules.exported).unwrap_or_default();
        let to_us = |rule: &&Rule| {
            let said = &rule.export_to;
            said.is_empty()
                || said.contains(&Visibility::Namespace(namespace.as_ref().into()))
                || (rule.namespace == *namespace && said.contains(&Visibility::Private))
        };
        let seen: Vec<Rule> = rules.iter().filter(to_us).cloned().collect();
        if !seen.is_empty() {
            return seen;
        }
    }
    Vec::new()
}

/// The rule that holds for a service when a proxy with these labels calls it: of the candidates the first whose
/// selector takes the proxy, else the last without one
/// (as pilot/pkg/model/sidecar.go: `DestinationRule`).
#[must_use]
pub fn for_host<L: Level>(
    r: &Reads<L>,
    world: &World,
    namespace: &Arc<str>,
    service: &Service,
    labels: &impl LabelSet,
) -> Option<Rule> {
    select(candidates(r, world, namespace, service), labels)
}

/// Of candidates the one for a proxy with these labels.
#[must_use]
pub fn select(candidates: Vec<Rule>, labels: &impl LabelSet) -> Option<Rule> {
    let mut general = None;
    for rule in candidates {
        match &rule.selector {
            Some(selector) if labels.has_all(selector) => return Some(rule),
            Some(_) => {}
            None => general = Some(rule),
        }
    }
    general
}

/// The rules of the most specific host of a namespace that covers a host, among hosts that have such rules.
fn best<'w, L: Level>(
    r: &Reads<L>,
    world: &'w World,
    namespace: &Arc<str>,
    host: &Host,
    of: impl Fn(&HostRules) -> &Vec<Rule>,
) -> Option<&'w [Rule]> {
    let find = |host: &Host| {
        let key = (namespace.clone(), host.clone());
        // most services have no rule: one record says that for all of a namespace's
        if !world.rules.has::<RulesOf, L>(r, namespace, &key) {
            return None;
        }
        let row = world.rules.get(r, &key)?;
        let rules = of(row);
        (!rules.is_empty()).then_some(rules.as_slice())
    };
    if let Some(rules) = find(host) {
        return Some(rules);
    }
    let keys = world.rules.keys::<WildcardRulesOf, L>(r, namespace).map(|k| &k.1);
    let mut covering: Vec<&Host> =
        keys.filter(|w| config::host::subset_of(host.as_str(), w.as_str())).collect();
    covering.sort_by(|a, b| config::host::by_specificity(a.as_str(), b.as_str()));
    covering.into_iter().find_map(find)
}
