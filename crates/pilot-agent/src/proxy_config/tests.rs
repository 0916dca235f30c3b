//! How the layers of ProxyConfig lie over one another.

use serde_json::json;

use super::*;

#[test]
fn a_layer_replaces_fields_and_merges_proxy_metadata() {
    let mut config = ProxyConfig::defaults();
    config
        .overlay_mesh_yaml(
            "trustDomain: td\ndefaultConfig:\n  discoveryAddress: a:15012\n  proxyMetadata: {A: 1, B: x}\n  tracing: {zipkin: {address: z:1}}\n",
            "mesh",
        )
        .unwrap();
    config.overlay_yaml(r#"{"proxyMetadata":{"B":"y"},"tracing":{},"drain_duration":"7s"}"#, "env").unwrap();
    assert_eq!(config.text("discoveryAddress"), "a:15012");
    assert_eq!(config.entries("proxyMetadata").collect::<Vec<_>>(), [("A", "1"), ("B", "y")]);
    assert_eq!(config.get("tracing"), Some(&json!({})));
    assert_eq!(config.duration("drainDuration"), Some(Duration::from_secs(7)));
    assert_eq!(config.port("statusPort"), 15020);
}

#[test]
fn one_name_of_the_cluster_name_takes_the_other_away() {
    let mut config = ProxyConfig::defaults();
    config.overlay_yaml("tracingServiceName: CANONICAL_NAME_ONLY", "annotation").unwrap();
    assert_eq!(config.get("serviceCluster"), None);
    config.overlay_yaml("serviceCluster: web", "annotation").unwrap();
    assert_eq!(config.get("tracingServiceName"), None);
}

#[test]
fn what_means_nothing_is_not_told_but_wrapped_zeros_are() {
    let config = ProxyConfig::from_value(json!({
        "statusPort": 0, "binaryPath": "", "statsCompression": false, "concurrency": 0, "tracing": {}
    }));
    assert_eq!(config.to_value(), json!({"statsCompression": false, "concurrency": 0, "tracing": {}}));
}

#[test]
fn an_unreadable_layer_names_its_origin() {
    let error = ProxyConfig::defaults().overlay_yaml("- a", "PROXY_CONFIG").unwrap_err();
    assert_eq!(error.to_string(), "PROXY_CONFIG: expected fields (name: value)");
}
