//! What the typed getters make of good and bad values.

use super::*;

#[test]
fn a_bad_value_falls_back_to_the_default() {
    let env = Environment::from_pairs([
        ("PORT", "70000"),
        ("ON", "yes"),
        ("TTL", "1 day"),
        ("EMPTY", ""),
        ("N", "x"),
    ]);
    assert_eq!(env.port("PORT", 15021), 15021);
    assert!(env.flag("ON", true));
    assert_eq!(env.duration("TTL", Duration::from_secs(3)), Duration::from_secs(3));
    assert_eq!(env.text("EMPTY", "d"), "d");
    assert_eq!(env.get("EMPTY"), Some(""));
    assert_eq!(env.count("N", 2), 2);
}

#[test]
fn variables_of_a_prefix_come_without_it() {
    let env = Environment::from_pairs([("XDS_HEADER_A", "1"), ("XDS_HEADER_B", "2"), ("OTHER", "3")]);
    assert_eq!(env.with_prefix("XDS_HEADER_").collect::<Vec<_>>(), [("A", "1"), ("B", "2")]);
}
