//! Equality of generated and golden xDS as Envoy sees it: which defaults, orders and spellings do not count.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

#[cfg(test)]
mod tests;

/// Lists of a golden file that hold resources, each with the key of a resource's name.
pub(crate) const TYPES: [(&str, &str); 8] = [
    ("clusters", "name"),
    ("listeners", "name"),
    ("routes", "name"),
    ("endpoints", "cluster_name"),
    ("extensionConfigs", "name"),
    ("secretResources", "name"),
    ("addresses", "name"),
    ("authorizations", "name"),
];

/// Lists that Envoy reads as sets.
const SETS: [&str; 15] = [
    "filter_chains",
    "prefix_ranges",
    "source_prefix_ranges",
    "direct_source_prefix_ranges",
    "server_names",
    "application_protocols",
    "virtual_hosts",
    "domains",
    "query_parameters",
    "lb_endpoints",
    "ips",
    "aliases",
    "addresses",
    "match_subject_alt_names",
    "match_typed_subject_alt_names",
];

/// One place in which two resources are not the same.
pub(crate) struct Difference<'a> {
    /// Field path; `[]` stands for every element of a list.
    pub(crate) path: String,
    /// What the golden file has there.
    pub(crate) golden: Option<&'a Value>,
    /// What was generated there.
    pub(crate) actual: Option<&'a Value>,
}

/// Resources of one kind by name. A name that comes twice gets a `#`.
pub(crate) fn named<'a>(document: &'a Value, kind: &str) -> BTreeMap<String, &'a Value> {
    let mut out = BTreeMap::new();
    match kind {
        "nameTable" => {
            for (name, info) in document["nameTable"]["table"].as_object().into_iter().flatten() {
                out.insert(name.clone(), info);
            }
        }
        "secrets" => {
            for name in items(&document["secrets"]) {
                out.insert(name.as_str().unwrap_or_default().to_owned(), name);
            }
        }
        "filterChains" => {
            for listener in items(&document["listeners"]) {
                let last = listener.get("default_filter_chain").filter(|chain| truthy(chain));
                for chain in items(&listener["filter_chains"]).chain(last) {
                    let empty = Value::Object(Map::new());
                    let on = chain.get("filter_chain_match").filter(|on| truthy(on)).unwrap_or(&empty);
                    put(
                        &mut out,
                        format!("{} {} {}", text(listener, "name"), text(chain, "name"), sort_key(on)),
                        chain,
                    );
                }
            }
        }
        "virtualHosts" => {
            for route in items(&document["routes"]) {
                for host in items(&route["virtual_hosts"]) {
                    put(&mut out, format!("{} {}", text(route, "name"), text(host, "name")), host);
                }
            }
        }
        _ => {
            let key = TYPES.iter().find(|(list, _)| *list == kind).map_or("name", |(_, key)| key);
            for resource in items(&document[kind]) {
                put(&mut out, text(resource, key).to_owned(), resource);
            }
        }
    }
    out
}

fn put<'a>(out: &mut BTreeMap<String, &'a Value>, mut name: String, resource: &'a Value) {
    while out.contains_key(&name) {
        name.push('#');
    }
    out.insert(name, resource);
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn truthy(value: &Value) -> bool {
    !is_default(value) && value.as_object().is_none_or(|object| !object.is_empty())
}

/// Everything in which `actual` is not `golden`.
///
/// A default that only `actual` spells out does not count; one in `golden` has presence and must be there.
pub(crate) fn differences<'a>(golden: &'a Value, actual: &'a Value) -> Vec<Difference<'a>> {
    let mut out = Vec::new();
    walk(golden, actual, "", None, &mut out);
    out
}

fn walk<'a>(
    golden: &'a Value,
    actual: &'a Value,
    path: &str,
    key: Option<&str>,
    out: &mut Vec<Difference<'a>>,
) {
    match (golden, actual) {
        (Value::Object(g), Value::Object(a)) => {
            for key in g.keys().chain(a.keys()).collect::<BTreeSet<_>>() {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match (g.get(key), a.get(key)) {
                    (None, Some(extra)) if !is_default(extra) => {
                        out.push(Difference { path: path + " (extra)", golden: None, actual: Some(extra) });
                    }
                    (Some(missing), None) if missing.as_array().is_none_or(|list| !list.is_empty()) => {
                        out.push(Difference {
                            path: path + " (missing)",
                            golden: Some(missing),
                            actual: None,
                        });
                    }
                    (Some(g), Some(a)) => walk(g, a, &path, Some(key), out),
                    _ => {}
                }
            }
        }
        (Value::Array(g), Value::Array(a)) => {
            if g.len() != a.len() {
                out.push(Difference {
                    path: format!("{path}[] (length)"),
                    golden: Some(golden),
                    actual: Some(actual),
                });
            }
            let path = format!("{path}[]");
            for (g, a) in ordered(g, key).into_iter().zip(ordered(a, key)) {
                walk(g, a, &path, None, out);
            }
        }
        _ if scalar(golden).is_some_and(|g| scalar(actual).is_some_and(|a| g == a)) => {}
        _ => out.push(Difference { path: path.to_owned(), golden: Some(golden), actual: Some(actual) }),
    }
}

fn ordered<'a>(list: &'a [Value], key: Option<&str>) -> Vec<&'a Value> {
    let mut list: Vec<&Value> = list.iter().collect();
    let is_set = key.is_some_and(|key| {
        SETS.contains(&key)
            // Those of a cluster load assignment, not those of a locality's health check.
            || key == "endpoints" && list.iter().all(|item| item.is_object() && item.get("endpoint").is_none())
    });
    if is_set {
        list.sort_by_cached_key(|item| sort_key(item));
    }
    list
}

/// A value with what does not count folded away.
#[derive(PartialEq)]
enum Scalar<'a> {
    Null,
    Number(f64),
    Seconds(f64),
    Text(&'a str),
}

/// `None` for objects and lists.
fn scalar(value: &Value) -> Option<Scalar<'_>> {
    Some(match value {
        Value::Null => Scalar::Null,
        Value::Bool(value) => Scalar::Number(f64::from(u8::from(*value))),
        Value::Number(value) => Scalar::Number(value.as_f64().unwrap_or(f64::NAN)),
        Value::String(value) => match value.strip_suffix('s').filter(|number| is_number(number)) {
            Some(seconds) => Scalar::Seconds(parse(seconds)),
            None if is_number(value) => Scalar::Number(parse(value)),
            None => Scalar::Text(value),
        },
        Value::Array(_) | Value::Object(_) => return None,
    })
}

fn parse(number: &str) -> f64 {
    number.parse().unwrap_or(f64::NAN)
}

/// `-?digits(.digits)?`
fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    match text.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(text),
    }
}

fn is_default(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) | Value::Object(_) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || text == "0",
        Value::Array(list) => list.is_empty(),
    }
}

/// What elements of a set are ordered by. Spelled exactly as `compare.py` of the data does (JSON of Python, keys
/// sorted, defaults dropped), so that both pair up the same elements and count the same differences.
fn sort_key(value: &Value) -> String {
    let mut out = String::new();
    write_key(value, &mut out);
    out
}

fn write_key(value: &Value, out: &mut String) {
    match value {
        Value::Object(object) => {
            let sorted: BTreeMap<&String, &Value> =
                object.iter().filter(|(_, value)| !is_default(value)).collect();
            out.push('{');
            for (i, (key, value)) in sorted.into_iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                write_text(key, out);
                out.push_str(": ");
                write_key(value, out);
            }
            out.push('}');
        }
        Value::Array(list) => {
            out.push('[');
            for (i, value) in list.iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                write_key(value, out);
            }
            out.push(']');
        }
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        value => match scalar(value) {
            Some(Scalar::Number(number)) => out.push_str(&python_float(number)),
            Some(Scalar::Seconds(number)) => {
                out.push_str("[\"s\", ");
                out.push_str(&python_float(number));
                out.push(']');
            }
            Some(Scalar::Text(text)) => write_text(text, out),
            Some(Scalar::Null) | None => out.push_str("null"),
        },
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(b'"') => out.push_str("\\\""),
            Ok(b'\\') => out.push_str("\\\\"),
            Ok(b'\n') => out.push_str("\\n"),
            Ok(b'\r') => out.push_str("\\r"),
            Ok(b'\t') => out.push_str("\\t"),
            Ok(8) => out.push_str("\\b"),
            Ok(12) => out.push_str("\\f"),
            Ok(byte @ 0x20..=0x7f) => out.push(byte.into()),
            _ => out.push_str(&format!("\\u{unit:04x}")),
        }
    }
    out.push('"');
}

fn python_float(number: f64) -> String {
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(-4..16) => format!("{number:?}"),
        Ok(exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        Err(_) => scientific,
    }
}
