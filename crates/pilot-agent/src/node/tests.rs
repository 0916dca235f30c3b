//! What is told of a proxy, from which of its sources.

use serde_json::json;

use super::*;

fn options() -> NodeOptions {
    NodeOptions {
        id: "sidecar~10.0.0.1~a.b~b.svc.cluster.local".to_owned(),
        instance_ips: vec!["10.0.0.1".to_owned(), "10.0.0.2".to_owned(), "10.0.0.1".to_owned()],
        envoy_status_port: 15021,
        envoy_prometheus_port: 15090,
        version: "1.2.3".to_owned(),
        skip_deprecated_logs: true,
        ..NodeOptions::default()
    }
}

#[test]
fn environment_proxy_metadata_and_files_make_the_metadata() {
    let env = Environment::from_pairs([
        ("POD_NAME", "a"),
        ("POD_NAMESPACE", "b"),
        ("ISTIO_META_CLUSTER_ID", "c1"),
        ("ISTIO_META_ENABLE_HBONE", "1"),
        ("ISTIO_META_DNS_CAPTURE", "false"),
        ("ISTIO_METAJSON_LABELS", r#"{"app":"web","version":"v1"}"#),
    ]);
    let mut config = ProxyConfig::default();
    config.set("proxyMetadata", json!({"ISTIO_META_CLUSTER_ID": "lost", "ISTIO_META_X": "y", "OTHER": "z"}));
    let mut options = options();
    options.labels_file = Some("app=\"other\"\npod-template-hash=\"123\"\nbad\n".to_owned());
    options.annotations_file = Some("a/b=\"x\\ny \\u00e9\"\n".to_owned());
    let node = Node::gather(&env, config, &options);
    assert_eq!(node.text("NAME"), "a");
    assert_eq!(node.text("CLUSTER_ID"), "c1");
    assert_eq!(node.text("X"), "y");
    assert_eq!(node.text("ENABLE_HBONE"), "true");
    assert_eq!(node.text("METADATA_DISCOVERY"), "true");
    assert_eq!(node.text("DNS_CAPTURE"), "false");
    assert_eq!(node.text("INSTANCE_IPS"), "10.0.0.1,10.0.0.2");
    assert_eq!(node.text("ISTIO_VERSION"), "1.2.3");
    assert_eq!(node.metadata["LABELS"], json!({"app": "other", "version": "v1"}));
    assert_eq!(node.metadata["STATIC_LABELS"], json!({"app": "web", "version": "v1"}));
    assert_eq!(node.annotation("a/b"), Some("x\ny é"));
    assert_eq!(node.metadata["ENVOY_STATUS_PORT"], json!(15021));
    assert_eq!(node.text("ENVOY_SKIP_DEPRECATED_LOGS"), "true");
    assert_eq!(node.canonical_service(), "other");
    assert_eq!(node.canonical_revision(), "v1");
    assert!(!node.metadata.contains_key("OTHER"));
}

#[test]
fn a_locality_label_with_dots_becomes_a_path() {
    let env = Environment::from_pairs([("ISTIO_METAJSON_LABELS", r#"{"istio-locality":"r.z.s"}"#)]);
    let node = Node::gather(&env, ProxyConfig::default(), &options());
    assert_eq!(node.locality, Locality { region: "r".into(), zone: "z".into(), sub_zone: "s".into() });
    assert_eq!(node.label("istio-locality"), Some("r/z/s"));
}
