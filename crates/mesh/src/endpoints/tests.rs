//! Endpoints: who is behind a service, and how they are known.

use expect_test::expect;

use crate::fixture::{check, endpoints, mesh_of, settings, settings_of};

const PODS: &str = r#"
{apiVersion: v1, kind: Namespace, metadata: {name: istio-system, labels: {topology.istio.io/network: one}}}
---
{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {topology.kubernetes.io/region: eu, topology.kubernetes.io/zone: a, topology.istio.io/subzone: r1}}}
---
apiVersion: v1
kind: Pod
metadata:
  name: web-abc-1
  labels: {app: web, pod-template-hash: abc, security.istio.io/tlsMode: istio}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-abc, controller: true}]
spec: {serviceAccountName: web, nodeName: n1, subdomain: peers, containers: [{name: app, ports: [{name: web, containerPort: 8080}]}]}
status: {podIP: 10.1.0.1, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-2, labels: {app: web, topology.istio.io/network: two, istio-locality: us.b}}
spec: {nodeName: n1}
status: {podIP: 10.1.0.2, phase: Running, conditions: [{type: Ready, status: "False"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: done, labels: {app: web}}
status: {podIP: 10.1.0.3, phase: Failed}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.0.0.1, selector: {app: web}, ports: [{name: http, port: 80, targetPort: web}]}
"#;

#[test]
fn slices_find_their_pods_and_say_how_they_are() {
    let slices = r#"
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-x, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}, {name: unknown, port: 9}]
endpoints:
- {addresses: [10.1.0.1], conditions: {ready: true}, targetRef: {kind: Pod, name: web-abc-1, namespace: default}}
- {addresses: [10.1.0.2], conditions: {ready: false, terminating: false}, targetRef: {kind: Pod, name: web-2, namespace: default}}
- {addresses: [10.1.0.8], targetRef: {kind: Pod, name: gone, namespace: default}}
- {addresses: [192.0.2.1], conditions: {ready: false}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-y, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8081}]
endpoints: [{addresses: [10.1.0.1]}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-z, labels: {kubernetes.io/service-name: web}}
addressType: FQDN
ports: [{name: http, port: 80}]
endpoints: [{addresses: [example.com]}]
---
apiVersion: v1
kind: Endpoints
metadata: {name: web}
subsets: [{addresses: [{ip: 192.0.2.9}], ports: [{name: http, port: 1}]}]
"#;
    check(
        &format!("{PODS}{slices}"),
        endpoints,
        &expect![[r#"
        default/web.default.svc.cluster.local
            http 10.1.0.1:8080 Healthy sa=spiffe://cluster.local/ns/default/sa/web net=one tls=istio workload=web host=web-abc-1 at=eu/a/r1
            http 10.1.0.2:8080 Unhealthy sa=spiffe://cluster.local/ns/default/sa/default net=two tls=disabled workload=web-2 at=us/b/
            http 192.0.2.1:8080 Terminating net=one tls=disabled
    "#]],
    );
}

#[test]
fn an_endpoints_object_serves_where_no_slice_is() {
    let object = r#"
---
apiVersion: v1
kind: Endpoints
metadata: {name: web}
subsets:
- {addresses: [{ip: 10.1.0.1}], notReadyAddresses: [{ip: 10.1.0.2}], ports: [{name: http, port: 8080}]}
- {addresses: [{ip: 192.0.2.9}], ports: [{name: http, port: 1}]}
"#;
    check(
        &format!("{PODS}{object}"),
        endpoints,
        &expect![[r#"
        default/web.default.svc.cluster.local
            http 10.1.0.1:8080 Healthy sa=spiffe://cluster.local/ns/default/sa/web net=one tls=istio workload=web host=web-abc-1 at=eu/a/r1
            http 10.1.0.2:8080 Unhealthy net=one tls=disabled
            http 192.0.2.9:1 Healthy net=one tls=disabled
    "#]],
    );
}

#[test]
fn a_service_with_persistent_sessions_drains() {
    let yaml = r#"
apiVersion: v1
kind: Service
metadata: {name: sticky, labels: {istio.io/persistent-session: cookie}}
spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: sticky-x, labels: {kubernetes.io/service-name: sticky}}
addressType: IPv4
ports: [{name: http, port: 80}]
endpoints:
- {addresses: [192.0.2.1], conditions: {ready: false, serving: true, terminating: true}}
- {addresses: [192.0.2.2], conditions: {ready: false, serving: false, terminating: true}}
"#;
    check(
        yaml,
        endpoints,
        &expect![[r#"
        default/sticky.default.svc.cluster.local
            http 192.0.2.1:80 Draining tls=disabled
            http 192.0.2.2:80 Terminating tls=disabled
    "#]],
    );
}

#[test]
fn both_addresses_of_a_pod_are_one_endpoint_where_dual_stack_is_on() {
    let yaml = r#"
apiVersion: v1
kind: Pod
metadata: {name: web-1}
status: {podIP: 10.1.0.1, podIPs: [{ip: 10.1.0.1}, {ip: "fd00::7"}], phase: Running, conditions: [{type: Ready, status: "True"}]}
---
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1, "fd00::1"], ports: [{name: http, port: 80}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-4, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 80}]
endpoints: [{addresses: [10.1.0.1], targetRef: {kind: Pod, name: web-1, namespace: default}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-6, labels: {kubernetes.io/service-name: web}}
addressType: IPv6
ports: [{name: http, port: 80}]
endpoints: [{addresses: ["fd00::7"], targetRef: {kind: Pod, name: web-1, namespace: default}}]
"#;
    check(
        yaml,
        endpoints,
        &expect![[r#"
        default/web.default.svc.cluster.local
            http 10.1.0.1:80 Healthy sa=spiffe://cluster.local/ns/default/sa/default tls=disabled workload=web-1
            http fd00::7:80 Healthy sa=spiffe://cluster.local/ns/default/sa/default tls=disabled workload=web-1
    "#]],
    );
    let both = mesh_of(settings_of("", &[("ISTIO_DUAL_STACK", "true")]), &[("Kubernetes", yaml)]);
    expect![[r#"
        default/web.default.svc.cluster.local
            http 10.1.0.1+fd00::7:80 Healthy sa=spiffe://cluster.local/ns/default/sa/default tls=disabled workload=web-1
    "#]].assert_eq(&endpoints(&both.world()));
}

#[test]
fn an_entry_has_inline_endpoints_or_is_its_own() {
    check(
        r#"
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: inline}
spec:
  hosts: [inline.example.com]
  resolution: STATIC
  location: MESH_INTERNAL
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}, {number: 81, name: admin, protocol: HTTP}]
  endpoints:
  - {address: 192.0.2.1, ports: {http: 1080}, serviceAccount: vm, locality: eu/a/r1, weight: 3, network: far}
  - {address: "unix:///run/app.sock"}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: dns}
spec: {hosts: [dns.example.com], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS, targetPort: 8443}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: round}
spec:
  hosts: [round.example.com]
  resolution: DNS_ROUND_ROBIN
  ports: [{number: 443, name: tls, protocol: TLS}]
  endpoints: [{address: one.example.com}, {address: two.example.com}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: none}
spec: {hosts: [none.example.com], resolution: NONE, ports: [{number: 443, name: tls, protocol: TLS}]}
"#,
        endpoints,
        &expect![[r#"
            default/dns.example.com
                tls dns.example.com:8443 Healthy tls=disabled workload=dns
            default/inline.example.com
                http 192.0.2.1:1080 Healthy sa=spiffe://cluster.local/ns/default/sa/vm net=far tls=istio workload=inline-0 at=eu/a/r1 weight=3
                http unix:///run/app.sock:0 Healthy tls=disabled workload=inline-1
                admin 192.0.2.1:81 Healthy sa=spiffe://cluster.local/ns/default/sa/vm net=far tls=istio workload=inline-0 at=eu/a/r1 weight=3
                admin unix:///run/app.sock:0 Healthy tls=disabled workload=inline-1
            default/none.example.com
            default/round.example.com
                tls one.example.com:443 Healthy tls=disabled workload=round-0
        "#]],
    );
}

const SELECTED: &str = r#"
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: picks}
spec:
  hosts: [picks.internal]
  resolution: STATIC
  ports: [{number: 80, name: web, protocol: HTTP}]
  workloadSelector: {labels: {app: web}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm, labels: {app: web}, annotations: {istio.io/autoRegistrationGroup: vms}}
spec: {address: 192.0.2.1, serviceAccount: vm, ports: {web: 8888}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: named, labels: {app: web}}
spec: {address: vm.example.com}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: ill, labels: {app: web}, annotations: {proxy.istio.io/health-checks-enabled: "true"}}
spec: {address: 192.0.2.2}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: well, labels: {app: web}, annotations: {proxy.istio.io/health-checks-enabled: "true"}}
spec: {address: 192.0.2.3}
status: {conditions: [{type: Healthy, status: "True"}]}
"#;

#[test]
fn selectors_select_across_pods_and_workload_entries() {
    let yaml = format!("{PODS}{SELECTED}");
    check(
        &yaml,
        endpoints,
        &expect![[r#"
        default/picks.internal
            web 10.1.0.1:8080 Healthy sa=spiffe://cluster.local/ns/default/sa/web net=one tls=istio workload=web host=web-abc-1 at=eu/a/r1
            web 192.0.2.1:8888 Healthy sa=spiffe://cluster.local/ns/default/sa/vm tls=istio workload=vms
            web 192.0.2.3:80 Healthy tls=disabled workload=well
        default/web.default.svc.cluster.local
            http 192.0.2.1:8888 Healthy sa=spiffe://cluster.local/ns/default/sa/vm tls=istio workload=vms
    "#]],
    );
    let off = [
        ("PILOT_ENABLE_SERVICEENTRY_SELECT_PODS", "false"),
        ("PILOT_ENABLE_K8S_SELECT_WORKLOAD_ENTRIES", "false"),
    ];
    let without = mesh_of(settings_of("", &off), &[("Kubernetes", &yaml)]);
    expect![[r#"
        default/picks.internal
            web 192.0.2.1:8888 Healthy sa=spiffe://cluster.local/ns/default/sa/vm tls=istio workload=vms
            web 192.0.2.3:80 Healthy tls=disabled workload=well
        default/web.default.svc.cluster.local
    "#]]
    .assert_eq(&endpoints(&without.world()));
}

#[test]
fn networks_of_meshnetworks_hold_where_no_label_does() {
    let networks = r#"
networks:
  near: {endpoints: [{fromCidr: 192.0.2.0/24}]}
  far: {endpoints: [{fromRegistry: remote}]}
"#;
    let mut settings = settings();
    settings.networks =
        std::sync::Arc::new(config::mesh::parse_mesh_networks("networks.yaml", networks, true).unwrap().0);
    let yaml = r#"
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-x, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 80}]
endpoints: [{addresses: [192.0.2.1, 198.51.100.1]}]
"#;
    let mesh = mesh_of(settings, &[("Kubernetes", yaml), ("remote", yaml)]);
    expect![[r#"
        default/web.default.svc.cluster.local
            http 192.0.2.1:80 Healthy net=near tls=disabled
            http 198.51.100.1:80 Healthy tls=disabled
            http 192.0.2.1:80 Healthy net=far cluster=remote tls=disabled
            http 198.51.100.1:80 Healthy net=far cluster=remote tls=disabled
    "#]]
    .assert_eq(&endpoints(&mesh.world()));
}
