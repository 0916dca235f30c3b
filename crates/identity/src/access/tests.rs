//! Tests of the proxy identity check.

use std::collections::BTreeSet;

use super::proxy_identity;
use crate::spiffe::Id;

fn ids(texts: &[&str]) -> BTreeSet<Id> {
    texts.iter().map(|t| t.parse().unwrap()).collect()
}

#[test]
fn a_proxy_speaks_only_for_its_own_account() {
    let ids = ids(&["spiffe://td/ns/shop/sa/cart"]);
    assert_eq!(proxy_identity(&ids, "shop", "cart").unwrap().service_account(), "cart");
    for (namespace, account) in [("shop", "bank"), ("bank", "cart"), ("shop ", "cart")] {
        let error = proxy_identity(&ids, namespace, account).unwrap_err().to_string();
        assert!(error.contains("spiffe://td/ns/shop/sa/cart") && error.contains(account), "{error}");
    }
}

#[test]
fn what_the_node_leaves_empty_is_not_compared() {
    let ids = ids(&["spiffe://td/ns/shop/sa/cart"]);
    assert!(proxy_identity(&ids, "shop", "").is_ok());
    assert!(proxy_identity(&ids, "", "").is_ok());
    assert!(proxy_identity(&BTreeSet::new(), "", "").is_err(), "nobody is nobody");
}
