//! The destination rule declarations of networking.istio.io: what its fields are and how they are read.

use std::collections::BTreeMap;

use super::PortSelector;
use crate::decode::schema::{spec, spec_enum, spec_oneof};
use crate::duration::Duration;
use crate::labels::Labels;
use crate::selector::WorkloadSelector;

spec! {
    /// `DestinationRule` of networking.istio.io.
    pub struct DestinationRule {
        host: String,
        traffic_policy: Option<TrafficPolicy>,
        subsets: Vec<Subset>,
        export_to: Vec<String>,
        workload_selector: Option<WorkloadSelector>,
    }
}

spec! {
    /// `TrafficPolicy` of networking.istio.io.
    pub struct TrafficPolicy {
        load_balancer: Option<LoadBalancerSettings>,
        connection_pool: Option<ConnectionPoolSettings>,
        outlier_detection: Option<OutlierDetection>,
        tls: Option<ClientTlsSettings>,
        port_level_settings: Vec<PortTrafficPolicy>,
        tunnel: Option<TunnelSettings>,
        proxy_protocol: Option<ProxyProtocol>,
        retry_budget: Option<RetryBudget>,
    }
}

spec! {
    /// `TrafficPolicy.PortTrafficPolicy` of networking.istio.io.
    pub struct PortTrafficPolicy {
        port: Option<PortSelector>,
        load_balancer: Option<LoadBalancerSettings>,
        connection_pool: Option<ConnectionPoolSettings>,
        outlier_detection: Option<OutlierDetection>,
        tls: Option<ClientTlsSettings>,
    }
}

spec! {
    /// `TrafficPolicy.TunnelSettings` of networking.istio.io.
    pub struct TunnelSettings {
        protocol: String,
        target_host: String,
        target_port: u32,
    }
}

spec! {
    /// `TrafficPolicy.ProxyProtocol` of networking.istio.io.
    pub struct ProxyProtocol {
        version: Version,
    }
}

spec_enum! {
    /// `TrafficPolicy.ProxyProtocol.VERSION` of networking.istio.io.
    pub enum Version {
        V1 = 0 "V1",
        V2 = 1 "V2",
    }
}

spec! {
    /// `TrafficPolicy.RetryBudget` of networking.istio.io.
    pub struct RetryBudget {
        percent: Option<f64>,
        min_retry_concurrency: u32,
        budget_interval: Option<Duration>,
    }
}

spec! {
    /// `Subset` of networking.istio.io.
    pub struct Subset {
        name: String,
        labels: Labels,
        traffic_policy: Option<TrafficPolicy>,
    }
}

spec! {
    /// `LoadBalancerSettings` of networking.istio.io.
    pub struct LoadBalancerSettings {
        locality_lb_setting: Option<LocalityLoadBalancerSetting>,
        zone_aware_lb_setting: Option<ZoneAwareLoadBalancerSetting>,
        warmup_duration_secs: Option<Duration>,
        warmup: Option<WarmupConfiguration>,
    } oneof {
        lb_policy: LbPolicy,
    }
}

spec_oneof! {
    /// The one choice of `lb_policy` in `LoadBalancerSettings` of networking.istio.io.
    pub enum LbPolicy {
        Simple(SimpleLb): simple,
        ConsistentHash(ConsistentHashLb): consistent_hash,
        BackendUtilization(BackendUtilization): backend_utilization,
    }
}

spec! {
    /// `LoadBalancerSettings.ConsistentHashLB` of networking.istio.io.
    pub struct ConsistentHashLb {
        minimum_ring_size: u64,
    } oneof {
        hash_key: HashKey,
        hash_algorithm: HashAlgorithm,
    }
}

spec_oneof! {
    /// The one choice of `hash_key` in `LoadBalancerSettings.ConsistentHashLB` of networking.istio.io.
    pub enum HashKey {
        HttpHeaderName(String): http_header_name,
        HttpCookie(HttpCookie): http_cookie,
        UseSourceIp(bool): use_source_ip,
        HttpQueryParameterName(String): http_query_parameter_name,
    }
}

spec_oneof! {
    /// The one choice of `hash_algorithm` in `LoadBalancerSettings.ConsistentHashLB` of networking.istio.io.
    pub enum HashAlgorithm {
        RingHash(RingHash): ring_hash,
        Maglev(MagLev): maglev,
    }
}

spec! {
    /// `LoadBalancerSettings.ConsistentHashLB.RingHash` of networking.istio.io.
    pub struct RingHash {
        minimum_ring_size: u64,
    }
}

spec! {
    /// `LoadBalancerSettings.ConsistentHashLB.MagLev` of networking.istio.io.
    pub struct MagLev {
        table_size: u64,
    }
}

spec! {
    /// `LoadBalancerSettings.ConsistentHashLB.HTTPCookie` of networking.istio.io.
    pub struct HttpCookie {
        name: String,
        path: String,
        ttl: Option<Duration>,
        attributes: Vec<Attribute>,
    }
}

spec! {
    /// `LoadBalancerSettings.ConsistentHashLB.HTTPCookie.Attribute` of networking.istio.io.
    pub struct Attribute {
        name: String,
        value: String,
    }
}

spec! {
    /// `LoadBalancerSettings.BackendUtilization` of networking.istio.io.
    pub struct BackendUtilization {
        weight_update_period: Option<Duration>,
        weight_expiration_period: Option<Duration>,
        weight_stabilization_period: Option<Duration>,
        error_utilization_penalty_percent: Option<u32>,
        metric_names_for_computing_utilization: Vec<String>,
    }
}

spec_enum! {
    /// `LoadBalancerSettings.SimpleLB` of networking.istio.io.
    pub enum SimpleLb {
        Unspecified = 0 "UNSPECIFIED",
        LeastConn = 1 "LEAST_CONN",
        Random = 2 "RANDOM",
        Passthrough = 3 "PASSTHROUGH",
        RoundRobin = 4 "ROUND_ROBIN",
        LeastRequest = 5 "LEAST_REQUEST",
    }
}

spec! {
    /// `WarmupConfiguration` of networking.istio.io.
    pub struct WarmupConfiguration {
        duration: Option<Duration>,
        minimum_percent: Option<f64>,
        aggression: Option<f64>,
    }
}

spec! {
    /// `ConnectionPoolSettings` of networking.istio.io.
    pub struct ConnectionPoolSettings {
        tcp: Option<TcpSettings>,
        http: Option<HttpSettings>,
    }
}

spec! {
    /// `ConnectionPoolSettings.TCPSettings` of networking.istio.io.
    pub struct TcpSettings {
        max_connections: i32,
        connect_timeout: Option<Duration>,
        tcp_keepalive: Option<TcpKeepalive>,
        max_connection_duration: Option<Duration>,
        idle_timeout: Option<Duration>,
    }
}

spec! {
    /// `ConnectionPoolSettings.TCPSettings.TcpKeepalive` of networking.istio.io.
    pub struct TcpKeepalive {
        probes: u32,
        time: Option<Duration>,
        interval: Option<Duration>,
    }
}

spec! {
    /// `ConnectionPoolSettings.HTTPSettings` of networking.istio.io.
    pub struct HttpSettings {
        http1_max_pending_requests: i32,
        http2_max_requests: i32,
        max_requests_per_connection: i32,
        max_retries: i32,
        idle_timeout: Option<Duration>,
        h2_upgrade_policy: H2UpgradePolicy,
        use_client_protocol: bool,
        max_concurrent_streams: i32,
        http2_keep_alive: Option<ConnectionKeepalive>,
    }
}

spec! {
    /// `ConnectionPoolSettings.HTTPSettings.ConnectionKeepalive` of networking.istio.io.
    pub struct ConnectionKeepalive {
        interval: Option<Duration>,
        timeout: Option<Duration>,
    }
}

spec_enum! {
    /// `ConnectionPoolSettings.HTTPSettings.H2UpgradePolicy` of networking.istio.io.
    pub enum H2UpgradePolicy {
        Default = 0 "DEFAULT",
        DoNotUpgrade = 1 "DO_NOT_UPGRADE",
        Upgrade = 2 "UPGRADE",
    }
}

spec! {
    /// `OutlierDetection` of networking.istio.io.
    pub struct OutlierDetection {
        consecutive_errors: i32,
        split_external_local_origin_errors: bool,
        consecutive_local_origin_failures: Option<u32>,
        consecutive_gateway_errors: Option<u32>,
        consecutive_5xx_errors: Option<u32>,
        interval: Option<Duration>,
        base_ejection_time: Option<Duration>,
        max_ejection_percent: i32,
        min_health_percent: i32,
        outlier_detection_http_error_codes: Vec<u32>,
    }
}

spec! {
    /// `ClientTLSSettings` of networking.istio.io.
    pub struct ClientTlsSettings {
        mode: ClientTlsSettingsTlsMode,
        client_certificate: String,
        private_key: String,
        ca_certificates: String,
        credential_name: String,
        subject_alt_names: Vec<String>,
        sni: String,
        insecure_skip_verify: Option<bool>,
        ca_crl: String,
    }
}

spec_enum! {
    /// `ClientTLSSettings.TLSmode` of networking.istio.io.
    pub enum ClientTlsSettingsTlsMode {
        Disable = 0 "DISABLE",
        Simple = 1 "SIMPLE",
        Mutual = 2 "MUTUAL",
        IstioMutual = 3 "ISTIO_MUTUAL",
    }
}

spec! {
    /// `LocalityLoadBalancerSetting` of networking.istio.io.
    pub struct LocalityLoadBalancerSetting {
        distribute: Vec<Distribute>,
        failover: Vec<LocalityLoadBalancerSettingFailover>,
        failover_priority: Vec<String>,
        enabled: Option<bool>,
    }
}

spec! {
    /// `LocalityLoadBalancerSetting.Distribute` of networking.istio.io.
    pub struct Distribute {
        from: String,
        to: BTreeMap<String, u32>,
    }
}

spec! {
    /// `LocalityLoadBalancerSetting.Failover` of networking.istio.io.
    pub struct LocalityLoadBalancerSettingFailover {
        from: String,
        to: String,
    }
}

spec! {
    /// `ZoneAwareLoadBalancerSetting` of networking.istio.io.
    pub struct ZoneAwareLoadBalancerSetting {
        enabled: Option<bool>,
        failover: Vec<ZoneAwareLoadBalancerSettingFailover>,
        failover_priority: Vec<String>,
        min_cluster_size: Option<u64>,
    }
}

spec! {
    /// `ZoneAwareLoadBalancerSetting.Failover` of networking.istio.io.
    pub struct ZoneAwareLoadBalancerSettingFailover {
        from: String,
        to: String,
    }
}
