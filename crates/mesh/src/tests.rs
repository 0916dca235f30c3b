//! What holds for the mesh as a whole: order does not matter, nothing is done twice, what goes is gone.

use std::fmt::Write as _;

use tables::Snapshot as _;

use crate::fixture::{endpoints, mesh, mesh_of, objects, puts, services, settings, settings_of};
use crate::settings::Settings;
use crate::world::{Seen, ServiceAccounts, ServiceEndpoints, Services, ServicesSeen, VirtualServices};
use crate::{Batch, Mesh, ObjectKey, World};

const MIXED: &str = r#"
{apiVersion: v1, kind: Namespace, metadata: {name: istio-system, labels: {topology.istio.io/network: one}}}
---
{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {topology.kubernetes.io/region: eu, topology.kubernetes.io/zone: a}}}
---
apiVersion: v1
kind: Service
metadata: {name: web, creationTimestamp: "2025-01-01T00:00:01Z"}
spec: {clusterIP: 10.0.0.1, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, labels: {app: web}}
spec: {serviceAccountName: web, nodeName: n1}
status: {podIP: 10.1.0.1, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-2, labels: {app: web}}
spec: {serviceAccountName: web, nodeName: n1}
status: {podIP: 10.1.0.2, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-x, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints:
- {addresses: [10.1.0.1], conditions: {ready: true}, targetRef: {kind: Pod, name: web-1, namespace: default}}
- {addresses: [10.1.0.2], conditions: {ready: true}, targetRef: {kind: Pod, name: web-2, namespace: default}}
---
apiVersion: v1
kind: Service
metadata: {name: alias}
spec: {type: ExternalName, externalName: web.default.svc.cluster.local, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: young, creationTimestamp: "2025-01-02T00:00:00Z"}
spec:
  hosts: [ext.example.com]
  resolution: STATIC
  ports: [{number: 443, name: tls, protocol: TLS}]
  endpoints: [{address: 192.0.2.2}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: old, creationTimestamp: "2025-01-01T00:00:00Z"}
spec:
  hosts: [ext.example.com]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 192.0.2.1}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: root}
spec: {hosts: [web], http: [{match: [{uri: {prefix: /a}}], delegate: {name: leaf}}, {route: [{destination: {host: web}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: leaf}
spec: {http: [{route: [{destination: {host: web, subset: v1}}]}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: b, creationTimestamp: "2025-01-02T00:00:00Z"}
spec: {host: web, subsets: [{name: v2, labels: {version: v2}}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, creationTimestamp: "2025-01-01T00:00:00Z"}
spec: {host: web.default.svc.cluster.local, subsets: [{name: v1, labels: {version: v1}}]}
"#;

/// Every row of every table that is made from several objects.
fn whole(world: &World) -> String {
    let mut out = services(world) + &endpoints(world);
    let _ = write!(out, "{:#?}{:#?}", world.namespaces, world.workloads);
    let _ = write!(out, "{:#?}{:#?}{:#?}", world.virtual_services, world.rules, world.accounts);
    out
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

fn place(object: &config::Object) -> ObjectKey {
    ObjectKey {
        cluster: "Kubernetes".into(),
        namespace: object.meta.namespace.clone(),
        name: object.meta.name.clone(),
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey { cluster: "Kubernetes".into(), namespace: "default".into(), name: name.into() }
}

const IMPORTED: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.0.0.1, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-x, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [192.0.2.1]}]
---
{apiVersion: multicluster.x-k8s.io/v1alpha1, kind: ServiceExport, metadata: {name: web}}
---
{apiVersion: multicluster.x-k8s.io/v1alpha1, kind: ServiceImport, metadata: {name: web}, spec: {ips: [241.0.0.1]}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: squatter}
spec: {hosts: [web.default.svc.clusterset.local], resolution: STATIC, ports: [{number: 81, name: http, protocol: HTTP}], endpoints: [{address: 192.0.2.9}]}
"#;

#[test]
fn the_order_of_arrival_does_not_matter() {
    assert_any_order(&settings(), MIXED);
}

#[test]
fn imports_and_exports_may_come_in_any_order() {
    let multicluster = [("ENABLE_MCS_SERVICE_DISCOVERY", "true"), ("ENABLE_MCS_HOST", "true")];
    assert_any_order(&settings_of("", &multicluster), IMPORTED);
}

fn assert_any_order(settings: &Settings, yaml: &str) {
    let at_once = whole(&mesh_of(settings.clone(), &[("Kubernetes", yaml)]).world());
    let mut order: Vec<usize> = (0..objects(yaml).len()).collect();
    let mut dice = Dice(7);
    for round in 0..20 {
        for i in (1..order.len()).rev() {
            order.swap(i, dice.below(i + 1));
        }
        let all = objects(yaml);
        let mut mesh = Mesh::new(settings.clone());
        for at in &order {
            let mut batch = Batch::default();
            batch.put(&"Kubernetes".into(), all[*at].clone());
            let story = mesh.commit(batch);
            assert!(story.panics.is_empty() && story.conflicts.is_empty(), "{order:?}: {story:?}");
        }
        assert_eq!(whole(&mesh.world()), at_once, "round {round}: {order:?}");
    }
}

#[test]
fn any_history_ends_where_its_last_state_would_have_begun() {
    let all = objects(MIXED);
    let mut mesh = Mesh::new(settings());
    let mut there: Vec<bool> = vec![false; all.len()];
    let mut dice = Dice(11);
    for step in 0..400 {
        let at = dice.below(all.len());
        let mut batch = Batch::default();
        there[at] = !there[at];
        if there[at] {
            batch.put(&"Kubernetes".into(), all[at].clone());
        } else {
            batch.removes.push((all[at].kind(), place(&all[at])));
        }
        let story = mesh.commit(batch);
        assert!(story.panics.is_empty() && story.conflicts.is_empty(), "step {step}: {story:?}");
        if step % 20 == 19 {
            let mut batch = Batch::default();
            for (object, _) in all.iter().zip(&there).filter(|(_, there)| **there) {
                batch.put(&"Kubernetes".into(), object.clone());
            }
            let mut fresh = Mesh::new(settings());
            fresh.commit(batch);
            assert_eq!(whole(&mesh.world()), whole(&fresh.world()), "step {step}");
        }
    }
}

#[test]
fn a_batch_that_says_nothing_new_changes_no_row() {
    let mut mesh = mesh(MIXED);
    let before = mesh.world();
    let mut again = puts("Kubernetes", MIXED);
    again.settings = Some(settings());
    let story = mesh.commit(again);
    assert!(story.is_empty(), "{story:?}");
    assert_eq!(story.runs(), 0);
    assert_eq!(mesh.world().revision(), before.revision().next());
}

#[test]
fn an_endpoint_that_flaps_touches_the_endpoints_of_one_service() {
    let mut mesh = mesh(MIXED);
    let flap = r#"
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-x, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints:
- {addresses: [10.1.0.1], conditions: {ready: true}, targetRef: {kind: Pod, name: web-1, namespace: default}}
"#;
    let story = mesh.commit(puts("Kubernetes", flap));
    let changed: Vec<String> = story.changes().map(|c| format!("{c:?}")).collect();
    assert_eq!(
        changed,
        [
            "SliceFacts Kubernetes:default/web-x Changed",
            "ServiceEndpoints default/web.default.svc.cluster.local Changed"
        ]
    );
    let runs: Vec<(&str, usize)> = story.stages.iter().map(|s| (s.stage, s.runs)).collect();
    assert_eq!(runs, [("ServiceEndpoints", 1), ("ServiceAccounts", 1)]);
}

#[test]
fn a_pod_that_changes_its_labels_touches_its_own_service() {
    let mut mesh = mesh(MIXED);
    let pod = r#"
apiVersion: v1
kind: Pod
metadata: {name: web-1, labels: {app: web, version: v1}}
spec: {serviceAccountName: web, nodeName: n1}
status: {podIP: 10.1.0.1, phase: Running, conditions: [{type: Ready, status: "True"}]}
"#;
    let story = mesh.commit(puts("Kubernetes", pod));
    assert_eq!(story.changed::<ServiceEndpoints>().count(), 1);
    assert_eq!(story.changed::<ServiceAccounts>().count(), 0);
    assert_eq!(story.changed::<Services>().count(), 0);
}

#[test]
fn what_is_removed_is_withdrawn() {
    let mut mesh = mesh(MIXED);
    let mut batch = Batch::default();
    for object in objects(MIXED) {
        batch.removes.push((object.kind(), place(&object)));
    }
    mesh.commit(batch);
    assert_eq!(whole(&mesh.world()), whole(&Mesh::new(settings()).world()));
}

#[test]
fn a_removed_delegate_withdraws_its_routes() {
    let mut mesh = mesh(MIXED);
    let routes = |mesh: &Mesh| mesh.world().virtual_services.iter().map(|(_, v)| v.http.len()).sum::<usize>();
    assert_eq!(routes(&mesh), 2);
    let batch = Batch { removes: vec![(config::Kind::VirtualService, key("leaf"))], ..Batch::default() };
    let story = mesh.commit(batch);
    assert_eq!(routes(&mesh), 1);
    assert_eq!(story.changed::<VirtualServices>().count(), 1);
}

#[test]
fn a_namespace_that_is_not_selected_says_nothing() {
    let selectors = "discoverySelectors: [{matchLabels: {mesh: \"yes\"}}]";
    let namespace = |labels: &str| {
        format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: default, labels: {{{labels}}}}}}}")
    };
    let mut mesh = mesh_of(settings_of(selectors, &[]), &[("Kubernetes", MIXED)]);
    assert!(mesh.world().services.is_empty() && mesh.world().workloads.is_empty());
    mesh.commit(puts("Kubernetes", &namespace("mesh: \"yes\"")));
    assert_eq!(mesh.world().services.len(), 3);
    assert_eq!(mesh.world().virtual_services.len(), 1);
    mesh.commit(puts("Kubernetes", &namespace("mesh: \"no\"")));
    assert!(mesh.world().services.is_empty() && mesh.world().rules.is_empty());
}

#[test]
fn a_remote_cluster_brings_services_and_no_configuration() {
    let remote = mesh_of(settings(), &[("remote", MIXED)]);
    let world = remote.world();
    assert_eq!(world.services.len(), 2, "{}", services(&world));
    assert!(world.virtual_services.is_empty() && world.rules.is_empty());
    assert_eq!(world.workloads.len(), 2);
}

#[test]
fn a_namespace_sees_what_is_exported_to_it() {
    struct Below;
    impl tables::Level for Below {
        const ORDER: u16 = 9000;
        const NAME: &'static str = "Below";
    }
    let service = |name: &str, to: &str| {
        format!(
            "---\n{{apiVersion: v1, kind: Service, metadata: {{name: {name}, annotations: \
             {{networking.istio.io/exportTo: '{to}'}}}}, spec: {{clusterIP: 10.0.0.1, ports: [{{port: 80}}]}}}}\n"
        )
    };
    let yaml = service("all", "*,~")
        + &service("own", "default")
        + &service("far", "., far")
        + &service("none", "~,far");
    let world = mesh(&yaml).world();
    let seen = |by: Seen| -> Vec<String> {
        let keys = world.services.keys::<ServicesSeen, Below>(&tables::Reads::new(), &by);
        keys.map(|k| k.hostname.split('.').next().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(seen(Seen::Everywhere), ["all"]);
    assert_eq!(seen(Seen::From("default".into())), ["far", "own"]);
    assert_eq!(seen(Seen::From("far".into())), ["far"]);
}
