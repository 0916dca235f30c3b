//! `Service`: a name, its ports and addresses.

use super::IntOrString;
use crate::decode::body::{KubernetesBody, lift};
use crate::decode::node::Node;
use crate::decode::reader::Reader;
use crate::decode::schema::spec;
use crate::labels::Labels;

spec! {
    /// `Service` of Kubernetes: its spec, and the addresses of its load balancer.
    pub struct Service {
        ports: Vec<ServicePort>,
        selector: Labels,
        cluster_ip("clusterIP"): String,
        cluster_ips("clusterIPs"): Vec<String>,
        r#type: String,
        external_ips("externalIPs"): Vec<String>,
        external_name: String,
        session_affinity: String,
        session_affinity_config: Option<SessionAffinityConfig>,
        internal_traffic_policy: String,
        external_traffic_policy: String,
        traffic_distribution: String,
        publish_not_ready_addresses: bool,
        ip_families: Vec<String>,
        ip_family_policy: String,
        load_balancer_ip("loadBalancerIP"): String,
        load_balancer_class: String,
        /// From `status.loadBalancer.ingress`.
        load_balancer_ingress: Vec<LoadBalancerIngress>,
        /// From `status.conditions`.
        conditions: Vec<Condition>,
    }
}

spec! {
    /// A port of a `Service`.
    pub struct ServicePort {
        name: String,
        protocol: String,
        app_protocol: Option<String>,
        port: i32,
        target_port: Option<IntOrString>,
        node_port: i32,
    }
}

spec! {
    /// How long a client sticks to an endpoint.
    pub struct SessionAffinityConfig {
        client_ip("clientIP"): Option<ClientIpConfig>,
    }
}

spec! {
    /// How long a client address sticks to an endpoint.
    pub struct ClientIpConfig {
        timeout_seconds: Option<i32>,
    }
}

spec! {
    /// An address of a load balancer.
    pub struct LoadBalancerIngress {
        ip: String,
        hostname: String,
    }
}

spec! {
    /// A condition in the status of an object.
    #[derive(Hash)]
    pub struct Condition {
        r#type: String,
        status: String,
        reason: String,
        message: String,
    }
}

impl KubernetesBody for Service {
    fn read_document(&mut self, root: &Node, reader: &mut Reader) {
        lift(reader, root, &["spec"], self);
        lift(reader, root, &["status", "loadBalancer", "ingress"], &mut self.load_balancer_ingress);
        lift(reader, root, &["status", "conditions"], &mut self.conditions);
    }
}

impl Service {
    /// Whether it has no address of its own (`clusterIP: None`).
    pub fn is_headless(&self) -> bool {
        self.cluster_ip == "None"
    }

    /// Its type with the default filled in: `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`.
    pub fn service_type(&self) -> &str {
        if self.r#type.is_empty() { "ClusterIP" } else { &self.r#type }
    }

    /// Every address of its own, the primary one first; none if it is headless or has none yet.
    pub fn addresses(&self) -> Vec<&str> {
        let one = std::slice::from_ref(&self.cluster_ip);
        let all = if self.cluster_ips.is_empty() { one } else { &self.cluster_ips };
        all.iter().map(String::as_str).filter(|ip| !ip.is_empty() && *ip != "None").collect()
    }
}
