//! `ServiceExport` and `ServiceImport` of Kubernetes' Multi-Cluster Services API: which services other clusters may call,
//! and the addresses their common name has in a cluster.

use crate::decode::body::{KubernetesBody, lift};
use crate::decode::node::Node;
use crate::decode::reader::Reader;
use crate::decode::schema::spec;

spec! {
    /// `ServiceExport`: the Service of the same name and namespace is for all clusters. That it is there says all.
    pub struct ServiceExport {}
}

spec! {
    /// `ServiceImport`: what a controller of the Multi-Cluster Services API made of the exports of all clusters.
    pub struct ServiceImport {
        /// From `spec.ips`: the addresses of the common name in this cluster; what is no address is ignored where they
        /// are used.
        ips: Vec<String>,
    }
}

impl KubernetesBody for ServiceExport {
    fn read_document(&mut self, _root: &Node, _reader: &mut Reader) {}
}

impl KubernetesBody for ServiceImport {
    fn read_document(&mut self, root: &Node, reader: &mut Reader) {
        lift(reader, root, &["spec", "ips"], &mut self.ips);
    }
}
