//! Tests of editions and their differences.

use super::*;

fn resource(name: &str, content: &str) -> Resource {
    Resource::new(name, content.as_bytes().to_vec())
}

#[test]
fn a_version_depends_on_the_bytes_and_not_on_how_they_are_cut() {
    let whole = Body::from(b"abcdef".to_vec());
    let rope = Body::rope(vec![Bytes::from_static(b"abc"), Bytes::new(), Bytes::from_static(b"def")]);
    assert_eq!(whole.content_hash(), rope.content_hash());
    assert_eq!(whole, rope);
    assert_eq!(rope.len(), 6);
    assert_eq!(rope.to_bytes(), whole.to_bytes());
}

#[test]
fn a_difference_names_what_is_new_changed_or_gone_and_is_computed_once() {
    let old = Edition::new(1, vec![resource("a", "1"), resource("b", "1"), resource("c", "1")]);
    let new = Edition::new(2, vec![resource("d", "1"), resource("b", "2"), resource("a", "1")]);
    let difference = new.since(&old);
    assert_eq!(difference.changed, [0, 1]);
    assert_eq!(difference.removed, [Arc::from("c")]);
    assert!(Arc::ptr_eq(&difference, &new.since(&old)), "the second asker shares the first one's work");
}

#[test]
fn of_two_resources_with_one_name_the_first_stays() {
    let edition = Edition::new(1, vec![resource("a", "1"), resource("a", "2")]);
    assert_eq!(edition.resources().len(), 1);
    assert_eq!(edition.get("a").unwrap().body.to_bytes(), "1");
}

#[test]
fn virtual_hosts_are_found_by_what_stands_before_the_last_slash() {
    let edition =
        Edition::new(1, vec![resource("80/a", ""), resource("unix:///x/b", ""), resource("80/c", "")]);
    assert_eq!(edition.children("80"), [0, 2]);
    assert_eq!(edition.children("unix:///x"), [1]);
    assert!(edition.children("81").is_empty());
}

#[test]
fn versions_survive_the_wire() {
    assert_eq!(parse_version(&wire_version(0x0123_4567_89ab_cdef)), Some(0x0123_4567_89ab_cdef));
    assert_eq!(parse_version("2026-11-22T10:00:00Z/7"), None);
}
