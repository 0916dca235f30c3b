//! Exact objects, and the merge of the user's Sidecar.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::json;

use super::{Member, gateway, sidecar, users_sidecar, workload_entry};
use crate::up::allocate::{Place, PlacedPort};
use crate::up::folder::Folder;

fn place(listener: u16) -> Place {
    let port = PlacedPort {
        name: "http".to_owned(),
        target_name: None,
        target: Some(9080),
        protocol: "HTTP".to_owned(),
        listener,
        app: 18102,
    };
    let (inbound, egress) = (Ipv4Addr::new(127, 64, 0, 2), Ipv4Addr::new(127, 65, 0, 2));
    Place { index: 2, inbound, egress, ports: vec![port] }
}

fn reviews() -> BTreeMap<String, String> {
    [("app", "reviews"), ("version", "v1")].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
}

fn member<'a>(place: &'a Place, labels: &'a BTreeMap<String, String>) -> Member<'a> {
    Member { name: "reviews-v1", namespace: "default", service_account: "bookinfo-reviews", labels, place }
}

#[test]
fn a_process_becomes_a_workload_entry_and_a_sidecar_bound_to_its_own_addresses() {
    let (place, labels) = (place(9080), reviews());
    let entry = workload_entry(&member(&place, &labels));
    let all_labels = json!({
        "app": "reviews", "version": "v1", "meltemi.dev/instance": "reviews-v1", "security.istio.io/tlsMode": "istio",
    });
    assert_eq!(
        entry["spec"],
        json!({"address": "127.64.0.2", "serviceAccount": "bookinfo-reviews", "labels": all_labels})
    );
    assert_eq!(entry["metadata"]["labels"]["meltemi.dev/generated"], "true");
    assert_eq!(
        sidecar(&member(&place, &labels), None)["spec"],
        json!({
            "workloadSelector": {"labels": {"meltemi.dev/instance": "reviews-v1"}},
            "egress": [{"bind": "127.65.0.2", "captureMode": "NONE", "hosts": ["*/*"]}],
            "ingress": [{
                "port": {"number": 9080, "protocol": "HTTP", "name": "http"}, "bind": "127.64.0.2",
                "captureMode": "NONE", "defaultEndpoint": "127.0.0.1:18102",
            }],
        })
    );
}

#[test]
fn a_moved_listener_is_told_to_the_service() {
    let (place, labels) = (place(18000), reviews());
    let member = member(&place, &labels);
    assert_eq!(workload_entry(&member)["spec"]["ports"], json!({"http": 18000}));
    assert_eq!(sidecar(&member, None)["spec"]["ingress"][0]["port"]["number"], 18000);
}

const SIDECARS: &str = "kind: Sidecar\nmetadata: {name: all, namespace: istio-system}\nspec: {egress: [{hosts: [mesh/*]}]}\n\
---\nkind: Sidecar\nmetadata: {name: ns}\nspec: {egress: [{hosts: [./*]}]}\n\
---\nkind: Sidecar\nmetadata: {name: mine}\nspec:\n  workloadSelector: {labels: {app: reviews}}\n  egress:\n  - hosts: [./ratings.default.svc.cluster.local]\n  - port: {number: 80}\n    hosts: ['istio-system/*', ./ratings.default.svc.cluster.local]\n  outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n  inboundConnectionPool: {tcp: {maxConnections: 3}}\n";

#[test]
fn the_users_sidecar_is_merged_and_never_shadowed() {
    let folder = Folder::from_documents(&[("s.yaml", SIDECARS)]);
    let (place, labels) = (place(9080), reviews());
    let users = users_sidecar(&folder, "default", &labels);
    let spec = &sidecar(&member(&place, &labels), users)["spec"];
    assert_eq!(spec["egress"][0]["hosts"], json!(["./ratings.default.svc.cluster.local", "istio-system/*"]));
    assert_eq!(spec["egress"][0]["bind"], "127.65.0.2");
    assert_eq!(spec["outboundTrafficPolicy"]["mode"], "REGISTRY_ONLY");
    assert_eq!(spec["inboundConnectionPool"]["tcp"]["maxConnections"], 3);
    assert_eq!(spec["ingress"][0]["bind"], "127.64.0.2");
    // of several Sidecars that match, the control plane takes the oldest, and what has no time is of 1970
    let generated = sidecar(&member(&place, &labels), users);
    let born = generated["metadata"]["creationTimestamp"].as_str().unwrap();
    assert!(born.parse::<jiff::Timestamp>().unwrap() < jiff::Timestamp::UNIX_EPOCH);
}

#[test]
fn a_selecting_sidecar_comes_before_the_namespaces_and_that_before_the_meshs() {
    let folder = Folder::from_documents(&[("s.yaml", SIDECARS)]);
    let name = |namespace: &str, app: &str| {
        let labels = [("app".to_owned(), app.to_owned())].into();
        users_sidecar(&folder, namespace, &labels).and_then(|s| s["metadata"]["name"].as_str())
    };
    assert_eq!(name("default", "reviews"), Some("mine"));
    assert_eq!(name("default", "details"), Some("ns"));
    assert_eq!(name("shop", "reviews"), Some("all"));
}

#[test]
fn the_gateway_takes_no_mutual_tls_and_serves_port_80_on_its_own_port() {
    let objects = gateway(Ipv4Addr::new(127, 64, 255, 1), 18080, 18443);
    assert_eq!(
        objects[0]["spec"]["ports"][0],
        json!({"name": "http2", "port": 80, "targetPort": 18080, "protocol": "TCP"})
    );
    assert_eq!(objects[1]["spec"]["labels"]["security.istio.io/tlsMode"], "disabled");
}

#[test]
fn a_policy_that_would_loop_is_not_taken_over() {
    let yaml =
        "kind: Sidecar\nmetadata: {name: s}\nspec: {outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}}\n";
    let folder = Folder::from_documents(&[("s.yaml", yaml)]);
    let (place, labels) = (place(9080), reviews());
    let users = users_sidecar(&folder, "default", &labels);
    assert!(users.is_some());
    assert!(sidecar(&member(&place, &labels), users)["spec"].get("outboundTrafficPolicy").is_none());
}
