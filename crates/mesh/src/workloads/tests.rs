//! Which services a proxy serves.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use expect_test::{Expect, expect};
use tables::{Level, Reads};

use super::labels::Labels;
use super::{Proxy, service_targets};
use crate::fixture::mesh;

struct Below;
impl Level for Below {
    const ORDER: u16 = 9000;
    const NAME: &'static str = "Below";
}

const MESH: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: web-1, labels: {app: web, tier: front}}
spec: {serviceAccountName: web, containers: [{name: app, ports: [{name: web, containerPort: 8080}]}]}
status: {podIP: 10.1.0.1, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Service
metadata: {name: late, creationTimestamp: "2025-01-02T00:00:00Z"}
spec: {clusterIP: 10.0.0.2, selector: {tier: front, app: web}, ports: [{name: http, port: 80, targetPort: web}]}
---
apiVersion: v1
kind: Service
metadata: {name: early, creationTimestamp: "2025-01-01T00:00:00Z"}
spec:
  clusterIP: 10.0.0.1
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: web}, {name: http-again, port: 81, targetPort: 8080}, {name: tcp, port: 82, targetPort: 8080}, {name: gone, port: 83, targetPort: nobody}]
---
{apiVersion: v1, kind: Service, metadata: {name: other}, spec: {clusterIP: 10.0.0.3, selector: {app: web, tier: back}, ports: [{name: http, port: 80}]}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: picks}
spec:
  hosts: [picks.internal]
  resolution: STATIC
  ports: [{number: 90, name: http, protocol: HTTP, targetPort: 9090}]
  workloadSelector: {labels: {app: web}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: inline}
spec:
  hosts: [inline.internal]
  resolution: STATIC
  ports: [{number: 91, name: http, protocol: HTTP}]
  endpoints: [{address: 10.1.0.1}, {address: 10.1.0.2}]
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm, labels: {app: web}}
spec: {address: 192.0.2.1, ports: {web: 7070}}
---
apiVersion: v1
kind: Pod
metadata: {name: lone}
status: {podIP: 10.1.0.9, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
{apiVersion: v1, kind: Service, metadata: {name: manual}, spec: {clusterIP: None, ports: [{name: tcp, port: 5000}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: manual-x, labels: {kubernetes.io/service-name: manual}}
addressType: IPv4
ports: [{name: tcp, port: 5001}]
endpoints: [{addresses: [10.1.0.9]}]
"#;

fn check(name: &str, ip: &str, labels: &[(&str, &str)], expect: &Expect) {
    let ips: [Arc<str>; 1] = [ip.into()];
    let labels: Labels = labels.iter().map(|(k, v)| (Arc::from(*k), Arc::from(*v))).collect();
    let ports = BTreeMap::from([(Arc::from("web"), 8181)]);
    let proxy =
        Proxy { cluster: "", namespace: "default", name, ips: &ips, labels: &labels, pod_ports: &ports };
    let mut out = String::new();
    for t in service_targets(&Reads::<Below>::new(), &mesh(MESH).world(), &proxy) {
        let _ = writeln!(out, "{:?} {}:{} -> {}", t.service, t.port.name, t.port.number, t.target_port);
    }
    expect.assert_eq(&out);
}

#[test]
fn a_pod_serves_what_selects_it_and_entries_that_name_its_address() {
    check(
        "web-1",
        "10.1.0.1",
        &[],
        &expect![[r#"
        default/inline.internal http:91 -> 91
        default/picks.internal http:90 -> 9090
        default/early.default.svc.cluster.local http:80 -> 8080
        default/early.default.svc.cluster.local tcp:82 -> 8080
        default/late.default.svc.cluster.local http:80 -> 8080
    "#]],
    );
}

#[test]
fn a_workload_entry_serves_what_selects_it() {
    check(
        "vm",
        "192.0.2.1",
        &[],
        &expect![[r#"
        default/picks.internal http:90 -> 9090
        default/early.default.svc.cluster.local http:80 -> 7070
        default/early.default.svc.cluster.local http-again:81 -> 8080
        default/early.default.svc.cluster.local tcp:82 -> 8080
    "#]],
    );
}

#[test]
fn a_pod_that_nobody_knows_yet_serves_what_its_metadata_says() {
    check(
        "web-7",
        "10.1.0.7",
        &[("app", "web")],
        &expect![[r#"
        default/early.default.svc.cluster.local http:80 -> 8181
        default/early.default.svc.cluster.local http-again:81 -> 8080
        default/early.default.svc.cluster.local tcp:82 -> 8080
    "#]],
    );
}

#[test]
fn a_pod_that_nothing_selects_serves_what_names_its_address() {
    check(
        "lone",
        "10.1.0.9",
        &[],
        &expect![[r#"
        default/manual.default.svc.cluster.local tcp:5000 -> 5001
    "#]],
    );
}
