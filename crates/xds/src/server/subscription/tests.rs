//! Tests of name sets and their sharing.

use super::*;

fn names(of: &[&str]) -> Vec<Arc<str>> {
    of.iter().map(|name| Arc::from(*name)).collect()
}

#[test]
fn equal_subscriptions_share_one_set_however_they_came_about() {
    let interner = Interner::default();
    let mut one = Subscription::default();
    one.change(&interner, names(&["a", "b", "c"]).iter(), ["c"].into_iter());
    let mut other = Subscription::default();
    other.change(&interner, names(&["b"]).iter(), std::iter::empty());
    other.change(&interner, names(&["a"]).iter(), std::iter::empty());
    assert!(Arc::ptr_eq(&one.names, &other.names));
    assert!(one.covers("a") && !one.covers("c"));
}

#[test]
fn a_set_nobody_uses_is_forgotten() {
    let interner = Interner::default();
    let mut one = Subscription::default();
    one.change(&interner, names(&["a"]).iter(), std::iter::empty());
    let gone = Arc::downgrade(&one.names);
    drop(one);
    assert!(gone.upgrade().is_none());
}
