//! `Pod`: where a workload runs and how it is doing.

use std::sync::Arc;

use super::Condition;
use super::endpoints::is_true;
use crate::decode::body::{KubernetesBody, lift};
use crate::decode::node::Node;
use crate::decode::reader::Reader;
use crate::decode::schema::spec;
use crate::shared::Shared;

spec! {
    /// `Pod` of Kubernetes (labels, annotations and owners are in its metadata).
    pub struct Pod {
        node_name: Arc<str>,
        service_account_name: Arc<str>,
        host_network: bool,
        hostname: Arc<str>,
        subdomain: Arc<str>,
        containers: Shared<Vec<Container>>,
        init_containers: Shared<Vec<Container>>,
        readiness_gates: Shared<Vec<ReadinessGate>>,
        /// From `status.phase`: `Pending`, `Running`, `Succeeded`, `Failed`.
        phase: Arc<str>,
        /// From `status.podIP`.
        ip: Arc<str>,
        /// From `status.podIPs`.
        ips: Vec<PodIp>,
        /// From `status.hostIP`.
        host_ip: Arc<str>,
        /// From `status.conditions`.
        conditions: Shared<Vec<Condition>>,
    }
}

spec! {
    /// A container of a pod.
    #[derive(Hash)]
    pub struct Container {
        name: String,
        image: String,
        ports: Vec<ContainerPort>,
        restart_policy: String,
    }
}

spec! {
    /// A port of a container.
    #[derive(Hash)]
    pub struct ContainerPort {
        name: String,
        container_port: i32,
        protocol: String,
    }
}

spec! {
    /// A condition a pod waits for before it is ready.
    #[derive(Hash)]
    pub struct ReadinessGate {
        condition_type: String,
    }
}

spec! {
    /// An address of a pod.
    pub struct PodIp {
        ip: Arc<str>,
    }
}

impl KubernetesBody for Pod {
    fn read_document(&mut self, root: &Node, reader: &mut Reader) {
        lift(reader, root, &["spec"], self);
        lift(reader, root, &["status", "phase"], &mut self.phase);
        lift(reader, root, &["status", "podIP"], &mut self.ip);
        lift(reader, root, &["status", "podIPs"], &mut self.ips);
        lift(reader, root, &["status", "hostIP"], &mut self.host_ip);
        lift(reader, root, &["status", "conditions"], &mut self.conditions);
    }
}

impl Pod {
    /// Whether the kubelet calls it ready.
    pub fn is_ready(&self) -> bool {
        is_true(&self.conditions, "Ready")
    }

    /// Whether it has ended and never comes back.
    pub fn is_terminal(&self) -> bool {
        matches!(&*self.phase, "Failed" | "Succeeded")
    }

    /// Every address, the primary one first.
    pub fn addresses(&self) -> Vec<&str> {
        let mut out: Vec<&str> = Vec::new();
        for ip in std::iter::once(&*self.ip).chain(self.ips.iter().map(|ip| &*ip.ip)) {
            if !ip.is_empty() && !out.contains(&ip) {
                out.push(ip);
            }
        }
        out
    }

    /// The number of a named port of any container, as service ports refer to it.
    pub fn named_port(&self, name: &str, protocol: &str) -> Option<i32> {
        let tcp = |p: &str| if p.is_empty() { "TCP".to_owned() } else { p.to_owned() };
        self.containers
            .iter()
            .flat_map(|container| &container.ports)
            .find(|port| port.name == name && tcp(&port.protocol) == tcp(protocol))
            .map(|port| port.container_port)
    }
}
