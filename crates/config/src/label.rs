//! The names of the labels a mesh reads or writes, one constant each, named after the key.

/// The label `app`.
pub const APP: &str = "app";
/// The label `app.kubernetes.io/managed-by`.
pub const APP_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The label `app.kubernetes.io/name`.
pub const APP_NAME: &str = "app.kubernetes.io/name";
/// The label `app.kubernetes.io/version`.
pub const APP_VERSION: &str = "app.kubernetes.io/version";
/// The label `endpointslice.kubernetes.io/managed-by`.
pub const ENDPOINT_SLICE_MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// The label `failure-domain.beta.kubernetes.io/region`.
pub const BETA_REGION: &str = "failure-domain.beta.kubernetes.io/region";
/// The label `failure-domain.beta.kubernetes.io/zone`.
pub const BETA_ZONE: &str = "failure-domain.beta.kubernetes.io/zone";
/// The label `gateway.istio.io/managed`.
pub const GATEWAY_MANAGED: &str = "gateway.istio.io/managed";
/// The label `gateway.networking.k8s.io/gateway-class-name`.
pub const GATEWAY_CLASS_NAME: &str = "gateway.networking.k8s.io/gateway-class-name";
/// The label `gateway.networking.k8s.io/gateway-name`.
pub const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";
/// The label `istio`.
pub const ISTIO: &str = "istio";
/// The label `istio-injection`.
pub const ISTIO_INJECTION: &str = "istio-injection";
/// The label `istio-locality`.
pub const ISTIO_LOCALITY: &str = "istio-locality";
/// The label `istio.io/dataplane-mode`.
pub const DATAPLANE_MODE: &str = "istio.io/dataplane-mode";
/// The label `istio.io/ingress-use-waypoint`.
pub const INGRESS_USE_WAYPOINT: &str = "istio.io/ingress-use-waypoint";
/// The label `istio.io/rev`.
pub const REVISION: &str = "istio.io/rev";
/// The label `istio.io/tag`.
pub const TAG: &str = "istio.io/tag";
/// The label `istio.io/test-vm`.
pub const TEST_VM: &str = "istio.io/test-vm";
/// The label `istio.io/use-waypoint`.
pub const USE_WAYPOINT: &str = "istio.io/use-waypoint";
/// The label `istio.io/use-waypoint-canary`.
pub const USE_WAYPOINT_CANARY: &str = "istio.io/use-waypoint-canary";
/// The label `istio.io/use-waypoint-canary-namespace`.
pub const USE_WAYPOINT_CANARY_NAMESPACE: &str = "istio.io/use-waypoint-canary-namespace";
/// The label `istio.io/use-waypoint-namespace`.
pub const USE_WAYPOINT_NAMESPACE: &str = "istio.io/use-waypoint-namespace";
/// The label `istio.io/waypoint-for`.
pub const WAYPOINT_FOR: &str = "istio.io/waypoint-for";
/// The label `kubernetes.io/hostname`.
pub const HOSTNAME: &str = "kubernetes.io/hostname";
/// The label `kubernetes.io/metadata.name`.
pub const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
/// The label `kubernetes.io/service-name`.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The label `networking.istio.io/enable-autoallocate-ip`.
pub const ENABLE_AUTOALLOCATE_IP: &str = "networking.istio.io/enable-autoallocate-ip";
/// The label `networking.istio.io/gatewayPort`.
pub const GATEWAY_PORT: &str = "networking.istio.io/gatewayPort";
/// The label `operator.istio.io/component`.
pub const OPERATOR_COMPONENT: &str = "operator.istio.io/component";
/// The label `operator.istio.io/managed`.
pub const OPERATOR_MANAGED: &str = "operator.istio.io/managed";
/// The label `operator.istio.io/version`.
pub const OPERATOR_VERSION: &str = "operator.istio.io/version";
/// The label `security.istio.io/tlsMode`.
pub const TLS_MODE: &str = "security.istio.io/tlsMode";
/// The label `service.istio.io/canonical-name`.
pub const CANONICAL_NAME: &str = "service.istio.io/canonical-name";
/// The label `service.istio.io/canonical-revision`.
pub const CANONICAL_REVISION: &str = "service.istio.io/canonical-revision";
/// The label `service.istio.io/workload-name`.
pub const WORKLOAD_NAME: &str = "service.istio.io/workload-name";
/// The label `service.kubernetes.io/headless`.
pub const HEADLESS: &str = "service.kubernetes.io/headless";
/// The label `sidecar.istio.io/inject`.
pub const INJECT: &str = "sidecar.istio.io/inject";
/// The label `topology.istio.io/cluster`.
pub const CLUSTER: &str = "topology.istio.io/cluster";
/// The label `topology.istio.io/locality`.
pub const LOCALITY: &str = "topology.istio.io/locality";
/// The label `topology.istio.io/network`.
pub const NETWORK: &str = "topology.istio.io/network";
/// The label `topology.istio.io/subzone`.
pub const SUBZONE: &str = "topology.istio.io/subzone";
/// The label `topology.kubernetes.io/region`.
pub const REGION: &str = "topology.kubernetes.io/region";
/// The label `topology.kubernetes.io/zone`.
pub const ZONE: &str = "topology.kubernetes.io/zone";
/// The label `version`.
pub const VERSION: &str = "version";
