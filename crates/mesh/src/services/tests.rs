//! Services: what each kind of declaration says, and who wins.

use expect_test::expect;

use crate::fixture::{check, mesh_of, services, settings, settings_of};

#[test]
fn a_kubernetes_service_is_what_its_spec_and_annotations_say() {
    check(
        r#"
{apiVersion: v1, kind: Namespace, metadata: {name: default, annotations: {networking.istio.io/traffic-distribution: PreferClose}}}
---
apiVersion: v1
kind: Service
metadata:
  name: web
  annotations:
    networking.istio.io/exportTo: "., other"
    alpha.istio.io/canonical-serviceaccounts: spiffe://x/ns/a/sa/b
    alpha.istio.io/kubernetes-serviceaccounts: web
spec:
  type: LoadBalancer
  clusterIP: 10.0.0.1
  clusterIPs: [10.0.0.1, "fd00::1"]
  internalTrafficPolicy: Local
  externalIPs: [203.0.113.9]
  ports:
  - {name: http-web, port: 80, targetPort: web}
  - {name: any, port: 81, appProtocol: grpc}
  - {name: mail, port: 25}
  - {name: dns, port: 53, protocol: UDP}
status: {loadBalancer: {ingress: [{ip: 203.0.113.1}, {hostname: lb.example.com}]}}
---
apiVersion: v1
kind: Service
metadata: {name: headless, annotations: {networking.istio.io/traffic-distribution: any}}
spec: {clusterIP: None, ports: [{port: 9000}]}
"#,
        services,
        &expect![[r#"
            default/headless.default.svc.cluster.local Kubernetes Passthrough 0.0.0.0 :9000/UnsupportedProtocol->9000
            default/web.default.svc.cluster.local Kubernetes ClientSideLb 10.0.0.1 http-web:80/HTTP->web any:81/GRPC->81 mail:25/TCP->25 dns:53/UDP->53
                vips {"Kubernetes": ["10.0.0.1", "fd00::1"]}
                export to {Private, Namespace("other")}
                accounts ["spiffe://cluster.local/ns/default/sa/web", "spiffe://x/ns/a/sa/b"]
                external {"Kubernetes": ["203.0.113.1", "lb.example.com", "203.0.113.9"]}
                distribution PreferSameZone
                node local true
        "#]],
    );
}

#[test]
fn an_external_name_stands_for_a_service_even_at_second_hand() {
    check(
        r#"
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: one}, spec: {type: ExternalName, externalName: web.default.svc.cluster.local}}
---
{apiVersion: v1, kind: Service, metadata: {name: two}, spec: {type: ExternalName, externalName: one.default.svc.cluster.local}}
---
{apiVersion: v1, kind: Service, metadata: {name: ring}, spec: {type: ExternalName, externalName: gnir.default.svc.cluster.local}}
---
{apiVersion: v1, kind: Service, metadata: {name: gnir}, spec: {type: ExternalName, externalName: ring.default.svc.cluster.local}}
"#,
        services,
        &expect![[r#"
            default/gnir.default.svc.cluster.local Kubernetes Alias 0.0.0.0
            default/one.default.svc.cluster.local Kubernetes Alias 0.0.0.0
            default/ring.default.svc.cluster.local Kubernetes Alias 0.0.0.0
            default/two.default.svc.cluster.local Kubernetes Alias 0.0.0.0
            default/web.default.svc.cluster.local Kubernetes ClientSideLb 10.0.0.1 http:80/HTTP->80
                vips {"Kubernetes": ["10.0.0.1"]}
                aliases [default/one.default.svc.cluster.local, default/two.default.svc.cluster.local]
        "#]],
    );
}

#[test]
fn a_service_entry_has_addresses_of_its_own_or_allocated_ones() {
    check(
        r#"
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: own}
spec:
  hosts: [own.example.com]
  addresses: [192.0.2.1, 198.51.100.0/24, 192.0.2.7/32, nonsense]
  resolution: NONE
  exportTo: ["~"]
  subjectAltNames: [b, a]
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: allocated}
spec:
  hosts: [two.example.com, one.example.com]
  resolution: DNS
  ports: [{number: 443, name: tls, protocol: TLS}]
status: {addresses: [{host: one.example.com, value: 240.240.0.1}, {host: one.example.com, value: "2001:2::1"}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: refused, labels: {networking.istio.io/enable-autoallocate-ip: "false"}}
spec: {hosts: [three.example.com], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}
status: {addresses: [{host: three.example.com, value: 240.240.0.3}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: unreadable}
spec: {hosts: [four.example.com], addresses: [nonsense], ports: [{number: 443, name: tls, protocol: TLS}]}
"#,
        services,
        &expect![[r#"
            default/one.example.com External DnsLb 0.0.0.0 tls:443/TLS->443
                allocated Some("240.240.0.1")
                allocated v6 Some("2001:2::1")
            default/own.example.com External Passthrough 192.0.2.1 http:80/HTTP->8080
                addresses ["192.0.2.1", "198.51.100.0/24", "192.0.2.7"]
                export to {None}
                accounts ["a", "b"]
            default/three.example.com External DnsLb 0.0.0.0 tls:443/TLS->443
            default/two.example.com External DnsLb 0.0.0.0 tls:443/TLS->443
        "#]],
    );
}

#[test]
fn the_oldest_entry_counts_and_a_kubernetes_service_goes_before_all() {
    check(
        r#"
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: second, creationTimestamp: "2025-01-02T00:00:00Z"}
spec: {hosts: [ext.example.com], resolution: STATIC, ports: [{number: 81, name: more, protocol: HTTP}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: first, creationTimestamp: "2025-01-01T00:00:00Z"}
spec: {hosts: [ext.example.com], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: third, creationTimestamp: "2025-01-03T00:00:00Z"}
spec: {hosts: [ext.example.com], resolution: DNS, ports: [{number: 82, name: dns, protocol: HTTP}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: squatter, creationTimestamp: "2024-01-01T00:00:00Z"}
spec: {hosts: [web.default.svc.cluster.local], resolution: STATIC, ports: [{number: 1, name: http, protocol: HTTP}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, creationTimestamp: "2025-01-01T00:00:00Z"}
spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}]}
"#,
        services,
        &expect![[r#"
            default/ext.example.com External ClientSideLb 0.0.0.0 http:80/HTTP->80 more:81/HTTP->81
                others [["ServiceEntry default/second"], ["ServiceEntry default/third"]]
            default/web.default.svc.cluster.local Kubernetes ClientSideLb 10.0.0.1 http:80/HTTP->80
                vips {"Kubernetes": ["10.0.0.1"]}
                others [["ServiceEntry default/squatter"]]
        "#]],
    );
}

#[test]
fn services_of_several_clusters_are_one_with_an_address_in_each() {
    let of = |ip: &str, port: u32, account: &str| {
        format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: web, annotations: \
             {{alpha.istio.io/kubernetes-serviceaccounts: {account}}}}}, \
             spec: {{clusterIP: {ip}, ports: [{{name: http, port: {port}}}]}}}}"
        )
    };
    let (a, b) = (of("10.9.0.1", 81, "b"), of("10.0.0.1", 80, "a"));
    let mesh = mesh_of(settings(), &[("a-remote", &a), ("Kubernetes", &b)]);
    expect![[r#"
        default/web.default.svc.cluster.local Kubernetes ClientSideLb 10.0.0.1 http:80/HTTP->80
            vips {"Kubernetes": ["10.0.0.1"], "a-remote": ["10.9.0.1"]}
            accounts ["spiffe://cluster.local/ns/default/sa/a", "spiffe://cluster.local/ns/default/sa/b"]
    "#]]
    .assert_eq(&services(&mesh.world()));
}

#[test]
fn visibility_comes_from_the_mesh_and_may_be_capped_for_entries() {
    let yaml = r#"
{apiVersion: v1, kind: Namespace, metadata: {name: default, labels: {team: a}}}
---
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}]}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: open}
spec: {hosts: [open.example.com], exportTo: ["*"], ports: [{number: 80, name: http, protocol: HTTP}]}
"#;
    let mesh = mesh_of(
        settings_of(
            "
defaultServiceExportTo: ['.']
serviceEntryVisibility:
  applyToSidecars: true
  policies: [{visibility: NAMESPACE, matchingRules: [{namespaceSelector: {matchLabels: {team: a}}}]}]
",
            &[],
        ),
        &[("Kubernetes", yaml)],
    );
    expect![[r#"
        default/open.example.com External Passthrough 0.0.0.0 http:80/HTTP->80
            export to {Private}
        default/web.default.svc.cluster.local Kubernetes ClientSideLb 10.0.0.1 http:80/HTTP->80
            vips {"Kubernetes": ["10.0.0.1"]}
            export to {Private}
    "#]]
    .assert_eq(&services(&mesh.world()));
}

#[test]
fn a_node_port_gateway_is_reached_at_the_nodes_its_annotation_selects() {
    check(
        r#"
{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {edge: "yes"}}, status: {addresses: [{type: InternalIP, address: 10.2.0.1}, {type: ExternalIP, address: 203.0.113.1}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: n2}, status: {addresses: [{type: ExternalIP, address: 203.0.113.2}]}}
---
apiVersion: v1
kind: Service
metadata: {name: gw, annotations: {traffic.istio.io/nodeSelector: '{"edge": "yes"}'}}
spec: {type: NodePort, clusterIP: 10.0.0.1, ports: [{name: tls, port: 15443, nodePort: 31443}]}
"#,
        services,
        &expect![[r#"
            default/gw.default.svc.cluster.local Kubernetes ClientSideLb 10.0.0.1 tls:15443/TLS->15443
                vips {"Kubernetes": ["10.0.0.1"]}
                external {"Kubernetes": ["203.0.113.1"]}
                node ports {"Kubernetes": {15443: 31443}}
        "#]],
    );
}
