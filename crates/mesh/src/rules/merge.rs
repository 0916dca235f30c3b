//! Destination rules of one host: what of several objects becomes one rule.

use std::collections::BTreeSet;
use std::sync::Arc;

use config::networking::{DestinationRule, TrafficPolicy};
use config::{Host, Visibility};
use tables::{Level, Reads, Table};

use super::{HostRules, Rule};
use crate::exports::said_once;
use crate::inputs::{Fact, SettingsFact};
use crate::key::ObjectKey;
use crate::settings::Settings;
use crate::world::{Ground, Named};

/// The annotation of rules that are made of a policy of the Gateway API.
const PARENTS: &str = "internal.istio.io/parents";

/// Stage: a rule as its object says it, with the full host; `export_to` holds the words as written.
pub(crate) fn claim<L: Level>(
    r: &Reads<L>,
    ground: Ground<'_>,
    key: &ObjectKey,
    fact: &Fact<DestinationRule>,
) -> Vec<(Named, Rule)> {
    let Some(settings) = ground.local(r, key) else { return Vec::new() };
    let host = config::host::resolve(&fact.spec.host, &key.namespace, &settings.domain);
    if host.is_empty() {
        return Vec::new();
    }
    let rule = if host == fact.spec.host {
        fact.spec.clone()
    } else {
        Arc::new(DestinationRule { host, ..(*fact.spec).clone() })
    };
    let selector = rule.workload_selector.as_ref().map(|s| s.match_labels.clone());
    // a rule with a selector is for workloads of its own namespace only
    let export_to = match &selector {
        Some(_) => BTreeSet::from([Visibility::Private]),
        None => rule.export_to.iter().map(|w| Visibility::parse(w)).collect(),
    };
    let row = Rule {
        namespace: key.namespace.clone(),
        from: vec![format!("{}/{}", key.namespace, key.name).into()],
        created: fact.meta.creation,
        export_to,
        selector,
        rule,
        of_policy: fact.meta.annotations.contains_key(PARENTS),
    };
    vec![((key.namespace.clone(), key.name.clone()), row)]
}

/// Stage: the rules of a namespace for a host, merged
/// (as pilot/pkg/model/push_context.go: `setDestinationRules`).
pub(crate) fn merge<'m, L: Level>(
    r: &Reads<L>,
    settings: &Table<SettingsFact>,
    key: &(Arc<str>, Host),
    members: &mut dyn Iterator<Item = (&'m Named, &'m Arc<Rule>)>,
) -> Vec<((Arc<str>, Host), HostRules)> {
    let Some(settings) = settings.get(r, &()) else { return Vec::new() };
    let mut all: Vec<(&Named, &Arc<Rule>)> = members.collect();
    all.sort_by_key(|(name, rule)| (rule.selector.is_none(), rule.created, &name.1));
    let default_private = settings.mesh.default_destination_rule_export_to.iter().any(|w| w == ".");
    let mut row = HostRules {
        host: key.1.clone(),
        rules: Vec::new(),
        exported: Vec::new(),
        private: Vec::new(),
        repeated_subset: None,
    };
    let repeated = &mut row.repeated_subset;
    for (_, rule) in all {
        let own = Visibility::Namespace(rule.namespace.as_ref().into());
        let said = &rule.export_to;
        let here = [Visibility::Public, Visibility::Private, own.clone()];
        if said.is_empty() || here.iter().any(|v| said.contains(v)) {
            add(settings, &mut row.rules, rule, repeated);
        }
        let only_own = said.len() == 1 && (said.contains(&Visibility::Private) || said.contains(&own));
        if only_own || said.is_empty() && default_private {
            if *rule.namespace == *settings.root_namespace() {
                add(settings, &mut row.private, rule, repeated);
            }
        } else {
            add(settings, &mut row.exported, rule, repeated);
        }
    }
    for rule in row.rules.iter_mut().chain(&mut row.exported).chain(&mut row.private) {
        let words = std::mem::take(&mut rule.export_to);
        rule.export_to = match words.is_empty() {
            true if default_private => BTreeSet::from([Visibility::Private]),
            true => words,
            false => said_once(words, &rule.namespace),
        };
    }
    vec![(key.clone(), row)]
}

/// Adds a rule to those there are: into one that is meant for the same proxies, or as one more
/// (as pilot/pkg/model/destination_rule.go: `mergeDestinationRule`).
fn add(settings: &Settings, rules: &mut Vec<Rule>, new: &Rule, repeated: &mut Option<Box<str>>) {
    let mut separate = true;
    for old in rules.iter_mut() {
        if settings.switches.enable_enhanced_destinationrule_merge {
            let same = new.export_to == old.export_to;
            let wider = !old.export_to.is_empty() && new.export_to.is_superset(&old.export_to);
            separate = !same;
            if !same && !wider {
                continue;
            }
        }
        match (&old.selector, &new.selector) {
            (Some(a), Some(b)) if a != b => {
                separate = true;
                continue;
            }
            (Some(_), Some(_)) | (None, None) => separate = false,
            _ => {}
        }
        combine(old, new, repeated);
    }
    if separate {
        rules.push(new.clone());
    }
}

/// Subsets are added up, the first of a name stands; the older policy stands, except that a user's word goes before
/// that of a generated rule. Says which subset was left out.
fn combine(old: &mut Rule, new: &Rule, repeated: &mut Option<Box<str>>) {
    old.from.extend(new.from.iter().cloned());
    let mut merged = (*old.rule).clone();
    for subset in &new.rule.subsets {
        if merged.subsets.iter().any(|s| s.name == subset.name) {
            *repeated = Some(subset.name.as_str().into());
        } else {
            merged.subsets.push(subset.clone());
        }
    }
    let (mine, theirs) = (merged.traffic_policy.take(), new.rule.traffic_policy.clone());
    merged.traffic_policy = match (old.of_policy, new.of_policy) {
        (false, true) => over(mine, theirs),
        (true, false) => over(theirs, mine),
        _ => mine.or(theirs),
    };
    old.rule = Arc::new(merged);
}

/// The policy of a user, its gaps filled from a generated one.
fn over(user: Option<TrafficPolicy>, generated: Option<TrafficPolicy>) -> Option<TrafficPolicy> {
    let (Some(mut user), Some(base)) = (user.clone(), generated.clone()) else { return user.or(generated) };
    macro_rules! fill {
        ($to:ident, $from:ident, $($field:ident)*) => {{ $( if $to.$field.is_none() { $to.$field = $from.$field; } )* }};
    }
    fill!(user, base, connection_pool outlier_detection load_balancer tls tunnel proxy_protocol retry_budget);
    for port in base.port_level_settings {
        let number = port.port.as_ref().map(|p| p.number);
        let same = user.port_level_settings.iter_mut().find(|p| p.port.as_ref().map(|p| p.number) == number);
        match same {
            Some(own) => fill!(own, port, load_balancer connection_pool outlier_detection tls),
            None => user.port_level_settings.push(port),
        }
    }
    Some(user)
}
