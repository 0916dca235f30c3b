//! Tests of SPIFFE identities.

use proptest::prelude::*;

use super::{Error, Id, expand, trust_domain_of};

#[test]
fn an_identity_is_read_and_written() {
    let id: Id = "spiffe://cluster.local/ns/default/sa/echo".parse().unwrap();
    assert_eq!(
        (id.trust_domain(), id.namespace(), id.service_account()),
        ("cluster.local", "default", "echo")
    );
    assert_eq!(id.to_string(), "spiffe://cluster.local/ns/default/sa/echo");
}

#[test]
fn what_is_not_an_identity_is_refused() {
    for text in [
        "",
        "cluster.local/ns/a/sa/b",
        "spiffe://",
        "spiffe://td/ns/a/sa/b/c",
        "spiffe://td/ns/a/sa",
        "spiffe://td/sa/a/ns/b",
        "spiffe:///ns/a/sa/b",
        "spiffe://td/ns//sa/b",
        "spiffe://td/ns/a/sa/",
        "spiffe://td/ns/../sa/b",
        "spiffe://td/ns/a%2fb/sa/c",
        "spiffe://td/ns/a/sa/b\0",
        "SPIFFE://td/ns/a/sa/b",
    ] {
        assert!(text.parse::<Id>().is_err(), "{text:?}");
    }
}

#[test]
fn parts_cannot_smuggle_a_path() {
    let error = Id::new("cluster.local", "a/sa/admin", "b").unwrap_err();
    assert!(matches!(error, Error::Part { part: "namespace", .. }), "{error}");
    assert!(Id::new("cluster.local", "a", "b,spiffe://x").is_err());
}

#[test]
fn an_at_sign_in_the_trust_domain_becomes_a_dot() {
    assert_eq!(Id::new("me@corp", "a", "b").unwrap().trust_domain(), "me.corp");
}

#[test]
fn aliases_are_added_and_foreign_names_stay() {
    let aliases = ["td1".to_string(), "td2".to_string()];
    let expanded = expand(["spiffe://td1/ns/def/sa/a", "example.com"], &aliases);
    let wanted = ["example.com", "spiffe://td1/ns/def/sa/a", "spiffe://td2/ns/def/sa/a"];
    assert_eq!(expanded.into_iter().collect::<Vec<_>>(), wanted);
}

#[test]
fn the_trust_domain_of_any_spiffe_uri_is_found() {
    assert_eq!(trust_domain_of("spiffe://td/whatever"), Some("td"));
    assert_eq!(trust_domain_of("spiffe:///x"), None);
    assert_eq!(trust_domain_of("https://td"), None);
}

proptest! {
    #[test]
    fn whatever_is_accepted_reads_back_as_itself(td in ".{0,8}", ns in ".{0,8}", sa in ".{0,8}") {
        if let Ok(id) = Id::new(&td, &ns, &sa) {
            prop_assert_eq!(id.to_string().parse::<Id>(), Ok(id));
        }
    }
}
