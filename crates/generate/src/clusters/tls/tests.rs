//! TLS towards upstreams: whom a cluster expects.

use std::sync::Arc;

use mesh::settings::Settings;
use mesh::{Batch, Mesh};
use prost::Message;
use proto::envoy::config::cluster::v3::Cluster;
use proto::envoy::config::core::v3::{Node, transport_socket};
use proto::envoy::extensions::transport_sockets::tls::v3::{UpstreamTlsContext, common_tls_context};
use proto::envoy::r#type::matcher::v3::string_matcher::MatchPattern;

use crate::{Generator, Proxy, TypeName};

const MESH: &str = r#"
{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: reviews, namespace: default},
 spec: {hosts: [reviews.test], ports: [{number: 80, name: http, protocol: HTTP}], resolution: STATIC, location: MESH_INTERNAL,
  subjectAltNames: [reviews.example.com], workloadSelector: {labels: {app: reviews}}}}
---
{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: reviews-1, namespace: default},
 spec: {address: 10.0.0.2, labels: {app: reviews}, serviceAccount: reviews}}
---
"#;

/// The names that the cluster of `reviews.test` expects in its upstream's certificate.
#[expect(deprecated, reason = "what upstream writes")]
fn expected(more: &str, aliases: &[&str]) -> Vec<String> {
    let decoded = config::decode::documents("test.yaml", &format!("{MESH}{more}"));
    assert!(decoded.problems.is_empty(), "{:?}", decoded.problems);
    let mut batch = Batch::default();
    for object in decoded.objects {
        batch.put(&"Kubernetes".into(), object);
    }
    let mut config = config::mesh::default_mesh_config();
    config.trust_domain_aliases = aliases.iter().map(ToString::to_string).collect();
    let mut mesh = Mesh::new(Settings { mesh: Arc::new(config), ..Settings::default() });
    mesh.commit(batch);
    let node =
        Node { id: "sidecar~10.0.0.1~caller.default~default.svc.cluster.local".into(), ..Node::default() };
    let class = Arc::new(Proxy::from_node(&node).unwrap());
    let (world, generator) = (mesh.world(), Generator::new(true));
    let edition = generator.edition(&world, &generator.key(&world, &class, TypeName::Cluster)).0;
    let found = edition.resources().find(|r| &*r.name == "outbound|80||reviews.test").unwrap();
    let cluster = Cluster::decode(found.body.clone()).unwrap();
    let matched = cluster.transport_socket_matches.into_iter().find_map(|m| m.transport_socket);
    let socket = cluster.transport_socket.or(matched).unwrap();
    let Some(transport_socket::ConfigType::TypedConfig(any)) = socket.config_type else {
        panic!("{socket:?}")
    };
    let tls = UpstreamTlsContext::decode(any.value).unwrap();
    let validation = tls.common_tls_context.unwrap().validation_context_type.unwrap();
    let common_tls_context::ValidationContextType::CombinedValidationContext(combined) = validation else {
        panic!("{validation:?}")
    };
    let names = combined.default_validation_context.unwrap().match_subject_alt_names;
    let exact = |pattern| match pattern {
        Some(MatchPattern::Exact(name)) => name,
        other => panic!("{other:?}"),
    };
    names.into_iter().map(|name| exact(name.match_pattern)).collect()
}

#[test]
fn an_account_is_expected_under_every_alias_of_the_trust_domain() {
    let one = "spiffe://cluster.local/ns/default/sa/reviews";
    assert_eq!(expected("", &[]), ["reviews.example.com", one]);
    let all = [
        "reviews.example.com",
        one,
        "spiffe://new.example/ns/default/sa/reviews",
        "spiffe://old.example/ns/default/sa/reviews",
    ];
    assert_eq!(expected("", &["old.example", "new.example"]), all);
}

#[test]
fn names_that_a_rule_gives_are_not_expanded() {
    let rule = r#"
{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: reviews, namespace: default},
 spec: {host: reviews.test, trafficPolicy: {tls: {mode: ISTIO_MUTUAL, subjectAltNames: ["spiffe://cluster.local/ns/default/sa/other"]}}}}
"#;
    assert_eq!(expected(rule, &["old.example"]), ["spiffe://cluster.local/ns/default/sa/other"]);
}
