//! Load balancing: policy, locality, failover, zones
//! (as pilot/pkg/networking/core/cluster_traffic_policy.go and core/loadbalancer).

use config::label;
use config::mesh::MeshConfig;
use config::networking::{
    HashAlgorithm, LbPolicy, LoadBalancerSettings, LocalityLoadBalancerSetting, SimpleLb,
    WarmupConfiguration, ZoneAwareLoadBalancerSetting,
};
use config::protocol::Protocol;
use mesh::services::{Port, Service, TrafficDistribution};
use proto::envoy::config::cluster::v3::cluster::{
    self, CommonLbConfig, LbConfig, LbPolicy as Policy, LeastRequestLbConfig, MaglevLbConfig,
    RingHashLbConfig, RoundRobinLbConfig, SlowStartConfig, common_lb_config,
};
use proto::envoy::config::core::v3::RuntimeDouble;
use proto::envoy::r#type::v3::Percent;
use proto::google::protobuf::UInt64Value;

use super::build::Draft;
use crate::encoded::duration;

/// Label keys of Kubernetes' traffic distribution.
const SAME_ZONE: [&str; 3] = [label::NETWORK, label::REGION, label::ZONE];
const SAME_NODE: [&str; 5] = [label::NETWORK, label::REGION, label::ZONE, label::SUBZONE, label::HOSTNAME];

/// Which locality setting is in force (as `GetEffectiveLbSetting`).
#[derive(Clone, PartialEq, Debug)]
pub enum Effective {
    /// Locality weights or failover; `force` = failover without outlier detection.
    Locality {
        /// The setting.
        setting: LocalityLoadBalancerSetting,
        /// Kubernetes' traffic distribution.
        force: bool,
    },
    /// Envoy's zone-aware routing.
    ZoneAware(ZoneAwareLoadBalancerSetting),
}

/// Labels by which a service's traffic distribution prefers endpoints; none where it prefers nothing.
pub(crate) fn distribution(service: &Service) -> &'static [&'static str] {
    match service.traffic_distribution {
        TrafficDistribution::PreferSameZone => &SAME_ZONE,
        TrafficDistribution::PreferSameNode => &SAME_NODE,
        TrafficDistribution::Any => &[],
    }
}

/// The setting for a service: rule's zone-aware, rule's locality, traffic distribution, mesh zone-aware, mesh locality.
#[must_use]
pub fn effective(
    mesh: &MeshConfig,
    lb: Option<&LoadBalancerSettings>,
    service: Option<&Service>,
) -> Option<Effective> {
    if let Some(zone) = lb.and_then(|l| l.zone_aware_lb_setting.as_ref()) {
        return Some(Effective::ZoneAware(zone.clone()));
    }
    let locality = |s: &LocalityLoadBalancerSetting| {
        (s.enabled != Some(false)).then(|| Effective::Locality { setting: s.clone(), force: false })
    };
    if let Some(setting) = lb.and_then(|l| l.locality_lb_setting.as_ref()) {
        return locality(setting);
    }
    let labels = service.map_or(&[][..], distribution);
    if !labels.is_empty() {
        let setting = LocalityLoadBalancerSetting {
            enabled: Some(true),
            failover_priority: labels.iter().map(|l| (*l).to_owned()).collect(),
            ..LocalityLoadBalancerSetting::default()
        };
        return Some(Effective::Locality { setting, force: true });
    }
    if let Some(zone) = &mesh.zone_aware_lb_setting {
        return Some(Effective::ZoneAware(zone.clone()));
    }
    mesh.locality_lb_setting.as_ref().and_then(locality)
}

/// What else decides about balancing.
pub(super) struct Context<'a> {
    pub(super) mesh: &'a MeshConfig,
    pub(super) service: Option<&'a Service>,
    pub(super) port: Option<&'a Port>,
    /// `ENABLE_LOCALITY_WEIGHTED_LB_CONFIG`.
    pub(super) always_weighted: bool,
    /// Unhealthy endpoints are sent for this service.
    pub(super) unhealthy: bool,
    /// `PILOT_ENABLE_REDIS_FILTER`.
    pub(super) redis: bool,
}

/// As `applyLoadBalancer`, without the load assignment's localities (see `endpoints`).
pub(super) fn apply(draft: &mut Draft, lb: Option<&LoadBalancerSettings>, context: &Context<'_>) {
    if draft.cluster.lb_policy == i32::from(Policy::ClusterProvided) {
        return;
    }
    if context.unhealthy && draft.lb().healthy_panic_threshold.is_none() {
        draft.lb().healthy_panic_threshold = Some(Percent { value: 0.0 });
    }
    let outlier = draft.cluster.outlier_detection.is_some();
    let setting = effective(context.mesh, lb, context.service);
    locality(draft.lb(), setting.as_ref(), outlier, context.always_weighted);
    if draft.kind() == cluster::DiscoveryType::OriginalDst {
        return draft.set_policy(Policy::ClusterProvided);
    }
    if context.redis && context.port.is_some_and(|p| p.protocol == Protocol::Redis) {
        return draft.set_policy(Policy::Maglev);
    }
    match lb.and_then(|l| l.lb_policy.as_ref()) {
        Some(LbPolicy::Simple(SimpleLb::Random)) => draft.set_policy(Policy::Random),
        Some(LbPolicy::Simple(SimpleLb::RoundRobin)) => round_robin(draft, lb),
        Some(LbPolicy::Simple(SimpleLb::Passthrough)) => {
            draft.set_policy(Policy::ClusterProvided);
            draft.set_kind(cluster::DiscoveryType::OriginalDst);
            draft.cluster.load_assignment = None;
        }
        _ => least_request(draft, lb),
    }
    if let Some(LbPolicy::ConsistentHash(hash)) = lb.and_then(|l| l.lb_policy.as_ref()) {
        consistent_hash(draft, hash);
    }
}

fn locality(config: &mut CommonLbConfig, setting: Option<&Effective>, outlier: bool, always_weighted: bool) {
    use common_lb_config::{
        LocalityConfigSpecifier as Specifier, LocalityWeightedLbConfig, ZoneAwareLbConfig,
    };
    let weighted = match setting {
        Some(Effective::ZoneAware(zone)) => {
            let routing = zone.enabled.unwrap_or(true);
            config.locality_config_specifier = Some(Specifier::ZoneAwareLbConfig(ZoneAwareLbConfig {
                routing_enabled: (!routing).then_some(Percent { value: 0.0 }),
                min_cluster_size: zone.min_cluster_size.map(|value| UInt64Value { value }),
                ..ZoneAwareLbConfig::default()
            }));
            return;
        }
        Some(Effective::Locality { setting, force }) => {
            let failover = !setting.failover.is_empty() || !setting.failover_priority.is_empty();
            ((*force || outlier) && failover) || !setting.distribute.is_empty()
        }
        None => false,
    };
    if weighted || always_weighted {
        config.locality_config_specifier =
            Some(Specifier::LocalityWeightedLbConfig(LocalityWeightedLbConfig::default()));
    }
}

fn slow_start(lb: Option<&LoadBalancerSettings>) -> Option<SlowStartConfig> {
    let lb = lb?;
    if let Some(WarmupConfiguration { duration: window, minimum_percent, aggression }) = &lb.warmup {
        return Some(SlowStartConfig {
            slow_start_window: window.map(duration),
            aggression: Some(RuntimeDouble {
                default_value: aggression.unwrap_or(1.0),
                runtime_key: "(".into(),
            }),
            min_weight_percent: Some(Percent { value: minimum_percent.unwrap_or(10.0) }),
        });
    }
    let window = lb.warmup_duration_secs?;
    Some(SlowStartConfig { slow_start_window: Some(duration(window)), ..SlowStartConfig::default() })
}

fn round_robin(draft: &mut Draft, lb: Option<&LoadBalancerSettings>) {
    draft.set_policy(Policy::RoundRobin);
    if let Some(start) = slow_start(lb) {
        draft.cluster.lb_config =
            Some(LbConfig::RoundRobinLbConfig(RoundRobinLbConfig { slow_start_config: Some(start) }));
    }
}

fn least_request(draft: &mut Draft, lb: Option<&LoadBalancerSettings>) {
    draft.set_policy(Policy::LeastRequest);
    if let Some(start) = slow_start(lb) {
        draft.cluster.lb_config = Some(LbConfig::LeastRequestLbConfig(LeastRequestLbConfig {
            slow_start_config: Some(start),
            ..LeastRequestLbConfig::default()
        }));
    }
}

fn consistent_hash(draft: &mut Draft, hash: &config::networking::ConsistentHashLb) {
    let ring = |size: u64| {
        LbConfig::RingHashLbConfig(RingHashLbConfig {
            minimum_ring_size: Some(UInt64Value { value: size }),
            ..RingHashLbConfig::default()
        })
    };
    match &hash.hash_algorithm {
        Some(HashAlgorithm::Maglev(maglev)) => {
            draft.set_policy(Policy::Maglev);
            if maglev.table_size != 0 {
                draft.cluster.lb_config = Some(LbConfig::MaglevLbConfig(MaglevLbConfig {
                    table_size: Some(UInt64Value { value: maglev.table_size }),
                }));
            }
        }
        Some(HashAlgorithm::RingHash(settings)) => {
            draft.set_policy(Policy::RingHash);
            if settings.minimum_ring_size != 0 {
                draft.cluster.lb_config = Some(ring(settings.minimum_ring_size));
            }
        }
        None => {
            draft.set_policy(Policy::RingHash);
            draft.cluster.lb_config =
                Some(ring(if hash.minimum_ring_size != 0 { hash.minimum_ring_size } else { 1024 }));
        }
    }
}
