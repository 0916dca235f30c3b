//! Virtual services: full names, delegates, visibility.

use std::fmt::Write as _;

use expect_test::expect;

use crate::World;
use crate::fixture::check;

fn routes(world: &World) -> String {
    let mut out = String::new();
    for (_, v) in world.virtual_services.iter() {
        let hosts: Vec<&str> = v.hosts.iter().map(config::Host::as_str).collect();
        let _ = write!(out, "{}/{} {hosts:?} on {:?} to {:?}", v.namespace, v.name, v.gateways, v.export_to);
        let _ = writeln!(
            out,
            "{}",
            if v.delegates.is_empty() { String::new() } else { format!(" with {:?}", v.delegates) }
        );
        for h in &v.http {
            let matches: Vec<String> = h.r#match.iter().map(|m| m.to_value().to_string()).collect();
            let to: Vec<String> =
                h.route.iter().filter_map(|r| Some(r.destination.as_ref()?.host.clone())).collect();
            let mirror = h.mirror.as_ref().map(|m| format!(" mirror {}", m.host)).unwrap_or_default();
            let _ = writeln!(out, "    {} {} -> {to:?}{mirror}", h.name, matches.join(" or "));
        }
        for t in &v.tcp {
            let to: Vec<String> =
                t.route.iter().filter_map(|r| Some(r.destination.as_ref()?.host.clone())).collect();
            let gateways: Vec<_> = t.r#match.iter().flat_map(|m| &m.gateways).collect();
            let _ = writeln!(out, "    tcp {gateways:?} -> {to:?}");
        }
    }
    out
}

#[test]
fn short_names_become_full_ones_everywhere() {
    check(
        r#"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: vs, namespace: shop}
spec:
  hosts: [web, "*.example.com", 10.0.0.1, "*"]
  gateways: [mesh, gw, other/gw, ./own, old.infra.svc.cluster.local]
  exportTo: [".", far]
  http: [{name: r, match: [{gateways: [gw]}], route: [{destination: {host: web}, weight: 1}, {destination: {host: a.b}, weight: 1}], mirror: {host: copy}}]
  tcp: [{match: [{gateways: [gw]}], route: [{destination: {host: db}}]}]
"#,
        routes,
        &expect![[r#"
            shop/vs ["web.shop.svc.cluster.local", "*.example.com", "10.0.0.1", "*"] on ["mesh", "shop/gw", "other/gw", "shop/own", "infra/old"] to {Private, Namespace("far")}
                r {"gateways":["shop/gw"]} -> ["web.shop.svc.cluster.local", "a.b"] mirror copy.shop.svc.cluster.local
                tcp ["shop/gw"] -> ["db.shop.svc.cluster.local"]
        "#]],
    );
}

#[test]
fn a_delegate_matches_within_its_root() {
    check(
        r#"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: root}
spec:
  hosts: [web]
  http:
  - {name: top, match: [{uri: {prefix: /a}, headers: {x: {exact: "1"}}}, {uri: {prefix: /b}}], delegate: {name: leaf, namespace: shop}, timeout: 3s}
  - {match: [{uri: {prefix: /secret}}], delegate: {name: secret, namespace: shop}}
  - {match: [{uri: {prefix: /gone}}], delegate: {name: gone}}
  - {route: [{destination: {host: rest}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: leaf, namespace: shop}
spec:
  http:
  - {name: one, match: [{uri: {prefix: /a/1}, port: 80}], route: [{destination: {host: one}}]}
  - {name: never, match: [{uri: {prefix: /c}}], route: [{destination: {host: never}}]}
  - {name: regex, match: [{uri: {regex: ".*"}}], route: [{destination: {host: never}}]}
  - {route: [{destination: {host: all}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: secret, namespace: shop}
spec: {exportTo: ["."], http: [{route: [{destination: {host: secret}}]}]}
"#,
        routes,
        &expect![[r#"
            default/root ["web.default.svc.cluster.local"] on ["mesh"] to {} with ["shop/leaf"]
                top-one {"headers":{"x":{"exact":"1"}},"port":80,"uri":{"prefix":"/a/1"}} -> ["one.shop.svc.cluster.local"]
                top {"headers":{"x":{"exact":"1"}},"uri":{"prefix":"/a"}} or {"uri":{"prefix":"/b"}} -> ["all.shop.svc.cluster.local"]
                  -> ["rest.default.svc.cluster.local"]
        "#]],
    );
}

#[test]
fn a_route_of_a_delegate_knows_both_places_and_one_that_never_matches_leaves_a_gap() {
    let yaml = r#"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: root, namespace: shop}
spec:
  hosts: [web]
  http:
  - {match: [{uri: {exact: /own}}], route: [{destination: {host: web}}]}
  - {match: [{uri: {prefix: /x}}, {uri: {prefix: /a}}], delegate: {name: leaf}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: leaf, namespace: shop}
spec:
  http:
  - {match: [{uri: {prefix: /other}}], route: [{destination: {host: web}}]}
  - {match: [{method: {exact: GET}}, {uri: {prefix: /a/b}}], route: [{destination: {host: web}}]}
  - {route: [{destination: {host: web}}]}
"#;
    let see = |world: &World| {
        let places = world.virtual_services.iter().flat_map(|(_, v)| &v.places);
        places.map(|place| format!("{place:?}\n")).collect()
    };
    check(
        yaml,
        see,
        &expect![[r#"
            RoutePlace { root: 0, leaf: None, matches: [(Some(0), None)] }
            RoutePlace { root: 1, leaf: Some((0, 1)), matches: [(Some(0), Some(0)), (Some(1), Some(0)), (Some(1), Some(1))] }
            RoutePlace { root: 1, leaf: Some((0, 2)), matches: [(Some(0), None), (Some(1), None)] }
        "#]],
    );
}
