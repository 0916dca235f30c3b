//! Tests of tokens: what must be refused, tried hard.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Error, Issuer, KeyError, KeySet, LARGEST, Verifier, unverified_expiry, unverified_issuer};
use crate::key::{Kind, PrivateKey};

const HOUR: Duration = Duration::from_secs(3600);

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn verifier() -> Verifier {
    Verifier { issuer: "https://mesh".into(), audiences: vec!["istio-ca".into()] }
}

fn issuer(kind: Kind) -> (Issuer, PrivateKey) {
    let key = PrivateKey::generate(kind).unwrap();
    (Issuer::new("https://mesh", &key).unwrap(), key)
}

fn claims() -> Value {
    json!({
        "iss": "https://mesh", "aud": ["istio-ca"], "sub": "system:serviceaccount:shop:cart",
        "exp": 1_800_003_600u64, "nbf": 1_800_000_000u64,
    })
}

fn signed(key: &PrivateKey, claims: &Value) -> String {
    encode(&Header::new(Algorithm::ES256), claims, &EncodingKey::from_ec_der(key.pkcs8_der())).unwrap()
}

/// Verifies `claims()` after `change`, properly signed.
fn with(change: impl FnOnce(&mut Value)) -> Result<super::Claims, Error> {
    let (issuer, key) = issuer(Kind::P256);
    let mut claims = claims();
    change(&mut claims);
    verifier().verify(&signed(&key, &claims), &issuer.key_set().unwrap(), now())
}

#[test]
fn minted_tokens_are_accepted_until_they_expire() {
    for kind in [Kind::P256, Kind::P384, Kind::Rsa(2048)] {
        let (issuer, key) = issuer(kind);
        let token = issuer.mint("shop", "cart", "istio-ca", HOUR, now()).unwrap();
        for keys in [issuer.key_set().unwrap(), KeySet::from_pem(&key.to_public_pem()).unwrap()] {
            let claims = verifier().verify(&token, &keys, now()).unwrap();
            assert_eq!((claims.namespace.as_str(), claims.service_account.as_str()), ("shop", "cart"));
            let id = claims.identity("cluster.local").unwrap();
            assert_eq!(id.to_string(), "spiffe://cluster.local/ns/shop/sa/cart");
            assert_eq!(verifier().verify(&token, &keys, now() + HOUR), Err(Error::Expired));
        }
        assert_eq!(unverified_issuer(&token).as_deref(), Some("https://mesh"));
    }
}

#[test]
fn names_that_are_no_identity_are_not_minted() {
    let (issuer, _) = issuer(Kind::P256);
    for (namespace, account) in [("", "a"), ("a", ""), ("a:b", "c"), ("a", "b:c"), ("a/sa/x", "b")] {
        assert!(issuer.mint(namespace, account, "istio-ca", HOUR, now()).is_err(), "{namespace} {account}");
    }
}

#[test]
fn a_wrong_audience_or_issuer_is_refused() {
    assert!(with(|_| {}).is_ok());
    assert!(with(|c| c["aud"] = json!("istio-ca")).is_ok(), "one audience may be a text");
    assert!(matches!(with(|c| c["aud"] = json!(["api"])), Err(Error::Audience { .. })));
    assert!(matches!(with(|c| c["aud"] = json!([])), Err(Error::Audience { .. })));
    assert!(matches!(with(|c| drop(c.as_object_mut().unwrap().remove("aud"))), Err(Error::Audience { .. })));
    assert!(matches!(with(|c| c["iss"] = json!("https://evil")), Err(Error::Issuer { .. })));
    assert!(matches!(with(|c| drop(c.as_object_mut().unwrap().remove("iss"))), Err(Error::Issuer { .. })));
}

#[test]
fn a_verifier_without_audiences_accepts_nothing() {
    let (issuer, key) = issuer(Kind::P256);
    let open = Verifier { audiences: Vec::new(), ..verifier() };
    let refused = open.verify(&signed(&key, &claims()), &issuer.key_set().unwrap(), now());
    assert!(matches!(refused, Err(Error::Audience { .. })));
}

#[test]
fn times_are_checked_and_must_be_readable() {
    assert_eq!(with(|c| c["exp"] = json!(1_799_999_999u64)), Err(Error::Expired));
    assert_eq!(with(|c| c["exp"] = json!(1_800_000_000u64)), Err(Error::Expired));
    assert_eq!(with(|c| c["nbf"] = json!(1_800_000_301u64)), Err(Error::NotYet));
    assert!(with(|c| c["nbf"] = json!(1_800_000_299u64)).is_ok(), "clocks differ");
    for bad in [json!("never"), json!(-1), json!(null), json!({}), json!(1e300)] {
        assert!(with(|c| c["exp"] = bad.clone()).is_err(), "{bad}");
    }
    assert!(with(|c| drop(c.as_object_mut().unwrap().remove("exp"))).is_err());
    assert!(with(|c| c["nbf"] = json!("x")).is_err());
}

#[test]
fn subjects_cannot_name_anybody_else() {
    for subject in [
        "",
        "shop:cart",
        "system:serviceaccount:",
        "system:serviceaccount:shop",
        "system:serviceaccount:shop:",
        "system:serviceaccount::cart",
        "system:serviceaccount:shop:cart:admin",
        "system:serviceaccountshop:cart",
        "system:serviceaccount:shop/sa/admin:x",
        "system:serviceaccount:shop:cart/../admin",
        "system:node:shop:cart",
    ] {
        let refused = with(|c| c["sub"] = json!(subject));
        assert!(matches!(refused, Err(Error::Subject(_))), "{subject:?} {refused:?}");
    }
    let contradiction = with(|c| c["kubernetes.io"] = json!({ "namespace": "bank" }));
    assert!(matches!(contradiction, Err(Error::Subject(_))));
}

#[test]
fn the_pod_of_a_bound_token_is_read() {
    let claims = with(|c| {
        c["kubernetes.io"] = json!({
            "namespace": "shop", "serviceaccount": { "name": "cart", "uid": "1" },
            "pod": { "name": "cart-0", "uid": "u" }, "node": { "name": "n1" },
        });
    });
    let pod = claims.unwrap().pod.unwrap();
    assert_eq!((pod.name.as_str(), pod.uid.as_str(), pod.node.as_deref()), ("cart-0", "u", Some("n1")));
}

#[test]
fn unsigned_and_symmetric_tokens_are_refused() {
    let (issuer, key) = issuer(Kind::P256);
    let keys = issuer.key_set().unwrap();
    let part = |v: &Value| BASE64_URL_SAFE_NO_PAD.encode(v.to_string());
    for alg in ["none", "None", "NONE", "", "HS256", "EdDSA", "ES256K"] {
        for tail in ["", "AAAA"] {
            let token = format!("{}.{}.{tail}", part(&json!({ "alg": alg })), part(&claims()));
            let refused = verifier().verify(&token, &keys, now());
            assert!(matches!(refused, Err(Error::Algorithm(_))), "{alg:?} {refused:?}");
        }
    }
    // The classical confusion: the public key, known to everybody, used as a shared secret.
    for secret in [key.to_public_pem().into_bytes(), key.spki_der().to_vec(), issuer.jwks().into_bytes()] {
        let token =
            encode(&Header::new(Algorithm::HS256), &claims(), &EncodingKey::from_secret(&secret)).unwrap();
        assert_eq!(verifier().verify(&token, &keys, now()), Err(Error::Algorithm("HS256".into())));
    }
}

#[test]
fn a_symmetric_key_in_a_key_set_is_left_out() {
    let oct = json!({ "keys": [{ "kty": "oct", "k": "c2VjcmV0", "alg": "HS256" }] });
    assert_eq!(KeySet::from_jwks(&oct.to_string()).unwrap_err(), KeyError::Empty);
    assert!(matches!(KeySet::from_jwks("[]"), Err(KeyError::Json(_))));
    assert_eq!(KeySet::from_pem("x").unwrap_err(), KeyError::Empty);
    let (issuer, _) = issuer(Kind::P256);
    let mut jwks: Value = serde_json::from_str(&issuer.jwks()).unwrap();
    jwks["keys"][0]["use"] = json!("enc");
    assert_eq!(KeySet::from_jwks(&jwks.to_string()).unwrap_err(), KeyError::Empty);
}

#[test]
fn another_issuers_key_does_not_sign_for_ours() {
    let (ours, _) = issuer(Kind::P256);
    let (theirs, their_key) = issuer(Kind::P256);
    let keys = ours.key_set().unwrap();
    let with_id = theirs.mint("shop", "cart", "istio-ca", HOUR, now()).unwrap();
    assert!(matches!(verifier().verify(&with_id, &keys, now()), Err(Error::UnknownKey(_))));
    assert_eq!(verifier().verify(&signed(&their_key, &claims()), &keys, now()), Err(Error::Signature));
}

#[test]
fn a_key_is_used_only_with_its_own_algorithm() {
    let (issuer, key) = issuer(Kind::Rsa(2048));
    let pem = key.to_pkcs8_pem();
    let rsa = EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
    let token = encode(&Header::new(Algorithm::PS256), &claims(), &rsa).unwrap();
    let by_alg = verifier().verify(&token, &issuer.key_set().unwrap(), now());
    assert_eq!(by_alg, Err(Error::Signature), "the key set says RS256 only");
    let any = KeySet::from_pem(&key.to_public_pem()).unwrap();
    assert!(verifier().verify(&token, &any, now()).is_ok());
}

#[test]
fn a_crit_header_and_oversized_tokens_are_refused() {
    let (issuer, key) = issuer(Kind::P256);
    let keys = issuer.key_set().unwrap();
    let token = signed(&key, &claims());
    let rest = token.split_once('.').unwrap().1;
    let header = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","crit":["b64"],"b64":false}"#);
    let refused = verifier().verify(&format!("{header}.{rest}"), &keys, now());
    assert!(matches!(refused, Err(Error::Malformed(_))));
    let huge = format!("{token}{}", "A".repeat(LARGEST));
    assert!(matches!(verifier().verify(&huge, &keys, now()), Err(Error::Malformed(_))));
}

#[test]
fn no_changed_character_of_a_token_is_accepted() {
    let (issuer, _) = issuer(Kind::P256);
    let keys = issuer.key_set().unwrap();
    let token = issuer.mint("shop", "cart", "istio-ca", HOUR, now()).unwrap();
    let original = verifier().verify(&token, &keys, now()).unwrap();
    for place in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        if let Ok(claims) = verifier().verify(&changed, &keys, now()) {
            // The last character of a part may carry bits that mean nothing.
            assert_eq!(claims, original, "character {place}");
        }
    }
}

proptest! {
    #[test]
    fn no_text_breaks_the_reader(text in "[A-Za-z0-9_.=-]{0,200}|.{0,60}") {
        let (issuer, _) = issuer(Kind::P256);
        let _ = unverified_issuer(&text);
        prop_assert!(verifier().verify(&text, &issuer.key_set().unwrap(), now()).is_err());
    }
}

#[test]
fn the_end_of_an_unverified_token_is_read_or_nothing_is_said() {
    let key = PrivateKey::generate(Kind::P256).unwrap();
    let end = |change: fn(&mut Value)| {
        let mut claims = claims();
        change(&mut claims);
        unverified_expiry(&signed(&key, &claims))
    };
    let at = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    assert_eq!(end(|c| c["exp"] = json!(1_800_000_000u64)), Ok(Some(at)));
    assert_eq!(end(|c| drop(c.as_object_mut().unwrap().remove("exp"))), Ok(None));
    assert!(end(|c| c["exp"] = json!("never")).is_err());
    assert!(unverified_expiry("opaque").is_err());
    assert!(unverified_expiry(&"x".repeat(LARGEST + 1)).is_err());
}
