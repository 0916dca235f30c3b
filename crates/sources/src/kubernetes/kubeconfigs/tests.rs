//! Which clusters files name, and what becomes of files that are none.

use std::fs;
use std::path::Path;

use super::*;

fn kubeconfig(current: &str, contexts: &[(&str, &str)], clusters: &[&str]) -> String {
    let contexts: String = contexts
        .iter()
        .map(|(name, cluster)| format!("- {{name: {name}, context: {{cluster: {cluster}, user: u}}}}\n"))
        .collect();
    let clusters: String = clusters
        .iter()
        .map(|name| format!("- {{name: {name}, cluster: {{server: 'https://x'}}}}\n"))
        .collect();
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: {current}\ncontexts:\n{contexts}clusters:\n{clusters}"
    )
}

fn named(kubeconfigs: &Kubeconfigs) -> Vec<(String, String)> {
    let name = |path: &str| Path::new(path).file_name().unwrap().to_str().unwrap().to_owned();
    kubeconfigs.remotes().into_iter().map(|(id, remote)| (id.to_string(), name(&remote.secret))).collect()
}

#[test]
fn a_kubeconfig_names_the_cluster_of_its_context() {
    let of = |current, contexts: &[(&str, &str)], clusters: &[&str]| {
        let config = Kubeconfig::from_yaml(&kubeconfig(current, contexts, clusters)).unwrap();
        cluster_of(&config).map(|id| id.to_string())
    };
    assert_eq!(of("b", &[("a", "one"), ("b", "two")], &["one", "two"]).as_deref(), Some("two"));
    assert_eq!(of("gone", &[("z", "two"), ("b", "one")], &["one", "two"]).as_deref(), Some("one"));
    assert_eq!(of("x", &[], &["two", "one"]).as_deref(), Some("one"));
    assert_eq!(of("x", &[], &[]), None);
}

#[test]
fn files_come_and_go_and_a_bad_one_keeps_what_it_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let one = |id: &str| kubeconfig("c", &[("c", id)], &[id]);
    let mut all = Kubeconfigs::new(folder.path().to_owned(), "own".into());
    assert!(!all.look() && named(&all).is_empty());

    fs::create_dir(path("sub")).unwrap();
    for (name, id) in
        [("b.yaml", "two"), ("a.yaml", "two"), ("c.yml", "own"), ("sub/d.yaml", "three"), ("e.txt", "four")]
    {
        fs::write(path(name), one(id)).unwrap();
    }
    assert!(all.look());
    let pair = |id: &str, name: &str| (id.to_owned(), name.to_owned());
    assert_eq!(named(&all), [pair("three", "d.yaml"), pair("two", "a.yaml")]);
    assert!(!all.look(), "nothing is new");

    fs::write(path("a.yaml"), "{{{").unwrap();
    fs::write(path("sub/d.yaml"), "").unwrap();
    assert!(all.look());
    assert_eq!(named(&all), [pair("three", "d.yaml"), pair("two", "a.yaml")], "as before the errors");
    fs::remove_file(path("a.yaml")).unwrap();
    fs::write(path("sub/d.yaml"), one("five")).unwrap();
    assert!(all.look());
    assert_eq!(named(&all), [pair("five", "d.yaml"), pair("two", "b.yaml")]);

    fs::remove_dir_all(folder.path()).unwrap();
    assert!(!all.look());
    assert_eq!(named(&all).len(), 2, "a folder that cannot be read takes nothing away");
}

#[test]
fn one_file_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("remote");
    fs::write(&path, kubeconfig("c", &[("c", "two")], &["two"])).unwrap();
    let mut one = Kubeconfigs::new(path, "own".into());
    assert!(one.look());
    assert_eq!(named(&one), [("two".to_owned(), "remote".to_owned())]);
}
