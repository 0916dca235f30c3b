//! Tables and documents of a small dump, in both spellings of field names.

use serde_json::{Value, json};

use super::*;

fn dump() -> Dump {
    let any = |kind: &str, mut value: Value| {
        value["@type"] = json!(format!("type.googleapis.com/envoy.admin.v3.{kind}ConfigDump"));
        value
    };
    let route = |name: &str, cluster: &str| {
        json!({
            "match": {"prefix": "/"}, "route": {"cluster": cluster},
            "metadata": {"filter_metadata": {"istio": {"config": format!("/apis/networking.istio.io/v1/namespaces/default/virtual-service/{name}")}}},
        })
    };
    let root = json!({"configs": [
        any("Bootstrap", json!({"bootstrap": {"node": {
            "metadata": {"ISTIO_VERSION": "1.32.0", "ISTIO_PROXY_SHA": "c:abc"},
            "user_agent_build_version": {"version": {"major_number": 1, "minor_number": 40}, "metadata": {"build.type": "RELEASE"}},
        }}})),
        any("Clusters", json!({
            "static_clusters": [{"cluster": {"name": "agent"}}],
            "dynamic_active_clusters": [
                {"cluster": {"@type": "x", "name": "outbound|9080|v1|reviews.default.svc.cluster.local", "type": "EDS", "connect_timeout": "10s",
                    "metadata": {"filter_metadata": {"istio": {"config": "/apis/networking.istio.io/v1/namespaces/default/destination-rule/reviews"}}}}},
                {"cluster": {"name": "outbound|9080||details.default.svc.cluster.local", "type": "EDS"}},
                {"cluster": {"name": "inbound|9080||", "type": "STATIC", "@type": "an.unknown.Type", "unheard_of": 1}},
            ],
        })),
        any("Listeners", json!({"dynamic_listeners": [
            {"name": "a", "active_state": {"listener": {
                "name": "a", "address": {"socket_address": {"address": "127.65.0.1", "port_value": 9080}},
                "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": {"rds": {"route_config_name": "9080"}}}]}],
            }}},
            {"name": "b", "active_state": {"listener": {
                "name": "b", "address": {"socket_address": {"address": "127.64.0.1", "port_value": 8080}},
                "filter_chains": [{"filter_chain_match": {"transport_protocol": "tls", "server_names": ["x"], "destination_port": 8080,
                    "prefix_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}], "application_protocols": ["istio-peer-exchange", "istio"]},
                    "filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": {"cluster": "outbound|8080||db"}}]}],
                "default_filter_chain": {"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": {"cluster": "BlackHoleCluster"}}]},
            }}},
        ]})),
        any("Routes", json!({"dynamic_route_configs": [
            {"route_config": {"name": "http_proxy", "virtual_hosts": [{"name": "allow_any", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "PassthroughCluster"}}]}]}},
            {"route_config": {"name": "9080", "virtual_hosts": [
                {"name": "reviews:9080", "domains": ["reviews.default.svc.cluster.local", "reviews", "reviews.default.svc", "reviews.default", "10.0.0.1"], "routes": [route("reviews", "c")]},
                {"name": "block", "domains": ["*"]},
            ]}},
        ]})),
        any("Secrets", json!({"dynamic_active_secrets": [{"name": "default", "secret": {"tls_certificate": {"certificate_chain": {"inline_bytes": "bm8gY2VydGlmaWNhdGU="}}}}]})),
        any("Endpoints", json!({"dynamic_endpoint_configs": [{"endpoint_config": {"cluster_name": "outbound|9080||details.default.svc.cluster.local", "endpoints": [
            {"locality": {"region": "r", "zone": "z"}, "lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "127.64.0.2", "port_value": 9080}}}, "health_status": "HEALTHY"}]},
        ]}}]})),
    ]});
    Dump::parse(root.to_string().as_bytes()).unwrap()
}

fn rows(text: &str) -> Vec<Vec<&str>> {
    text.lines()
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect()
}

#[test]
fn clusters_are_sorted_by_host_and_name_their_destination_rule() {
    let table = cluster_summary(&dump(), &ClusterFilter::default(), false).unwrap();
    let found = rows(&table);
    assert_eq!(found[0], ["SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE"]);
    assert_eq!(found[1], ["9080", "-", "inbound", "STATIC"]);
    assert_eq!(found[2][0], "agent");
    assert_eq!(found[3], ["details.default.svc.cluster.local", "9080", "-", "outbound", "EDS"]);
    assert_eq!(
        found[4],
        ["reviews.default.svc.cluster.local", "9080", "v1", "outbound", "EDS", "reviews.default"]
    );
    let only = ClusterFilter { subset: "v1".to_owned(), port: 9080, ..ClusterFilter::default() };
    assert_eq!(cluster_summary(&dump(), &only, false).unwrap().lines().count(), 2);
}

#[test]
fn a_full_cluster_is_spelled_in_camel_case_without_its_type_and_with_its_metadata_as_it_is() {
    let only = ClusterFilter { fqdn: "reviews".to_owned(), ..ClusterFilter::default() };
    let found = cluster_dump(&dump(), &only).unwrap();
    assert_eq!(found[0]["connectTimeout"], "10s");
    assert!(found[0].get("@type").is_none());
    assert!(found[0]["metadata"]["filterMetadata"]["istio"]["config"].is_string());
}

#[test]
fn listeners_show_matches_and_destinations_one_row_a_chain() {
    let all = ListenerFilter { verbose: true, ..ListenerFilter::default() };
    let table = listener_summary(&dump(), &all, false).unwrap();
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.splitn(3, ' ').collect()).collect();
    assert!(lines[1][2].contains("Non-HTTP/Non-TCP"), "{table}");
    assert!(
        table.contains("SNI: x; Trans: tls; App: TCP TLS; Addr: 10.0.0.0/8:8080 Cluster: outbound|8080||db"),
        "{table}"
    );
    assert!(table.contains("127.65.0.1 9080 ALL"), "{table}");
    assert!(table.contains("Route: 9080"), "{table}");
    let tcp = ListenerFilter { kind: "tcp".to_owned(), ..ListenerFilter::default() };
    assert_eq!(listener_dump(&dump(), &tcp).unwrap().as_array().unwrap().len(), 1);
}

#[test]
fn routes_show_virtual_services_and_leave_passthrough_out() {
    let all = RouteFilter { verbose: true, ..RouteFilter::default() };
    let table = route_summary(&dump(), &all, false).unwrap();
    let found = rows(&table);
    assert_eq!(
        found[1],
        ["9080", "reviews:9080", "reviews, reviews.default + 1 more...", "/*", "reviews.default"]
    );
    assert_eq!(found[2], ["9080", "block", "*", "/*", "404"]);
    assert_eq!(found.len(), 3);
}

#[test]
fn domains_lose_ports_and_longer_spellings_but_keep_addresses() {
    assert_eq!(describe_domains(&["*"]), "*");
    assert_eq!(describe_domains(&["a.b.svc.cluster.local", "a.b", "a.b.svc", "a:80"]), "a.b");
    assert_eq!(describe_domains(&["[fd00:10:96::7]", "[fd00:10:96::7]:80", "x"]), "[fd00:10:96::7], x");
}

#[test]
fn endpoints_of_the_dump_and_of_envoys_own_list() {
    let table = eds_summary(&dump(), &EndpointFilter::default(), false);
    assert_eq!(
        rows(&table)[1],
        ["127.64.0.2:9080", "HEALTHY", "r/z", "outbound|9080||details.default.svc.cluster.local"]
    );
    let other = EndpointFilter { port: 1, ..EndpointFilter::default() };
    assert_eq!(eds_dump(&dump(), &other), json!([]));
    let clusters = json!({"cluster_statuses": [{"name": "c", "host_statuses": [
        {"address": {"socket_address": {"address": "10.0.0.2", "port_value": 1}}, "health_status": {"eds_health_status": "HEALTHY", "failed_outlier_check": true}},
        {"address": {"pipe": {"path": "/x"}}, "health_status": {}},
    ]}]});
    let table = endpoint_summary(&clusters, &EndpointFilter::default());
    assert_eq!(rows(&table)[1], ["10.0.0.2:1", "HEALTHY", "FAILED", "c"]);
    assert_eq!(rows(&table)[2], ["unix:///x", "UNKNOWN", "OK", "c"]);
}

#[test]
fn the_bootstrap_names_versions_and_all_has_every_section() {
    assert_eq!(
        bootstrap_summary(&dump()).unwrap(),
        "Istio Version:       1.32.0\nIstio Proxy Version: abc\nEnvoy Version:       1.40.0/RELEASE\n"
    );
    let text = full_summary(
        &dump(),
        &ClusterFilter::default(),
        &ListenerFilter::default(),
        &RouteFilter::default(),
        true,
    )
    .unwrap();
    for section in ["BOOTSTRAP", "CLUSTER", "LISTENER", "ROUTE", "SECRET", "ENDPOINTS"] {
        assert!(text.contains(&format!("------ {section} INFO ------")), "{section}");
    }
}

#[test]
fn a_certificate_that_cannot_be_read_is_shown_as_not_valid() {
    let items = secret_items(&dump()).unwrap();
    assert_eq!(
        (items[0].name.as_str(), items[0].state, items[0].certificate.is_none()),
        ("default", "ACTIVE", true)
    );
    assert_eq!(rows(&secret_summary(&dump(), false).unwrap())[1], ["default", "ACTIVE", "false"]);
}

#[test]
fn a_dump_without_a_section_says_which() {
    let empty = Dump::parse(b"{}").unwrap();
    let error = cluster_summary(&empty, &ClusterFilter::default(), false).unwrap_err().to_string();
    assert_eq!(
        error,
        "config dump has no configuration type type.googleapis.com/envoy.admin.v3.ClustersConfigDump"
    );
    assert!(Dump::parse(b"<html>").is_err());
}

#[test]
fn extensions_of_all_sections_are_listed_by_type_and_name() {
    let entry = |name: &str, kind: &str| json!({"ecds_filter": {"name": name, "typed_config": {"@type": kind}}, "last_updated": "t"});
    let section = |entries: Vec<Value>| json!({"@type": "type.googleapis.com/envoy.admin.v3.EcdsConfigDump", "ecds_filters": entries});
    let root = json!({"configs": [section(vec![entry("b", "type.googleapis.com/x.Y")]), section(vec![entry("a", "type.googleapis.com/x.Y")])]});
    let dump = Dump::parse(root.to_string().as_bytes()).unwrap();
    assert_eq!(
        extension_summary(&dump).unwrap(),
        "ECDS NAME     TYPE\na             x.Y\nb             x.Y\n"
    );
    assert_eq!(extension_dump(&dump).unwrap()["ecdsFilters"][0]["lastUpdated"], "t");
}

#[test]
fn equal_dumps_match_in_both_spellings_and_a_difference_is_shown_with_its_surroundings() {
    let envoy = dump();
    let istiod = Dump::parse(camel(envoy.root()).to_string().as_bytes()).unwrap();
    assert_eq!(compare(&istiod, &envoy), "Clusters Match\nListeners Match\nRoutes Match\n");
    let mut changed = envoy.root().clone();
    changed["configs"][1]["dynamic_active_clusters"][0]["cluster"]["connect_timeout"] = json!("1s");
    changed["configs"][1]["dynamic_active_clusters"][1]["cluster"]["name"] = json!("new");
    let text = compare(&Dump::parse(changed.to_string().as_bytes()).unwrap(), &envoy);
    assert!(text.starts_with("Clusters Don't Match\n--- Istiod Clusters\n+++ Envoy Clusters\n"), "{text}");
    for line in [
        "-connectTimeout: 1s",
        "+connectTimeout: 10s",
        "-new (Envoy does not have it)",
        "+outbound|9080||details.default.svc.cluster.local (only Envoy has it)",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}: {text}");
    }
}
