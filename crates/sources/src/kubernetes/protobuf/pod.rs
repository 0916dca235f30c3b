//! Pods: the numbers of fields are those of k8s.io/api/core/v1/generated.proto.

use config::kubernetes as registry;
use prost::Message;

use super::{ObjectMeta, Text, owned, shared};

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(in crate::kubernetes) struct Pod {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<ObjectMeta>,
    #[prost(message, optional, tag = "2")]
    pub(super) spec: Option<PodSpec>,
    #[prost(message, optional, tag = "3")]
    pub(super) status: Option<PodStatus>,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct PodSpec {
    #[prost(message, repeated, tag = "2")]
    pub(super) containers: Vec<Container>,
    #[prost(bytes = "bytes", tag = "8")]
    pub(super) service_account_name: Text,
    #[prost(bytes = "bytes", tag = "10")]
    pub(super) node_name: Text,
    #[prost(bool, tag = "11")]
    pub(super) host_network: bool,
    #[prost(bytes = "bytes", tag = "16")]
    pub(super) hostname: Text,
    #[prost(bytes = "bytes", tag = "17")]
    pub(super) subdomain: Text,
    #[prost(message, repeated, tag = "20")]
    pub(super) init_containers: Vec<Container>,
    #[prost(message, repeated, tag = "28")]
    pub(super) readiness_gates: Vec<ReadinessGate>,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct Container {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) name: Text,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) image: Text,
    #[prost(message, repeated, tag = "6")]
    pub(super) ports: Vec<ContainerPort>,
    #[prost(bytes = "bytes", tag = "24")]
    pub(super) restart_policy: Text,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct ContainerPort {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) name: Text,
    #[prost(int32, tag = "3")]
    pub(super) container_port: i32,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) protocol: Text,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct ReadinessGate {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) condition_type: Text,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct PodStatus {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) phase: Text,
    #[prost(message, repeated, tag = "2")]
    pub(super) conditions: Vec<Condition>,
    #[prost(bytes = "bytes", tag = "5")]
    pub(super) host_ip: Text,
    #[prost(bytes = "bytes", tag = "6")]
    pub(super) pod_ip: Text,
    #[prost(message, repeated, tag = "12")]
    pub(super) pod_ips: Vec<PodIp>,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct Condition {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) kind: Text,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) status: Text,
    #[prost(bytes = "bytes", tag = "5")]
    pub(super) reason: Text,
    #[prost(bytes = "bytes", tag = "6")]
    pub(super) message: Text,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct PodIp {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) ip: Text,
}

impl Pod {
    /// What it says, as `config` reads it from JSON.
    pub(super) fn body(self) -> registry::Pod {
        let (spec, status) = (self.spec.unwrap_or_default(), self.status.unwrap_or_default());
        let containers = |of: &[Container]| of.iter().map(Container::read).collect::<Vec<_>>();
        let gates = spec.readiness_gates.iter();
        let gates = gates.map(|gate| registry::ReadinessGate { condition_type: owned(&gate.condition_type) });
        registry::Pod {
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
