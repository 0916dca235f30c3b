//! What a ServiceEntry says of addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;

use config::host::is_wildcard;
use config::label::ENABLE_AUTOALLOCATE_IP;
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde_json::Value;

/// A ServiceEntry, as far as its addresses go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// The version of the object.
    pub(super) version: String,
    pub(super) created: Option<Timestamp>,
    /// Whether addresses are to be allocated for its hosts
    /// (as pilot/pkg/networking/serviceentry: `ShouldV2AutoAllocateIP`).
    pub(super) wanted: bool,
    /// The hosts that can have an address, each once, as they are written.
    pub(super) hosts: Vec<String>,
    /// The addresses its author gave it.
    pub(super) own: Vec<IpAddr>,
    /// What its status has, readable or not.
    pub(super) status: Vec<Allocated>,
}

/// One address of a host, as the status has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Allocated {
    pub(super) host: String,
    pub(super) value: String,
}

impl Allocated {
    /// The address; nothing for a text that is none.
    pub(super) fn address(&self) -> Option<IpAddr> {
        Some(self.value.parse::<IpAddr>().ok()?.to_canonical())
    }
}

impl Entry {
    /// What an object says. A field that is not what it should be counts as missing.
    pub(super) fn of(object: &DynamicObject) -> Self {
        let spec = &object.data["spec"];
        let resolution = spec["resolution"].as_str().unwrap_or("NONE");
        let refused = object.labels().get(ENABLE_AUTOALLOCATE_IP);
        let refused = refused.is_some_and(|value| value.eq_ignore_ascii_case("false"));
        let addresses = texts(&spec["addresses"]);
        let mut seen = BTreeSet::new();
        let hosts = texts(&spec["hosts"]).into_iter();
        let hosts = hosts.filter(|host| !is_wildcard(host) || resolution == "DYNAMIC_DNS");
        let status = object.data["status"]["addresses"].as_array();
        Self {
            version: object.resource_version().unwrap_or_default(),
            created: object.creation_timestamp().map(|time| time.0),
            wanted: resolution != "NONE" && !refused && addresses.is_empty(),
            hosts: hosts.filter(|host| seen.insert(*host)).map(str::to_owned).collect(),
            own: addresses
                .iter()
                .filter_map(|text| text.parse::<IpAddr>().ok())
                .map(|ip| ip.to_canonical())
                .collect(),
            status: status.into_iter().flatten().map(allocated).collect(),
        }
    }

    /// The addresses of its status.
    pub(super) fn allocated(&self) -> impl Iterator<Item = IpAddr> {
        self.status.iter().filter_map(Allocated::address)
    }
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn allocated(value: &Value) -> Allocated {
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    Allocated { host: text("host"), value: text("value") }
}
