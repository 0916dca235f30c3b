//! Gateways between networks.

use std::fmt::Write as _;
use std::sync::Arc;

use expect_test::expect;

use crate::fixture::{mesh_of, settings};

#[test]
fn gateways_come_from_labels_and_from_meshnetworks() {
    let networks = r#"
networks:
  one: {gateways: [{address: 203.0.113.1, port: 15443}, {address: gw.example.com, port: 443}]}
  two: {endpoints: [{fromRegistry: remote}], gateways: [{registryServiceName: gw.default.svc.cluster.local, port: 443}]}
"#;
    let mut settings = settings();
    settings.networks = Arc::new(config::mesh::parse_mesh_networks("networks.yaml", networks).unwrap().0);
    let service = r#"
apiVersion: v1
kind: Service
metadata: {name: gw}
spec: {type: LoadBalancer, clusterIP: 10.0.0.1, ports: [{name: tls, port: 443}]}
status: {loadBalancer: {ingress: [{ip: 203.0.113.7}]}}
---
apiVersion: v1
kind: Service
metadata: {name: east, labels: {topology.istio.io/network: three}}
spec: {type: LoadBalancer, clusterIP: 10.0.0.2, ports: [{name: tls, port: 15443}, {name: hbone, port: 15008}]}
status: {loadBalancer: {ingress: [{ip: 203.0.113.8}]}}
---
apiVersion: v1
kind: Service
metadata: {name: deaf, labels: {topology.istio.io/network: three}}
spec: {type: LoadBalancer, clusterIP: 10.0.0.3, ports: [{name: http, port: 80}]}
status: {loadBalancer: {ingress: [{ip: 203.0.113.9}]}}
"#;
    let mesh = mesh_of(settings, &[("Kubernetes", service), ("remote", service)]);
    let mut out = String::new();
    for (_, row) in mesh.world().networks.iter() {
        for g in &row.gateways {
            let _ =
                writeln!(out, "{} {} {}:{} hbone {}", g.network, g.cluster, g.address, g.port, g.hbone_port);
        }
    }
    expect![[r#"
        one  203.0.113.1:15443 hbone 0
        one  gw.example.com:443 hbone 0
        three Kubernetes 203.0.113.8:15443 hbone 15008
        three remote 203.0.113.8:15443 hbone 15008
        two remote 203.0.113.7:443 hbone 0
    "#]]
    .assert_eq(&out);
}
