//! Policies: what comes through, and Wasm plugins as extensions.

use std::fmt::Write as _;

use expect_test::expect;

use crate::World;
use crate::fixture::{check, mesh, puts};

fn extensions(world: &World) -> String {
    let mut out = String::new();
    for (_, e) in world.extensions.iter() {
        let _ = writeln!(
            out,
            "{}/{} version {:?} {}",
            e.namespace,
            e.name,
            e.resource_version,
            e.spec.to_value()
        );
    }
    out
}

const PLUGIN: &str = r#"
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: plug, resourceVersion: "7"}
spec: {url: "oci://example.com/plug:1", phase: AUTHN, imagePullSecret: pull, targetRef: {kind: Gateway, group: gateway.networking.k8s.io, name: gw}, match: [{mode: SERVER, ports: [{number: 80}]}]}
"#;

#[test]
fn a_wasm_plugin_is_a_traffic_extension() {
    check(
        PLUGIN,
        extensions,
        &expect![[r#"
        default/plug~istio-translated-wasmplugin version "7" {"match":[{"mode":"SERVER","ports":[{"number":80}]}],"phase":"AUTHN","targetRefs":[{"group":"gateway.networking.k8s.io","kind":"Gateway","name":"gw"}],"wasm":{"imagePullSecret":"kubernetes://default/pull","url":"oci://example.com/plug:1"}}
    "#]],
    );
}

#[test]
fn a_wasm_plugin_goes_as_it_came() {
    let mut mesh = mesh(PLUGIN);
    let mut batch = puts("Kubernetes", "");
    let key =
        crate::ObjectKey { cluster: "Kubernetes".into(), namespace: "default".into(), name: "plug".into() };
    batch.removes.push((config::Kind::WasmPlugin, key));
    mesh.commit(batch);
    assert!(mesh.world().extensions.is_empty());
}

#[test]
fn an_extension_that_could_not_run_is_left_out() {
    check(
        r#"
{apiVersion: extensions.istio.io/v1alpha1, kind: TrafficExtension, metadata: {name: empty}, spec: {}}
---
{apiVersion: extensions.istio.io/v1alpha1, kind: TrafficExtension, metadata: {name: no-url}, spec: {wasm: {}}}
---
{apiVersion: extensions.istio.io/v1alpha1, kind: TrafficExtension, metadata: {name: lua}, spec: {lua: {inlineCode: "x = 1"}}}
"#,
        extensions,
        &expect![[r#"
            default/lua version "" {"lua":{"inlineCode":"x = 1"}}
        "#]],
    );
}
