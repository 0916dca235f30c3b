//! Gateways between networks.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use expect_test::expect;

use crate::fixture::{mesh_of, settings};
use crate::{Batch, Mesh};

#[test]
fn gateways_come_from_labels_and_from_meshnetworks() {
    let networks = r#"
networks:
  one: {gateways: [{address: 203.0.113.1, port: 15443}, {address: gw.example.com, port: 443}]}
  two: {endpoints: [{fromRegistry: remote}], gateways: [{registryServiceName: gw.default.svc.cluster.local, port: 443}]}
"#;
    let mut settings = settings();
    settings.networks =
        Arc::new(config::mesh::parse_mesh_networks("networks.yaml", networks, true).unwrap().0);
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
metadata: {name: named, labels: {topology.istio.io/network: four}}
spec: {type: LoadBalancer, clusterIP: 10.0.0.4, ports: [{name: tls, port: 15443}]}
status: {loadBalancer: {ingress: [{hostname: lb.example.com}]}}
---
apiVersion: v1
kind: Service
metadata: {name: deaf, labels: {topology.istio.io/network: three}}
spec: {type: LoadBalancer, clusterIP: 10.0.0.3, ports: [{name: http, port: 80}]}
status: {loadBalancer: {ingress: [{ip: 203.0.113.9}]}}
"#;
    let mut mesh = mesh_of(settings, &[("Kubernetes", service), ("remote", service)]);
    let mut out = String::new();
    let world = mesh.world();
    for (_, row) in world.networks.iter() {
        for g in &row.gateways {
            let _ =
                writeln!(out, "{} {} {}:{} hbone {}", g.network, g.cluster, g.address, g.port, g.hbone_port);
        }
    }
    expect![[r#"
        four Kubernetes lb.example.com:15443 hbone 0
        four remote lb.example.com:15443 hbone 0
        one  203.0.113.1:15443 hbone 0
        one  gw.example.com:443 hbone 0
        three Kubernetes 203.0.113.8:15443 hbone 15008
        three remote 203.0.113.8:15443 hbone 15008
        two remote 203.0.113.7:443 hbone 0
    "#]]
    .assert_eq(&out);

    // one gateway for each address of the host
    let hosts: BTreeSet<&str> =
        world.networks.iter().flat_map(|(_, row)| row.hosts()).map(|h| &**h).collect();
    assert_eq!(hosts, BTreeSet::from(["gw.example.com", "lb.example.com"]));
    let resolved = |mesh: &Mesh| {
        let one = mesh.world().networks.peek(&"one".into()).unwrap().resolved.clone();
        one.into_iter().map(|g| format!("{}:{}", g.address, g.port)).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(resolved(&mesh), "203.0.113.1:15443");
    let told = |addresses: Option<&[&str]>| {
        let addresses = addresses.map(|all| all.iter().map(|address| address.parse().unwrap()).collect());
        Batch { hosts: vec![("gw.example.com".into(), addresses)], ..Batch::default() }
    };
    mesh.commit(told(Some(&["203.0.113.20", "2001:db8::1", "203.0.113.1"])));
    assert_eq!(resolved(&mesh), "2001:db8::1:443 203.0.113.1:443 203.0.113.1:15443 203.0.113.20:443");
    let whole = mesh.world().networks.peek(&"one".into()).unwrap().gateways.clone();
    assert_eq!(whole.len(), 2, "who resolves names has them as they are");
    mesh.commit(told(None));
    assert_eq!(resolved(&mesh), "203.0.113.1:15443");
}
