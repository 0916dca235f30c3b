//! What holds for a mesh as long as nobody says otherwise.

use super::{
    AuthenticationPolicy, ClusterName, DefaultProviders, EnvoyFileAccessLogProvider, ExtensionProvider,
    ExtensionProviderProvider, InboundTrafficPolicy, InboundTrafficPolicyMode, IngressControllerMode,
    MeshConfig, OutboundTrafficPolicy, OutboundTrafficPolicyMode, PrometheusMetricsProvider, ProxyConfig,
    StackdriverProvider,
};
use crate::duration::Duration;
use crate::networking::LocalityLoadBalancerSetting;

/// The settings of a proxy by default.
///
/// As `pkg/config/mesh/mesh.go: DefaultProxyConfig`.
pub fn default_proxy_config() -> ProxyConfig {
    ProxyConfig {
        config_path: "./etc/istio/proxy".to_owned(),
        binary_path: "/usr/local/bin/envoy".to_owned(),
        cluster_name: Some(ClusterName::ServiceCluster("istio-proxy".to_owned())),
        drain_duration: Some(Duration::from_secs(45)),
        termination_drain_duration: Some(Duration::from_secs(5)),
        proxy_admin_port: 15000,
        control_plane_auth_policy: AuthenticationPolicy::MutualTls,
        discovery_address: "istiod.istio-system.svc:15012".to_owned(),
        stat_name_length: 189,
        status_port: 15020,
        ..ProxyConfig::default()
    }
}

/// The settings of a mesh by default.
///
/// As `pkg/config/mesh/mesh.go: DefaultMeshConfig`.
pub fn default_mesh_config() -> MeshConfig {
    let everybody = || vec!["*".to_owned()];
    MeshConfig {
        enable_tracing: true,
        protocol_detection_timeout: Some(Duration::ZERO),
        ingress_service: "istio-ingressgateway".to_owned(),
        ingress_controller_mode: IngressControllerMode::Strict,
        ingress_class: "istio".to_owned(),
        trust_domain: "cluster.local".to_owned(),
        enable_auto_mtls: Some(true),
        outbound_traffic_policy: Some(OutboundTrafficPolicy {
            mode: OutboundTrafficPolicyMode::AllowAny,
            ..OutboundTrafficPolicy::default()
        }),
        inbound_traffic_policy: Some(InboundTrafficPolicy { mode: InboundTrafficPolicyMode::Passthrough }),
        locality_lb_setting: Some(LocalityLoadBalancerSetting {
            enabled: Some(true),
            ..LocalityLoadBalancerSetting::default()
        }),
        default_config: Some(default_proxy_config()),
        root_namespace: "istio-system".to_owned(),
        proxy_listen_port: 15001,
        proxy_inbound_listen_port: 15006,
        connect_timeout: Some(Duration::from_secs(10)),
        default_service_export_to: everybody(),
        default_virtual_service_export_to: everybody(),
        default_destination_rule_export_to: everybody(),
        // only used after failures: proxies follow the TTL of good answers
        dns_refresh_rate: Some(Duration::from_secs(60)),
        enable_prometheus_merge: Some(true),
        default_providers: Some(DefaultProviders::default()),
        extension_providers: default_providers(),
        ..MeshConfig::default()
    }
}

/// The providers every mesh has.
fn default_providers() -> Vec<ExtensionProvider> {
    let provider =
        |name: &str, provider| ExtensionProvider { name: name.to_owned(), provider: Some(provider) };
    let log = EnvoyFileAccessLogProvider {
        path: "/dev/stdout".to_owned(),
        ..EnvoyFileAccessLogProvider::default()
    };
    vec![
        provider("prometheus", ExtensionProviderProvider::Prometheus(PrometheusMetricsProvider::default())),
        provider("stackdriver", ExtensionProviderProvider::Stackdriver(StackdriverProvider::default())),
        provider("envoy", ExtensionProviderProvider::EnvoyFileAccessLog(log)),
    ]
}
