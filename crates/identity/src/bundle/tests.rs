//! Tests of trust bundles.

use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::{Bundle, split_pem};
use crate::authority::{Authority, Limits, SelfSigned};
use crate::cert::Certificate;
use crate::key::Kind;

fn root(days: u32) -> Certificate {
    let ttl = Duration::from_secs(24 * 3600) * days;
    let options = SelfSigned { key: Kind::P256, ttl, ..SelfSigned::of("td") };
    Authority::self_signed(&options, Limits::default(), UNIX_EPOCH).unwrap().certificate().clone()
}

#[test]
fn a_root_is_kept_once_and_order_is_stable() {
    let (a, b) = (root(1), root(1));
    let text = format!("{}{}{}", b.to_pem(), a.to_pem(), b.to_pem());
    let bundle = Bundle::from_pem(&text).unwrap();
    assert_eq!(bundle.roots(), [b.clone(), a.clone()]);
    assert_eq!(Bundle::from_pem(&bundle.to_pem()).unwrap(), bundle);
    assert_eq!(Bundle::new([a.clone()]).merged(&bundle).roots(), [a, b]);
}

#[test]
fn expired_roots_can_be_dropped() {
    let (short, long) = (root(1), root(10));
    let later = UNIX_EPOCH + Duration::from_secs(2 * 24 * 3600);
    let bundle = Bundle::new([short, long.clone()]).without_expired(later);
    assert_eq!(bundle.roots(), [long]);
}

#[test]
fn splitting_gives_one_text_per_certificate() {
    let (a, b) = (root(1), root(2));
    let parts = split_pem(&format!("# first\n{}\n\n# second\n{}", a.to_pem(), b.to_pem()));
    assert_eq!(parts, [a.to_pem(), b.to_pem()]);
    assert!(split_pem("none").is_empty());
}

#[test]
fn a_spiffe_bundle_gives_its_x509_roots() {
    let (a, b) = (root(1), root(2));
    let x5c = |c: &Certificate| BASE64_STANDARD.encode(c.der());
    let svid = |certs: Vec<String>| json!({ "use": "x509-svid", "kty": "EC", "x5c": certs });
    let document = json!({
        "keys": [svid(vec![x5c(&a)]), { "use": "jwt-svid", "kty": "EC" }, svid(vec![x5c(&b)])],
        "spiffe_sequence": 1,
    });
    assert_eq!(Bundle::from_spiffe_json(&document.to_string()).unwrap().roots(), [a.clone(), b.clone()]);
    let two = json!({ "keys": [svid(vec![x5c(&a), x5c(&b)])] });
    for bad in ["", "{}", "{\"keys\":[]}", &two.to_string()] {
        assert!(Bundle::from_spiffe_json(bad).is_err(), "{bad}");
    }
}
