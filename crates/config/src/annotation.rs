//! The names of the annotations a mesh reads or writes, one constant each, named after the key.

/// The annotation `alpha.istio.io/canonical-serviceaccounts`.
pub const CANONICAL_SERVICEACCOUNTS: &str = "alpha.istio.io/canonical-serviceaccounts";
/// The annotation `alpha.istio.io/kubernetes-serviceaccounts`.
pub const KUBERNETES_SERVICEACCOUNTS: &str = "alpha.istio.io/kubernetes-serviceaccounts";
/// The annotation `ambient.istio.io/bypass-inbound-capture`.
pub const BYPASS_INBOUND_CAPTURE: &str = "ambient.istio.io/bypass-inbound-capture";
/// The annotation `ambient.istio.io/dns-capture`.
pub const DNS_CAPTURE: &str = "ambient.istio.io/dns-capture";
/// The annotation `ambient.istio.io/redirection`.
pub const REDIRECTION: &str = "ambient.istio.io/redirection";
/// The annotation `ambient.istio.io/waypoint-inbound-binding`.
pub const WAYPOINT_INBOUND_BINDING: &str = "ambient.istio.io/waypoint-inbound-binding";
/// The annotation `galley.istio.io/analyze-suppress`.
pub const ANALYZE_SUPPRESS: &str = "galley.istio.io/analyze-suppress";
/// The annotation `gateway.istio.io/controller-version`.
pub const CONTROLLER_VERSION: &str = "gateway.istio.io/controller-version";
/// The annotation `gateway.istio.io/name-override`.
pub const GATEWAY_NAME_OVERRIDE: &str = "gateway.istio.io/name-override";
/// The annotation `gateway.istio.io/service-account`.
pub const GATEWAY_SERVICE_ACCOUNT: &str = "gateway.istio.io/service-account";
/// The annotation `inject.istio.io/templates`.
pub const INJECT_TEMPLATES: &str = "inject.istio.io/templates";
/// The annotation `istio.io/autoRegistrationGroup`.
pub const AUTO_REGISTRATION_GROUP: &str = "istio.io/autoRegistrationGroup";
/// The annotation `istio.io/connectedAt`.
pub const CONNECTED_AT: &str = "istio.io/connectedAt";
/// The annotation `istio.io/disconnectedAt`.
pub const DISCONNECTED_AT: &str = "istio.io/disconnectedAt";
/// The annotation `istio.io/dry-run`.
pub const DRY_RUN: &str = "istio.io/dry-run";
/// The annotation `istio.io/reroute-virtual-interfaces`.
pub const REROUTE_VIRTUAL_INTERFACES: &str = "istio.io/reroute-virtual-interfaces";
/// The annotation `istio.io/rev`.
pub const REVISION: &str = "istio.io/rev";
/// The annotation `istio.io/use-waypoint-canary-weight`.
pub const USE_WAYPOINT_CANARY_WEIGHT: &str = "istio.io/use-waypoint-canary-weight";
/// The annotation `istio.io/workloadController`.
pub const WORKLOAD_CONTROLLER: &str = "istio.io/workloadController";
/// The annotation `kubernetes.io/ingress.class`.
pub const INGRESS_CLASS: &str = "kubernetes.io/ingress.class";
/// The annotation `networking.istio.io/exportTo`.
pub const EXPORT_TO: &str = "networking.istio.io/exportTo";
/// The annotation `networking.istio.io/service-type`.
pub const SERVICE_TYPE: &str = "networking.istio.io/service-type";
/// The annotation `networking.istio.io/traffic-distribution`.
pub const TRAFFIC_DISTRIBUTION: &str = "networking.istio.io/traffic-distribution";
/// The annotation `prometheus.istio.io/merge-metrics`.
pub const MERGE_METRICS: &str = "prometheus.istio.io/merge-metrics";
/// The annotation `proxy.istio.io/config`.
pub const PROXY_CONFIG: &str = "proxy.istio.io/config";
/// The annotation `proxy.istio.io/overrides`.
pub const PROXY_OVERRIDES: &str = "proxy.istio.io/overrides";
/// The annotation `readiness.status.sidecar.istio.io/applicationPorts`.
pub const APPLICATION_PORTS: &str = "readiness.status.sidecar.istio.io/applicationPorts";
/// The annotation `readiness.status.sidecar.istio.io/failureThreshold`.
pub const FAILURE_THRESHOLD: &str = "readiness.status.sidecar.istio.io/failureThreshold";
/// The annotation `readiness.status.sidecar.istio.io/initialDelaySeconds`.
pub const INITIAL_DELAY_SECONDS: &str = "readiness.status.sidecar.istio.io/initialDelaySeconds";
/// The annotation `readiness.status.sidecar.istio.io/periodSeconds`.
pub const PERIOD_SECONDS: &str = "readiness.status.sidecar.istio.io/periodSeconds";
/// The annotation `sidecar.istio.io/agentLogLevel`.
pub const AGENT_LOG_LEVEL: &str = "sidecar.istio.io/agentLogLevel";
/// The annotation `sidecar.istio.io/bootstrapOverride`.
pub const BOOTSTRAP_OVERRIDE: &str = "sidecar.istio.io/bootstrapOverride";
/// The annotation `sidecar.istio.io/componentLogLevel`.
pub const COMPONENT_LOG_LEVEL: &str = "sidecar.istio.io/componentLogLevel";
/// The annotation `sidecar.istio.io/discoveryAddress`.
pub const DISCOVERY_ADDRESS: &str = "sidecar.istio.io/discoveryAddress";
/// The annotation `sidecar.istio.io/extraStatTags`.
pub const EXTRA_STAT_TAGS: &str = "sidecar.istio.io/extraStatTags";
/// The annotation `sidecar.istio.io/inject`.
pub const INJECT: &str = "sidecar.istio.io/inject";
/// The annotation `sidecar.istio.io/interceptionMode`.
pub const INTERCEPTION_MODE: &str = "sidecar.istio.io/interceptionMode";
/// The annotation `sidecar.istio.io/logLevel`.
pub const LOG_LEVEL: &str = "sidecar.istio.io/logLevel";
/// The annotation `sidecar.istio.io/nativeSidecar`.
pub const NATIVE_SIDECAR: &str = "sidecar.istio.io/nativeSidecar";
/// The annotation `sidecar.istio.io/proxyCPU`.
pub const PROXY_CPU: &str = "sidecar.istio.io/proxyCPU";
/// The annotation `sidecar.istio.io/proxyCPULimit`.
pub const PROXY_CPU_LIMIT: &str = "sidecar.istio.io/proxyCPULimit";
/// The annotation `sidecar.istio.io/proxyImage`.
pub const PROXY_IMAGE: &str = "sidecar.istio.io/proxyImage";
/// The annotation `sidecar.istio.io/proxyImageType`.
pub const PROXY_IMAGE_TYPE: &str = "sidecar.istio.io/proxyImageType";
/// The annotation `sidecar.istio.io/proxyMemory`.
pub const PROXY_MEMORY: &str = "sidecar.istio.io/proxyMemory";
/// The annotation `sidecar.istio.io/proxyMemoryLimit`.
pub const PROXY_MEMORY_LIMIT: &str = "sidecar.istio.io/proxyMemoryLimit";
/// The annotation `sidecar.istio.io/rewriteAppHTTPProbers`.
pub const REWRITE_APP_HTTP_PROBERS: &str = "sidecar.istio.io/rewriteAppHTTPProbers";
/// The annotation `sidecar.istio.io/statsCompression`.
pub const STATS_COMPRESSION: &str = "sidecar.istio.io/statsCompression";
/// The annotation `sidecar.istio.io/statsEvictionInterval`.
pub const STATS_EVICTION_INTERVAL: &str = "sidecar.istio.io/statsEvictionInterval";
/// The annotation `sidecar.istio.io/statsFlushInterval`.
pub const STATS_FLUSH_INTERVAL: &str = "sidecar.istio.io/statsFlushInterval";
/// The annotation `sidecar.istio.io/statsHistogramBins`.
pub const STATS_HISTOGRAM_BINS: &str = "sidecar.istio.io/statsHistogramBins";
/// The annotation `sidecar.istio.io/statsHistogramBuckets`.
pub const STATS_HISTOGRAM_BUCKETS: &str = "sidecar.istio.io/statsHistogramBuckets";
/// The annotation `sidecar.istio.io/statsInclusionPrefixes`.
pub const STATS_INCLUSION_PREFIXES: &str = "sidecar.istio.io/statsInclusionPrefixes";
/// The annotation `sidecar.istio.io/statsInclusionRegexps`.
pub const STATS_INCLUSION_REGEXPS: &str = "sidecar.istio.io/statsInclusionRegexps";
/// The annotation `sidecar.istio.io/statsInclusionSuffixes`.
pub const STATS_INCLUSION_SUFFIXES: &str = "sidecar.istio.io/statsInclusionSuffixes";
/// The annotation `sidecar.istio.io/status`.
pub const SIDECAR_STATUS: &str = "sidecar.istio.io/status";
/// The annotation `sidecar.istio.io/userVolume`.
pub const USER_VOLUME: &str = "sidecar.istio.io/userVolume";
/// The annotation `sidecar.istio.io/userVolumeMount`.
pub const USER_VOLUME_MOUNT: &str = "sidecar.istio.io/userVolumeMount";
/// The annotation `status.sidecar.istio.io/port`.
pub const STATUS_PORT: &str = "status.sidecar.istio.io/port";
/// The annotation `topology.istio.io/controlPlaneClusters`.
pub const CONTROL_PLANE_CLUSTERS: &str = "topology.istio.io/controlPlaneClusters";
/// The annotation `traffic.istio.io/nodeSelector`.
pub const NODE_SELECTOR: &str = "traffic.istio.io/nodeSelector";
/// The annotation `traffic.sidecar.istio.io/excludeInboundPorts`.
pub const EXCLUDE_INBOUND_PORTS: &str = "traffic.sidecar.istio.io/excludeInboundPorts";
/// The annotation `traffic.sidecar.istio.io/excludeInterfaces`.
pub const EXCLUDE_INTERFACES: &str = "traffic.sidecar.istio.io/excludeInterfaces";
/// The annotation `traffic.sidecar.istio.io/excludeOutboundIPRanges`.
pub const EXCLUDE_OUTBOUND_IP_RANGES: &str = "traffic.sidecar.istio.io/excludeOutboundIPRanges";
/// The annotation `traffic.sidecar.istio.io/excludeOutboundPorts`.
pub const EXCLUDE_OUTBOUND_PORTS: &str = "traffic.sidecar.istio.io/excludeOutboundPorts";
/// The annotation `traffic.sidecar.istio.io/includeInboundPorts`.
pub const INCLUDE_INBOUND_PORTS: &str = "traffic.sidecar.istio.io/includeInboundPorts";
/// The annotation `traffic.sidecar.istio.io/includeOutboundIPRanges`.
pub const INCLUDE_OUTBOUND_IP_RANGES: &str = "traffic.sidecar.istio.io/includeOutboundIPRanges";
/// The annotation `traffic.sidecar.istio.io/includeOutboundPorts`.
pub const INCLUDE_OUTBOUND_PORTS: &str = "traffic.sidecar.istio.io/includeOutboundPorts";
/// The annotation `traffic.sidecar.istio.io/kubevirtInterfaces`.
pub const KUBEVIRT_INTERFACES: &str = "traffic.sidecar.istio.io/kubevirtInterfaces";
