//! Floors rise and never fall.

use super::*;

#[test]
fn raising_keeps_what_was_higher_and_what_was_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("conformance.toml");
    let mut floors = Floors::load(&path).unwrap();
    assert_eq!(floors.of("a/b"), 0);
    floors.raise([("a/b".to_owned(), 5), ("c".to_owned(), 7)].into_iter()).unwrap();
    let mut again = Floors::load(&path).unwrap();
    again.raise([("a/b".to_owned(), 3)].into_iter()).unwrap();
    let last = Floors::load(&path).unwrap();
    assert_eq!((last.of("a/b"), last.of("c")), (5, 7));
}

#[test]
fn a_floor_that_is_no_count_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("conformance.toml");
    fs::write(&path, "[floors]\na = -1\n").unwrap();
    assert!(Floors::load(&path).err().unwrap().to_string().contains("\"a\""));
}
