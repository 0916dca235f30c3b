//! Tests of who may ask for somebody else's certificate.

use std::collections::BTreeSet;
use std::sync::Arc;

use identity::spiffe::Id;
use identity::token::Pod;

use super::{NodeAuthorizer, PodFacts, Pods};
use crate::ca::authenticate::{Caller, Source};

/// One node proxy on node n1, with shop/cart beside it; bank/vault runs elsewhere.
struct Cluster;

impl Pods for Cluster {
    fn pod(&self, namespace: &str, name: &str) -> Option<PodFacts> {
        let facts =
            |account: &str| PodFacts { uid: "u1".into(), service_account: account.into(), node: "n1".into() };
        match (namespace, name) {
            ("mesh", "ztunnel-1") => Some(facts("ztunnel")),
            ("mesh", "other-1") => Some(facts("other")),
            _ => None,
        }
    }

    fn runs_on(&self, node: &str, namespace: &str, account: &str) -> bool {
        (node, namespace, account) == ("n1", "shop", "cart")
    }
}

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

fn caller(identity: &str, pod: Option<(&str, &str)>) -> Caller {
    let pod = pod.map(|(name, uid)| Pod { name: name.into(), uid: uid.into(), node: None });
    Caller { identities: BTreeSet::from([id(identity)]), source: Source::Token, pod }
}

fn nodes() -> NodeAuthorizer {
    NodeAuthorizer::new("mesh/ztunnel", Arc::new(Cluster)).0
}

#[test]
fn a_node_proxy_may_have_what_runs_on_its_node() {
    let ztunnel = caller("spiffe://td/ns/mesh/sa/ztunnel", Some(("ztunnel-1", "u1")));
    assert_eq!(nodes().may_impersonate(&ztunnel, &id("spiffe://td/ns/shop/sa/cart")), Ok(()));
}

#[test]
fn nobody_else_may_have_anything() {
    let cart = id("spiffe://td/ns/shop/sa/cart");
    let trusted = "spiffe://td/ns/mesh/sa/ztunnel";
    for (who, pod, wanted, why) in [
        ("spiffe://td/ns/shop/sa/web", Some(("ztunnel-1", "u1")), cart.clone(), "not a trusted"),
        ("spiffe://td/ns/other/sa/ztunnel", Some(("ztunnel-1", "u1")), cart.clone(), "not a trusted"),
        (trusted, None, cart.clone(), "not bound"),
        (trusted, Some(("gone", "u1")), cart.clone(), "not found"),
        (trusted, Some(("ztunnel-1", "u0")), cart.clone(), "UID"),
        (trusted, Some(("other-1", "u1")), cart.clone(), "runs as other"),
        (trusted, Some(("ztunnel-1", "u1")), id("spiffe://td/ns/bank/sa/vault"), "no instances"),
        (trusted, Some(("ztunnel-1", "u1")), id("spiffe://foreign/ns/shop/sa/cart"), "trust domain"),
    ] {
        let refused = nodes().may_impersonate(&caller(who, pod), &wanted).unwrap_err();
        assert!(refused.contains(why), "{who} {pod:?} {wanted}: {refused}");
    }
}

#[test]
fn items_of_another_form_are_told_and_trust_nobody() {
    let (nodes, wrong) = NodeAuthorizer::new("ztunnel, ,mesh/ztunnel", Arc::new(Cluster));
    assert_eq!(wrong, ["ztunnel"]);
    assert_eq!(nodes.accounts.len(), 1);
    assert!(NodeAuthorizer::new("", Arc::new(Cluster)).0.accounts.is_empty());
}
