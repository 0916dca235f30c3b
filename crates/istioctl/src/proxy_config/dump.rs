//! A configuration dump: Envoy's `/config_dump`, a file of it, or the control plane's `/debug/config_dump`.

use serde_json::Value;

use super::fields::{get, list, text};

/// Why a dump cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The bytes are not a JSON document.
    #[error("error unmarshalling config dump response from Envoy: {0}")]
    NotJson(#[from] serde_json::Error),
    /// The dump lacks a section that the command needs.
    #[error("config dump has no configuration type type.googleapis.com/envoy.admin.v3.{0}")]
    NoSection(&'static str),
    /// The section is there but holds nothing.
    #[error("no {0} found")]
    Empty(&'static str),
}

/// One proxy's configuration, any unknown type in it included.
#[derive(Debug, Clone)]
pub struct Dump {
    root: Value,
}

impl Dump {
    /// Reads a dump.
    ///
    /// # Errors
    /// If the bytes are not JSON.
    pub fn parse(bytes: &[u8]) -> Result<Self, DumpError> {
        Ok(Self { root: serde_json::from_slice(bytes)? })
    }

    /// The whole document.
    #[must_use]
    pub fn root(&self) -> &Value {
        &self.root
    }

    /// The section of type `envoy.admin.v3.<name>`; the last one if there are several, as Istio takes it.
    pub(super) fn section(&self, name: &'static str) -> Result<&Value, DumpError> {
        list(&self.root, "configs")
            .iter()
            .rfind(|config| {
                text(config, "@type").strip_suffix(name).is_some_and(|package| {
                    package.ends_with("envoy.admin.v3.") || package.ends_with("v2alpha.")
                })
            })
            .ok_or(DumpError::NoSection(name))
    }

    /// The resources in the given places of a section; each place is (list, dotted path to the resource).
    pub(super) fn resources<'a>(section: &'a Value, places: &[(&str, &str)]) -> Vec<&'a Value> {
        places
            .iter()
            .flat_map(|(name, at)| {
                list(section, name).iter().map(move |entry| super::fields::path(entry, at))
            })
            .filter(|resource| !resource.is_null())
            .collect()
    }
}

/// `dir|port|subset|host` (or `dir_.port_.subset_.host`) taken apart, as pilot/pkg/model: ParseSubsetKey.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SubsetKey<'a> {
    pub(super) direction: &'a str,
    pub(super) port: u64,
    pub(super) subset: &'a str,
    pub(super) host: &'a str,
}

impl<'a> SubsetKey<'a> {
    pub(super) fn parse(name: &'a str) -> Option<Self> {
        let separator =
            if name.starts_with("outbound_") || name.starts_with("inbound_") { "_." } else { "|" };
        let mut parts = name.splitn(4, separator);
        let (direction, port, subset, host) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        Some(Self { direction, port: port.parse().unwrap_or_default(), subset, host })
    }

    /// What clusters and endpoints are sorted by: host, subset, port, direction; other names by themselves.
    pub(super) fn order(name: &'a str) -> (&'a str, &'a str, u64, &'a str) {
        match Self::parse(name).filter(|_| name.matches('|').count() > 2) {
            Some(key) => (key.host, key.subset, key.port, key.direction),
            None => (name, "", 0, ""),
        }
    }
}

/// `name.namespace` of the object a resource was made from, as its metadata says; empty if it does not.
pub(super) fn management(resource: &Value) -> String {
    let config = get(get(get(resource, "metadata"), "filter_metadata"), "istio").get("config");
    let Some(config) = config.map(|value| value.as_str().unwrap_or_default()) else { return String::new() };
    if !config.starts_with("/apis/networking.istio.io/") {
        return "<unknown>".to_owned();
    }
    match config.split('/').collect::<Vec<_>>()[..] {
        [_, _, _, _, _, namespace, _, name] => format!("{name}.{namespace}"),
        _ => String::new(),
    }
}

/// The resource without the `@type` of the Any it stood in, spelled as Istio spells it.
pub(super) fn plain(resource: &Value) -> Value {
    let mut out = super::fields::camel(resource);
    if let Some(map) = out.as_object_mut() {
        map.shift_remove("@type");
    }
    out
}
