//! Tests of editions and their differences.

use super::*;

fn resource(name: &str, content: &str) -> Resource {
    Resource::new(name, content.as_bytes().to_vec())
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
fn a_shared_section_is_not_compared_and_a_pick_of_all_of_it_is_it() {
    let shared = Section::new(vec![resource("a", "1"), resource("b", "1")]);
    let own = |content| Section::new(vec![resource("c", content), resource("d", "1")]);
    let old = Edition::of(1, vec![shared.clone(), own("1")]);
    let new = Edition::of(2, vec![own("2"), shared.clone()]);
    let difference = new.since(&old);
    assert_eq!((&difference.changed[..], difference.removed.len()), (&[0][..], 0));
    let names = |picks: &[u32]| -> Vec<String> {
        new.pick(picks).iter().map(|resource| resource.name.to_string()).collect()
    };
    assert_eq!(names(&[0, 2, 3]), ["c", "a", "b"]);
    assert_eq!(names(&[1, 3]), ["d", "b"]);
    assert_eq!(new.get("b").unwrap().body, "1");
    let picked = new.pick(&[2, 3]);
    let crate::request::Piece::Section(section) = &picked.pieces()[0] else { panic!("{picked:?}") };
    assert!(Arc::ptr_eq(section, &shared));
}

#[test]
fn of_two_resources_with_one_name_the_first_stays() {
    let edition = Edition::new(1, vec![resource("a", "1"), resource("a", "2")]);
    assert_eq!(edition.len(), 1);
    assert_eq!(edition.get("a").unwrap().body, "1");
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
