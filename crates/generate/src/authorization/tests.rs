//! Tests of what policies become on the chains of a sidecar with an HTTP port (8080) and a TCP port (9090).

use std::sync::Arc;

use config::mesh::MeshConfig;
use mesh::settings::Settings;
use mesh::{Batch, Mesh};
use prost::Message;
use proto::envoy::config::core::v3::Node;
use proto::envoy::config::listener::v3::{Filter, Listener, filter::ConfigType};
use proto::envoy::config::rbac::v3::{
    Permission, Policy, Principal, Rbac, permission::Rule, principal::Identifier,
};
use proto::envoy::extensions::filters::http::rbac::v3::Rbac as HttpRbac;
use proto::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, http_filter,
};
use proto::envoy::extensions::filters::network::rbac::v3::Rbac as NetworkRbac;
use proto::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};
use proto::google::protobuf::{Any, Struct, Value, value::Kind};

use super::trust_domain::TrustDomains;
use crate::{Generator, Proxy, TypeName};

const SERVICE: &str = r#"
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: own, namespace: default, creationTimestamp: "2026-01-01T00:00:00Z"}
spec:
  hosts: [own.test]
  location: MESH_INTERNAL
  resolution: STATIC
  ports:
  - {number: 80, name: http, protocol: HTTP, targetPort: 8080}
  - {number: 90, name: tcp, protocol: TCP, targetPort: 9090}
  endpoints: [{address: 10.0.0.1}]
"#;

fn node() -> Node {
    let text = |value: &str| Value { kind: Some(Kind::StringValue(value.into())) };
    let labels = Struct { fields: [("app".to_owned(), text("app"))].into() };
    let fields = [
        ("NAMESPACE".to_owned(), text("default")),
        ("LABELS".to_owned(), Value { kind: Some(Kind::StructValue(labels)) }),
    ];
    Node {
        id: "sidecar~10.0.0.1~app-1.default~default.svc.cluster.local".into(),
        metadata: Some(Struct { fields: fields.into() }),
        ..Node::default()
    }
}

/// Enforced rules, reported rules, the prefix of the latter.
type Seen = (Option<Rbac>, Option<Rbac>, String);

/// The RBAC filters of the HTTP chain and of the TCP chain.
fn seen(policies: &str) -> (Vec<Seen>, Vec<Seen>) {
    seen_in(config::mesh::default_mesh_config(), policies)
}

fn seen_in(mesh: MeshConfig, policies: &str) -> (Vec<Seen>, Vec<Seen>) {
    let listeners = listeners(mesh, &format!("{SERVICE}{policies}"), &node());
    let inbound = listeners.iter().find(|l| l.name == "virtualInbound").unwrap();
    let filters = |name: &str| inbound.filter_chains.iter().find(|c| c.name == name).unwrap().filters.clone();
    (filters("0.0.0.0_8080").iter().flat_map(of_manager).collect(), of_chain(&filters("0.0.0.0_9090")))
}

fn listeners(mesh: MeshConfig, yaml: &str, node: &Node) -> Vec<Listener> {
    let decoded = config::decode::documents("test.yaml", yaml);
    assert!(decoded.problems.is_empty(), "{:?}", decoded.problems);
    let mut batch = Batch::default();
    for object in decoded.objects {
        batch.put(&"Kubernetes".into(), object);
    }
    let mut mesh = Mesh::new(Settings { mesh: Arc::new(mesh), ..Settings::default() });
    mesh.commit(batch);
    let class = Arc::new(Proxy::from_node(node).unwrap());
    let (generator, world) = (Generator::new(true), mesh.world());
    let (edition, _, _) = generator.edition(&world, &generator.key(&world, &class, TypeName::Listener));
    edition.resources().map(|r| Listener::decode(r.body.clone()).unwrap()).collect()
}

fn of_manager(filter: &Filter) -> Vec<Seen> {
    let Some(ConfigType::TypedConfig(any)) = &filter.config_type else { panic!("{filter:?}") };
    if !any.type_url.ends_with("HttpConnectionManager") {
        return Vec::new();
    }
    let manager = HttpConnectionManager::decode(any.value.clone()).unwrap();
    let of = |config: &http_filter::ConfigType| match config {
        http_filter::ConfigType::TypedConfig(any) if any.type_url.ends_with(".RBAC") => {
            let rbac = HttpRbac::decode(any.value.clone()).unwrap();
            Some((rbac.rules, rbac.shadow_rules, rbac.shadow_rules_stat_prefix))
        }
        _ => None,
    };
    manager.http_filters.iter().filter_map(|f| of(f.config_type.as_ref()?)).collect()
}

fn of_chain(filters: &[Filter]) -> Vec<Seen> {
    let of = |any: &Any| {
        let rbac = NetworkRbac::decode(any.value.clone()).unwrap();
        assert_eq!(rbac.stat_prefix, "tcp.");
        (rbac.rules, rbac.shadow_rules, rbac.shadow_rules_stat_prefix)
    };
    let typed = |f: &Filter| match &f.config_type {
        Some(ConfigType::TypedConfig(any)) if any.type_url.ends_with(".RBAC") => Some(of(any)),
        _ => None,
    };
    filters.iter().filter_map(typed).collect()
}

fn string(of: Option<&StringMatcher>) -> String {
    match of.and_then(|m| m.match_pattern.as_ref()) {
        Some(MatchPattern::Exact(text)) => text.clone(),
        Some(MatchPattern::Prefix(text)) => format!("{text}*"),
        Some(MatchPattern::Suffix(text)) => format!("*{text}"),
        Some(MatchPattern::SafeRegex(regex)) => format!("/{}/", regex.regex),
        other => format!("{other:?}"),
    }
}

fn who(of: &Principal) -> String {
    let all = |ids: &[Principal]| ids.iter().map(who).collect::<Vec<_>>().join(" ");
    match of.identifier.as_ref().unwrap() {
        Identifier::AndIds(set) => format!("and({})", all(&set.ids)),
        Identifier::OrIds(set) => format!("or({})", all(&set.ids)),
        Identifier::NotId(id) => format!("not({})", who(id)),
        Identifier::Any(_) => "any".into(),
        Identifier::Authenticated(a) => string(a.principal_name.as_ref()),
        Identifier::DirectRemoteIp(c) => format!("{}/{}", c.address_prefix, c.prefix_len.unwrap().value),
        other => format!("{other:?}"),
    }
}

fn what(of: &Permission) -> String {
    let all = |rules: &[Permission]| rules.iter().map(what).collect::<Vec<_>>().join(" ");
    match of.rule.as_ref().unwrap() {
        Rule::AndRules(set) => format!("and({})", all(&set.rules)),
        Rule::OrRules(set) => format!("or({})", all(&set.rules)),
        Rule::NotRule(rule) => format!("not({})", what(rule)),
        Rule::Any(_) => "any".into(),
        Rule::DestinationPort(port) => format!("port {port}"),
        Rule::Header(header) => header.name.clone(),
        Rule::UrlPath(_) => "path".into(),
        other => format!("{other:?}"),
    }
}

fn policy(of: &Policy) -> String {
    let who: Vec<_> = of.principals.iter().map(who).collect();
    let what: Vec<_> = of.permissions.iter().map(what).collect();
    format!("{} -> {}", who.join(", "), what.join(", "))
}

/// `ACTION name: who -> what` of every rule of a set.
fn rules(of: Option<&Rbac>) -> Vec<String> {
    let Some(of) = of else { return Vec::new() };
    let action = of.action().as_str_name();
    if of.policies.is_empty() {
        return vec![format!("{action} nothing")];
    }
    of.policies.iter().map(|(name, p)| format!("{action} {name}: {}", policy(p))).collect()
}

fn enforced(of: &[Seen]) -> Vec<String> {
    of.iter().flat_map(|(enforced, _, _)| rules(enforced.as_ref())).collect()
}

fn authorization(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}, namespace: \
         {namespace}, creationTimestamp: \"2026-01-01T00:00:00Z\"}}\nspec: {spec}\n"
    )
}

#[test]
fn denials_are_checked_before_grants_and_external_authorizers_before_both() {
    let port =
        |action: &str| format!("{{action: {action}, rules: [{{to: [{{operation: {{ports: ['9090']}}}}]}}]}}");
    let custom = "{action: CUSTOM, provider: {name: opa}, rules: [{to: [{operation: {ports: ['9090']}}]}]}";
    let policies = [
        authorization("default", "a", &port("ALLOW")),
        authorization("istio-system", "b", &port("DENY")),
        authorization("default", "c", &port("AUDIT")),
        authorization("default", "d", custom),
        authorization("other", "e", &port("DENY")),
        authorization("default", "f", "{action: DENY, selector: {matchLabels: {app: another}}, rules: [{}]}"),
    ];
    let (http, tcp) = seen(&policies.concat());
    let expected = [
        "DENY istio-ext-authz-opa-ns[default]-policy[d]-rule[0]-deny-due-to-bad-CUSTOM-action: and(any) -> and(or(port \
         9090))",
        "LOG ns[default]-policy[c]-rule[0]: and(any) -> and(or(port 9090))",
        "DENY ns[istio-system]-policy[b]-rule[0]: and(any) -> and(or(port 9090))",
        "ALLOW ns[default]-policy[a]-rule[0]: and(any) -> and(or(port 9090))",
    ];
    assert_eq!(enforced(&tcp), expected);
    assert_eq!(enforced(&http), expected);
}

#[test]
fn a_dry_run_is_reported_and_not_enforced() {
    let spec = "{action: DENY, rules: [{from: [{source: {ipBlocks: [10.0.0.0/8]}}]}]}";
    let dry = authorization("default", "dry", spec)
        .replace("creationTimestamp", "annotations: {istio.io/dry-run: \"true\"}, creationTimestamp");
    let (http, _) = seen(&dry);
    let (real, reported, prefix) = &http[0];
    assert_eq!(*real, None);
    assert_eq!(
        rules(reported.as_ref()),
        ["DENY ns[default]-policy[dry]-rule[0]: and(or(10.0.0.0/8)) -> and(any)"]
    );
    assert_eq!(prefix, "istio_dry_run_deny_");
    let (http, _) = seen(&format!("{dry}{}", authorization("default", "real", spec)));
    let (real, reported, _) = &http[0];
    assert_eq!(
        rules(real.as_ref()),
        ["DENY ns[default]-policy[real]-rule[0]: and(or(10.0.0.0/8)) -> and(any)"]
    );
    assert!(reported.is_some());
}

#[test]
fn principals_of_one_trust_domain_are_let_in_under_all_its_names() {
    let mut mesh = config::mesh::default_mesh_config();
    mesh.trust_domain = "new".into();
    mesh.trust_domain_aliases = vec!["old".into()];
    let spec = "{rules: [{from: [{source: {principals: [old/ns/a/sa/b, foreign/ns/a/sa/b, '*/ns/a/sa/c']}}], \
                when: [{key: source.trustDomain, values: [old]}]}]}";
    let (http, _) = seen_in(mesh, &authorization("default", "a", spec));
    assert_eq!(
        enforced(&http),
        ["ALLOW ns[default]-policy[a]-rule[0]: and(or(spiffe://new/ns/a/sa/b spiffe://old/ns/a/sa/b \
          spiffe://foreign/ns/a/sa/b /spiffe://.*/ns/a/sa/c/) or(spiffe://new/* spiffe://old/*)) -> and(any)"]
    );
}

#[test]
fn cluster_local_and_patterns_stand_for_the_mesh() {
    let aliases = ["old-td".to_owned(), "b".to_owned()];
    let domains = TrustDomains::new("new-td", &aliases);
    let of = |principal: &str| domains.principals(&[principal.to_owned()]);
    assert_eq!(of("cluster.local/ns/a/sa/b"), ["new-td/ns/a/sa/b", "old-td/ns/a/sa/b", "b/ns/a/sa/b"]);
    assert_eq!(of("*-td/ns/a/sa/b"), ["*-td/ns/a/sa/b", "b/ns/a/sa/b"]);
    assert_eq!(of("/ns/a/sa/b"), ["/ns/a/sa/b"]);
    assert_eq!(of("old-td/sa/b"), ["old-td/sa/b"]);
}

#[test]
fn a_grant_that_needs_http_grants_nothing_on_a_tcp_chain() {
    let spec =
        "{rules: [{to: [{operation: {paths: [/a], ports: ['9090']}}]}, {to: [{operation: {ports: ['1']}}]}]}";
    let (http, tcp) = seen(&authorization("default", "a", spec));
    assert_eq!(
        enforced(&http),
        [
            "ALLOW ns[default]-policy[a]-rule[0]: and(any) -> and(or(path) or(port 9090))",
            "ALLOW ns[default]-policy[a]-rule[1]: and(any) -> and(or(port 1))",
        ]
    );
    assert_eq!(enforced(&tcp), ["ALLOW ns[default]-policy[a]-rule[1]: and(any) -> and(or(port 1))"]);
    let spec = "{rules: [{to: [{operation: {methods: [GET]}}]}]}";
    let (_, tcp) = seen(&authorization("default", "a", spec));
    assert_eq!(enforced(&tcp), ["ALLOW nothing"], "not open because no rule is left");
}

#[test]
fn a_denial_that_needs_http_gets_wider_on_a_tcp_chain() {
    let spec = "{action: DENY, rules: [{to: [{operation: {paths: [/a], ports: ['9090']}}]}]}";
    let (_, tcp) = seen(&authorization("default", "a", spec));
    assert_eq!(enforced(&tcp), ["DENY ns[default]-policy[a]-rule[0]: and(any) -> and(or(port 9090))"]);
}

#[test]
fn who_is_excluded_is_excluded() {
    let spec = "{rules: [{from: [{source: {principals: ['*'], notPrincipals: [cluster.local/ns/a/sa/b, 'x/*'], \
                notNamespaces: [a*]}}]}]}";
    let (http, tcp) = seen(&authorization("default", "a", spec));
    let expected =
        ["ALLOW ns[default]-policy[a]-rule[0]: and(or(/.+/) not(or(spiffe://cluster.local/ns/a/sa/b \
                     spiffe://x/*)) not(or(/.*/ns/a.*/.*/))) -> and(any)"];
    assert_eq!(enforced(&http), expected);
    assert_eq!(enforced(&tcp), expected);
}

#[test]
fn a_policy_without_rules_matches_nothing_and_bad_values_never_let_in_more() {
    let (http, _) = seen(&authorization("default", "none", "{}"));
    assert_eq!(enforced(&http), ["ALLOW ns[default]-policy[none]-rule[0]: not(any) -> not(any)"]);
    let when = "rules: [{when: [{key: source.ip, values: [10.0.0.1, nonsense]}]}]";
    let of = |action: &str| {
        let (http, _) = seen(&authorization("default", "a", &format!("{{action: {action}, {when}}}")));
        enforced(&http)
    };
    assert_eq!(of("ALLOW"), ["ALLOW nothing"]);
    assert_eq!(of("DENY"), ["DENY ns[default]-policy[a]-rule[0]: and(or(10.0.0.1/32)) -> and(any)"]);
}

#[test]
fn what_refers_to_a_gateway_leaves_sidecars_alone() {
    let spec = "{action: DENY, targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: app}], rules: [{}]}";
    assert_eq!(seen(&authorization("default", "a", spec)), (Vec::new(), Vec::new()));
}

/// What a CUSTOM policy becomes under a provider of this kind.
fn custom(kind: &str) -> (Vec<Seen>, Vec<Seen>) {
    let yaml = format!("extensionProviders: [{{name: opa, {kind}: {{service: own.test, port: 80}}}}]");
    let mesh =
        config::mesh::apply_mesh_config(&config::mesh::default_mesh_config(), "mesh.yaml", &yaml).unwrap().0;
    let spec = "{action: CUSTOM, provider: {name: opa}, rules: [{to: [{operation: {ports: ['9090']}}]}]}";
    seen_in(mesh, &authorization("default", "a", spec))
}

#[test]
fn an_authorizer_is_asked_about_what_matches_and_nothing_is_denied_before() {
    let matched = ["DENY istio-ext-authz-opa-ns[default]-policy[a]-rule[0]: and(any) -> and(or(port 9090))"];
    let (http, tcp) = custom("envoyExtAuthzGrpc");
    for seen in [&http, &tcp] {
        assert_eq!(enforced(seen), Vec::<String>::new());
        assert_eq!(rules(seen[0].1.as_ref()), matched);
        assert_eq!(seen[0].2, "istio_ext_authz_");
    }
    let (http, tcp) = custom("envoyExtAuthzHttp");
    assert_eq!(rules(http[0].1.as_ref()), matched);
    assert_eq!(tcp, Vec::new());
}

#[test]
fn a_gateway_guards_what_it_ends_and_not_what_it_passes_on_by_sni() {
    let passing =
        "{hosts: ['*.test'], port: {number: 15443, name: tls, protocol: TLS}, tls: {mode: AUTO_PASSTHROUGH}}";
    let plain = "{hosts: ['*'], port: {number: 8080, name: http, protocol: HTTP}}";
    let yaml = format!(
        "{SERVICE}---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: g, namespace: default, \
         creationTimestamp: \"2026-01-01T00:00:00Z\"}}\nspec: {{selector: {{app: app}}, servers: [{passing}, {plain}]}}\n{}",
        authorization("default", "a", "{action: DENY, rules: [{}]}")
    );
    let node = Node { id: node().id.replace("sidecar", "router"), ..node() };
    let listeners = listeners(config::mesh::default_mesh_config(), &yaml, &node);
    let guarded = listeners.iter().find(|l| l.name == "0.0.0.0_8080").unwrap();
    assert_eq!(
        enforced(&of_manager(&guarded.filter_chains[0].filters[0])),
        ["DENY ns[default]-policy[a]-rule[0]: and(any) -> and(any)"]
    );
    let passed = listeners.iter().find(|l| l.name == "0.0.0.0_15443").unwrap();
    assert!(!passed.filter_chains.is_empty());
    for chain in &passed.filter_chains {
        assert_eq!(of_chain(&chain.filters), Vec::new(), "{}", chain.name);
    }
}
