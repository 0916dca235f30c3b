//! Of the layers of a traffic policy (rule, port, subset, subset's port, mesh) the one that each part in force comes from.

use config::mesh::DefaultTrafficPolicy;
use config::networking::{
    ClientTlsSettings, ConnectionPoolSettings, ConsistentHashLb, DestinationRule, LbPolicy,
    LoadBalancerSettings, OutlierDetection, PortTrafficPolicy, ProxyProtocol, RetryBudget, TcpSettings,
    TrafficPolicy, Version,
};
use mesh::rules::Rule;

use super::policy;
use crate::provenance::Origin;

/// Where a policy was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Layer {
    Rule,
    RulePort,
    Subset,
    SubsetPort,
    Mesh,
}

const LAYERS: [Layer; 5] = [Layer::Rule, Layer::RulePort, Layer::Subset, Layer::SubsetPort, Layer::Mesh];

/// The layer that each part of the policy in force comes from.
///
/// Nothing decides that a second time: the parts of all layers give way to parts that only bear the number of their
/// layer, and are put through the functions that clusters are built with.
pub(crate) struct Layers {
    marked: TrafficPolicy,
    port: u32,
    subset: String,
}

fn limits(layer: Layer) -> ConnectionPoolSettings {
    let tcp = TcpSettings { max_connections: layer as i32, ..TcpSettings::default() };
    ConnectionPoolSettings { tcp: Some(tcp), ..ConnectionPoolSettings::default() }
}

fn outlier(layer: Layer) -> OutlierDetection {
    OutlierDetection { min_health_percent: layer as i32, ..OutlierDetection::default() }
}

fn balancer(layer: Layer) -> LoadBalancerSettings {
    let hash = ConsistentHashLb { minimum_ring_size: layer as u64, ..ConsistentHashLb::default() };
    LoadBalancerSettings {
        lb_policy: Some(LbPolicy::ConsistentHash(hash)),
        ..LoadBalancerSettings::default()
    }
}

fn tls(layer: Layer) -> ClientTlsSettings {
    ClientTlsSettings { sni: (layer as u32).to_string(), ..ClientTlsSettings::default() }
}

fn marked_ports(ports: &[PortTrafficPolicy], layer: Layer) -> Vec<PortTrafficPolicy> {
    let one = |own: &PortTrafficPolicy| PortTrafficPolicy {
        port: own.port.clone(),
        load_balancer: own.load_balancer.as_ref().map(|_| balancer(layer)),
        connection_pool: own.connection_pool.as_ref().map(|_| limits(layer)),
        outlier_detection: own.outlier_detection.as_ref().map(|_| outlier(layer)),
        tls: own.tls.as_ref().map(|_| tls(layer)),
    };
    ports.iter().map(one).collect()
}

fn marked(own: &TrafficPolicy, layer: Layer, ports: Layer) -> TrafficPolicy {
    let version = if layer == Layer::Rule { Version::V1 } else { Version::V2 };
    let budget = RetryBudget { min_retry_concurrency: layer as u32, ..RetryBudget::default() };
    TrafficPolicy {
        load_balancer: own.load_balancer.as_ref().map(|_| balancer(layer)),
        connection_pool: own.connection_pool.as_ref().map(|_| limits(layer)),
        outlier_detection: own.outlier_detection.as_ref().map(|_| outlier(layer)),
        tls: own.tls.as_ref().map(|_| tls(layer)),
        port_level_settings: marked_ports(&own.port_level_settings, ports),
        proxy_protocol: own.proxy_protocol.as_ref().map(|_| ProxyProtocol { version }),
        retry_budget: own.retry_budget.as_ref().map(|_| budget),
        ..TrafficPolicy::default()
    }
}

impl Layers {
    /// Of a rule's policy for a port and a subset (empty for the whole service).
    pub(crate) fn of(
        rule: Option<&DestinationRule>,
        port: u32,
        subset: &str,
        default: Option<&DefaultTrafficPolicy>,
    ) -> Self {
        let own = rule.and_then(|rule| rule.subsets.iter().find(|s| s.name == subset));
        let own = own.and_then(|s| s.traffic_policy.as_ref());
        let own = own.map(|p| marked(p, Layer::Subset, Layer::SubsetPort));
        let whole = rule.and_then(|rule| rule.traffic_policy.as_ref());
        let whole = DestinationRule {
            traffic_policy: whole.map(|p| marked(p, Layer::Rule, Layer::RulePort)),
            ..DestinationRule::default()
        };
        let default = default.map(|own| DefaultTrafficPolicy {
            connection_pool: own.connection_pool.as_ref().map(|_| limits(Layer::Mesh)),
            outlier_detection: own.outlier_detection.as_ref().map(|_| outlier(Layer::Mesh)),
        });
        let of_port = policy::of_port(Some(&whole), port, default.as_ref());
        let marked = policy::for_subset(of_port.as_ref(), own.as_ref(), port);
        let marked = marked.map(std::borrow::Cow::into_owned).unwrap_or_default();
        Self { marked, port, subset: subset.to_owned() }
    }

    fn of_part(&self, part: &str) -> Option<Layer> {
        let at = |number: u64| LAYERS.get(usize::try_from(number).ok()?).copied();
        let p = &self.marked;
        match part {
            "connectionPool" => {
                at(u64::try_from(p.connection_pool.as_ref()?.tcp.as_ref()?.max_connections).ok()?)
            }
            "outlierDetection" => at(u64::try_from(p.outlier_detection.as_ref()?.min_health_percent).ok()?),
            "loadBalancer" => match p.load_balancer.as_ref()?.lb_policy.as_ref()? {
                LbPolicy::ConsistentHash(hash) => at(hash.minimum_ring_size),
                _ => None,
            },
            "tls" => at(p.tls.as_ref()?.sni.parse().ok()?),
            "proxyProtocol" => Some(match p.proxy_protocol.as_ref()?.version {
                Version::V1 => Layer::Rule,
                Version::V2 => Layer::Subset,
            }),
            "retryBudget" => at(p.retry_budget.as_ref()?.min_retry_concurrency.into()),
            _ => None,
        }
    }

    /// Where a part was written, and a field of it; `None` if no layer has the part.
    pub(crate) fn origin(&self, rule: Option<&Rule>, part: &str, field: &str) -> Option<Origin> {
        let layer = self.of_part(part)?;
        let (port, subset) = (self.port, &self.subset);
        let path = match layer {
            Layer::Mesh => return Some(Origin::mesh(format!("defaultTrafficPolicy.{part}{field}"))),
            Layer::Rule => "spec.trafficPolicy".to_owned(),
            Layer::RulePort => format!("spec.trafficPolicy.portLevelSettings[port.number={port}]"),
            Layer::Subset => format!("spec.subsets[name={subset}].trafficPolicy"),
            Layer::SubsetPort => {
                format!("spec.subsets[name={subset}].trafficPolicy.portLevelSettings[port.number={port}]")
            }
        };
        Some(Origin::rule(rule?, [format!("{path}.{part}{field}")]))
    }
}
