//! What mesh.yaml may say.

use super::{CommandLine, Workload, parse};
use crate::up::folder::Folder;

#[test]
fn a_full_file_is_read() {
    let file = parse(
        "traffic: {path: /x, rate: 2}\nmeshConfig: {trustDomain: td}\nworkloads:\n- name: cart\n  namespace: shop\n  \
         serviceAccount: carts\n  labels: {app: cart}\n  command: npm start\n  cwd: c\n  env: {A: \"1\"}\n  ports: {9080: 3000}\n\
         - name: plain\n  command: [a, b]\n",
    )
    .unwrap();
    assert_eq!((file.traffic.path.as_str(), file.traffic.rate), ("/x", 2.0));
    assert_eq!(file.workloads[0].ports[&9080], 3000);
    assert_eq!(file.workloads[0].command.as_ref().unwrap().words(), ["/bin/sh", "-c", "npm start"]);
    assert!(matches!(file.workloads[1].command, Some(CommandLine::Words(_))));
}

#[test]
fn an_unknown_field_or_a_bad_or_double_name_is_refused_with_its_place() {
    assert!(parse("workloads:\n- name: a\n  comand: x\n").unwrap_err().to_string().contains("comand"));
    assert!(parse("workloads:\n- name: A/b\n").unwrap_err().to_string().contains("DNS label"));
    assert!(parse("workloads:\n- name: a\n- name: a\n").unwrap_err().to_string().contains("twice"));
    assert!(parse("# nothing\n").unwrap().workloads.is_empty());
}

#[test]
fn labels_and_account_come_from_the_deployment_of_the_same_name() {
    let yaml = "kind: Deployment\napiVersion: apps/v1\nmetadata: {name: cart}\nspec:\n  template:\n    metadata: {labels: {app: c, version: v9}}\n    spec: {serviceAccountName: carts}\n";
    let folder = Folder::from_documents(&[("a.yaml", yaml)]);
    let mut workload = Workload { name: "cart".to_owned(), ..Workload::default() };
    workload.complete(&folder);
    assert_eq!((workload.labels["version"].as_str(), workload.service_account.as_str()), ("v9", "carts"));
    let mut other = Workload { name: "other".to_owned(), ..Workload::default() };
    other.complete(&folder);
    assert_eq!((other.labels["app"].as_str(), other.service_account.as_str()), ("other", "default"));
}

#[test]
fn a_file_without_its_heading_is_complained_of() {
    let headed = "apiVersion: meltemi.dev/v1\nkind: Mesh\nworkloads:\n- name: a\n";
    assert!(parse(headed).unwrap().complaint().is_none());
    assert!(parse("workloads:\n- name: a\n").unwrap().complaint().unwrap().contains("kind: Mesh"));
    assert!(parse("").unwrap().complaint().is_none());
}
