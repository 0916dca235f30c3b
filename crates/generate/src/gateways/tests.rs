//! Gateways: which servers survive merging, what TLS and routes they get, and that stock proxies get nothing of Istio's.

use std::fmt::Write as _;
use std::sync::Arc;

use config::Switches;
use expect_test::{Expect, expect};
use mesh::settings::Settings;
use mesh::{Batch, Mesh};
use prost::Message;
use proto::envoy::config::core::v3::{Extension, Node};
use proto::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter::ConfigType};
use proto::envoy::config::route::v3::{RouteConfiguration, VirtualHost, route, route_action};
use proto::envoy::extensions::filters::network::tcp_proxy::v3::{TcpProxy, tcp_proxy::ClusterSpecifier};
use proto::google::protobuf::{Struct, Value, value::Kind};

use crate::{Edition, Generator, Proxy, TypeName};

/// Backend and gateway of every test.
const BASE: &str = r#"
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: default}, spec: {clusterIP: 10.96.0.10, ports: [{name: http, port: 80}, {name: tcp, port: 9000}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: ingress, namespace: istio-system}, spec: {clusterIP: 10.96.0.11, selector: {istio: ingress}, ports: [{name: http, port: 80, targetPort: 8080}, {name: https, port: 443, targetPort: 8443}]}}
---
"#;

fn text(text: &str) -> Value {
    Value { kind: Some(Kind::StringValue(text.into())) }
}

/// A gateway in istio-system with the label `istio: ingress`.
fn node(stock: bool) -> Node {
    let labels = Struct { fields: [("istio".to_owned(), text("ingress"))].into() };
    let fields = [
        ("NAMESPACE".to_owned(), text("istio-system")),
        ("LABELS".to_owned(), Value { kind: Some(Kind::StructValue(labels)) }),
    ];
    let extension = Extension { name: "envoy.filters.http.router".into(), ..Extension::default() };
    Node {
        id: "router~10.0.0.1~ingress.istio-system~istio-system.svc.cluster.local".into(),
        metadata: Some(Struct { fields: fields.into() }),
        extensions: if stock { vec![extension] } else { Vec::new() },
        ..Node::default()
    }
}

struct Case {
    mesh: Mesh,
    class: Arc<Proxy>,
    generator: Generator,
}

impl Case {
    fn new(yaml: &str) -> Self {
        Self::with(yaml, &[], false)
    }

    fn with(yaml: &str, switches: &[(&str, &str)], stock: bool) -> Self {
        Self::of(yaml, switches, &node(stock))
    }

    fn of(yaml: &str, switches: &[(&str, &str)], node: &Node) -> Self {
        let decoded = config::decode::documents("test.yaml", &format!("{BASE}{yaml}"));
        assert!(decoded.problems.is_empty(), "{:?}", decoded.problems);
        let mut batch = Batch::default();
        for object in decoded.objects {
            batch.put(&"Kubernetes".into(), object);
        }
        let pairs = switches.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let (switches, problems) = Switches::from_pairs(pairs);
        assert!(problems.is_empty(), "{problems:?}");
        let mut mesh = Mesh::new(Settings { switches: Arc::new(switches), ..Settings::default() });
        mesh.commit(batch);
        Self { mesh, class: Arc::new(Proxy::from_node(node).unwrap()), generator: Generator::new(true) }
    }

    fn edition(&self, of: TypeName) -> Arc<Edition> {
        let world = self.mesh.world();
        self.generator.edition(&world, &self.generator.key(&world, &self.class, of)).0
    }

    /// Names of the resources of a type.
    fn names(&self, of: TypeName) -> Vec<String> {
        self.edition(of).resources().map(|r| r.name.to_string()).collect()
    }

    fn listeners(&self) -> Vec<Listener> {
        let edition = self.edition(TypeName::Listener);
        edition.resources().map(|r| Listener::decode(r.body.clone()).unwrap()).collect()
    }

    fn rejected(&self) -> Vec<String> {
        let world = self.mesh.world();
        let ask = crate::plan::GatewayOf(self.class.clone());
        self.generator.memos().get(&world, &ask).out.rejected.clone()
    }

    /// Listeners with a line for each chain.
    fn chains(&self) -> String {
        let mut out = String::new();
        for listener in self.listeners() {
            let _ = writeln!(out, "{}", listener.name);
            for chain in &listener.filter_chains {
                let _ = writeln!(out, "  {}", line(chain));
            }
        }
        out
    }

    /// Virtual hosts with a line for each.
    fn routes(&self) -> String {
        let mut out = String::new();
        for resource in self.edition(TypeName::Route).resources() {
            let routes = RouteConfiguration::decode(resource.body.clone()).unwrap();
            let _ = writeln!(out, "{}", routes.name);
            for host in &routes.virtual_hosts {
                let _ = writeln!(out, "  {} {}", host.domains.join(" "), actions(host));
            }
        }
        out
    }
}

fn line(chain: &FilterChain) -> String {
    let names = chain.filter_chain_match.as_ref().map(|m| m.server_names.join(" ")).unwrap_or_default();
    let tls = if chain.transport_socket.is_some() { "tls " } else { "" };
    let filters: Vec<String> = chain.filters.iter().map(filter).collect();
    format!("[{names}] {tls}{}", filters.join(" "))
}

/// Short name of a filter, with its cluster if it is a TCP proxy.
fn filter(filter: &Filter) -> String {
    let name = filter.name.rsplit('.').next().unwrap_or_default();
    match &filter.config_type {
        Some(ConfigType::TypedConfig(any)) if name == "tcp_proxy" => {
            match TcpProxy::decode(any.value.clone()).unwrap().cluster_specifier {
                Some(ClusterSpecifier::Cluster(cluster)) => format!("-> {cluster}"),
                other => format!("{other:?}"),
            }
        }
        _ => name.to_owned(),
    }
}

/// Replaces the sources of secrets by a word.
fn shorten(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            if let Some(source) = fields.get_mut("sds_config") {
                let ads = source.get("ads").is_some();
                *source = if ads { "control plane" } else { "agent" }.into();
            }
            fields.values_mut().for_each(shorten);
        }
        serde_json::Value::Array(all) => all.iter_mut().for_each(shorten),
        _ => {}
    }
}

fn actions(host: &VirtualHost) -> String {
    let one = |r: &proto::envoy::config::route::v3::Route| match &r.action {
        Some(route::Action::Route(action)) => match &action.cluster_specifier {
            Some(route_action::ClusterSpecifier::Cluster(cluster)) => format!("-> {cluster}"),
            other => format!("-> {other:?}"),
        },
        other => format!("{other:?}"),
    };
    let mut out: Vec<String> = host.routes.iter().map(one).collect();
    if host.require_tls != 0 {
        out.push("requires TLS".into());
    }
    out.join(", ")
}

/// A Gateway of `istio-system`, created in the given second, with these servers.
fn gateway(name: &str, second: u32, servers: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {{name: {name}, namespace: istio-system, \
         creationTimestamp: \"2026-01-01T00:00:{second:02}Z\"}}, spec: {{selector: {{istio: ingress}}, servers: \
         [{servers}]}}}}\n---\n"
    )
}

/// A VirtualService of `default` for the Gateway `gw` that routes everything to `web`.
fn routes(name: &str, second: u32, hosts: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: {name}, namespace: default, \
         creationTimestamp: \"2026-01-01T00:00:{second:02}Z\"}}, spec: {{hosts: [{hosts}], gateways: \
         [istio-system/gw], http: [{{route: [{{destination: {{host: web.default.svc.cluster.local, port: {{number: \
         80}}}}}}]}}]}}}}\n---\n"
    )
}

const HTTP: &str = "{hosts: ['*'], port: {number: 80, name: http, protocol: HTTP}}";

fn https(name: &str, host: &str, tls: &str) -> String {
    format!("{{hosts: [{host}], port: {{number: 443, name: {name}, protocol: HTTPS}}, tls: {{{tls}}}}}")
}

/// The common TLS context of the only chain, as JSON.
fn tls_of(tls: &str) -> String {
    let case = Case::new(&gateway("gw", 1, &https("a", "a.test", tls)));
    let chain = case.listeners().remove(0).filter_chains.remove(0);
    let socket = proto::reflect::any_to_json(&proto::any(&chain.transport_socket.unwrap()));
    let mut context = socket["typed_config"]["common_tls_context"].clone();
    shorten(&mut context);
    serde_json::to_string_pretty(&context).unwrap() + "\n"
}

fn check(got: &str, expect: &Expect) {
    expect.assert_eq(got);
}

#[test]
fn ports_are_those_of_the_gateways_own_service() {
    let case = Case::new(
        &(gateway("gw", 1, &format!("{HTTP}, {}", https("a", "a.test", "mode: SIMPLE, credentialName: c")))
            + &routes("v", 2, "a.test")),
    );
    check(
        &case.chains(),
        &expect![[r#"
        0.0.0.0_8080
          [] http_connection_manager
        0.0.0.0_8443
          [a.test] tls http_connection_manager
    "#]],
    );
    check(
        &case.routes(),
        &expect![[r#"
        http.8080
          a.test -> outbound|80||web.default.svc.cluster.local
        https.443.a.gw.istio-system
          a.test -> outbound|80||web.default.svc.cluster.local
    "#]],
    );
}

#[test]
fn a_tcp_server_on_an_http_port_is_rejected_and_the_rest_goes_on() {
    let tcp = "{hosts: ['*'], port: {number: 80, name: tcp, protocol: TCP}}";
    let case = Case::new(&(gateway("gw", 1, HTTP) + &gateway("late", 2, tcp) + &routes("v", 2, "a.test")));
    check(
        &(case.chains() + &case.rejected().join("\n")),
        &expect![[r#"
        0.0.0.0_8080
          [] http_connection_manager
        Gateway istio-system/late, server port 80: the port already speaks HTTP, not TCP"#]],
    );
}

#[test]
fn the_older_of_two_tls_servers_keeps_a_host() {
    let server = |name: &str| https(name, "a.test", "mode: SIMPLE, credentialName: c");
    let case = Case::new(&(gateway("gw", 1, &server("a")) + &gateway("late", 2, &server("b"))));
    check(
        &(case.chains() + &case.rejected().join("\n")),
        &expect![[r#"
        0.0.0.0_8443
          [a.test] tls http_connection_manager
        Gateway istio-system/late, server port 443: another server has the hosts a.test"#]],
    );
}

#[test]
fn servers_at_different_addresses_do_not_conflict() {
    let tcp = "{hosts: ['*'], bind: 10.0.0.9, port: {number: 80, name: tcp, protocol: HTTP}}";
    let case = Case::new(&(gateway("gw", 1, HTTP) + &gateway("late", 2, tcp)));
    check(
        &case.chains(),
        &expect![[r#"
        0.0.0.0_8080
          [] http_connection_manager
        10.0.0.9_8080
          [] http_connection_manager
    "#]],
    );
    check(
        &case.routes(),
        &expect![[r#"
        http.8080
          * 
        http.8080.10.0.0.9
          * 
    "#]],
    );
}

#[test]
fn a_gateway_that_says_where_it_listens_is_not_open_to_all_networks() {
    let mut node = node(false);
    let fields = &mut node.metadata.as_mut().unwrap().fields;
    fields.insert("GATEWAY_BIND_ADDRESS".to_owned(), text("127.0.0.1"));
    let bound = "{hosts: ['*'], bind: 10.0.0.9, port: {number: 80, name: tcp, protocol: HTTP}}";
    let case = Case::of(&(gateway("gw", 1, HTTP) + &gateway("late", 2, bound)), &[], &node);
    check(
        &case.chains(),
        &expect![[r#"
        127.0.0.1_8080
          [] http_connection_manager
        10.0.0.9_8080
          [] http_connection_manager
    "#]],
    );
}

#[test]
fn hosts_of_one_virtual_service_share_a_virtual_host_unless_switched_off() {
    let yaml = gateway("gw", 1, HTTP) + &routes("v", 2, "b.test, long.a.test");
    check(
        &Case::new(&yaml).routes(),
        &expect![[r#"
        http.8080
          long.a.test b.test -> outbound|80||web.default.svc.cluster.local
    "#]],
    );
    let case = Case::with(&yaml, &[("PILOT_ENABLE_ROUTE_COLLAPSE_OPTIMIZATION", "false")], false);
    check(
        &case.routes(),
        &expect![[r#"
        http.8080
          b.test -> outbound|80||web.default.svc.cluster.local
          long.a.test -> outbound|80||web.default.svc.cluster.local
    "#]],
    );
}

#[test]
fn a_redirecting_server_redirects_hosts_without_routes_too() {
    let server = "{hosts: ['default/a.test', b.test], port: {number: 80, name: http, protocol: HTTP}, tls: {httpsRedirect: true}}";
    let case = Case::new(&(gateway("gw", 1, server) + &routes("v", 2, "a.test")));
    check(
        &case.routes(),
        &expect![[r#"
        http.8080
          a.test -> outbound|80||web.default.svc.cluster.local, requires TLS
          default/a.test b.test requires TLS
    "#]],
    );
}

#[test]
fn a_virtual_service_of_another_namespace_does_not_get_a_host_kept_for_one() {
    let server = "{hosts: ['other/a.test'], port: {number: 80, name: http, protocol: HTTP}}";
    let case = Case::new(&(gateway("gw", 1, server) + &routes("v", 2, "a.test")));
    check(
        &case.routes(),
        &expect![[r#"
        http.8080
          * 
    "#]],
    );
}

#[test]
fn mutual_tls_pins_the_client_and_asks_the_control_plane_for_secrets() {
    let tls = "mode: MUTUAL, credentialName: c, subjectAltNames: [x.test], verifyCertificateHash: [h], \
               minProtocolVersion: TLSV1_3, cipherSuites: [AES128-SHA, NONSENSE, AES128-SHA]";
    check(
        &tls_of(tls),
        &expect![[r#"
            {
              "tls_params": {
                "tls_minimum_protocol_version": "TLSv1_3",
                "cipher_suites": [
                  "AES128-SHA"
                ]
              },
              "alpn_protocols": [
                "h2",
                "http/1.1"
              ],
              "tls_certificate_sds_secret_configs": [
                {
                  "name": "kubernetes://c",
                  "sds_config": "control plane"
                }
              ],
              "combined_validation_context": {
                "default_validation_context": {
                  "verify_certificate_hash": [
                    "h"
                  ],
                  "match_subject_alt_names": [
                    {
                      "exact": "x.test"
                    }
                  ]
                },
                "validation_context_sds_secret_config": {
                  "name": "kubernetes://c-cacert",
                  "sds_config": "control plane"
                }
              }
            }
        "#]],
    );
    let case = Case::new(&gateway("gw", 1, &https("a", "a.test", tls)));
    let secret = "{apiVersion: v1, kind: Secret, metadata: {name: c, namespace: NS}, stringData: {tls.crt: C, tls.key: K, ca.crt: A}}";
    assert!(case.names(TypeName::Secret).is_empty(), "there is no such secret");
    let here = gateway("gw", 1, &https("a", "a.test", tls)) + &secret.replace("NS", "istio-system");
    assert_eq!(Case::new(&here).names(TypeName::Secret), ["kubernetes://c", "kubernetes://c-cacert"]);
    let elsewhere = gateway("gw", 1, &https("a", "a.test", tls)) + &secret.replace("NS", "default");
    assert!(Case::new(&elsewhere).names(TypeName::Secret).is_empty(), "a secret of another namespace");
}

#[test]
fn a_secret_of_another_namespace_is_not_served_even_when_it_is_named() {
    let tls = "mode: SIMPLE, credentialName: 'kubernetes://default/c'";
    let secret = "{apiVersion: v1, kind: Secret, metadata: {name: c, namespace: default}, stringData: {tls.crt: C, tls.key: K}}";
    let case = Case::new(&(gateway("gw", 1, &https("a", "a.test", tls)) + secret));
    assert!(case.names(TypeName::Secret).is_empty());
}

#[test]
fn file_certificates_come_from_the_agent() {
    let tls = "mode: MUTUAL, serverCertificate: /c.pem, privateKey: /k.pem, caCertificates: /ca.pem, caCrl: /crl.pem";
    check(
        &tls_of(tls),
        &expect![[r#"
            {
              "alpn_protocols": [
                "h2",
                "http/1.1"
              ],
              "tls_certificate_sds_secret_configs": [
                {
                  "name": "file-cert:/c.pem~/k.pem",
                  "sds_config": "agent"
                }
              ],
              "combined_validation_context": {
                "default_validation_context": {
                  "crl": {
                    "filename": "/crl.pem"
                  }
                },
                "validation_context_sds_secret_config": {
                  "name": "file-root:/ca.pem",
                  "sds_config": "agent"
                }
              }
            }
        "#]],
    );
}

#[test]
fn mesh_tls_does_not_take_the_parameters_of_users() {
    check(
        &tls_of("mode: ISTIO_MUTUAL, minProtocolVersion: TLSV1_3"),
        &expect![[r#"
            {
              "alpn_protocols": [
                "h2",
                "http/1.1"
              ],
              "tls_certificate_sds_secret_configs": [
                {
                  "name": "default",
                  "sds_config": "agent"
                }
              ],
              "combined_validation_context": {
                "default_validation_context": {},
                "validation_context_sds_secret_config": {
                  "name": "ROOTCA",
                  "sds_config": "agent"
                }
              }
            }
        "#]],
    );
}

#[test]
fn passing_tls_goes_by_name_and_the_older_route_keeps_a_name() {
    let route = |name: &str, second: u32, port: u32| {
        format!(
            "{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: {name}, namespace: default, \
             creationTimestamp: \"2026-01-01T00:00:{second:02}Z\"}}, spec: {{hosts: [a.test], gateways: \
             [istio-system/gw], tls: [{{match: [{{port: 443, sniHosts: [a.test]}}], route: [{{destination: {{host: \
             web.default.svc.cluster.local, port: {{number: {port}}}}}}}]}}]}}}}\n---\n"
        )
    };
    let yaml = gateway("gw", 1, &https("p", "a.test", "mode: PASSTHROUGH"))
        + &route("old", 2, 9000)
        + &route("new", 3, 80);
    check(
        &Case::new(&yaml).chains(),
        &expect![[r#"
            0.0.0.0_8443
              [a.test] -> outbound|9000||web.default.svc.cluster.local
        "#]],
    );
}

#[test]
fn auto_passthrough_has_a_chain_and_a_cluster_for_each_service_its_hosts_cover() {
    let server = "{hosts: ['*.default.svc.cluster.local'], port: {number: 443, name: tls, protocol: TLS}, tls: {mode: AUTO_PASSTHROUGH}}";
    let case = Case::new(&gateway("gw", 1, server));
    let clusters: Vec<String> =
        case.names(TypeName::Cluster).into_iter().filter(|n| n.starts_with("outbound_.")).collect();
    check(
        &(case.chains() + &clusters.join("\n")),
        &expect![[r#"
            0.0.0.0_8443
              [outbound_.80_._.web.default.svc.cluster.local] -> outbound_.80_._.web.default.svc.cluster.local
              [outbound_.9000_._.web.default.svc.cluster.local] -> outbound_.9000_._.web.default.svc.cluster.local
            outbound_.80_._.ingress.istio-system.svc.cluster.local
            outbound_.443_._.ingress.istio-system.svc.cluster.local
            outbound_.80_._.web.default.svc.cluster.local
            outbound_.9000_._.web.default.svc.cluster.local"#]],
    );
}

#[test]
fn quic_mirrors_https_where_the_service_has_a_udp_port() {
    let udp = "{apiVersion: v1, kind: Service, metadata: {name: quic, namespace: istio-system}, spec: {clusterIP: 10.96.0.12, selector: {istio: ingress}, ports: [{name: q, port: 443, targetPort: 8443, protocol: UDP}]}}\n---\n";
    let yaml = gateway("gw", 1, &https("a", "a.test", "mode: SIMPLE, credentialName: c")) + udp;
    let names = |switches: &[(&str, &str)]| Case::with(&yaml, switches, false).names(TypeName::Listener);
    assert_eq!(names(&[]), ["0.0.0.0_8443"]);
    assert_eq!(names(&[("PILOT_ENABLE_QUIC_LISTENERS", "true")]), ["0.0.0.0_8443", "udp_0.0.0.0_8443"]);
}

#[test]
fn a_stock_gateway_gets_nothing_that_stock_envoy_cannot_load() {
    let tcp = "{hosts: ['*'], port: {number: 9000, name: tcp, protocol: TLS}, tls: {mode: ISTIO_MUTUAL}}";
    let stream = "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: tcp, namespace: default}, spec: {hosts: ['*'], gateways: [istio-system/gw], tcp: [{route: [{destination: {host: web.default.svc.cluster.local, port: {number: 9000}}}]}]}}";
    let servers = format!("{HTTP}, {}, {tcp}", https("a", "a.test", "mode: SIMPLE, credentialName: c"));
    let yaml = gateway("gw", 1, &servers) + &routes("v", 2, "a.test") + stream;
    let foreign = |stock: bool| {
        let case = Case::with(&yaml, &[], stock);
        let all = case.listeners();
        let shown =
            all.iter().map(|l| proto::reflect::any_to_json(&proto::any(l)).to_string()).collect::<String>();
        ["istio.stats", "istio.alpn", "istio.metadata_exchange", "istio-peer-exchange", "peer_metadata"]
            .into_iter()
            .filter(|word| shown.contains(word))
            .count()
    };
    assert!(foreign(false) > 0, "an istio-proxy has them");
    assert_eq!(foreign(true), 0);
}
