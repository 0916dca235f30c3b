//! `Ingress` and `IngressClass`: the older way into a cluster.

use super::LoadBalancerIngress;
use crate::decode::body::{KubernetesBody, lift};
use crate::decode::node::Node;
use crate::decode::reader::Reader;
use crate::decode::schema::spec;

spec! {
    /// `Ingress` of Kubernetes: its spec, and the addresses it was given.
    pub struct Ingress {
        ingress_class_name: Option<String>,
        default_backend: Option<IngressBackend>,
        tls: Vec<IngressTls>,
        rules: Vec<IngressRule>,
        /// From `status.loadBalancer.ingress`.
        load_balancer_ingress: Vec<LoadBalancerIngress>,
    }
}

spec! {
    /// Hosts and the secret with their certificate.
    pub struct IngressTls {
        hosts: Vec<String>,
        secret_name: String,
    }
}

spec! {
    /// The paths of one host.
    pub struct IngressRule {
        host: String,
        http: Option<HttpIngressRuleValue>,
    }
}

spec! {
    /// The paths of one host.
    pub struct HttpIngressRuleValue {
        paths: Vec<HttpIngressPath>,
    }
}

spec! {
    /// A path and where it leads.
    pub struct HttpIngressPath {
        path: String,
        path_type: Option<String>,
        backend: IngressBackend,
    }
}

spec! {
    /// Where a path leads.
    pub struct IngressBackend {
        service: Option<IngressServiceBackend>,
    }
}

spec! {
    /// A service and one of its ports.
    pub struct IngressServiceBackend {
        name: String,
        port: ServiceBackendPort,
    }
}

spec! {
    /// A port by name or by number.
    pub struct ServiceBackendPort {
        name: String,
        number: i32,
    }
}

spec! {
    /// `IngressClass` of Kubernetes.
    pub struct IngressClass {
        controller: String,
    }
}

impl KubernetesBody for Ingress {
    fn read_document(&mut self, root: &Node, reader: &mut Reader) {
        lift(reader, root, &["spec"], self);
        lift(reader, root, &["status", "loadBalancer", "ingress"], &mut self.load_balancer_ingress);
    }
}

impl KubernetesBody for IngressClass {
    fn read_document(&mut self, root: &Node, reader: &mut Reader) {
        lift(reader, root, &["spec"], self);
    }
}
