//! Tests of who gets which listener: conflicts, sniffing, headless services, routes of virtual services.

use std::fmt::Write as _;
use std::sync::Arc;

use expect_test::{Expect, expect};
use mesh::settings::Settings;
use mesh::{Batch, Mesh};
use prost::Message;
use proto::envoy::config::core::v3::Node;
use proto::envoy::config::listener::v3::{FilterChain, Listener, filter::ConfigType};
use proto::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, http_connection_manager::RouteSpecifier,
};
use proto::envoy::extensions::filters::network::tcp_proxy::v3::{TcpProxy, tcp_proxy::ClusterSpecifier};

use crate::{Generator, Proxy, TypeName};

/// The outbound listeners of a proxy at `ip` in such a mesh, one line each, without `virtualOutbound`.
fn check(ip: &str, yaml: &str, expect: &Expect) {
    let decoded = config::decode::documents("test.yaml", yaml);
    assert!(decoded.problems.is_empty(), "{:?}", decoded.problems);
    let mut batch = Batch::default();
    for object in decoded.objects {
        batch.put(&"Kubernetes".into(), object);
    }
    let mut mesh = Mesh::new(Settings::default());
    mesh.commit(batch);
    let node = Node { id: format!("sidecar~{ip}~app.default~default.svc.cluster.local"), ..Node::default() };
    let class = Arc::new(Proxy::from_node(&node).unwrap());
    let generator = Generator::new(true);
    let world = mesh.world();
    let key = generator.key(&world, &class, TypeName::Listener);
    let (edition, _, _) = generator.edition(&world, &key);
    let all = edition.resources().map(|r| Listener::decode(r.body.clone()).unwrap());
    let outbound = all.filter(|l| l.traffic_direction == 2 && l.name != "virtualOutbound");
    expect.assert_eq(&outbound.map(|l| line(&l)).collect::<String>());
}

fn line(listener: &Listener) -> String {
    let mut out = listener.name.clone();
    for filter in &listener.listener_filters {
        let _ = write!(out, " {}", filter.name.rsplit('.').next().unwrap());
    }
    out.push('\n');
    for chain in &listener.filter_chains {
        let _ = writeln!(out, "    {}", chain_line(chain));
    }
    if let Some(chain) = &listener.default_filter_chain {
        let _ = writeln!(out, "    else {}", chain_line(chain));
    }
    out
}

fn chain_line(chain: &FilterChain) -> String {
    let mut out = String::new();
    if let Some(m) = &chain.filter_chain_match {
        for word in m.application_protocols.iter().chain(&m.server_names) {
            let _ = write!(out, "{word} ");
        }
        for range in &m.prefix_ranges {
            let _ = write!(out, "{}/{} ", range.address_prefix, range.prefix_len.unwrap_or_default().value);
        }
    }
    let Some(ConfigType::TypedConfig(any)) = chain.filters.last().and_then(|f| f.config_type.clone()) else {
        panic!("{chain:?}")
    };
    if any.type_url.ends_with("HttpConnectionManager") {
        let Some(RouteSpecifier::Rds(rds)) =
            HttpConnectionManager::decode(any.value).unwrap().route_specifier
        else {
            panic!("{chain:?}")
        };
        return format!("{out}=> routes {}", rds.route_config_name);
    }
    match TcpProxy::decode(any.value).unwrap().cluster_specifier.unwrap() {
        ClusterSpecifier::Cluster(cluster) => format!("{out}=> {cluster}"),
        ClusterSpecifier::WeightedClusters(all) => {
            let all: Vec<_> = all.clusters.iter().map(|c| format!("{}*{}", c.name, c.weight)).collect();
            format!("{out}=> {}", all.join(" + "))
        }
    }
}

/// A ServiceEntry without addresses, created in the given second.
fn entry(name: &str, second: u32, port: u32, protocol: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: default, \
         creationTimestamp: \"2026-01-01T00:00:{second:02}Z\"}}\nspec: {{hosts: [{name}.test], resolution: NONE, \
         ports: [{{number: {port}, name: p, protocol: {protocol}}}]}}\n---\n"
    )
}

#[test]
fn http_and_tcp_on_one_port_are_told_apart_whoever_came_first() {
    let first = |a, b| entry("a", 1, 80, a) + &entry("b", 2, 80, b);
    check(
        "10.0.0.1",
        &first("HTTP", "TCP"),
        &expect![[r#"
        0.0.0.0_80 http_inspector
            http/1.1 h2c => routes 80
            else => outbound|80||b.test
    "#]],
    );
    check(
        "10.0.0.1",
        &first("TCP", "HTTP"),
        &expect![[r#"
        0.0.0.0_80 http_inspector
            http/1.1 h2c => routes 80
            else => outbound|80||a.test
    "#]],
    );
}

#[test]
fn of_two_tcp_services_at_the_same_address_the_older_has_the_listener() {
    check(
        "10.0.0.1",
        &(entry("a", 2, 5000, "TCP") + &entry("b", 1, 5000, "TCP")),
        &expect![[r#"
        0.0.0.0_5000
            => outbound|5000||b.test
    "#]],
    );
}

#[test]
fn server_first_protocols_share_a_port_with_nobody() {
    check(
        "10.0.0.1",
        &(entry("a", 1, 27017, "MONGO") + &entry("b", 2, 27017, "HTTP")),
        &expect![[r#"
        0.0.0.0_27017
            => outbound|27017||a.test
    "#]],
    );
}

#[test]
fn tls_services_without_address_are_told_apart_by_name() {
    check(
        "10.0.0.1",
        &(entry("a", 1, 443, "TLS") + &entry("b", 2, 443, "HTTPS")),
        &expect![[r#"
        0.0.0.0_443 tls_inspector
            a.test => outbound|443||a.test
            b.test => outbound|443||b.test
            else => PassthroughCluster
    "#]],
    );
}

#[test]
fn a_sniffed_port_has_a_listener_and_routes_of_its_own() {
    let yaml = "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: default}\n\
                spec: {clusterIP: 10.96.0.5, ports: [{port: 9000}]}\n---\n\
                apiVersion: v1\nkind: Service\nmetadata: {name: b, namespace: default}\n\
                spec: {clusterIP: 10.96.0.6, ports: [{port: 8080, name: http}]}\n";
    check(
        "10.0.0.1",
        yaml,
        &expect![[r#"
        0.0.0.0_8080 http_inspector
            http/1.1 h2c => routes 8080
            else => PassthroughCluster
        10.96.0.5_9000 http_inspector
            http/1.1 h2c => routes a.default.svc.cluster.local:9000
            else => outbound|9000||a.default.svc.cluster.local
    "#]],
    );
}

#[test]
fn pods_of_a_headless_service_have_listeners_but_not_for_themselves() {
    let yaml = "apiVersion: v1\nkind: Service\nmetadata: {name: db, namespace: default}\n\
                spec: {clusterIP: None, ports: [{port: 6379, name: tcp-db}]}\n---\n\
                apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\n\
                metadata: {name: db-1, namespace: default, labels: {kubernetes.io/service-name: db}}\n\
                ports: [{name: tcp-db, port: 6379, protocol: TCP}]\n\
                endpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2]}]\n";
    check(
        "10.0.0.1",
        yaml,
        &expect![[r#"
        10.0.0.2_6379
            => outbound|6379||db.default.svc.cluster.local
    "#]],
    );
    check(
        "10.0.0.9",
        yaml,
        &expect![[r#"
        10.0.0.1_6379
            => outbound|6379||db.default.svc.cluster.local
        10.0.0.2_6379
            => outbound|6379||db.default.svc.cluster.local
    "#]],
    );
}

#[test]
fn routes_of_a_virtual_service_go_by_name_and_by_destination() {
    let yaml = entry("a", 1, 443, "TLS")
        + &entry("b", 2, 5000, "TCP")
        + "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v, namespace: default}\n\
           spec:\n  hosts: [a.test, b.test]\n  tls:\n  - match: [{port: 443, sniHosts: [a.test]}]\n    route:\n    \
           - {destination: {host: a.test}, weight: 90}\n    - {destination: {host: b.test, port: {number: 5000}}, \
           weight: 10}\n  tcp:\n  - match: [{port: 5000, destinationSubnets: [10.1.0.0/16]}]\n    route:\n    \
           - {destination: {host: a.test}}\n";
    check(
        "10.0.0.1",
        &yaml,
        &expect![[r#"
        0.0.0.0_443 tls_inspector
            a.test => outbound|443||a.test*90 + outbound|5000||b.test*10
            else => PassthroughCluster
        0.0.0.0_5000
            10.1.0.0/16 => outbound|443||a.test
            else => outbound|5000||b.test
    "#]],
    );
}

#[test]
fn a_listener_of_a_sidecar_object_takes_none_but_its_own_services() {
    let yaml = entry("older", 1, 5000, "TCP")
        + &entry("chosen", 2, 5000, "TCP")
        + &entry("web", 3, 80, "HTTP")
        + "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: default, namespace: default}\nspec:\n  \
           egress:\n  - {port: {number: 5000, protocol: TCP, name: one}, hosts: [./chosen.test]}\n  \
           - {port: {number: 80, protocol: HTTP, name: two}, captureMode: NONE, hosts: [./web.test]}\n  \
           - {port: {number: 0, protocol: HTTP, name: three}, bind: unix:///run/x, hosts: [./web.test]}\n  \
           - {hosts: [./*]}\n";
    check(
        "10.0.0.1",
        &yaml,
        &expect![[r#"
        0.0.0.0_80 http_inspector
            http/1.1 h2c => routes 80
            else => PassthroughCluster
        0.0.0.0_5000
            => outbound|5000||chosen.test
        127.0.0.1_80
            => routes 80
        unix:///run/x_0
            => routes unix:///run/x
    "#]],
    );
}

#[test]
fn a_range_is_a_condition_on_the_listener_for_all_addresses() {
    let ranged = entry("a", 1, 5000, "TCP")
        .replace("resolution: NONE", "resolution: NONE, addresses: [10.2.0.0/16, 10.3.0.1]");
    check(
        "10.0.0.1",
        &(ranged + &entry("b", 2, 5000, "TCP")),
        &expect![[r#"
        0.0.0.0_5000
            10.2.0.0/16 => outbound|5000||a.test
            else => outbound|5000||b.test
        10.3.0.1_5000
            => outbound|5000||a.test
    "#]],
    );
}

#[test]
fn a_proxy_without_ipv4_listens_at_the_wildcard_of_ipv6() {
    check(
        "fd00::1",
        &(entry("a", 1, 80, "HTTP") + &entry("b", 2, 5000, "TCP")),
        &expect![[r#"
        ::_80 http_inspector
            http/1.1 h2c => routes 80
            else => PassthroughCluster
        ::_5000
            => outbound|5000||b.test
    "#]],
    );
}
