//! Switches of upstream's that this control plane does not have, so that whoever sets one is told.
//!
//! One leaves this list for `list.rs` with the code that reads it.

use super::declare::SwitchValue as _;

/// What is off here, whatever upstream's default: to switch it off is no mistake.
const NOT_YET_ON: [&str; 36] = [
    "AMBIENT_ENABLE_BAGGAGE",
    "AMBIENT_ENABLE_DRY_RUN_AUTHORIZATION_POLICY",
    "AMBIENT_ENABLE_MULTI_NETWORK",
    "AMBIENT_ENABLE_MULTI_NETWORK_INGRESS",
    "AMBIENT_ENABLE_MULTI_NETWORK_WAYPOINT",
    "AMBIENT_ENABLE_STATUS",
    "AMBIENT_SCOPED_ADDRESS_PUSHES",
    "ENABLE_GATEWAY_API_INFERENCE_EXTENSION",
    "ENABLE_GATEWAY_API_MANUAL_DEPLOYMENT",
    "ENABLE_INGRESS_WAYPOINT_ROUTING",
    "ENABLE_LAYERED_WAYPOINT_AUTHORIZATION_POLICIES",
    "ENABLE_WILDCARD_HOST_SERVICE_ENTRIES_FOR_TLS",
    "ENABLE_XDS_API_GENERATOR_AUTH",
    "INJECT_ENABLED",
    "ISTIO_ENABLE_CONTROLLER_QUEUE_METRICS",
    "JWKS_RESOLVER_INSECURE_SKIP_VERIFY",
    "PILOT_AUTO_ALLOW_WAYPOINT_POLICY",
    "PILOT_ENABLE_AGENTGATEWAY",
    "PILOT_ENABLE_ALPHA_GATEWAY_API",
    "PILOT_ENABLE_AMBIENT",
    "PILOT_ENABLE_AMBIENT_WAYPOINTS",
    "PILOT_ENABLE_ANALYSIS",
    "PILOT_ENABLE_EDS_DEBOUNCE",
    "PILOT_ENABLE_GATEWAY_API",
    "PILOT_ENABLE_GATEWAY_API_COPY_LABELS_ANNOTATIONS",
    "PILOT_ENABLE_GATEWAY_API_DEPLOYMENT_CONTROLLER",
    "PILOT_ENABLE_GATEWAY_API_GATEWAYCLASS_CONTROLLER",
    "PILOT_ENABLE_GATEWAY_API_STATUS",
    "PILOT_ENABLE_MYSQL_FILTER",
    "PILOT_ENABLE_SENDING_HBONE",
    "PILOT_ENABLE_SIDECAR_LISTENING_HBONE",
    "PILOT_ENVOY_FILTER_STATS",
    "PILOT_FILTER_GATEWAY_CLUSTER_CONFIG",
    "PILOT_MULTI_NETWORK_DISCOVER_GATEWAY_API",
    "PILOT_PREFER_SENDING_HBONE",
    "UNSAFE_PILOT_ENABLE_RUNTIME_ASSERTIONS",
];

/// What takes a value that nothing here uses yet.
const NOT_YET_SET: [&str; 19] = [
    "BLOCKED_CIDRS_IN_JWKS_URIS",
    "BLOCKED_CIDRS_IN_WASM_FETCH",
    "ENABLE_NATIVE_SIDECARS",
    "INJECTION_WEBHOOK_CONFIG_NAME",
    "ISTIO_KUBE_CLIENT_CONTENT_TYPE",
    "ISTIO_WASM_MAX_BINARY_SIZE_BYTES",
    "K8S_INGRESS_NS",
    "K_REVISION",
    "PILOT_ANALYSIS_INTERVAL",
    "PILOT_GATEWAY_API_CONTROLLER_NAME",
    "PILOT_GATEWAY_API_DEFAULT_GATEWAYCLASS_NAME",
    "PILOT_HBONE_INITIAL_CONNECTION_WINDOW_SIZE",
    "PILOT_HBONE_INITIAL_STREAM_WINDOW_SIZE",
    "PILOT_JWT_ENABLE_REMOTE_JWKS",
    "PILOT_JWT_PUB_KEY_REFRESH_INTERVAL",
    "PILOT_MX_ADDITIONAL_LABELS",
    "PILOT_SIDECAR_PICK_BEST_SERVICE_NAMESPACE",
    "PLATFORM",
    "VALIDATION_WEBHOOK_CONFIG_NAME",
];

/// What there is nothing to switch for, and why.
const NEEDLESS: [(&str, &str); 15] = [
    ("ENABLE_LAZY_SIDECAR_EVALUATION", "scopes are made when they are asked for"),
    ("ENABLE_VTPROTOBUF", "encoding is always the fast one"),
    ("ENVOY_STATUS_PORT_ENABLE_PROXY_PROTOCOL", "the agent reads it"),
    ("ISTIO_AGENT_ENABLE_WASM_REMOTE_LOAD_CONVERSION", "the agent would read it"),
    ("ISTIO_DELTA_XDS", "the agent reads it"),
    ("MUTEX_PROFILE_FRACTION", "there is no such profile"),
    ("PILOT_AGENT_MERGE_ENVOY_STATS", "the agent reads it, as AGENT_MERGE_ENVOY_STATS"),
    ("PILOT_CONVERT_SIDECAR_SCOPE_CONCURRENCY", "scopes are made when they are asked for"),
    ("PILOT_ENABLE_CDS_CACHE", "what is built is always shared"),
    ("PILOT_ENABLE_RDS_CACHE", "what is built is always shared"),
    ("PILOT_ENABLE_XDS_CACHE", "what is built is always shared"),
    ("PILOT_UNIFIED_SIDECAR_SCOPE", "there is one way to make scopes"),
    ("PILOT_XDS_CACHE_INDEX_CLEAR_INTERVAL", "what is built is kept as long as a proxy uses it"),
    ("PILOT_XDS_CACHE_SIZE", "what is built is kept as long as a proxy uses it"),
    ("PILOT_XDS_CACHE_STATS", "what is built is kept as long as a proxy uses it"),
];

/// What to say to whoever sets one of them: message and hint.
pub(super) fn complaint(name: &str, text: &str) -> Option<(String, String)> {
    let in_vain = || "it has no effect".to_owned();
    if NOT_YET_ON.contains(&name) {
        return (bool::parse(text) != Some(false))
            .then(|| (in_vain(), "this version does not have what it switches on".to_owned()));
    }
    if NOT_YET_SET.contains(&name) {
        return (!text.is_empty())
            .then(|| (in_vain(), "this version does not have what it is for".to_owned()));
    }
    let (_, why) = NEEDLESS.iter().find(|(needless, _)| *needless == name)?;
    Some((in_vain(), (*why).to_owned()))
}

/// Every name of these lists.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    NOT_YET_ON.into_iter().chain(NOT_YET_SET).chain(NEEDLESS.map(|(name, _)| name))
}
