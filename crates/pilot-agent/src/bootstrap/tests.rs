//! What the bootstrap says for which proxy.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::json;

use super::*;
use crate::environment::Environment;
use crate::node::NodeOptions;
use crate::proxy_config::ProxyConfig;

fn config(env: &[(&str, &str)], overlay: &str) -> Config {
    let mut proxy_config = ProxyConfig::defaults();
    proxy_config.overlay_yaml(overlay, "test").unwrap();
    let options = NodeOptions {
        id: "sidecar~10.0.0.1~a.b~b.svc.cluster.local".to_owned(),
        instance_ips: vec!["10.0.0.1".to_owned()],
        envoy_status_port: 15021,
        envoy_prometheus_port: 15090,
        workload_identity_socket_file: "socket".to_owned(),
        ..NodeOptions::default()
    };
    let env = Environment::from_pairs(env.iter().copied());
    Config {
        node: Node::gather(&env, proxy_config, &options),
        addresses: Addresses::of_proxy(&options.instance_ips, false, None),
        compliance_policy: String::new(),
        log_as_json: false,
        delta_xds: true,
        status_port_proxy_protocol: false,
        strip_fragment: true,
        host_ip: Some("192.0.2.1".to_owned()),
        stock: None,
    }
}

fn cluster<'a>(bootstrap: &'a Value, name: &str) -> Option<&'a Value> {
    bootstrap["static_resources"]["clusters"].as_array()?.iter().find(|cluster| cluster["name"] == name)
}

#[test]
fn envoy_finds_the_agent_over_its_sockets() {
    let bootstrap = render(&config(&[], "")).unwrap();
    let pipe = |name| {
        &cluster(&bootstrap, name).unwrap()["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
            ["address"]["pipe"]["path"]
    };
    assert_eq!(pipe("xds-grpc"), "./etc/istio/proxy/XDS");
    assert_eq!(pipe("sds-grpc"), "./var/run/secrets/workload-spiffe-uds/socket");
    assert_eq!(bootstrap["dynamic_resources"]["ads_config"]["api_type"], "DELTA_GRPC");
    assert_eq!(bootstrap["node"]["id"], "sidecar~10.0.0.1~a.b~b.svc.cluster.local");
    assert_eq!(bootstrap["admin"]["address"]["socket_address"]["port_value"], 15000);
}

#[test]
fn a_bind_address_is_used_everywhere() {
    let mut config = config(&[], "");
    let bind = IpAddr::V4(Ipv4Addr::new(127, 21, 0, 3));
    config.addresses = Addresses::of_proxy(&[], false, Some(bind));
    let text = render(&config).unwrap().to_string();
    assert!(text.contains("127.21.0.3_15021") && text.contains("127.21.0.3_15090"));
    assert!(!text.contains("0.0.0.0") && !text.contains("127.0.0.1"), "{text}");
}

#[test]
fn a_stock_envoy_gets_what_its_metrics_need_and_nothing_of_istio() {
    let env = [("ISTIO_META_ENABLE_HBONE", "true")];
    let istio = render(&config(&env, "")).unwrap();
    assert!(istio.to_string().contains("istio.workload.BootstrapExtension"));
    assert_eq!(istio.get("stats_eviction_interval"), None);
    assert_eq!(istio["stats_config"].get("histogram_bucket_settings"), None);

    let mut config = config(&env, "");
    config.stock = Some(StockEnvoy { idle_series: std::time::Duration::from_secs(12) });
    let stock = render(&config).unwrap();
    assert!(!stock.to_string().contains("istio.workload.BootstrapExtension"));
    assert_eq!(stock["stats_eviction_interval"], "15s"); // a multiple of the flush interval, 5 s
    assert_eq!(stock["stats_config"]["histogram_bucket_settings"][0]["match"]["prefix"], "istiocustom");
    let route = &stock["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
        ["route_config"]["virtual_hosts"][0]["routes"][0]["route"];
    assert_eq!(route, &json!({ "cluster": "agent", "prefix_rewrite": "/stats/envoy" }));
}

#[test]
fn the_host_address_is_put_into_a_tracers_address() {
    let config = config(&[], "tracing: {zipkin: {address: \"$(HOST_IP):9411\"}}");
    let bootstrap = render(&config).unwrap();
    let zipkin = cluster(&bootstrap, "zipkin").unwrap().to_string();
    assert!(zipkin.contains(r#""address":"192.0.2.1","port_value":9411"#), "{zipkin}");
}

#[test]
fn a_bad_address_says_which_field() {
    let error = render(&config(&[], "statsdUdpAddress: nowhere")).unwrap_err();
    assert_eq!(error.to_string(), "ProxyConfig statsdUdpAddress: \"nowhere\" is not host:port");
}

#[test]
fn service_cluster_follows_labels_then_workload_then_namespace() {
    let named = |env: &[(&str, &str)], overlay: &str| service_cluster(&config(env, overlay).node);
    let namespace = ("POD_NAMESPACE", "b");
    assert_eq!(named(&[], ""), "istio-proxy");
    assert_eq!(named(&[namespace], ""), "istio-proxy.b");
    assert_eq!(named(&[namespace, ("ISTIO_META_WORKLOAD_NAME", "w")], ""), "w.b");
    assert_eq!(named(&[namespace, ("ISTIO_METAJSON_LABELS", r#"{"app":"x"}"#)], ""), "x.b");
    assert_eq!(named(&[namespace], "serviceCluster: mine"), "mine");
    assert_eq!(named(&[namespace], "tracingServiceName: CANONICAL_NAME_AND_NAMESPACE"), "istio-proxy.b");
}

#[test]
fn a_custom_bootstrap_is_taken_as_it_is_but_a_template_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let custom = dir.path().join("custom.yaml");
    std::fs::write(&custom, "admin: {}").unwrap();
    let out = dir.path().join("out");
    let written = write(&config(&[], ""), &out, Some(&custom)).unwrap();
    assert_eq!(written, out.join("envoy-rev.yaml"));
    assert_eq!(std::fs::read_to_string(&written).unwrap(), "admin: {}");
    std::fs::write(&custom, "{{ .nodeID }}").unwrap();
    assert!(matches!(write(&config(&[], ""), &out, Some(&custom)), Err(FileError::Template(_))));
}

#[test]
fn dual_stack_listens_on_both_families_in_the_order_of_the_addresses() {
    let ips = ["fd00::1".to_owned(), "10.0.0.1".to_owned()];
    let addresses = Addresses::of_proxy(&ips, true, None);
    assert_eq!((addresses.wildcard.as_str(), addresses.dns_lookup_family), ("::", "ALL"));
    assert_eq!(addresses.second, Some(("127.0.0.1".to_owned(), "0.0.0.0".to_owned())));
    assert_eq!(Addresses::of_proxy(&ips, false, None).wildcard, "0.0.0.0");
}
