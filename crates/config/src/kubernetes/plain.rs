//! The kinds that carry little but their metadata: namespaces, service accounts, secrets, config maps.

use std::collections::BTreeMap;

use crate::decode::body::{KubernetesBody, lift};
use crate::decode::node::Node;
use crate::decode::reader::Reader;
use crate::decode::schema::{Field, spec};
use crate::value::Bytes;

spec! {
    /// `Namespace` of Kubernetes; all that matters is in its metadata.
    pub struct Namespace {
        /// From `status.phase`: `Active` or `Terminating`.
        phase: String,
    }
}

spec! {
    /// `ServiceAccount` of Kubernetes.
    pub struct ServiceAccount {
        image_pull_secrets: Vec<ObjectName>,
    }
}

spec! {
    /// The name of an object in the same namespace.
    pub struct ObjectName {
        name: String,
    }
}

spec! {
    /// `Secret` of Kubernetes; `stringData` is already merged into `data`.
    pub struct Secret {
        r#type: String,
        data: BTreeMap<String, Bytes>,
    }
}

spec! {
    /// `ConfigMap` of Kubernetes.
    pub struct ConfigMap {
        data: BTreeMap<String, String>,
        binary_data: BTreeMap<String, Bytes>,
    }
}

impl KubernetesBody for Namespace {
    fn read_document(&mut self, root: &Node, reader: &mut Reader) {
        lift(reader, root, &["status", "phase"], &mut self.phase);
    }
}

impl KubernetesBody for ServiceAccount {
    fn read_document(&mut self, root: &Node, reader: &mut Reader) {
        self.read(root, reader);
    }
}

impl KubernetesBody for Secret {
    fn read_document(&mut self, root: &Node, reader: &mut Reader) {
        self.read(root, reader);
        let mut texts: BTreeMap<String, String> = BTreeMap::new();
        lift(reader, root, &["stringData"], &mut texts);
        self.data.extend(texts.into_iter().map(|(key, text)| (key, Bytes(text.into_bytes()))));
    }
}

impl KubernetesBody for ConfigMap {
    fn read_document(&mut self, root: &Node, reader: &mut Reader) {
        self.read(root, reader);
    }
}
