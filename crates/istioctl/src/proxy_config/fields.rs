//! Reading protobuf JSON without its descriptors: both spellings of a field, defaults where it is absent.

use serde_json::{Map, Value};

static NULL: Value = Value::Null;

/// The field `name` (snake_case), whichever spelling the dump uses; null if it is absent.
pub(super) fn get<'a>(value: &'a Value, name: &str) -> &'a Value {
    value.get(name).or_else(|| value.get(to_camel(name))).unwrap_or(&NULL)
}

/// Follows a dotted path of snake_case fields.
pub(super) fn path<'a>(value: &'a Value, dotted: &str) -> &'a Value {
    dotted.split('.').fold(value, |at, name| get(at, name))
}

/// A string field at a dotted path; empty if absent.
pub(super) fn text<'a>(value: &'a Value, dotted: &str) -> &'a str {
    path(value, dotted).as_str().unwrap_or_default()
}

/// A repeated field at a dotted path; empty if absent.
pub(super) fn list<'a>(value: &'a Value, dotted: &str) -> &'a [Value] {
    path(value, dotted).as_array().map_or(&[], Vec::as_slice)
}

/// An integer at a dotted path, also when it is written as a string; 0 if absent.
pub(super) fn number(value: &Value, dotted: &str) -> u64 {
    match path(value, dotted) {
        Value::Number(number) => number.as_u64().unwrap_or_default(),
        Value::String(text) => text.parse().unwrap_or_default(),
        _ => 0,
    }
}

/// The strings of a repeated field.
pub(super) fn strings<'a>(value: &'a Value, dotted: &str) -> Vec<&'a str> {
    list(value, dotted).iter().filter_map(Value::as_str).collect()
}

/// Field names are lower case; a key with capitals is somebody's data and stays as it is.
fn to_camel(name: &str) -> String {
    if name.bytes().any(|byte| byte.is_ascii_uppercase() || !(byte == b'_' || byte.is_ascii_alphanumeric())) {
        return name.to_owned();
    }
    let mut out = String::with_capacity(name.len());
    let mut upper = false;
    for c in name.chars() {
        if c == '_' {
            upper = true;
        } else if std::mem::take(&mut upper) {
            out.push(c.to_ascii_uppercase());
        } else {
            out.push(c);
        }
    }
    out
}

/// Fields that hold a map: their keys are data, their values are messages.
const MAPS: [&str; 9] = [
    "key_values",
    "typed_per_filter_config",
    "typed_filter_metadata",
    "map",
    "runtime_key_values",
    "typed_extension_protocol_options",
    "typed_dns_resolver_config_map",
    "stats_tags_map",
    "metadata_map",
];
/// Fields that hold free JSON (`google.protobuf.Struct`), untouched below.
const FREE: [&str; 6] =
    ["filter_metadata", "metadata", "static_layer", "layer", "json_format", "struct_value"];

/// The same message with lowerCamelCase field names, as Istio prints it; maps and free JSON keep their keys.
#[must_use]
pub fn camel(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let free_value = map
                .get("@type")
                .and_then(Value::as_str)
                .is_some_and(|t| t.ends_with("google.protobuf.Struct") || t.ends_with("TypedStruct"));
            let fields = map.iter().map(|(name, child)| {
                let child = if free_value && name == "value" || is_free(map, name) {
                    child.clone()
                } else if MAPS.contains(&name.as_str()) {
                    map_values(child)
                } else {
                    camel(child)
                };
                (to_camel(name), child)
            });
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(camel).collect()),
        other => other.clone(),
    }
}

/// `metadata` is a Struct in a node and in a build version, and a message elsewhere.
fn is_free(map: &Map<String, Value>, name: &str) -> bool {
    let is_node =
        || ["id", "cluster", "user_agent_name", "version"].iter().any(|field| map.contains_key(*field));
    FREE.contains(&name) && (name != "metadata" || is_node())
}

fn map_values(value: &Value) -> Value {
    match value {
        Value::Object(map) => map.iter().map(|(key, child)| (key.clone(), camel(child))).collect(),
        other => camel(other),
    }
}
