//! What a WorkloadEntry says of the workload behind it and of who looks after it: pure, an entry in, an entry out.
//!
//! As pilot/pkg/autoregistration/controller.go and its internal/{health,state}.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use config::Kind;
use config::annotation::{AUTO_REGISTRATION_GROUP, CONNECTED_AT, DISCONNECTED_AT, WORKLOAD_CONTROLLER};
use config::label::ISTIO_LOCALITY;
use config::labels::is_dns_label;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt as _;
use kube::api::{DynamicObject, ObjectMeta, TypeMeta};
use serde_json::{Value, json};

use super::workload::{Health, Identity, Refused, Role, Workload};

/// Whose health is checked, and counts.
const HEALTH_CHECKED: &str = "proxy.istio.io/health-checks-enabled";
/// The condition of their health.
const HEALTHY: &str = "Healthy";
/// How a workload is reached through a tunnel.
const TUNNEL: (&str, &str) = ("networking.istio.io/tunnel", "http");
/// The longest name of an object.
const LONGEST_NAME: usize = 253;

/// The name of a group's entry for a workload: the group, the address, the network. Of what is too long the end counts.
pub(super) fn name(group: &str, workload: &Workload) -> Result<String, Refused> {
    if workload.address.is_empty() || workload.namespace.is_empty() {
        let proxy = &workload.proxy;
        return Err(Refused::Precondition(format!(
            "{proxy} cannot be registered: it names no address or no namespace"
        )));
    }
    let address = workload.address.replace(':', "-");
    let network = if workload.network.is_empty() { String::new() } else { format!("-{}", workload.network) };
    let mut name = format!("{group}-{address}{network}");
    if name.len() > LONGEST_NAME {
        let from = (name.len() - LONGEST_NAME..=name.len()).find(|at| name.is_char_boundary(*at));
        name.drain(..from.unwrap_or_default());
    }
    Ok(name)
}

/// Whether the names that a workload gave can be names of objects: they become parts of paths at the API server.
pub(super) fn check_names(role: &Role, entry: &str, workload: &Workload) -> Result<(), Refused> {
    let group = match role {
        Role::Member(group) => group,
        Role::Behind(entry) => entry,
    };
    if is_dns_label(&workload.namespace) && [group, entry].into_iter().all(is_object_name) {
        return Ok(());
    }
    let proxy = &workload.proxy;
    Err(Refused::Precondition(format!(
        "{proxy} cannot be registered: its namespace, WorkloadGroup, WorkloadEntry or network is not what objects in \
         Kubernetes may be called"
    )))
}

/// Whether an object may be called so: parts of letters, digits and dashes, between dots.
fn is_object_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_part = |part: &str| {
        let (first, last) = (part.bytes().next(), part.bytes().next_back());
        first.is_some_and(is_plain)
            && last.is_some_and(is_plain)
            && part.bytes().all(|byte| is_plain(byte) || byte == b'-')
    };
    name.len() <= LONGEST_NAME && name.split('.').all(is_part)
}

/// The entry of a workload, from the template of its group.
pub(super) fn from_group(name: &str, workload: &Workload, group: &DynamicObject) -> DynamicObject {
    let template = &group.data["spec"]["template"];
    let mut spec = if template.is_object() { template.clone() } else { json!({}) };
    let metadata = &group.data["spec"]["metadata"];
    let mut labels = texts(&spec["labels"]);
    labels.extend(texts(&metadata["labels"]));
    labels.extend(workload.labels.clone());
    // the agent's has slashes, which no label of Kubernetes may have; the field has it
    labels.remove(ISTIO_LOCALITY);
    if workload.takes_hbone {
        let (label, value) = TUNNEL;
        labels.entry(label.to_owned()).or_insert_with(|| value.to_owned());
    }
    let mut annotations = BTreeMap::from([(AUTO_REGISTRATION_GROUP.to_owned(), group.name_any())]);
    annotations.extend(texts(&metadata["annotations"]));
    if workload.is_probed {
        annotations.insert(HEALTH_CHECKED.to_owned(), "true".to_owned());
    }
    spec["address"] = json!(workload.address);
    for (field, text) in [("network", &workload.network), ("locality", &workload.locality)] {
        if !text.is_empty() {
            spec[field] = json!(text);
        }
    }
    if !labels.is_empty() {
        spec["labels"] = json!(labels);
    }
    let owner = OwnerReference {
        api_version: Kind::WorkloadGroup.api_version(),
        kind: Kind::WorkloadGroup.name().to_owned(),
        name: group.name_any(),
        uid: group.uid().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    };
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(workload.namespace.clone()),
        labels: Some(labels),
        annotations: Some(annotations),
        owner_references: Some(vec![owner]),
        ..ObjectMeta::default()
    };
    let kind = Kind::WorkloadEntry;
    let types = TypeMeta { api_version: kind.api_version(), kind: kind.name().to_owned() };
    DynamicObject { types: Some(types), metadata, data: json!({"spec": spec}) }
}

fn texts(map: &Value) -> BTreeMap<String, String> {
    let pairs = map.as_object().into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// Whether a workload that proved to be `identity` may stand behind an entry of a namespace.
pub(super) fn may_stand_in<'a>(
    identity: Option<&'a Identity>,
    namespace: &str,
) -> Result<&'a Identity, Refused> {
    let Some(identity) = identity else {
        return Err(Refused::Denied("a WorkloadEntry takes a workload that proves who it is".to_owned()));
    };
    if identity.namespace != namespace {
        let theirs = &identity.namespace;
        return Err(Refused::Denied(format!(
            "the WorkloadEntry is of namespace {namespace}, not of {theirs}"
        )));
    }
    Ok(identity)
}

/// Whether a workload that proved to be `identity` may stand behind an entry
/// (as `ensureProxyCanControlEntry`).
pub(super) fn may_stand_behind(identity: Option<&Identity>, entry: &DynamicObject) -> Result<(), Refused> {
    let name = entry.name_any();
    let identity = may_stand_in(identity, &entry.namespace().unwrap_or_default())?;
    let account = entry.data["spec"]["serviceAccount"].as_str().unwrap_or_default();
    if !account.is_empty() && identity.service_account != account {
        let theirs = &identity.service_account;
        return Err(Refused::Denied(format!(
            "WorkloadEntry {name} is of service account {account}, not of {theirs}"
        )));
    }
    Ok(())
}

/// Whether an entry is looked after by `instance`.
pub(super) fn is_of(entry: &DynamicObject, instance: &str) -> bool {
    entry.annotations().get(WORKLOAD_CONTROLLER).is_some_and(|controller| controller == instance)
}

/// Whether the agent's reports on the health of a workload are taken for an entry.
pub(super) fn takes_health(entry: &DynamicObject) -> bool {
    entry.annotations().contains_key(HEALTH_CHECKED)
}

/// The entry of a workload that connected to `instance`; nothing if it says so, or something newer
/// (as `changeWorkloadEntryStateToConnected`).
pub(super) fn connected(entry: &DynamicObject, instance: &str, at: SystemTime) -> Option<DynamicObject> {
    if time(entry, DISCONNECTED_AT).is_some_and(|left| at < left) {
        return None;
    }
    let before = time(entry, CONNECTED_AT);
    let is_ours = is_of(entry, instance);
    if before.is_some_and(|before| at < before || (is_ours && at == before)) {
        return None;
    }
    let mut entry = entry.clone();
    let annotations = entry.annotations_mut();
    annotations.insert(WORKLOAD_CONTROLLER.to_owned(), instance.to_owned());
    annotations.insert(CONNECTED_AT.to_owned(), written(at));
    annotations.remove(DISCONNECTED_AT);
    Some(entry)
}

/// The entry of a workload whose last connection to `instance`, of the time `connected_at`, ended; nothing if it is
/// connected anew or elsewhere (as `changeWorkloadEntryStateToDisconnected`).
pub(super) fn disconnected(
    entry: &DynamicObject,
    instance: &str,
    connected_at: SystemTime,
    now: SystemTime,
) -> Option<DynamicObject> {
    let newest = time(entry, CONNECTED_AT);
    if !is_of(entry, instance) || newest.is_some_and(|newest| newest > connected_at || newest > now) {
        return None;
    }
    if newest.is_none() && time(entry, DISCONNECTED_AT).is_some() {
        return None;
    }
    let mut entry = entry.clone();
    let annotations = entry.annotations_mut();
    annotations.remove(CONNECTED_AT);
    annotations.insert(DISCONNECTED_AT.to_owned(), written(now));
    Some(entry)
}

/// The entry with what the agent found; nothing if it says so, knows something newer or is looked after by another
/// instance (as `UpdateHealth`).
pub(super) fn with_health(entry: &DynamicObject, instance: &str, health: &Health) -> Option<DynamicObject> {
    if !is_of(entry, instance) {
        return None;
    }
    let mut conditions = entry.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let standing = conditions.iter().position(|condition| condition["type"] == HEALTHY);
    let status = if health.is_healthy { "True" } else { "False" };
    let mut condition = json!({
        "type": HEALTHY, "status": status,
        "lastProbeTime": written(health.at), "lastTransitionTime": written(health.at),
    });
    if !health.is_healthy {
        condition["message"] = json!(health.message);
    }
    match standing.map(|at| &mut conditions[at]) {
        Some(before) => {
            let probed = before["lastProbeTime"].as_str().and_then(parsed);
            let is_same = before["status"] == status && before["message"] == condition["message"];
            if is_same || probed.is_some_and(|probed| probed > health.at) {
                return None;
            }
            *before = condition;
        }
        None => conditions.push(condition),
    }
    Some(with_conditions(entry, conditions))
}

/// The entry without anything on health.
pub(super) fn without_health(entry: &DynamicObject) -> DynamicObject {
    let conditions = entry.data["status"]["conditions"].as_array().into_iter().flatten();
    let kept = conditions.filter(|condition| condition["type"] != HEALTHY).cloned().collect();
    with_conditions(entry, kept)
}

fn with_conditions(entry: &DynamicObject, conditions: Vec<Value>) -> DynamicObject {
    let mut entry = entry.clone();
    if !entry.data["status"].is_object() {
        entry.data["status"] = json!({});
    }
    entry.data["status"]["conditions"] = Value::Array(conditions);
    entry
}

/// What is to be done about an entry whose workload is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cleanup {
    /// It was made for the workload: it goes too.
    Delete,
    /// It is its author's: what it says of health is of nobody any more.
    DropHealth,
}

/// When an entry is to be cleaned up, and how; nothing for what is not ours to clean up, or is connected
/// (as `shouldCleanupEntry`, `cleanupEntry`).
pub(super) fn cleanup(
    entry: &DynamicObject,
    grace: Duration,
    longest_connection: Option<Duration>,
) -> Option<(SystemTime, Cleanup)> {
    let text = |name: &str| entry.annotations().get(name).map(String::as_str).filter(|text| !text.is_empty());
    let conditions = entry.data["status"]["conditions"].as_array();
    let has_health = conditions.into_iter().flatten().any(|condition| condition["type"] == HEALTHY);
    let how = if text(AUTO_REGISTRATION_GROUP).is_some() {
        Cleanup::Delete
    } else if text(WORKLOAD_CONTROLLER).is_some() && has_health {
        Cleanup::DropHealth
    } else {
        return None;
    };
    let at = match (text(CONNECTED_AT), text(DISCONNECTED_AT)) {
        // who looked after it and the workload may have died together, with nobody to write down the end
        (Some(connected), _) => parsed(connected)?.checked_add(longest_connection?.mul_f64(1.5))?,
        (None, Some(left)) => {
            parsed(left).and_then(|left| left.checked_add(grace)).unwrap_or(SystemTime::UNIX_EPOCH)
        }
        (None, None) => return None,
    };
    Some((at, how))
}

fn time(entry: &DynamicObject, annotation: &str) -> Option<SystemTime> {
    entry.annotations().get(annotation).and_then(|text| parsed(text))
}

fn parsed(text: &str) -> Option<SystemTime> {
    text.parse::<Timestamp>().ok().map(SystemTime::from)
}

/// A time as Go writes it with RFC3339Nano.
fn written(time: SystemTime) -> String {
    Timestamp::try_from(time).map(|time| time.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
