//! How istioctl writes: aligned columns, JSON and YAML exactly as Istio's users' scripts expect them.

mod columns;
mod yaml;

pub use columns::Columns;
pub use yaml::to_yaml;

use serde_json::Value;

/// Pretty JSON with four spaces, as Go's `json.MarshalIndent(v, "", "    ")` prints it, including the
/// escapes of `<`, `>` and `&`.
#[must_use]
pub fn to_json(value: &Value) -> String {
    to_json_indented(value, b"    ")
}

/// Pretty JSON with the given indent and Go's HTML escapes.
#[must_use]
pub fn to_json_indented(value: &Value, indent: &[u8]) -> String {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(indent);
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    if serde::Serialize::serialize(value, &mut serializer).is_err() {
        return String::new();
    }
    // these three can only stand inside strings
    String::from_utf8_lossy(&out).replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

#[cfg(test)]
mod tests;
