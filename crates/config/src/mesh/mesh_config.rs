//! The mesh config declarations of the mesh configuration: what its fields are and how they are read.

use super::{ExtensionProvider, ProxyConfig};
use crate::decode::schema::{spec, spec_enum, spec_oneof};
use crate::duration::Duration;
use crate::labels::Labels;
use crate::networking::{
    ClientTlsSettings, ConnectionPoolSettings, HttpRetry, LocalityLoadBalancerSetting, OutlierDetection,
    TcpKeepalive, ZoneAwareLoadBalancerSetting,
};

spec! {
    /// `MeshConfig` of the mesh configuration.
    pub struct MeshConfig {
        proxy_listen_port: i32,
        proxy_inbound_listen_port: i32,
        proxy_http_port: i32,
        connect_timeout: Option<Duration>,
        hbone_idle_timeout: Option<Duration>,
        protocol_detection_timeout: Option<Duration>,
        tcp_keepalive: Option<TcpKeepalive>,
        ingress_class: String,
        ingress_service: String,
        ingress_controller_mode: IngressControllerMode,
        ingress_selector: String,
        enable_tracing: bool,
        access_log_file: String,
        access_log_format: String,
        access_log_encoding: AccessLogEncoding,
        enable_envoy_access_log_service: bool,
        disable_envoy_listener_log: bool,
        default_config: Option<ProxyConfig>,
        outbound_traffic_policy: Option<OutboundTrafficPolicy>,
        inbound_traffic_policy: Option<InboundTrafficPolicy>,
        config_sources: Vec<ConfigSource>,
        enable_auto_mtls: Option<bool>,
        trust_domain: String,
        trust_domain_aliases: Vec<String>,
        ca_certificates: Vec<MeshConfigCertificateData>,
        default_service_export_to: Vec<String>,
        default_virtual_service_export_to: Vec<String>,
        default_destination_rule_export_to: Vec<String>,
        root_namespace: String,
        locality_lb_setting: Option<LocalityLoadBalancerSetting>,
        zone_aware_lb_setting: Option<ZoneAwareLoadBalancerSetting>,
        dns_refresh_rate: Option<Duration>,
        h2_upgrade_policy: H2UpgradePolicy,
        inbound_cluster_stat_name: String,
        outbound_cluster_stat_name: String,
        certificates: Vec<Certificate>,
        service_settings: Vec<ServiceSettings>,
        service_scope_configs: Vec<ServiceScopeConfigs>,
        enable_prometheus_merge: Option<bool>,
        verify_certificate_at_client: Option<bool>,
        ca: Option<Ca>,
        extension_providers: Vec<ExtensionProvider>,
        default_providers: Option<DefaultProviders>,
        discovery_selectors: Vec<LabelSelector>,
        path_normalization: Option<ProxyPathNormalization>,
        default_http_retry_policy: Option<HttpRetry>,
        default_inbound_http_retry_policy: Option<HttpRetry>,
        mesh_mtls("meshMTLS"): Option<TlsConfig>,
        tls_defaults: Option<TlsConfig>,
        default_traffic_policy: Option<DefaultTrafficPolicy>,
        service_entry_visibility: Option<ServiceEntryVisibility>,
    }
}

spec! {
    /// `MeshConfig.OutboundTrafficPolicy` of the mesh configuration.
    pub struct OutboundTrafficPolicy {
        mode: OutboundTrafficPolicyMode,
        tls: Option<ClientTlsSettings>,
    }
}

spec_enum! {
    /// `MeshConfig.OutboundTrafficPolicy.Mode` of the mesh configuration.
    pub enum OutboundTrafficPolicyMode {
        RegistryOnly = 0 "REGISTRY_ONLY",
        AllowAny = 1 "ALLOW_ANY",
        AllowAnyDynamicDns = 3 "ALLOW_ANY_DYNAMIC_DNS",
    }
}

spec! {
    /// `MeshConfig.InboundTrafficPolicy` of the mesh configuration.
    pub struct InboundTrafficPolicy {
        mode: InboundTrafficPolicyMode,
    }
}

spec_enum! {
    /// `MeshConfig.InboundTrafficPolicy.Mode` of the mesh configuration.
    pub enum InboundTrafficPolicyMode {
        Passthrough = 0 "PASSTHROUGH",
        Localhost = 1 "LOCALHOST",
    }
}

spec! {
    /// `MeshConfig.CertificateData` of the mesh configuration.
    pub struct MeshConfigCertificateData {
        cert_signers: Vec<String>,
        trust_domains: Vec<String>,
    } oneof {
        certificate_data: MeshConfigCertificateDataCertificateData,
    }
}

spec_oneof! {
    /// The one choice of `certificate_data` in `MeshConfig.CertificateData` of the mesh configuration.
    pub enum MeshConfigCertificateDataCertificateData {
        Pem(String): pem,
        SpiffeBundleUrl(String): spiffe_bundle_url,
    }
}

spec! {
    /// `MeshConfig.ServiceSettings` of the mesh configuration.
    pub struct ServiceSettings {
        settings: Option<Settings>,
        hosts: Vec<String>,
    }
}

spec! {
    /// `MeshConfig.ServiceSettings.Settings` of the mesh configuration.
    pub struct Settings {
        cluster_local: bool,
    }
}

spec! {
    /// `MeshConfig.ServiceScopeConfigs` of the mesh configuration.
    pub struct ServiceScopeConfigs {
        namespace_selector: Option<LabelSelector>,
        services_selector: Option<LabelSelector>,
        scope: Scope,
    }
}

spec_enum! {
    /// `MeshConfig.ServiceScopeConfigs.Scope` of the mesh configuration.
    pub enum Scope {
        Local = 0 "LOCAL",
        Global = 1 "GLOBAL",
    }
}

spec! {
    /// `MeshConfig.CA` of the mesh configuration.
    pub struct Ca {
        address: String,
        tls_settings: Option<ClientTlsSettings>,
        request_timeout: Option<Duration>,
        istiod_side: bool,
    }
}

spec! {
    /// `MeshConfig.DefaultProviders` of the mesh configuration.
    pub struct DefaultProviders {
        tracing: Vec<String>,
        metrics: Vec<String>,
        access_logging: Vec<String>,
    }
}

spec! {
    /// `MeshConfig.ProxyPathNormalization` of the mesh configuration.
    pub struct ProxyPathNormalization {
        normalization: NormalizationType,
    }
}

spec_enum! {
    /// `MeshConfig.ProxyPathNormalization.NormalizationType` of the mesh configuration.
    pub enum NormalizationType {
        Default = 0 "DEFAULT",
        None = 1 "NONE",
        Base = 2 "BASE",
        MergeSlashes = 3 "MERGE_SLASHES",
        DecodeAndMergeSlashes = 4 "DECODE_AND_MERGE_SLASHES",
    }
}

spec! {
    /// `MeshConfig.TLSConfig` of the mesh configuration.
    pub struct TlsConfig {
        min_protocol_version: TlsProtocol,
        ecdh_curves: Vec<String>,
        cipher_suites: Vec<String>,
    }
}

spec_enum! {
    /// `MeshConfig.TLSConfig.TLSProtocol` of the mesh configuration.
    pub enum TlsProtocol {
        TlsAuto = 0 "TLS_AUTO",
        Tlsv12 = 1 "TLSV1_2",
        Tlsv13 = 2 "TLSV1_3",
    }
}

spec! {
    /// `MeshConfig.DefaultTrafficPolicy` of the mesh configuration.
    pub struct DefaultTrafficPolicy {
        connection_pool: Option<ConnectionPoolSettings>,
        outlier_detection: Option<OutlierDetection>,
    }
}

spec_enum! {
    /// `MeshConfig.IngressControllerMode` of the mesh configuration.
    pub enum IngressControllerMode {
        Unspecified = 0 "UNSPECIFIED",
        Off = 1 "OFF",
        Default = 2 "DEFAULT",
        Strict = 3 "STRICT",
    }
}

spec_enum! {
    /// `MeshConfig.AuthPolicy` of the mesh configuration.
    pub enum AuthPolicy {
        None = 0 "NONE",
        MutualTls = 1 "MUTUAL_TLS",
    }
}

spec_enum! {
    /// `MeshConfig.AccessLogEncoding` of the mesh configuration.
    pub enum AccessLogEncoding {
        Text = 0 "TEXT",
        Json = 1 "JSON",
    }
}

spec_enum! {
    /// `MeshConfig.H2UpgradePolicy` of the mesh configuration.
    pub enum H2UpgradePolicy {
        DoNotUpgrade = 0 "DO_NOT_UPGRADE",
        Upgrade = 1 "UPGRADE",
    }
}

spec! {
    /// `LabelSelector` of the mesh configuration.
    pub struct LabelSelector {
        match_labels: Labels,
        match_expressions: Vec<LabelSelectorRequirement>,
    }
}

spec! {
    /// `LabelSelectorRequirement` of the mesh configuration.
    pub struct LabelSelectorRequirement {
        key: String,
        operator: String,
        values: Vec<String>,
    }
}

spec! {
    /// `ServiceEntryVisibility` of the mesh configuration.
    pub struct ServiceEntryVisibility {
        default_visibility: Visibility,
        apply_to_sidecars: bool,
        policies: Vec<Policy>,
    }
}

spec! {
    /// `ServiceEntryVisibility.Policy` of the mesh configuration.
    pub struct Policy {
        visibility: Visibility,
        matching_rules: Vec<MatchRule>,
    }
}

spec! {
    /// `ServiceEntryVisibility.MatchRule` of the mesh configuration.
    pub struct MatchRule {
    } oneof {
        matcher: Matcher,
    }
}

spec_oneof! {
    /// The one choice of `matcher` in `ServiceEntryVisibility.MatchRule` of the mesh configuration.
    pub enum Matcher {
        NamespaceSelector(LabelSelector): namespace_selector,
    }
}

spec_enum! {
    /// `ServiceEntryVisibility.Visibility` of the mesh configuration.
    pub enum Visibility {
        VisibilityUnspecified = 0 "VISIBILITY_UNSPECIFIED",
        None = 1 "NONE",
        Namespace = 2 "NAMESPACE",
        Public = 3 "PUBLIC",
    }
}

spec! {
    /// `ConfigSource` of the mesh configuration.
    pub struct ConfigSource {
        address: String,
        tls_settings: Option<ClientTlsSettings>,
        subscribed_resources: Vec<Resource>,
    }
}

spec! {
    /// `Certificate` of the mesh configuration.
    pub struct Certificate {
        secret_name: String,
        dns_names: Vec<String>,
    }
}

spec_enum! {
    /// `Resource` of the mesh configuration.
    pub enum Resource {
        ServiceRegistry = 0 "SERVICE_REGISTRY",
    }
}
