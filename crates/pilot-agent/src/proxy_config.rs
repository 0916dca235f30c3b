//! ProxyConfig as the agent sees it: defaults, mesh file, `PROXY_CONFIG` and annotation laid over one another.
//!
//! It is kept as proto3 JSON, because its other use is to be told to the control plane word by word in the node's
//! metadata: a field this agent does not know is still passed on.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::environment::parse_duration;

/// The effective ProxyConfig in proto3 JSON, canonical names, no default values of the language.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProxyConfig(Map<String, Value>);

/// Fields whose keys belong to the user and must not be renamed.
const USER_KEYED: [&str; 2] = ["proxyMetadata", "runtimeValues"];

/// Why a ProxyConfig could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{origin}: {reason}")]
pub struct BadProxyConfig {
    origin: String,
    reason: String,
}

impl ProxyConfig {
    /// The defaults, as pkg/config/mesh/mesh.go: DefaultProxyConfig.
    #[must_use]
    pub fn defaults() -> Self {
        let fields = serde_json::json!({
            "configPath": "./etc/istio/proxy",
            "binaryPath": "/usr/local/bin/envoy",
            "serviceCluster": "istio-proxy",
            "drainDuration": "45s",
            "terminationDrainDuration": "5s",
            "discoveryAddress": "istiod.istio-system.svc:15012",
            "proxyAdminPort": 15000,
            "controlPlaneAuthPolicy": "MUTUAL_TLS",
            "statNameLength": 189,
            "statusPort": 15020,
        });
        Self::from_value(fields)
    }

    /// Takes an object in proto3 JSON; names in snake case are made canonical, anything that is no object is empty.
    #[must_use]
    pub fn from_value(value: Value) -> Self {
        match canonical(value) {
            Value::Object(fields) => Self(fields),
            _ => Self::default(),
        }
    }

    /// Lays a YAML or JSON document over this configuration: a field replaces, `proxyMetadata` and `proxyHeaders`
    /// merge by key. As pkg/config/mesh/mesh.go: MergeProxyConfig.
    ///
    /// # Errors
    /// When the text is no YAML object; `origin` says where it came from.
    pub fn overlay_yaml(&mut self, text: &str, origin: &str) -> Result<(), BadProxyConfig> {
        self.overlay(yaml_object(text, origin)?);
        Ok(())
    }

    /// Lays the `defaultConfig` of a mesh configuration over this one; a mesh without one changes nothing.
    ///
    /// # Errors
    /// When the text is no YAML object.
    pub fn overlay_mesh_yaml(&mut self, text: &str, origin: &str) -> Result<(), BadProxyConfig> {
        if text.trim().is_empty() {
            return Ok(());
        }
        let mut mesh = yaml_object(text, origin)?;
        match mesh.remove("defaultConfig").or_else(|| mesh.remove("default_config")) {
            Some(Value::Object(fields)) => self.overlay(fields),
            None | Some(Value::Null) => {}
            Some(_) => {
                return Err(BadProxyConfig {
                    origin: origin.to_owned(),
                    reason: "defaultConfig is not an object".to_owned(),
                });
            }
        }
        Ok(())
    }

    fn overlay(&mut self, fields: Map<String, Value>) {
        let Value::Object(fields) = canonical(Value::Object(fields)) else { return };
        if fields.contains_key("tracingServiceName") {
            self.0.remove("serviceCluster"); // the two are one oneof
        } else if fields.contains_key("serviceCluster") {
            self.0.remove("tracingServiceName");
        }
        for (name, value) in fields {
            match (self.0.get_mut(&name), value) {
                (Some(Value::Object(old)), Value::Object(new))
                    if matches!(name.as_str(), "proxyMetadata" | "proxyHeaders") =>
                {
                    old.extend(new);
                }
                (_, value) => {
                    self.0.insert(name, value);
                }
            }
        }
    }

    /// Sets a field by its canonical name; `Value::Null` takes it away.
    pub fn set(&mut self, name: &str, value: Value) {
        if value.is_null() {
            self.0.remove(name);
        } else {
            self.0.insert(name.to_owned(), value);
        }
    }

    /// A field by its canonical name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A text field; empty when absent.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A number field, also when it is written as text; `None` when absent or no number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<i64> {
        number_of(self.0.get(name)?)
    }

    /// A port field; 0 when absent or out of range.
    #[must_use]
    pub fn port(&self, name: &str) -> u16 {
        self.number(name).and_then(|port| u16::try_from(port).ok()).unwrap_or_default()
    }

    /// A duration field in proto3 JSON (`"5s"`); Go's longer spellings are accepted.
    #[must_use]
    pub fn duration(&self, name: &str) -> Option<Duration> {
        parse_duration(self.0.get(name)?.as_str()?)
    }

    /// The value of a map of strings, e.g. `proxyMetadata`, under `key`.
    #[must_use]
    pub fn entry(&self, map: &str, key: &str) -> Option<&str> {
        self.0.get(map)?.get(key)?.as_str()
    }

    /// The pairs of a map of strings.
    pub fn entries<'a>(&'a self, map: &str) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.0
            .get(map)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
    }

    /// The whole in proto3 JSON, without what means nothing (empty text, zero, false, empty lists and objects at the
    /// top; messages stay even when empty).
    #[must_use]
    pub fn to_value(&self) -> Value {
        let meaningful = |value: &Value| match value {
            Value::Null => false,
            Value::Bool(on) => *on,
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::Object(_) => true,
        };
        // The first value of an enum is what an absent field means.
        let first = [("controlPlaneAuthPolicy", "NONE"), ("interceptionMode", "REDIRECT")];
        // Wrapped scalars say something even when they are zero.
        let wrapped = ["concurrency", "statsCompression"];
        Value::Object(
            self.0
                .iter()
                .filter(|(name, value)| !first.iter().any(|(field, zero)| field == name && *value == zero))
                .filter(|(name, value)| {
                    (wrapped.contains(&name.as_str()) && !value.is_null()) || meaningful(value)
                })
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        )
    }
}

/// A number that may be written as text, as proto3 JSON allows.
#[must_use]
pub fn number_of(value: &Value) -> Option<i64> {
    value
        .as_i64()
        .or_else(|| value.as_str()?.parse().ok())
        .or_else(|| value.as_f64().map(|number| number as i64))
}

/// Reads one YAML (or JSON) document that must be an object; nothing at all is an empty one.
pub(crate) fn yaml_object(text: &str, origin: &str) -> Result<Map<String, Value>, BadProxyConfig> {
    let bad = |reason: String| BadProxyConfig { origin: origin.to_owned(), reason };
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    match serde_saphyr::from_str::<Value>(text).map_err(|error| bad(error.to_string()))? {
        Value::Object(fields) => Ok(fields),
        Value::Null => Ok(Map::new()),
        _ => Err(bad("expected fields (name: value)".to_owned())),
    }
}

fn canonical(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, value)| {
                    let name = camel_case(&name);
                    let value =
                        if USER_KEYED.contains(&name.as_str()) { texts(value) } else { canonical(value) };
                    (name, value)
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(canonical).collect()),
        other => other,
    }
}

/// YAML may have turned the text of a map of strings into a number or a boolean.
fn texts(value: Value) -> Value {
    let Value::Object(fields) = value else { return value };
    Value::Object(
        fields
            .into_iter()
            .map(|(key, value)| match value {
                Value::Number(number) => (key, Value::String(number.to_string())),
                Value::Bool(on) => (key, Value::String(on.to_string())),
                other => (key, other),
            })
            .collect(),
    )
}

fn camel_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut upper = false;
    for c in name.chars() {
        if c == '_' && !out.is_empty() {
            upper = true;
        } else if upper {
            out.push(c.to_ascii_uppercase());
            upper = false;
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests;
