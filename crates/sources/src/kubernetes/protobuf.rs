//! Pods in the binary form of Kubernetes, cut down to what the mesh reads of them; everything else is skipped unread.
//!
//! As JSON, pods are most of what an API server has to write at a start, and of what has to be read. Numbers of fields are
//! those of k8s.io/api/core/v1/generated.proto and of apimachinery's generated.proto. Texts are shown as JSON shows them:
//! what is no UTF-8 as U+FFFD.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use config::kubernetes as registry;
use config::labels::Labels;
use config::{Kind, Meta, Object, Origin, Owner, text};
use prost::Message;

use super::raw::Raw;

/// What stands before every object.
const MARK: &[u8] = b"k8s\0";

/// One frame of a watch.
#[derive(Debug, PartialEq)]
pub(super) enum Frame {
    /// A pod came, or is another one.
    Put(Raw),
    /// A pod is gone.
    Gone(Raw),
    /// So far the watch has come; whether that is the end of the list it began with.
    Bookmark { version: String, listed: bool },
    /// The API server has ended the watch: HTTP status, what it says.
    Failed { code: u16, reason: String, message: String },
}

/// Reads one.
///
/// # Errors
/// What is wrong with it.
pub(super) fn frame(bytes: Bytes) -> Result<Frame, String> {
    let WatchEvent { kind, object } = read(bytes)?;
    let object = object.unwrap_or_default().raw;
    if !object.starts_with(MARK) {
        return Err(format!("an event {kind:?} whose object is not in the binary form"));
    }
    let Unknown { raw } = read(object.slice(MARK.len()..))?;
    match kind.as_str() {
        "ADDED" | "MODIFIED" => Ok(Frame::Put(read::<Pod>(raw)?.into_raw())),
        "DELETED" => Ok(Frame::Gone(read::<Pod>(raw)?.into_raw())),
        "BOOKMARK" => {
            let meta = read::<Pod>(raw)?.metadata.unwrap_or_default();
            let listed = meta.annotations.iter().any(|entry| entry.key == "k8s.io/initial-events-end");
            Ok(Frame::Bookmark { version: owned(&meta.resource_version), listed })
        }
        "ERROR" => {
            let Status { message, reason, code } = read(raw)?;
            Ok(Frame::Failed { code: u16::try_from(code).unwrap_or_default(), reason, message })
        }
        _ => Err(format!("an event of the unknown kind {kind:?}")),
    }
}

fn read<T: Message + Default>(bytes: Bytes) -> Result<T, String> {
    T::decode(bytes).map_err(|error| error.to_string())
}

#[derive(Clone, PartialEq, Message)]
struct WatchEvent {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(message, optional, tag = "2")]
    object: Option<RawExtension>,
}

#[derive(Clone, PartialEq, Message)]
struct RawExtension {
    #[prost(bytes = "bytes", tag = "1")]
    raw: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct Unknown {
    #[prost(bytes = "bytes", tag = "2")]
    raw: Bytes,
}

/// Why an API server does not do something.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "3")]
    message: String,
    #[prost(string, tag = "4")]
    reason: String,
    #[prost(int32, tag = "6")]
    code: i32,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct Pod {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ObjectMeta>,
    #[prost(message, optional, tag = "2")]
    spec: Option<PodSpec>,
    #[prost(message, optional, tag = "3")]
    status: Option<PodStatus>,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
struct ObjectMeta {
    #[prost(bytes = "bytes", tag = "1")]
    name: Text,
    #[prost(bytes = "bytes", tag = "3")]
    namespace: Text,
    #[prost(bytes = "bytes", tag = "5")]
    uid: Text,
    #[prost(bytes = "bytes", tag = "6")]
    resource_version: Text,
    #[prost(int64, tag = "7")]
    generation: i64,
    #[prost(message, optional, tag = "8")]
    creation: Option<Time>,
    #[prost(message, optional, tag = "9")]
    deletion: Option<Time>,
    #[prost(message, repeated, tag = "11")]
    labels: Vec<Entry>,
    #[prost(message, repeated, tag = "12")]
    annotations: Vec<Entry>,
    #[prost(message, repeated, tag = "13")]
    owners: Vec<OwnerReference>,
}

/// An entry of a map.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
struct Entry {
    #[prost(bytes = "bytes", tag = "1")]
    key: Text,
    #[prost(bytes = "bytes", tag = "2")]
    value: Text,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
struct Time {
    #[prost(int64, tag = "1")]
    seconds: i64,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
struct OwnerReference {
    #[prost(bytes = "bytes", tag = "1")]
    kind: Text,
    #[prost(bytes = "bytes", tag = "3")]
    name: Text,
    #[prost(bytes = "bytes", tag = "5")]
    api_version: Text,
    #[prost(bool, tag = "6")]
    controller: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
struct PodSpec {
    #[prost(message, repeated, tag = "2")]
    containers: Vec<Container>,
    #[prost(bytes = "bytes", tag = "8")]
    service_account_name: Text,
    #[prost(bytes = "bytes", tag = "10")]
    node_name: Text,
    #[prost(bool, tag = "11")]
    host_network: bool,
    #[prost(bytes = "bytes", tag = "16")]
    hostname: Text,
    #[prost(bytes = "bytes", tag = "17")]
    subdomain: Text,
    #[prost(message, repeated, tag = "20")]
    init_containers: Vec<Container>,
    #[prost(message, repeated, tag = "28")]
    readiness_gates: Vec<ReadinessGate>,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
struct Container {
    #[prost(bytes = "bytes", tag = "1")]
    name: Text,
    #[prost(bytes = "bytes", tag = "2")]
    image: Text,
    #[prost(message, repeated, tag = "6")]
    ports: Vec<ContainerPort>,
    #[prost(bytes = "bytes", tag = "24")]
    restart_policy: Text,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
struct ContainerPort {
    #[prost(bytes = "bytes", tag = "1")]
    name: Text,
    #[prost(int32, tag = "3")]
    container_port: i32,
    #[prost(bytes = "bytes", tag = "4")]
    protocol: Text,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
struct ReadinessGate {
    #[prost(bytes = "bytes", tag = "1")]
    condition_type: Text,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
struct PodStatus {
    #[prost(bytes = "bytes", tag = "1")]
    phase: Text,
    #[prost(message, repeated, tag = "2")]
    conditions: Vec<Condition>,
    #[prost(bytes = "bytes", tag = "5")]
    host_ip: Text,
    #[prost(bytes = "bytes", tag = "6")]
    pod_ip: Text,
    #[prost(message, repeated, tag = "12")]
    pod_ips: Vec<PodIp>,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
struct Condition {
    #[prost(bytes = "bytes", tag = "1")]
    kind: Text,
    #[prost(bytes = "bytes", tag = "2")]
    status: Text,
    #[prost(bytes = "bytes", tag = "5")]
    reason: Text,
    #[prost(bytes = "bytes", tag = "6")]
    message: Text,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
struct PodIp {
    #[prost(bytes = "bytes", tag = "1")]
    ip: Text,
}

/// A text of a message.
type Text = Bytes;

fn shown(text: &Text) -> Cow<'_, str> {
    String::from_utf8_lossy(text)
}

fn owned(text: &Text) -> String {
    shown(text).into_owned()
}

fn shared(of: &Text) -> Arc<str> {
    text(&shown(of))
}

fn labels(entries: &[Entry]) -> Labels {
    entries.iter().map(|Entry { key, value }| (owned(key), owned(value))).collect()
}

impl Pod {
    fn into_raw(mut self) -> Raw {
        let metadata = self.metadata.get_or_insert_default();
        // versions differ where nothing else does
        let version = owned(&std::mem::take(&mut metadata.resource_version));
        let names = (owned(&metadata.name), owned(&metadata.namespace), version);
        Raw::of_pod(names, self)
    }

    /// The object that it is, in this version, as `config` reads it from JSON.
    pub(super) fn object(self, version: &str, origin: &Arc<str>) -> Object {
        let meta = self.metadata.unwrap_or_default().meta(version, origin);
        let (spec, status) = (self.spec.unwrap_or_default(), self.status.unwrap_or_default());
        let containers = |of: &[Container]| of.iter().map(Container::read).collect::<Vec<_>>();
        let gates = spec.readiness_gates.iter();
        let gates = gates.map(|gate| registry::ReadinessGate { condition_type: owned(&gate.condition_type) });
        let body = registry::Pod {
            node_name: shared(&spec.node_name),
            service_account_name: shared(&spec.service_account_name),
            host_network: spec.host_network,
            hostname: shared(&spec.hostname),
            subdomain: shared(&spec.subdomain),
            containers: containers(&spec.containers).into(),
            init_containers: containers(&spec.init_containers).into(),
            readiness_gates: gates.collect::<Vec<_>>().into(),
            phase: shared(&status.phase),
            ip: shared(&status.pod_ip),
            ips: status.pod_ips.iter().map(|address| registry::PodIp { ip: shared(&address.ip) }).collect(),
            host_ip: shared(&status.host_ip),
            conditions: status.conditions.iter().map(Condition::read).collect::<Vec<_>>().into(),
        };
        Object { meta: Arc::new(meta), spec: body.into(), status: None }
    }
}

impl ObjectMeta {
    fn meta(&self, version: &str, origin: &Arc<str>) -> Meta {
        let owner = |owner: &OwnerReference| Owner {
            api_version: owned(&owner.api_version),
            kind: owned(&owner.kind),
            name: owned(&owner.name),
            controller: owner.controller,
        };
        Meta {
            labels: labels(&self.labels).into(),
            annotations: labels(&self.annotations).into(),
            creation: self.creation.as_ref().map_or(0, |time| time.seconds),
            uid: owned(&self.uid),
            resource_version: version.to_owned(),
            generation: self.generation,
            owners: self.owners.iter().map(owner).collect::<Vec<_>>().into(),
            deleting: self.deletion.is_some(),
            origin: Origin::of(origin.clone()),
            ..Meta::new(Kind::Pod, &shown(&self.namespace), &shown(&self.name))
        }
    }
}

impl Container {
    fn read(&self) -> registry::Container {
        let port = |port: &ContainerPort| registry::ContainerPort {
            name: owned(&port.name),
            container_port: port.container_port,
            protocol: owned(&port.protocol),
        };
        registry::Container {
            name: owned(&self.name),
            image: owned(&self.image),
            ports: self.ports.iter().map(port).collect(),
            restart_policy: owned(&self.restart_policy),
        }
    }
}

impl Condition {
    fn read(&self) -> registry::Condition {
        registry::Condition {
            r#type: owned(&self.kind),
            status: owned(&self.status),
            reason: owned(&self.reason),
            message: owned(&self.message),
        }
    }
}

#[cfg(test)]
mod tests;
