//! Destination rules: merged, exported, looked up.

use std::fmt::Write as _;
use std::sync::Arc;

use expect_test::{Expect, expect};
use tables::{Level, Reads};

use super::{Rule, for_host};
use crate::fixture::{by_key, check, mesh, mesh_of, settings_of};
use crate::{Mesh, World};

struct Below;
impl Level for Below {
    const ORDER: u16 = 9000;
    const NAME: &'static str = "Below";
}

fn line(rule: &Rule) -> String {
    let subsets: Vec<&str> = rule.rule.subsets.iter().map(|s| s.name.as_str()).collect();
    let policy = rule.rule.traffic_policy.as_ref().and_then(|p| p.connection_pool.as_ref()?.tcp.clone());
    let selector = rule.selector.as_ref().map(|s| format!(" for {:?}", by_key(s))).unwrap_or_default();
    let limit = policy.map(|t| format!(" limit {}", t.max_connections)).unwrap_or_default();
    format!("{} subsets {subsets:?} to {:?}{limit}{selector}", rule.from.join("+"), rule.export_to)
}

fn rules(world: &World) -> String {
    let mut out = String::new();
    for ((namespace, host), row) in world.rules.iter() {
        let _ = writeln!(out, "{namespace} {host}");
        for (name, rules) in [("own", &row.rules), ("exported", &row.exported), ("private", &row.private)] {
            for rule in rules {
                let _ = writeln!(out, "    {name}: {}", line(rule));
            }
        }
    }
    out
}

fn rule(namespace: &str, name: &str, day: u32, spec: &str) -> String {
    format!(
        "---\n{{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {{name: {name}, namespace: \
         {namespace}, creationTimestamp: '2025-01-{day:02}T00:00:00Z'}}, spec: {{{spec}}}}}\n"
    )
}

#[test]
fn rules_of_one_host_are_one_the_older_policy_stands() {
    let yaml = rule(
        "default",
        "b",
        2,
        "host: web, subsets: [{name: v1}, {name: v2}], trafficPolicy: {connectionPool: {tcp: {maxConnections: 2}}}",
    ) + &rule(
        "default",
        "a",
        1,
        "host: web.default.svc.cluster.local, subsets: [{name: v1}], trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}",
    ) + &rule(
        "default",
        "c",
        3,
        "host: web, workloadSelector: {matchLabels: {app: x}}, subsets: [{name: vx}]",
    );
    check(
        &yaml,
        rules,
        &expect![[r#"
        default web.default.svc.cluster.local
            own: default/c subsets ["vx"] to {Private} for {"app": "x"}
            own: default/a+default/b subsets ["v1", "v2"] to {} limit 1
            exported: default/a+default/b subsets ["v1", "v2"] to {} limit 1
    "#]],
    );
}

#[test]
fn rules_of_different_audiences_stay_apart_unless_the_merge_is_the_old_one() {
    let yaml = rule("default", "open", 1, "host: web, subsets: [{name: v1}]")
        + &rule("default", "own", 2, "host: web, exportTo: ['.'], subsets: [{name: v2}]")
        + &rule("default", "wider", 3, "host: web, exportTo: ['.', other], subsets: [{name: v3}]");
    check(
        &yaml,
        rules,
        &expect![[r#"
        default web.default.svc.cluster.local
            own: default/open subsets ["v1"] to {}
            own: default/own+default/wider subsets ["v2", "v3"] to {Private}
            exported: default/open subsets ["v1"] to {}
            exported: default/wider subsets ["v3"] to {Private, Namespace("other")}
    "#]],
    );
    let old = settings_of("", &[("ENABLE_ENHANCED_DESTINATIONRULE_MERGE", "false")]);
    expect![[r#"
        default web.default.svc.cluster.local
            own: default/open+default/own+default/wider subsets ["v1", "v2", "v3"] to {}
            exported: default/open+default/wider subsets ["v1", "v3"] to {}
    "#]]
    .assert_eq(&rules(&mesh_of(old, &[("Kubernetes", &yaml)]).world()));
}

fn lookup(mesh: &Mesh, namespace: &str, labels: &[(&str, &str)], expect: &Expect) {
    let world = mesh.world();
    let labels: config::Labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let reads = Reads::<Below>::new();
    let (_, service) = world.services.iter().next().unwrap();
    let found = for_host(&reads, &world, &Arc::from(namespace), service, &labels);
    expect.assert_eq(&found.map_or("none".to_owned(), |r| line(&r)));
}

const WEB: &str = "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}]}}\n";

#[test]
fn the_callers_namespace_goes_first_then_the_services_then_the_root() {
    let host = "host: web.shop.svc.cluster.local";
    let all = WEB.to_owned()
        + &rule("client", "mine", 1, "host: '*.shop.svc.cluster.local'")
        + &rule("client", "wide", 1, "host: '*.cluster.local'")
        + &rule("shop", "theirs", 1, &format!("{host}, exportTo: ['*']"))
        + &rule("istio-system", "root", 1, "host: '*.cluster.local'");
    let mesh = mesh(&all);
    lookup(&mesh, "client", &[], &expect!["client/mine subsets [] to {}"]);
    lookup(&mesh, "else", &[], &expect!["shop/theirs subsets [] to {}"]);
    lookup(&mesh, "istio-system", &[], &expect!["shop/theirs subsets [] to {}"]);
}

#[test]
fn a_rule_that_is_not_exported_is_nobody_elses() {
    let all = WEB.to_owned()
        + &rule("shop", "own", 1, "host: web, exportTo: ['.']")
        + &rule("istio-system", "root", 1, "host: '*.cluster.local', exportTo: ['*']")
        + &rule("istio-system", "root-own", 1, "host: 'web.shop.svc.cluster.local', exportTo: ['.']");
    let mesh = mesh(&all);
    lookup(&mesh, "shop", &[], &expect!["shop/own subsets [] to {Private}"]);
    lookup(&mesh, "client", &[], &expect!["istio-system/root subsets [] to {}"]);
    lookup(&mesh, "istio-system", &[], &expect!["istio-system/root-own subsets [] to {Private}"]);
}

#[test]
fn a_selector_picks_the_callers_a_rule_is_for() {
    let all = WEB.to_owned()
        + &rule("shop", "some", 1, "host: web, workloadSelector: {matchLabels: {app: x}}")
        + &rule("shop", "rest", 2, "host: web");
    let mesh = mesh(&all);
    lookup(
        &mesh,
        "shop",
        &[("app", "x")],
        &expect![[r#"shop/some subsets [] to {Private} for {"app": "x"}"#]],
    );
    lookup(&mesh, "shop", &[], &expect!["shop/rest subsets [] to {}"]);
    lookup(&mesh, "other", &[("app", "x")], &expect!["shop/rest subsets [] to {}"]);
}
