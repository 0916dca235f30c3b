//! `Node`: a machine of the cluster.

use crate::decode::body::{KubernetesBody, lift};
use crate::decode::node::Node as Tree;
use crate::decode::reader::Reader;
use crate::decode::schema::spec;

spec! {
    /// `Node` of Kubernetes: its addresses and taints (its region and zone are labels).
    pub struct Node {
        provider_id("providerID"): String,
        unschedulable: bool,
        taints: Vec<Taint>,
        /// From `status.addresses`.
        addresses: Vec<NodeAddress>,
    }
}

spec! {
    /// An address of a node: `InternalIP`, `ExternalIP`, `Hostname` ...
    pub struct NodeAddress {
        r#type: String,
        address: String,
    }
}

spec! {
    /// What keeps pods off a node.
    pub struct Taint {
        key: String,
        value: String,
        effect: String,
    }
}

impl KubernetesBody for Node {
    fn read_document(&mut self, root: &Tree, reader: &mut Reader) {
        lift(reader, root, &["spec"], self);
        lift(reader, root, &["status", "addresses"], &mut self.addresses);
    }
}
