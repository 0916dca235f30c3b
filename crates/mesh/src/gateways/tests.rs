//! Certificates: which keys of a Secret mean what.

use std::fmt::Write as _;

use expect_test::expect;

use crate::World;
use crate::fixture::{check, mesh_of, settings, settings_of};

fn credentials(world: &World) -> String {
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    let mut out = String::new();
    for (key, c) in world.credentials.iter() {
        let kind = if key.config_map { "ConfigMap" } else { "Secret" };
        let _ = writeln!(
            out,
            "{kind} {:?} chain={} key={} ca={} crl={} staple={} docker={}",
            key.object,
            text(&c.chain),
            text(&c.key),
            text(&c.ca),
            text(&c.crl),
            text(&c.staple),
            text(&c.docker)
        );
    }
    out
}

#[test]
fn both_ways_to_name_the_parts_of_a_certificate_are_read() {
    check(
        r#"
{apiVersion: v1, kind: Secret, metadata: {name: tls}, stringData: {tls.crt: C, tls.key: K, ca.crt: A, ca.crl: L, tls.ocsp-staple: S}}
---
{apiVersion: v1, kind: Secret, metadata: {name: generic}, stringData: {cert: C, key: K, cacert: A, crl: L, ca.crt: wrong}}
---
{apiVersion: v1, kind: Secret, metadata: {name: only-ca}, stringData: {cacert: A, crl: L}}
---
{apiVersion: v1, kind: Secret, metadata: {name: half}, stringData: {tls.crt: C}}
---
{apiVersion: v1, kind: Secret, metadata: {name: pull}, type: kubernetes.io/dockerconfigjson, stringData: {.dockerconfigjson: "{}"}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: bundle}, data: {ca.crt: A}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: other}, data: {app.yaml: x}}
"#,
        credentials,
        &expect![[r#"
            Secret Kubernetes:default/generic chain=C key=K ca=A crl=L staple= docker=
            Secret Kubernetes:default/only-ca chain= key= ca=A crl=L staple= docker=
            Secret Kubernetes:default/pull chain= key= ca= crl= staple= docker={}
            Secret Kubernetes:default/tls chain=C key=K ca=A crl=L staple=S docker=
            ConfigMap Kubernetes:default/bundle chain= key= ca=A crl= staple= docker=
        "#]],
    );
}

#[test]
fn a_key_is_never_printed() {
    let mesh = crate::fixture::mesh(
        "{apiVersion: v1, kind: Secret, metadata: {name: tls}, stringData: {tls.crt: chain, tls.key: hush}}",
    );
    let shown = format!("{:?}", mesh.world().credentials);
    assert!(shown.contains("5 bytes") && !shown.contains("hush") && !shown.contains("104, 117"), "{shown}");
}

#[test]
fn secrets_of_other_clusters_are_theirs_and_config_maps_are_nobodys() {
    let objects = "
{apiVersion: v1, kind: Secret, metadata: {name: tls}, stringData: {tls.crt: C, tls.key: K}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: bundle}, data: {ca.crt: A}}
";
    let clusters = [("Kubernetes", objects), ("remote", objects)];
    let ours = "Secret Kubernetes:default/tls chain=C key=K ca= crl= staple= docker=\n";
    let theirs = "Secret remote:default/tls chain=C key=K ca= crl= staple= docker=\n";
    let bundle = "ConfigMap Kubernetes:default/bundle chain= key= ca=A crl= staple= docker=\n";
    let mesh = mesh_of(settings(), &clusters);
    assert_eq!(credentials(&mesh.world()), format!("{ours}{theirs}{bundle}"));
    let off = settings_of("", &[("PILOT_ENABLE_REMOTE_CREDENTIALS_CONTROLLER", "false")]);
    assert_eq!(credentials(&mesh_of(off, &clusters).world()), format!("{ours}{bundle}"));
}
