//! What is counted of a mesh.

use mesh::Mesh;
use xds::{Catalog as _, Peer, TypeUrl};

use super::*;
use crate::catalog::Member;
use crate::catalog::tests::{batch, catalog, node, settings};

const MESH: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: served, namespace: default}
spec:
  hosts: [served.example]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 10.0.0.1}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: selects, namespace: default}
spec:
  hosts: [selects.example]
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 81, name: more, protocol: HTTP}]
  resolution: STATIC
  workloadSelector: {labels: {app: nobody}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: names, namespace: default}
spec:
  hosts: [names.example]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
  workloadSelector: {labels: {app: nobody}}
";

/// A catalog over a mesh of these objects.
fn catalog_of(text: &str) -> (Mesh, Arc<MeshCatalog>) {
    let mut mesh = Mesh::new(settings());
    let (catalog, _) = catalog(&mesh);
    let story = mesh.commit(batch(text));
    catalog.publish(&story, mesh.world());
    (mesh, catalog)
}

/// The gauges that are not 0, as they are scraped.
fn gauges(catalog: &Arc<MeshCatalog>) -> Value {
    let metrics = Metrics::new();
    metrics.register_collector(PushStatus::of(catalog));
    let text = metrics.render();
    let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '));
    let all: BTreeMap<String, i64> =
        samples.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect();
    assert_eq!(all.len(), GAUGES.len(), "{text}");
    json!(all.into_iter().filter(|(_, value)| *value != 0).collect::<BTreeMap<_, _>>())
}

/// Admits a proxy and has it given everything.
async fn connect(catalog: &MeshCatalog, name: &str, ip: &str) -> Arc<Member> {
    let member = catalog.admit(&node(name, ip), &Peer::default()).await.unwrap();
    for of in [TypeUrl::Cluster, TypeUrl::Endpoint, TypeUrl::Listener, TypeUrl::Route] {
        catalog.edition(&member, &of).unwrap();
    }
    member
}

#[test]
fn the_present_world_is_counted() {
    let mut mesh = Mesh::new(settings());
    let (catalog, _) = catalog(&mesh);
    let status = PushStatus::of(&catalog);
    assert!(status.counts().unwrap().values().all(|n| *n == 0));
    let story = mesh.commit(batch(MESH));
    catalog.publish(&story, mesh.world());
    let counted = status.counts().unwrap();
    assert_eq!((counted[WITHOUT_ENDPOINTS], counted[WITHOUT_NAMES]), (2, 1));
    drop(catalog);
    assert_eq!(status.counts(), None);
}

#[test]
fn the_page_names_what_is_counted() {
    let (_mesh, catalog) = catalog_of(MESH);
    let expected = json!({
        "pilot_eds_no_instances": { "outbound|80||selects.example": {}, "outbound|81||selects.example": {} },
        "pilot_dns_cluster_without_endpoints": { "outbound|80||names.example": {} },
    });
    assert_eq!(page(&catalog), expected);
}

#[test]
fn a_subset_without_endpoints_is_a_cluster_without_endpoints() {
    let subsets = "
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: exact, namespace: default}
spec: {host: served.example, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: wild, namespace: elsewhere}
spec: {host: '*.example', subsets: [{name: v3, labels: {version: v3}}]}
";
    let served = MESH.split("---").next().unwrap().replace("10.0.0.1}", "10.0.0.1, labels: {version: v1}}");
    let (_mesh, catalog) = catalog_of(&(served + subsets));
    let expected = json!({
        "pilot_eds_no_instances": { "outbound|80|v2|served.example": {}, "outbound|80|v3|served.example": {} },
    });
    assert_eq!(page(&catalog), expected);
    assert_eq!(gauges(&catalog), json!({ "pilot_eds_no_instances": 2 }));
}

#[test]
fn a_subset_that_two_rules_declare_is_told() {
    let rule = |name: &str, subsets: &str| {
        format!(
            "---\n{{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {{name: {name}, namespace: \
             default}}, spec: {{host: served.example, subsets: [{subsets}]}}}}\n"
        )
    };
    let mut two = rule("a", "{name: v1}, {name: v2}") + &rule("b", "{name: v3}");
    let (mut mesh, catalog) = catalog_of(&two);
    assert_eq!(gauges(&catalog), json!({}));
    two += &rule("c", "{name: v2}, {name: v4}");
    let story = mesh.commit(batch(&two));
    catalog.publish(&story, mesh.world());
    assert_eq!(gauges(&catalog), json!({ "pilot_destrule_subsets": 1 }));
    let message = "several destination rules for served.example have a subset v2: the first one stands";
    assert_eq!(
        page(&catalog),
        json!({ "pilot_destrule_subsets": { "served.example": { "message": message } } })
    );
}

const PODLESS: &str = "
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: default}, spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-x, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints:
- {addresses: [10.1.0.1], targetRef: {kind: Pod, name: web-1, namespace: default}}
- {addresses: [10.1.0.2], targetRef: {kind: Pod, name: web-2, namespace: default}}
- {addresses: [192.0.2.1]}
";

#[test]
fn endpoints_are_counted_until_their_pods_are_known() {
    let (mut mesh, catalog) = catalog_of(PODLESS);
    assert_eq!(gauges(&catalog), json!({ "endpoint_no_pod": 1, "pilot_k8s_endpoints_pending_pod": 2 }));
    let expected =
        json!({ "endpoint_no_pod": { "web.default.svc.cluster.local": { "message": "10.1.0.2" } } });
    assert_eq!(page(&catalog), expected);
    for name in ["1", "2"] {
        let pod = format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: web-{name}, namespace: default}}, status: {{podIP: \
             10.1.0.{name}, phase: Running}}}}"
        );
        let story = mesh.commit(batch(&pod));
        catalog.publish(&story, mesh.world());
    }
    assert_eq!(gauges(&catalog), json!({}));
}

#[tokio::test]
async fn a_service_without_a_place_at_a_listener_is_told_as_long_as_a_proxy_is_concerned() {
    let entry = |name: &str, protocol: &str| {
        format!(
            "---\n{{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {{name: {name}, namespace: \
             default}}, spec: {{hosts: [{name}.example], resolution: STATIC, endpoints: [{{address: 10.0.0.1}}], \
             ports: [{{number: 9000, name: p, protocol: {protocol}}}]}}}}\n"
        )
    };
    let (mut mesh, catalog) = catalog_of(&(entry("a", "TCP") + &entry("b", "HTTP")));
    let member = connect(&catalog, "web", "10.0.0.9").await;
    assert_eq!(gauges(&catalog), json!({}), "what is HTTP can be told from what is not");
    let story = mesh.commit(batch(&(entry("c", "TCP") + &entry("d", "TCP"))));
    catalog.publish(&story, mesh.world());
    catalog.edition(&member, &TypeUrl::Listener).unwrap();
    let gauge = "pilot_conflict_outbound_listener_tcp_over_current_tcp";
    assert_eq!(gauges(&catalog), json!({ gauge: 1 }), "one listener");
    let message = "d.example (TCP) has no place at the listener 0.0.0.0_9000: another service (TCP) has it";
    let entry = json!({ "proxy": "web.default", "message": message });
    assert_eq!(page(&catalog), json!({ gauge: { "0.0.0.0_9000": entry } }));
    drop(member);
    assert_eq!(gauges(&catalog), json!({}), "nobody is concerned");
}

#[tokio::test]
async fn services_that_want_different_protocols_on_one_port_are_told_by_proxy() {
    let service = |name: &str, port: &str| {
        format!(
            "---\n{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: default}}, spec: {{clusterIP: \
             None, selector: {{app: web}}, ports: [{{name: {port}, port: 80, targetPort: 8080}}]}}}}\n"
        )
    };
    let pod = |name: &str, ip: &str| {
        format!(
            "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: default, labels: {{app: web}}}}, \
             status: {{podIP: {ip}, phase: Running}}}}\n"
        )
    };
    let pods = pod("web", "10.1.0.1") + &pod("other", "10.1.0.2");
    let (mut mesh, catalog) = catalog_of(&(pods + &service("a", "http") + &service("b", "http-too")));
    let members = [connect(&catalog, "web", "10.1.0.1").await, connect(&catalog, "other", "10.1.0.2").await];
    assert_eq!(gauges(&catalog)["pilot_conflict_inbound_listener"], json!(null), "they are at one");
    let story = mesh.commit(batch(&service("c", "tcp")));
    catalog.publish(&story, mesh.world());
    for member in &members {
        catalog.edition(member, &TypeUrl::Listener).unwrap();
    }
    assert_eq!(gauges(&catalog)["pilot_conflict_inbound_listener"], 2);
    let host = |name: &str| format!("{name}.default.svc.cluster.local");
    let (a, c) = (host("a"), host("c"));
    let message = format!("{a} and {c} want different protocols on port 8080: it has that of {a}");
    let of = |proxy: &str| json!({ "proxy": proxy, "message": message });
    let expected = json!({ "web.default": of("web.default"), "other.default": of("other.default") });
    assert_eq!(page(&catalog)["pilot_conflict_inbound_listener"], expected);
}

#[tokio::test]
async fn domains_that_are_taken_are_told() {
    let routes = |name: &str, host: &str| {
        format!(
            "---\n{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: {name}, namespace: \
             default}}, spec: {{hosts: [{host}], http: [{{route: [{{destination: {{host: served.example}}}}]}}]}}}}\n"
        )
    };
    let served = MESH.split("---").next().unwrap();
    let (mut mesh, catalog) =
        catalog_of(&(served.to_owned() + &routes("a", "same.example") + &routes("b", "other.example")));
    let member = connect(&catalog, "web", "10.0.0.9").await;
    assert_eq!(gauges(&catalog), json!({}));
    let story = mesh.commit(batch(&routes("b", "same.example")));
    catalog.publish(&story, mesh.world());
    catalog.edition(&member, &TypeUrl::Route).unwrap();
    assert_eq!(gauges(&catalog), json!({ "pilot_vservice_dup_domain": 1 }));
    let message = "a virtual service repeats domains of others in same.example:80";
    let entry = json!({ "proxy": "web.default", "message": message });
    assert_eq!(page(&catalog), json!({ "pilot_vservice_dup_domain": { "same.example:80": entry } }));
}

#[tokio::test]
async fn a_proxy_whose_address_is_not_ready_is_told_until_it_is() {
    let slice = |ready: bool| {
        let condition = format!("addresses: [10.1.0.1], conditions: {{ready: {ready}, terminating: false}}");
        PODLESS
            .replace("addresses: [192.0.2.1]", &condition)
            .lines()
            .filter(|l| !l.contains("targetRef"))
            .fold(String::new(), |text, line| text + line + "\n")
    };
    let pod = "---\n{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: default}, status: {podIP: 10.1.0.1, \
               phase: Running}}\n";
    let (mut mesh, catalog) = catalog_of(&(slice(false) + pod));
    assert_eq!(page(&catalog)["pilot_endpoint_not_ready"], json!(null), "there is no such proxy");
    let member = connect(&catalog, "web", "10.1.0.1").await;
    assert_eq!(gauges(&catalog)["pilot_endpoint_not_ready"], 1);
    let expected = json!({ "web.default": { "proxy": "web.default" } });
    assert_eq!(page(&catalog)["pilot_endpoint_not_ready"], expected);
    let before = catalog.edition(&member, &TypeUrl::Listener).unwrap();
    let story = mesh.commit(batch(&slice(true)));
    catalog.publish(&story, mesh.world());
    let after = catalog.edition(&member, &TypeUrl::Listener).unwrap();
    assert_eq!(gauges(&catalog), json!({}));
    let told = after.since(&before);
    assert!(told.changed.is_empty() && told.removed.is_empty(), "it is told nothing");
}
