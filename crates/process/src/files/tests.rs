//! Tests of atomic file writing.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{PRIVATE, PUBLIC, write_atomic};

#[test]
fn content_and_mode_are_replaced_together() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/key.pem");
    write_atomic(&path, b"old", PUBLIC).unwrap();
    write_atomic(&path, b"new", PRIVATE).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, PRIVATE);
}

#[test]
fn a_failed_write_leaves_nothing_behind_and_names_the_path() {
    let dir = tempfile::tempdir().unwrap();
    let taken = dir.path().join("taken");
    fs::create_dir(&taken).unwrap();
    fs::write(taken.join("inside"), b"x").unwrap();
    let error = write_atomic(&taken, b"new", PUBLIC).unwrap_err();
    assert!(error.to_string().contains("taken"), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
}

#[test]
fn a_reader_that_opened_the_old_file_keeps_the_old_content() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    write_atomic(&path, b"old", PUBLIC).unwrap();
    let mut reader = fs::File::open(&path).unwrap();
    write_atomic(&path, b"new", PUBLIC).unwrap();
    let mut seen = String::new();
    std::io::Read::read_to_string(&mut reader, &mut seen).unwrap();
    assert_eq!(seen, "old");
}
