//! Provenance: explained bytes are the served bytes, no resource is without an origin, and origins lead to file and line.

use std::sync::Arc;

use config::{Kind, Location, Meta, Object, Spec};
use mesh::settings::Settings;
use mesh::{Batch, Mesh, World};
use proto::envoy::config::core::v3::{Extension, Node};
use proto::google::protobuf::{Struct, Value, value::Kind as ValueKind};

use super::*;
use crate::{Generator, Proxy};

const BOOKINFO: &str = include_str!("tests/bookinfo.yaml");
const EDGES: &str = include_str!("tests/edges.yaml");
const SIDECARS: &str = include_str!("tests/sidecars.yaml");
/// Something of MeshConfig that is not its default.
const MESH_CONFIG: &str = "accessLogFile: /dev/stdout\nextensionProviders:\n- {name: envoy, envoyFileAccessLog: {path: /dev/stdout}}\ndefaultTrafficPolicy:\n  connectionPool: {http: {maxRetries: 4}}\n";

/// A mesh, and what was written of it.
struct Case {
    world: Arc<World>,
    generator: Generator,
    objects: Vec<Object>,
    mesh_config: Option<Arc<config::Origin>>,
}

impl Written for Case {
    fn object(&self, kind: Kind, namespace: &str, name: &str) -> Option<(Arc<Meta>, Option<Spec>)> {
        let is = |o: &&Object| o.kind() == kind && *o.meta.namespace == *namespace && *o.meta.name == *name;
        self.objects.iter().find(is).map(|o| (o.meta.clone(), Some(o.spec.clone())))
    }

    fn mesh_config(&self) -> Option<Arc<config::Origin>> {
        self.mesh_config.clone()
    }
}

impl Case {
    fn of(files: &[(&str, &str)], mesh_config: &str) -> Self {
        let mut objects = Vec::new();
        for (file, text) in files {
            let decoded = config::decode::documents(file, text);
            assert!(decoded.problems.is_empty(), "{:?}", decoded.problems);
            objects.extend(decoded.objects);
        }
        let mut batch = Batch::default();
        objects.iter().for_each(|object| batch.put(&"Kubernetes".into(), object.clone()));
        let (settings, problems) = config::mesh::parse_mesh_config("mesh.yaml", mesh_config).unwrap();
        assert!(problems.is_empty(), "{problems:?}");
        let mut mesh = Mesh::new(Settings { mesh: Arc::new(settings), ..Settings::default() });
        let story = mesh.commit(batch);
        assert!(story.panics.is_empty() && story.conflicts.is_empty(), "{story:?}");
        let mesh_config = config::mesh::mesh_config_places("mesh.yaml", mesh_config).map(Arc::new);
        Self { world: mesh.world(), generator: Generator::new(true), objects, mesh_config }
    }

    fn bookinfo() -> Self {
        Self::of(&[("bookinfo.yaml", BOOKINFO)], "")
    }

    fn explain(&self, class: &Arc<Proxy>, of: TypeName) -> Explanation {
        self.generator.explain(&self.world, &self.generator.key(&self.world, class, of))
    }

    /// Where the part of a resource at `path` comes from, a line each.
    fn told(&self, class: &Arc<Proxy>, of: TypeName, resource: &str, path: &str) -> Vec<String> {
        let explained = self.explain(class, of);
        let known = || explained.pieces.keys().map(ToString::to_string).collect::<Vec<_>>();
        let pieces = explained.pieces.get(resource).unwrap_or_else(|| panic!("{resource}: {:?}", known()));
        let found: Vec<_> = pieces.iter().filter(|piece| piece.path == path).collect();
        assert!(!found.is_empty(), "nothing of {path:?}: {pieces:#?}");
        let places = Places::new(self);
        found.into_iter().map(|piece| shown(&places.of(&piece.origin))).collect()
    }
}

fn shown(place: &Place) -> String {
    let at = |at: &Option<Location>| at.as_ref().map_or("nowhere".to_owned(), ToString::to_string);
    match place {
        Place::Object { kind, namespace, name, field, at: place } => {
            format!("{kind} {namespace}/{name} {field} {}", at(place))
        }
        Place::MeshConfig { field, at: Some(place) } => format!("MeshConfig {field} {place}"),
        Place::MeshConfig { field, at: None } => format!("MeshConfig {field} by default"),
        Place::Proxy(field) => format!("proxy {field}"),
        Place::Default(which) => format!("default: {which}"),
    }
}

/// The place of a text in a file, `file:line:column` of its first letter.
fn place(file: &str, text: &str, sought: &str) -> String {
    let (number, line) = text.lines().enumerate().find(|(_, l)| l.contains(sought)).unwrap();
    format!("{file}:{}:{}", number + 1, line.find(sought).unwrap() + 1)
}

fn in_bookinfo(sought: &str) -> String {
    place("bookinfo.yaml", BOOKINFO, sought)
}

fn text(text: &str) -> Value {
    Value { kind: Some(ValueKind::StringValue(text.into())) }
}

fn proxy(id: &str, namespace: &str, label: (&str, &str), stock: bool) -> Arc<Proxy> {
    let labels = Struct { fields: [(label.0.to_owned(), text(label.1))].into() };
    let fields = [
        ("NAMESPACE".to_owned(), text(namespace)),
        ("WORKLOAD_NAME".to_owned(), text(label.1)),
        ("LABELS".to_owned(), Value { kind: Some(ValueKind::StructValue(labels)) }),
    ];
    let extension = Extension { name: "envoy.filters.http.router".into(), ..Extension::default() };
    let mut proxy = Proxy::from_node(&Node {
        id: id.into(),
        metadata: Some(Struct { fields: fields.into() }),
        extensions: if stock { vec![extension] } else { Vec::new() },
        ..Node::default()
    })
    .unwrap();
    proxy.capabilities.virtual_hosts = stock;
    Arc::new(proxy)
}

/// The sidecar of productpage; `stock`: an Envoy without istio/proxy's extensions that takes virtual hosts apart.
fn sidecar(stock: bool) -> Arc<Proxy> {
    let id = "sidecar~10.0.0.1~productpage-1.default~default.svc.cluster.local";
    proxy(id, "default", ("app", "productpage"), stock)
}

fn gateway() -> Arc<Proxy> {
    let id = "router~10.0.0.9~ingress-1.istio-system~istio-system.svc.cluster.local";
    proxy(id, "istio-system", ("istio", "ingress"), false)
}

/// Every type for every proxy: the explained bytes are the served ones, and nothing is without an origin.
fn check(case: &Case) {
    for class in [sidecar(false), sidecar(true), gateway()] {
        for of in TypeName::ALL {
            let explained = case.explain(&class, of);
            let key = case.generator.key(&case.world, &class, of);
            let (served, digest, _) = case.generator.edition(&case.world, &key);
            assert_eq!(explained.digest, digest, "{of:?}");
            let bytes = |edition: &Edition| -> Vec<_> {
                edition.resources().map(|r| (r.name.clone(), r.body.clone())).collect()
            };
            assert_eq!(bytes(&explained.edition), bytes(&served), "{of:?}");
            let places = Places::new(case);
            for resource in served.resources() {
                let pieces = &explained.pieces[&resource.name];
                let whole = pieces.iter().any(|piece| piece.path.is_empty());
                assert!(whole, "{of:?} {:?} of {} has no origin: {pieces:?}", resource.name, class.name);
                for piece in pieces {
                    let place = places.of(&piece.origin);
                    let known = !matches!(&place, Place::Object { at: None, .. });
                    assert!(known, "{of:?} {:?} {:?}: {place:?}", resource.name, piece.path);
                }
            }
        }
    }
}

#[test]
fn explained_bytes_are_the_served_bytes_and_every_resource_has_an_origin() {
    check(&Case::of(&[], ""));
    check(&Case::bookinfo());
    let edges = [("edges.yaml", EDGES)];
    check(&Case::of(&edges, ""));
    check(&Case::of(&edges, "outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}\nproxyHttpPort: 15007\n"));
    check(&Case::of(&edges, "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\nenableAutoMtls: false\n"));
    check(&Case::of(&edges, "inboundTrafficPolicy: {mode: LOCALHOST}\nenableTracing: true\n"));
    check(&Case::of(&[("bookinfo.yaml", BOOKINFO), ("sidecars.yaml", SIDECARS)], MESH_CONFIG));
}

#[test]
fn a_mesh_with_everything_has_resources_of_every_type() {
    let case = Case::bookinfo();
    let count = |class: &Arc<Proxy>, of| case.explain(class, of).edition.resources().count();
    for of in
        [TypeName::Cluster, TypeName::Endpoint, TypeName::Listener, TypeName::Route, TypeName::NameTable]
    {
        assert!(count(&sidecar(false), of) > 0, "{of:?}");
    }
    assert!(count(&sidecar(true), TypeName::VirtualHost) > 0);
    assert_eq!(count(&gateway(), TypeName::Secret), 1);
}

#[test]
fn what_a_virtual_service_says_of_a_route_leads_to_its_line() {
    let case = Case::bookinfo();
    let host = "virtual_hosts[reviews.default.svc.cluster.local:9080]";
    for (path, field, written) in [
        ("routes[0]", "", "- name: jason"),
        ("routes[0].match", ".match[0]", "- headers: {end-user"),
        ("routes[1].match", ".match[1]", "- uri: {prefix: /v2}"),
        ("routes[0].route.timeout", ".timeout", "timeout: 3s"),
        ("routes[0].route.retry_policy", ".retries", "retries: {attempts: 7"),
        ("routes[0].typed_per_filter_config[envoy.filters.http.fault]", ".fault", "fault:"),
        ("routes[0].typed_per_filter_config[envoy.filters.http.cors]", ".corsPolicy", "corsPolicy:"),
        ("routes[0].route.request_mirror_policies", ".mirror", "mirror: {host: ratings}"),
        ("routes[0].route.prefix_rewrite", ".rewrite.uri", "uri: /new"),
        ("routes[0].request_headers_to_add", ".headers.request.set", "set: {x-who"),
        ("routes[0].response_headers_to_remove", ".headers.response.remove", "remove: [x-secret]"),
        ("routes[0].route.cluster", ".route[0].destination", "destination: {host: reviews, subset: v2}"),
    ] {
        let at = in_bookinfo(written);
        // an element stands where its first field does
        let at = if written.starts_with("- ") { after_dash(&at) } else { at };
        let want = format!("VirtualService default/reviews spec.http[0]{field} {at}");
        assert_eq!(case.told(&sidecar(false), TypeName::Route, "9080", &format!("{host}.{path}")), [want]);
    }
    let redirect = case.told(&sidecar(false), TypeName::Route, "9080", &format!("{host}.routes[2].redirect"));
    assert_eq!(
        redirect,
        [format!("VirtualService default/reviews spec.http[1].redirect {}", in_bookinfo("redirect:"))]
    );
}

/// The place two columns on.
fn after_dash(at: &str) -> String {
    let (before, column) = at.rsplit_once(':').unwrap();
    format!("{before}:{}", column.parse::<usize>().unwrap() + 2)
}

#[test]
fn what_a_delegate_says_leads_to_the_delegate_and_what_it_leaves_out_is_a_default() {
    let case = Case::bookinfo();
    let host = "virtual_hosts[reviews.default.svc.cluster.local:9080]";
    let of = |path: &str| case.told(&sidecar(false), TypeName::Route, "9080", &format!("{host}.{path}"));
    assert_eq!(
        of("routes[3].route.timeout"),
        [format!("VirtualService default/rest spec.http[0].timeout {}", in_bookinfo("timeout: 9s"))]
    );
    assert_eq!(
        of("routes[3].route.weighted_clusters.clusters[1].weight"),
        [format!("VirtualService default/rest spec.http[0].route[1].weight {}", in_bookinfo("weight: 10"))]
    );
    assert_eq!(of("routes[4].route.timeout"), ["default: no timeout"]);
    let retries = of("routes[4].route.retry_policy");
    assert!(matches!(&retries[..], [one] if one.contains("default")), "{retries:?}");
}

#[test]
fn a_virtual_host_that_lost_has_no_say() {
    let case = Case::bookinfo();
    let explained = case.explain(&sidecar(false), TypeName::Route);
    let said = format!("{:?}", explained.pieces["9080"]);
    assert!(said.contains("rest") && !said.contains("loser"), "{said}");
}

#[test]
fn nobody_is_asked_where_a_piece_comes_from_unless_an_answer_is_explained() {
    struct Reader;
    impl Level for Reader {
        const ORDER: u16 = u16::MAX;
        const NAME: &'static str = "reader";
    }
    let r = Reads::<Reader>::new();
    note::<_, String>(&r, || panic!("asked"));
    notes(&r, |_| panic!("asked"));
    assert_eq!(within(&r, || panic!("asked"), || 1), 1);
    assert_eq!(resource::<_, _, String>(&r, TypeName::Cluster, || panic!("asked"), || 2), 2);
    assert_eq!(because(&r, || panic!("asked"), || 3), 3);
    let (out, said) = collect(&r, || 4);
    assert_eq!((out, said.0.capacity()), (4, 0));
}

#[test]
fn of_rules_that_were_merged_the_one_that_says_it_is_named() {
    let case = Case::of(&[("edges.yaml", EDGES)], "");
    let late =
        case.told(&sidecar(false), TypeName::Cluster, "outbound|80|late|own.default.svc.cluster.local", "");
    let at = after_dash(&place("edges.yaml", EDGES, "- name: late"));
    assert!(late.contains(&format!("DestinationRule default/hash-too spec.subsets[0] {at}")), "{late:?}");
}

#[test]
fn the_virtual_host_for_unknown_hosts_stays_with_the_route_configuration() {
    let case = Case::bookinfo();
    for stock in [false, true] {
        let unknown = case.told(&sidecar(stock), TypeName::Route, "9080", "virtual_hosts[allow_any]");
        assert_eq!(unknown, ["MeshConfig outboundTrafficPolicy.mode by default"]);
    }
}

#[test]
fn a_virtual_host_that_travels_apart_is_explained_as_its_own_resource() {
    let case = Case::bookinfo();
    let name = "9080/reviews.default.svc.cluster.local:9080";
    let timeout = case.told(&sidecar(true), TypeName::VirtualHost, name, "routes[0].route.timeout");
    assert_eq!(
        timeout,
        [format!("VirtualService default/reviews spec.http[0].timeout {}", in_bookinfo("timeout: 3s"))]
    );
}

#[test]
fn what_a_destination_rule_says_leads_to_its_line_whichever_layer_won() {
    let case = Case::bookinfo();
    let of = |subset: &str, port: u32, path: &str| {
        let name = format!("outbound|{port}|{subset}|reviews.default.svc.cluster.local");
        case.told(&sidecar(false), TypeName::Cluster, &name, path)
    };
    let rule = |field: &str, written: &str| {
        vec![format!("DestinationRule default/reviews spec.{field} {}", in_bookinfo(written))]
    };
    for subset in ["", "v1", "v2"] {
        let outlier = rule("trafficPolicy.outlierDetection", "outlierDetection:");
        assert_eq!(of(subset, 9080, "outlier_detection"), outlier, "{subset}");
    }
    let pool = "trafficPolicy.connectionPool.tcp";
    assert_eq!(
        of("", 9080, "connect_timeout"),
        rule(&format!("{pool}.connectTimeout"), "connectTimeout: 2s")
    );
    let limit = "circuit_breakers.thresholds[0].max_connections";
    assert_eq!(of("v1", 9000, limit), rule(&format!("{pool}.maxConnections"), "maxConnections: 100"));
    let own = "subsets[1].trafficPolicy.portLevelSettings[0].connectionPool.tcp.maxConnections";
    assert_eq!(of("v2", 9000, limit), rule(own, "maxConnections: 5"));
    // a subset's own settings for the port stand alone: what they leave out is the default
    assert_eq!(of("v2", 9000, "connect_timeout"), ["MeshConfig connectTimeout by default"]);
    assert_eq!(
        of("v2", 9080, "lb_policy"),
        rule("subsets[1].trafficPolicy.loadBalancer.simple", "simple: ROUND_ROBIN")
    );
    assert_eq!(
        of("", 9080, "lb_policy"),
        rule("trafficPolicy.loadBalancer.consistentHash", "consistentHash:")
    );
    assert_eq!(of("v2", 9080, "").len(), 2, "service and subset");
}

#[test]
fn defaults_are_named_as_such_and_a_written_mesh_config_is_not_one() {
    let of = |case: &Case, path: &str| {
        let name = "outbound|9080||productpage.default.svc.cluster.local";
        case.told(&sidecar(false), TypeName::Cluster, name, path)
    };
    let case = Case::bookinfo();
    assert_eq!(of(&case, "connect_timeout"), ["MeshConfig connectTimeout by default"]);
    let mtls = of(&case, "transport_socket_matches");
    assert_eq!(
        mtls[0],
        format!("PeerAuthentication default/strict spec.mtls.mode {}", in_bookinfo("mode: STRICT"))
    );
    assert_eq!(mtls[1], "MeshConfig enableAutoMtls by default");
    let http2 = "typed_extension_protocol_options.explicit_http_config.http2_protocol_options";
    let upgraded = Case::of(&[("bookinfo.yaml", BOOKINFO)], "h2UpgradePolicy: UPGRADE\n");
    assert_eq!(of(&upgraded, http2), ["MeshConfig h2UpgradePolicy mesh.yaml:1:1"]);
    assert!(of(&case, "lb_policy")[0].starts_with("default: LEAST_REQUEST"));

    let written = "# a comment\nconnectTimeout: 4s\n";
    let case = Case::of(&[("bookinfo.yaml", BOOKINFO)], written);
    assert_eq!(of(&case, "connect_timeout"), ["MeshConfig connectTimeout mesh.yaml:2:1"]);
}

#[test]
fn endpoints_lead_to_pods_and_to_service_entries() {
    let case = Case::bookinfo();
    let of = |name: &str, path: &str| case.told(&sidecar(false), TypeName::Endpoint, name, path);
    let pod = of("outbound|9080|v1|reviews.default.svc.cluster.local", "endpoints[10.0.0.2:9080]");
    assert!(pod[0].starts_with("Pod default/reviews-1 spec bookinfo.yaml:"), "{pod:?}");
    let fixed = of("outbound|91||fixed.example", "endpoints[10.0.0.8:91]");
    assert_eq!(
        fixed,
        [format!(
            "ServiceEntry default/fixed spec.endpoints[1] {}",
            after_dash(&in_bookinfo("- {address: 10.0.0.8}"))
        )]
    );
    let subset = of("outbound|9080|v1|reviews.default.svc.cluster.local", "");
    assert!(subset.iter().any(|line| line.contains("spec.subsets[0].labels")), "{subset:?}");
}

#[test]
fn inbound_listeners_lead_to_policies() {
    let case = Case::bookinfo();
    let of = |path: &str| case.told(&sidecar(false), TypeName::Listener, "virtualInbound", path);
    let mode = of("filter_chains[0.0.0.0_9080].transport_socket");
    assert_eq!(
        mode,
        [format!("PeerAuthentication default/strict spec.mtls.mode {}", in_bookinfo("mode: STRICT"))]
    );
    let rule = of("rbac.policies[ns[default]-policy[page]-rule[1]]");
    let at = after_dash(&in_bookinfo("- from: [{source"));
    assert_eq!(rule, [format!("AuthorizationPolicy default/page spec.rules[1] {at}")]);
    assert!(of("access_log")[0].starts_with("Telemetry default/logs spec.accessLogging"));
}

#[test]
fn outbound_listeners_lead_to_services_and_routes_of_streams() {
    let case = Case::bookinfo();
    let of = |name: &str, path: &str| case.told(&sidecar(false), TypeName::Listener, name, path);
    assert_eq!(
        of("10.96.0.2_9000", "filter_chains"),
        [format!("VirtualService default/streams spec.tcp[0] {}", after_dash(&place_of_tcp()))]
    );
    // services of one HTTP port share the listener that the first of them made
    assert!(of("0.0.0.0_9080", "").iter().any(|line| line.starts_with("Service default/productpage")));
    let policy = of("virtualOutbound", "filter_chains[virtualOutbound-catchall-tcp]");
    assert_eq!(policy, ["MeshConfig outboundTrafficPolicy.mode by default"]);
}

/// Where the first TCP route is: below the only `tcp:` of two spaces.
fn place_of_tcp() -> String {
    let number = BOOKINFO.lines().position(|line| line == "  tcp:").unwrap();
    format!("bookinfo.yaml:{}:3", number + 2)
}

#[test]
fn a_sidecar_object_is_named_where_it_decides() {
    let case = Case::of(&[("bookinfo.yaml", BOOKINFO), ("sidecars.yaml", SIDECARS)], MESH_CONFIG);
    let at = |sought: &str| place("sidecars.yaml", SIDECARS, sought);
    let of = |of, name: &str, path: &str| case.told(&sidecar(false), of, name, path);
    let mode = of(TypeName::Listener, "virtualOutbound", "filter_chains[virtualOutbound-catchall-tcp]");
    assert_eq!(
        mode,
        [format!("Sidecar default/page spec.outboundTrafficPolicy {}", at("outboundTrafficPolicy"))]
    );
    let egress = of(TypeName::Route, "9080", "");
    assert_eq!(egress, [format!("Sidecar default/page spec.egress[0] {}", place_of_egress())]);
    let inbound = of(TypeName::Cluster, "inbound|9080||", "connect_timeout");
    let field = "spec.ingress[0].connectionPool.tcp.connectTimeout";
    assert_eq!(inbound, [format!("Sidecar default/page {field} {}", at("connectTimeout: 4s"))]);
    let own = of(TypeName::Listener, "10.0.0.1_7000", "");
    assert!(own[0].starts_with("Sidecar default/page spec.ingress[1] sidecars.yaml:"), "{own:?}");
    let retries = "circuit_breakers.thresholds[0].max_retries";
    let of_mesh = of(TypeName::Cluster, "outbound|91||fixed.example", retries);
    let at = place("mesh.yaml", MESH_CONFIG, "maxRetries");
    assert_eq!(of_mesh, [format!("MeshConfig defaultTrafficPolicy.connectionPool.http.maxRetries {at}")]);
}

/// Where the first egress listener is.
fn place_of_egress() -> String {
    let number = SIDECARS.lines().position(|line| line == "  egress:").unwrap();
    format!("sidecars.yaml:{}:5", number + 2)
}

#[test]
fn gateways_lead_to_servers_routes_and_secrets() {
    let case = Case::bookinfo();
    let of = |of, name: &str, path: &str| case.told(&gateway(), of, name, path);
    let routes = "https.443.https.bookinfo.istio-system";
    let timeout = of(TypeName::Route, routes, "virtual_hosts[bookinfo.example:443].routes[0].route.timeout");
    assert_eq!(
        timeout,
        [format!("VirtualService default/bookinfo spec.http[0].timeout {}", in_bookinfo("timeout: 15s"))]
    );
    let redirect = of(TypeName::Route, "http.8080", "virtual_hosts[bookinfo.example:80].require_tls");
    let field = "spec.servers[0].tls.httpsRedirect";
    assert_eq!(redirect, [format!("Gateway istio-system/bookinfo {field} {}", in_bookinfo("httpsRedirect"))]);
    let tls = of(TypeName::Listener, "0.0.0.0_8443", "filter_chains[bookinfo.example].transport_socket");
    assert_eq!(
        tls,
        [format!("Gateway istio-system/bookinfo spec.servers[1].tls {}", in_bookinfo("tls: {mode: SIMPLE"))]
    );
    let secret = of(TypeName::Secret, "kubernetes://bookinfo-cert", "");
    assert!(secret.iter().any(|line| line.starts_with("Secret istio-system/bookinfo-cert")), "{secret:?}");
    assert!(secret.iter().any(|line| line.contains("spec.servers[1].tls")), "{secret:?}");
}

#[test]
fn the_name_table_names_the_service_of_each_name() {
    let case = Case::bookinfo();
    let told =
        case.told(&sidecar(false), TypeName::NameTable, "", "table[reviews.default.svc.cluster.local]");
    assert!(told[0].starts_with("Service default/reviews spec bookinfo.yaml:"), "{told:?}");
}
