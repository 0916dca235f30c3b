//! Tests of the live authority.

use std::time::UNIX_EPOCH;

use identity::authority::{Limits, SelfSigned};
use identity::key::Kind;
use identity::{Authority, Bundle};

use super::{Live, Others};

fn authority() -> Authority {
    let options = SelfSigned { key: Kind::P256, ..SelfSigned::of("td") };
    Authority::self_signed(&options, Limits::default(), UNIX_EPOCH).unwrap()
}

fn anywhere(bundle: &Bundle) -> Others {
    Others { anywhere: bundle.clone(), ..Others::default() }
}

#[test]
fn roots_from_elsewhere_survive_a_change_of_authority() {
    let (first, second, other) = (authority(), authority(), authority());
    let live = Live::new(first.clone());
    live.trust(&anywhere(other.bundle()));
    assert_eq!(*live.bundle(), first.bundle().merged(other.bundle()));
    live.replace(second.clone());
    assert_eq!(*live.bundle(), second.bundle().merged(other.bundle()));
    live.trust(&Others::default());
    assert_eq!(*live.bundle(), *second.bundle());
}

#[test]
fn subscribers_hear_of_changes_and_only_of_changes() {
    let live = Live::new(authority());
    let subscription = live.subscribe();
    let other = authority();
    live.trust(&anywhere(other.bundle()));
    assert_eq!(live.edition(), 1);
    live.trust(&anywhere(other.bundle()));
    assert_eq!(live.edition(), 1);
    live.clone().replace(authority());
    assert_eq!(live.edition(), 2);
    assert!(subscription.has_changed().unwrap());
}

#[test]
fn a_scoped_root_is_believed_for_its_domain_only_and_not_handed_out() {
    let (own, foreign) = (authority(), authority());
    let live = Live::new(own.clone());
    let scoped = [("their.domain".to_string(), foreign.bundle().clone())].into();
    live.trust(&Others { scoped, ..Others::default() });
    let both = own.bundle().merged(foreign.bundle());
    assert_eq!(*live.bundle(), *own.bundle());
    assert_eq!(live.bundle_for("td"), *own.bundle());
    assert_eq!(live.bundle_for("their.domain"), both);
    assert_eq!((live.every_root(), &*live.anchors()), (both.clone(), &both));
}

#[test]
fn a_root_of_callers_vouches_for_callers_and_is_not_handed_out() {
    let (own, next, theirs) = (authority(), authority(), authority());
    let live = Live::new(own.clone());
    live.believe_callers(theirs.bundle());
    live.believe_callers(theirs.bundle());
    assert_eq!(live.edition(), 1);
    live.replace(next.clone());
    let both = next.bundle().merged(theirs.bundle());
    assert_eq!((live.bundle_for("td"), live.every_root()), (both.clone(), both));
    assert_eq!((&*live.bundle(), &*live.anchors()), (next.bundle(), next.bundle()));
}

#[test]
fn without_an_authority_only_others_are_believed() {
    let (live, other) = (Live::new(None), authority());
    assert!(live.authority().is_none() && live.bundle().is_empty());
    live.trust(&anywhere(other.bundle()));
    assert_eq!(*live.bundle(), *other.bundle());
}
