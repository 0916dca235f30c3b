//! Tests of certificates and their verification.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Certificate, Error, Usage, parse_chain, verified_identities, verify};
use crate::authority::{Authority, Limits, Request, San, SelfSigned};
use crate::bundle::Bundle;
use crate::csr::PublicKey;
use crate::key::{Kind, PrivateKey};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn authority() -> Authority {
    let options = SelfSigned { key: Kind::P256, ..SelfSigned::of("cluster.local") };
    Authority::self_signed(&options, Limits::default(), now()).unwrap()
}

fn leaf(ca: &Authority, sans: &[&str]) -> Certificate {
    let key = PublicKey::of(&PrivateKey::generate(Kind::P256).unwrap());
    let sans: Vec<San> = sans.iter().map(|s| San::Uri((*s).to_string())).collect();
    ca.sign(&Request { key: &key, sans: &sans, ttl: None, labels: None }, now()).unwrap()
}

#[test]
fn identities_are_given_only_for_what_verifies() {
    let ca = authority();
    let cert = leaf(&ca, &["https://x", "spiffe://td/ns/a/sa/b"]);
    let ids = verified_identities(std::slice::from_ref(&cert), ca.bundle(), Usage::Client, now()).unwrap();
    assert_eq!(ids.into_iter().map(|i| i.to_string()).collect::<Vec<_>>(), ["spiffe://td/ns/a/sa/b"]);
    assert!(verified_identities(&[cert], authority().bundle(), Usage::Client, now()).is_err());
    let nobody = leaf(&ca, &["https://x"]);
    assert!(verified_identities(&[nobody], ca.bundle(), Usage::Client, now()).is_err());
}

#[test]
fn an_expired_or_future_certificate_is_refused() {
    let ca = authority();
    let cert = [leaf(&ca, &["spiffe://td/ns/a/sa/b"])];
    assert!(verify(&cert, ca.bundle(), Usage::Client, now() + DAY).is_ok());
    let late = verify(&cert, ca.bundle(), Usage::Client, now() + DAY + Duration::from_secs(1));
    assert!(matches!(late, Err(Error::Time { .. })), "{late:?}");
    let early = verify(&cert, ca.bundle(), Usage::Client, now() - DAY);
    assert!(matches!(early, Err(Error::Time { .. })), "{early:?}");
}

#[test]
fn an_expired_root_is_no_root() {
    let options = SelfSigned { key: Kind::P256, ttl: DAY / 2, ..SelfSigned::of("td") };
    let short = Authority::self_signed(&options, Limits::default(), now()).unwrap();
    let long = short.rotate(&SelfSigned { ttl: 10 * DAY, ..options }, now()).unwrap();
    let cert = [leaf(&long, &["spiffe://td/ns/a/sa/b"])];
    let old_root = Bundle::new([short.certificate().clone()]);
    let at = now() + DAY * 3 / 4;
    assert!(verify(&cert, &old_root, Usage::Client, now()).is_ok());
    assert!(verify(&cert, &old_root, Usage::Client, at).is_err());
    assert!(verify(&cert, long.bundle(), Usage::Client, at).is_ok());
}

#[test]
fn a_ca_certificate_or_nothing_is_no_peer() {
    let ca = authority();
    assert!(verify(&[ca.certificate().clone()], ca.bundle(), Usage::Client, now()).is_err());
    assert_eq!(verify(&[], ca.bundle(), Usage::Client, now()), Err(Error::None));
    let cert = leaf(&ca, &["spiffe://td/ns/a/sa/b"]);
    let long: Vec<Certificate> = std::iter::repeat_n(cert.clone(), 17).collect();
    assert!(verify(&long, ca.bundle(), Usage::Client, now()).is_err());
    assert!(verify(&[cert], &Bundle::default(), Usage::Client, now()).is_err());
}

#[test]
fn a_leaf_cannot_sign_another_leaf() {
    let ca = authority();
    let key = PrivateKey::generate(Kind::P256).unwrap();
    let sans = [San::Uri("spiffe://td/ns/a/sa/thief".into())];
    let request = Request { key: &PublicKey::of(&key), sans: &sans, ttl: None, labels: None };
    let thief = ca.sign(&request, now()).unwrap();
    let (cert_pem, key_pem) = (thief.to_pem(), key.to_pkcs8_pem());
    let root = ca.certificate().to_pem();
    let parts =
        crate::authority::Parts { ca_cert: &cert_pem, ca_key: &key_pem, root_cert: &root, cert_chain: "" };
    assert!(Authority::from_pem(&parts, Limits::default(), now()).is_err());
}

#[test]
fn a_chain_is_read_in_order_and_damage_is_told() {
    let (a, b) = (authority(), authority());
    let text = format!("{}\nnoise\n{}", a.certificate().to_pem(), b.certificate().to_pem());
    assert_eq!(parse_chain(&text).unwrap(), [a.certificate().clone(), b.certificate().clone()]);
    assert_eq!(parse_chain("nothing"), Err(Error::None));
    let one = a.certificate().to_pem();
    let lines: Vec<&str> = one.lines().collect();
    let short = [lines[0], lines[1], lines[lines.len() - 1]].join("\n");
    assert!(matches!(parse_chain(&short), Err(Error::Malformed(_))));
}

#[test]
fn no_flipped_byte_of_a_certificate_verifies() {
    let ca = authority();
    let cert = leaf(&ca, &["spiffe://td/ns/a/sa/b"]);
    let original = cert.der().as_ref().to_vec();
    for place in 0..original.len() {
        let mut changed = original.clone();
        changed[place] ^= 1;
        if let Ok(cert) = Certificate::from_der(changed.into()) {
            assert!(verify(&[cert], ca.bundle(), Usage::Client, now()).is_err(), "byte {place}");
        }
    }
}
