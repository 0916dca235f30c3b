//! EndpointSlices: the numbers of fields are those of k8s.io/api/discovery/v1/generated.proto.

use config::kubernetes as registry;
use prost::Message;

use super::{ObjectMeta, Text, owned, shared};

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(in crate::kubernetes) struct EndpointSlice {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<ObjectMeta>,
    #[prost(message, repeated, tag = "2")]
    pub(super) endpoints: Vec<Endpoint>,
    #[prost(message, repeated, tag = "3")]
    pub(super) ports: Vec<EndpointPort>,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) address_type: Text,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct Endpoint {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(super) addresses: Vec<Text>,
    #[prost(message, optional, tag = "2")]
    pub(super) conditions: Option<EndpointConditions>,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) hostname: Text,
    #[prost(message, optional, tag = "4")]
    pub(super) target_ref: Option<ObjectReference>,
    #[prost(bytes = "bytes", tag = "6")]
    pub(super) node_name: Text,
    #[prost(bytes = "bytes", tag = "7")]
    pub(super) zone: Text,
    #[prost(message, optional, tag = "8")]
    pub(super) hints: Option<EndpointHints>,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct EndpointConditions {
    #[prost(bool, optional, tag = "1")]
    pub(super) ready: Option<bool>,
    #[prost(bool, optional, tag = "2")]
    pub(super) serving: Option<bool>,
    #[prost(bool, optional, tag = "3")]
    pub(super) terminating: Option<bool>,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct EndpointHints {
    #[prost(message, repeated, tag = "1")]
    pub(super) for_zones: Vec<Hint>,
    #[prost(message, repeated, tag = "2")]
    pub(super) for_nodes: Vec<Hint>,
}

/// A zone or a node.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct Hint {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) name: Text,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct ObjectReference {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) kind: Text,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) namespace: Text,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) name: Text,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct EndpointPort {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) name: Text,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) protocol: Text,
    #[prost(int32, optional, tag = "3")]
    pub(super) port: Option<i32>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub(super) app_protocol: Option<Text>,
}

impl EndpointSlice {
    /// What it says, as `config` reads it from JSON.
    pub(super) fn body(self) -> registry::EndpointSlice {
        registry::EndpointSlice {
            address_type: owned(&self.address_type),
            endpoints: self.endpoints.iter().map(Endpoint::read).collect(),
            ports: self.ports.iter().map(EndpointPort::read).collect(),
        }
    }
}

impl Endpoint {
    fn read(&self) -> registry::Endpoint {
        let conditions = self.conditions.as_ref();
        registry::Endpoint {
            addresses: self.addresses.iter().map(shared).collect(),
            conditions: registry::EndpointConditions {
                ready: conditions.and_then(|conditions| conditions.ready),
                serving: conditions.and_then(|conditions| conditions.serving),
                terminating: conditions.and_then(|conditions| conditions.terminating),
            },
            hostname: shared(&self.hostname),
            node_name: shared(&self.node_name),
            zone: shared(&self.zone),
            hints: self.hints.as_ref().map(|hints| Box::new(hints.read())),
            target_ref: self.target_ref.as_ref().map(ObjectReference::read),
        }
    }
}

impl EndpointHints {
    fn read(&self) -> registry::EndpointHints {
        let names =
            |of: &[Hint]| of.iter().map(|hint| registry::NamedHint { name: owned(&hint.name) }).collect();
        registry::EndpointHints { for_zones: names(&self.for_zones), for_nodes: names(&self.for_nodes) }
    }
}

impl ObjectReference {
    fn read(&self) -> registry::TargetRef {
        registry::TargetRef {
            kind: shared(&self.kind),
            namespace: shared(&self.namespace),
            name: shared(&self.name),
        }
    }
}

impl EndpointPort {
    fn read(&self) -> registry::EndpointPort {
        registry::EndpointPort {
            name: owned(&self.name),
            protocol: owned(&self.protocol),
            port: self.port,
            app_protocol: self.app_protocol.as_ref().map(owned),
        }
    }
}
