//! `EndpointSlice` and the older `Endpoints`: the addresses behind a service.

use std::sync::Arc;

use super::Condition;
use crate::decode::body::{KubernetesBody, lift};
use crate::decode::node::Node;
use crate::decode::reader::Reader;
use crate::decode::schema::{Field, spec};

spec! {
    /// `EndpointSlice` of Kubernetes.
    pub struct EndpointSlice {
        address_type: String,
        endpoints: Vec<Endpoint>,
        ports: Vec<EndpointPort>,
    }
}

spec! {
    /// One endpoint of a slice.
    pub struct Endpoint {
        addresses: Vec<Arc<str>>,
        conditions: EndpointConditions,
        hostname: Arc<str>,
        node_name: Arc<str>,
        zone: Arc<str>,
        hints: Option<Box<EndpointHints>>,
        target_ref: Option<TargetRef>,
    }
}

spec! {
    /// What is known of the health of an endpoint.
    pub struct EndpointConditions {
        ready: Option<bool>,
        serving: Option<bool>,
        terminating: Option<bool>,
    }
}

spec! {
    /// Who had better use an endpoint.
    pub struct EndpointHints {
        for_zones: Vec<NamedHint>,
        for_nodes: Vec<NamedHint>,
    }
}

spec! {
    /// The name of a zone or a node.
    pub struct NamedHint {
        name: String,
    }
}

spec! {
    /// The object behind an endpoint.
    pub struct TargetRef {
        kind: Arc<str>,
        namespace: Arc<str>,
        name: Arc<str>,
    }
}

spec! {
    /// A port of every endpoint of a slice or subset; no number means every port.
    pub struct EndpointPort {
        name: String,
        protocol: String,
        port: Option<i32>,
        app_protocol: Option<String>,
    }
}

spec! {
    /// `Endpoints` of Kubernetes.
    pub struct Endpoints {
        subsets: Vec<EndpointSubset>,
    }
}

spec! {
    /// Addresses that share ports.
    pub struct EndpointSubset {
        addresses: Vec<EndpointAddress>,
        not_ready_addresses: Vec<EndpointAddress>,
        ports: Vec<EndpointPort>,
    }
}

spec! {
    /// One address of a subset.
    pub struct EndpointAddress {
        ip: Arc<str>,
        hostname: Arc<str>,
        node_name: Arc<str>,
        target_ref: Option<TargetRef>,
    }
}

impl KubernetesBody for EndpointSlice {
    fn read_document(&mut self, root: &Node, reader: &mut Reader) {
        self.read(root, reader);
    }
}

impl KubernetesBody for Endpoints {
    fn read_document(&mut self, root: &Node, reader: &mut Reader) {
        lift(reader, root, &["subsets"], &mut self.subsets);
    }
}

/// Whether a condition of this type is true.
pub(super) fn is_true(conditions: &[Condition], kind: &str) -> bool {
    conditions.iter().any(|c| c.r#type == kind && c.status == "True")
}
