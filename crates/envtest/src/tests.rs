//! Where the programs are looked for, and what is said when they are not there.

use std::fs;

use super::*;

fn places(folder: &Path, named: Option<&Path>) -> Places {
    Places { named: named.map(Path::to_owned), path: OsString::new(), cache: folder.to_owned() }
}

fn put(folder: &Path, names: &[&str]) {
    fs::create_dir_all(folder).unwrap();
    names.iter().for_each(|name| fs::write(folder.join(name), "").unwrap());
}

#[test]
fn a_named_folder_counts_alone_and_must_have_both() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, named) = (folder.path().join("cache"), folder.path().join("named"));
    put(&cache.join(format!("kubernetes-{VERSION}")), &["etcd", "kube-apiserver"]);
    put(&named, &["etcd"]);
    let error = find(&places(&cache, Some(&named))).unwrap_err().to_string();
    assert!(error.contains("named/kube-apiserver is no file"), "{error}");
    put(&named, &["kube-apiserver"]);
    assert_eq!(find(&places(&cache, Some(&named))).unwrap(), Assets::of(&named));
    assert_eq!(find(&places(&cache, None)).unwrap(), Assets::of(&places(&cache, None).built()));
}

#[test]
fn what_is_missing_is_said_with_the_way_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let error = find(&places(folder.path(), None)).unwrap_err().to_string();
    assert!(error.contains("cargo xtask envtest"), "{error}");
}
