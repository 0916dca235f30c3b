//! Pods in the binary form of Kubernetes, cut down to what the mesh reads of them; everything else is skipped unread.
//!
//! As JSON, pods are most of what an API server has to write at a start, and of what has to be read. Numbers of fields are
//! those of k8s.io/api/core/v1/generated.proto and of apimachinery's generated.proto.

use std::collections::BTreeMap;

use bytes::Bytes;
use config::decode::{Content, Key, Mark, Node, rfc3339};
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
            let listed = meta.annotations.contains_key("k8s.io/initial-events-end");
            Ok(Frame::Bookmark { version: meta.resource_version, listed })
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

#[derive(Clone, PartialEq, Message)]
struct Pod {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ObjectMeta>,
    #[prost(message, optional, tag = "2")]
    spec: Option<PodSpec>,
    #[prost(message, optional, tag = "3")]
    status: Option<PodStatus>,
}

#[derive(Clone, PartialEq, Message)]
struct ObjectMeta {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "3")]
    namespace: String,
    #[prost(string, tag = "5")]
    uid: String,
    #[prost(string, tag = "6")]
    resource_version: String,
    #[prost(int64, tag = "7")]
    generation: i64,
    #[prost(message, optional, tag = "8")]
    creation: Option<Time>,
    #[prost(message, optional, tag = "9")]
    deletion: Option<Time>,
    #[prost(btree_map = "string, string", tag = "11")]
    labels: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "12")]
    annotations: BTreeMap<String, String>,
    #[prost(message, repeated, tag = "13")]
    owners: Vec<OwnerReference>,
}

#[derive(Clone, PartialEq, Message)]
struct Time {
    #[prost(int64, tag = "1")]
    seconds: i64,
}

#[derive(Clone, PartialEq, Message)]
struct OwnerReference {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "5")]
    api_version: String,
    #[prost(bool, tag = "6")]
    controller: bool,
}

#[derive(Clone, PartialEq, Message)]
struct PodSpec {
    #[prost(message, repeated, tag = "2")]
    containers: Vec<Container>,
    #[prost(string, tag = "8")]
    service_account_name: String,
    #[prost(string, tag = "10")]
    node_name: String,
    #[prost(bool, tag = "11")]
    host_network: bool,
    #[prost(string, tag = "16")]
    hostname: String,
    #[prost(string, tag = "17")]
    subdomain: String,
    #[prost(message, repeated, tag = "20")]
    init_containers: Vec<Container>,
    #[prost(message, repeated, tag = "28")]
    readiness_gates: Vec<ReadinessGate>,
}

#[derive(Clone, PartialEq, Message)]
struct Container {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    image: String,
    #[prost(message, repeated, tag = "6")]
    ports: Vec<ContainerPort>,
    #[prost(string, tag = "24")]
    restart_policy: String,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerPort {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int32, tag = "3")]
    container_port: i32,
    #[prost(string, tag = "4")]
    protocol: String,
}

#[derive(Clone, PartialEq, Message)]
struct ReadinessGate {
    #[prost(string, tag = "1")]
    condition_type: String,
}

#[derive(Clone, PartialEq, Message)]
struct PodStatus {
    #[prost(string, tag = "1")]
    phase: String,
    #[prost(message, repeated, tag = "2")]
    conditions: Vec<Condition>,
    #[prost(string, tag = "5")]
    host_ip: String,
    #[prost(string, tag = "6")]
    pod_ip: String,
    #[prost(message, repeated, tag = "12")]
    pod_ips: Vec<PodIp>,
}

#[derive(Clone, PartialEq, Message)]
struct Condition {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "2")]
    status: String,
    #[prost(string, tag = "5")]
    reason: String,
    #[prost(string, tag = "6")]
    message: String,
}

#[derive(Clone, PartialEq, Message)]
struct PodIp {
    #[prost(string, tag = "1")]
    ip: String,
}

/// A tree under way: what is empty is left out, as in the JSON of an API server.
#[derive(Default)]
struct Tree(Vec<(Key, Node)>);

impl Tree {
    fn put(&mut self, name: String, content: Content) {
        self.0.push((Key { at: Mark::default(), name }, content.into()));
    }

    fn text(mut self, key: &str, text: String) -> Self {
        if !text.is_empty() {
            self.put(key.to_owned(), Content::String(text));
        }
        self
    }

    fn flag(mut self, key: &str, on: bool) -> Self {
        if on {
            self.put(key.to_owned(), Content::Bool(true));
        }
        self
    }

    fn number(mut self, key: &str, number: i64) -> Self {
        if number != 0 {
            self.put(key.to_owned(), Content::Integer(number.into()));
        }
        self
    }

    fn texts(self, key: &str, texts: BTreeMap<String, String>) -> Self {
        let mut members = Self::default();
        for (name, text) in texts {
            members.put(name, Content::String(text));
        }
        self.member(key, members)
    }

    fn member(mut self, key: &str, members: Self) -> Self {
        if !members.0.is_empty() {
            self.put(key.to_owned(), Content::Object(members.0));
        }
        self
    }

    fn items<T>(mut self, key: &str, items: Vec<T>, tree: impl Fn(T) -> Self) -> Self {
        if !items.is_empty() {
            let items = items.into_iter().map(|item| Content::Object(tree(item).0).into()).collect();
            self.put(key.to_owned(), Content::List(items));
        }
        self
    }
}

impl Pod {
    fn into_raw(self) -> Raw {
        let Self { metadata, spec, status } = self;
        let metadata = metadata.unwrap_or_default();
        let names = (metadata.name.clone(), metadata.namespace.clone(), metadata.resource_version.clone());
        let tree = Tree::default()
            .member("metadata", metadata.tree())
            .member("spec", spec.unwrap_or_default().tree())
            .member("status", status.unwrap_or_default().tree());
        Raw::new(names, Content::Object(tree.0).into())
    }
}

impl ObjectMeta {
    fn tree(self) -> Tree {
        let time = |time: Option<Time>| time.map(|time| rfc3339(time.seconds)).unwrap_or_default();
        let owner = |owner: OwnerReference| {
            Tree::default()
                .text("apiVersion", owner.api_version)
                .text("kind", owner.kind)
                .text("name", owner.name)
                .flag("controller", owner.controller)
        };
        Tree::default()
            .text("name", self.name)
            .text("namespace", self.namespace)
            .text("uid", self.uid)
            .text("resourceVersion", self.resource_version)
            .number("generation", self.generation)
            .text("creationTimestamp", time(self.creation))
            .text("deletionTimestamp", time(self.deletion))
            .texts("labels", self.labels)
            .texts("annotations", self.annotations)
            .items("ownerReferences", self.owners, owner)
    }
}

impl PodSpec {
    fn tree(self) -> Tree {
        Tree::default()
            .text("nodeName", self.node_name)
            .text("serviceAccountName", self.service_account_name)
            .flag("hostNetwork", self.host_network)
            .text("hostname", self.hostname)
            .text("subdomain", self.subdomain)
            .items("containers", self.containers, Container::tree)
            .items("initContainers", self.init_containers, Container::tree)
            .items("readinessGates", self.readiness_gates, |gate| {
                Tree::default().text("conditionType", gate.condition_type)
            })
    }
}

impl Container {
    fn tree(self) -> Tree {
        let port = |port: ContainerPort| {
            Tree::default()
                .text("name", port.name)
                .number("containerPort", port.container_port.into())
                .text("protocol", port.protocol)
        };
        Tree::default()
            .text("name", self.name)
            .text("image", self.image)
            .items("ports", self.ports, port)
            .text("restartPolicy", self.restart_policy)
    }
}

impl PodStatus {
    fn tree(self) -> Tree {
        let condition = |condition: Condition| {
            Tree::default()
                .text("type", condition.kind)
                .text("status", condition.status)
                .text("reason", condition.reason)
                .text("message", condition.message)
        };
        Tree::default()
            .text("phase", self.phase)
            .text("podIP", self.pod_ip)
            .items("podIPs", self.pod_ips, |ip| Tree::default().text("ip", ip.ip))
            .text("hostIP", self.host_ip)
            .items("conditions", self.conditions, condition)
    }
}

#[cfg(test)]
mod tests;
