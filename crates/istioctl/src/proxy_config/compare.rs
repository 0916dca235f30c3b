//! `proxy-status <proxy>`: what the control plane would send against what Envoy has, resource by resource.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

use super::dump::Dump;
use super::fields::{camel, list, text};

/// Lines shown around a difference.
const CONTEXT: usize = 7;
/// Kind in plural, section, place of the entries, field with the resource.
const SECTIONS: [(&str, &str, &str, &str); 3] = [
    ("Clusters", "ClustersConfigDump", "dynamic_active_clusters", "cluster"),
    ("Listeners", "ListenersConfigDump", "dynamic_listeners", "active_state.listener"),
    ("Routes", "RoutesConfigDump", "dynamic_route_configs", "route_config"),
];

/// The verdict on clusters, listeners and routes, with the differences (as istioctl/pkg/writer/compare).
#[must_use]
pub fn compare(istiod: &Dump, envoy: &Dump) -> String {
    let mut out = String::new();
    for (kind, section, place, field) in SECTIONS {
        let theirs = resources(istiod, section, place, field);
        let ours = resources(envoy, section, place, field);
        let loaded = if kind == "Routes" { last_loaded(envoy) } else { String::new() };
        let mut differences = String::new();
        for name in theirs.keys().chain(ours.keys()).collect::<BTreeSet<_>>() {
            match (theirs.get(name), ours.get(name)) {
                (Some(a), Some(b)) if a == b => {}
                (Some(a), Some(b)) => differences += &difference(name, a, b),
                (Some(_), None) => differences += &format!("-{name} (Envoy does not have it)\n"),
                (None, _) => differences += &format!("+{name} (only Envoy has it)\n"),
            }
        }
        if differences.is_empty() {
            let _ = writeln!(out, "{kind} Match{loaded}");
        } else {
            let _ = writeln!(
                out,
                "{kind} Don't Match{loaded}\n--- Istiod {kind}\n+++ Envoy {kind}\n{differences}"
            );
        }
    }
    out
}

fn resources(dump: &Dump, section: &'static str, place: &str, field: &str) -> BTreeMap<String, Vec<String>> {
    let Ok(section) = dump.section(section) else { return BTreeMap::new() };
    let found = Dump::resources(section, &[(place, field)]);
    let lines = |value: &Value| {
        crate::print::to_yaml(&whole_numbers(&camel(value))).lines().map(str::to_owned).collect()
    };
    found.into_iter().map(|resource| (text(resource, "name").to_owned(), lines(resource))).collect()
}

/// Envoy writes 100, others 100.0.
fn whole_numbers(value: &Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if float.fract() == 0.0 && float.abs() < 1e15 => Value::from(float as i64),
            _ => value.clone(),
        },
        Value::Array(items) => items.iter().map(whole_numbers).collect(),
        Value::Object(map) => map.iter().map(|(key, child)| (key.clone(), whole_numbers(child))).collect(),
        other => other.clone(),
    }
}

fn last_loaded(envoy: &Dump) -> String {
    let Ok(section) = envoy.section("RoutesConfigDump") else { return String::new() };
    let times = list(section, "dynamic_route_configs").iter().map(|entry| text(entry, "last_updated"));
    let newest = times.filter_map(|time| time.parse::<jiff::Timestamp>().ok()).max();
    newest.map_or_else(String::new, |time| format!(" (RDS last loaded at {time})"))
}

/// The lines between the first and the last difference, with context; what is equal inside stays marked as changed.
fn difference(name: &str, istiod: &[String], envoy: &[String]) -> String {
    let same_start = istiod.iter().zip(envoy).take_while(|(a, b)| a == b).count();
    let rest = istiod.len().min(envoy.len()) - same_start;
    let same_end = istiod.iter().rev().zip(envoy.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let mut out = format!("@@ {name}, line {} @@\n", same_start + 1);
    let mut lines = |mark: char, lines: &[String]| {
        for line in lines {
            out.push(mark);
            out.push_str(line);
            out.push('\n');
        }
    };
    lines(' ', &istiod[same_start.saturating_sub(CONTEXT)..same_start]);
    lines('-', &istiod[same_start..istiod.len() - same_end]);
    lines('+', &envoy[same_start..envoy.len() - same_end]);
    let end = istiod.len() - same_end;
    lines(' ', &istiod[end..istiod.len().min(end + CONTEXT)]);
    out
}
