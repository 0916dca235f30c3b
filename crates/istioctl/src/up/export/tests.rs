//! What goes to a cluster.

use super::sort;
use crate::up::folder::Folder;

#[test]
fn local_crutches_are_left_out_and_the_users_objects_are_kept_as_written() {
    let text = "# mine\nkind: VirtualService\nmetadata: {name: v}\n---\nkind: WorkloadEntry\nmetadata: {name: w}\nspec: {address: 127.64.0.1}\n\
        ---\nkind: WorkloadEntry\nmetadata: {name: vm}\nspec: {address: 10.0.0.9}\n\
        ---\nkind: Sidecar\nmetadata: {name: s}\nspec: {egress: [{bind: 127.65.0.1, hosts: ['*/*']}]}\n\
        ---\nkind: Sidecar\nmetadata: {name: mine}\nspec: {egress: [{hosts: ['./*']}]}\n\
        ---\nkind: Sidecar\nmetadata: {name: g, labels: {meltemi.dev/generated: \"true\"}}\n";
    let folder = Folder::from_documents(&[("x.yaml", text)]);
    let (portable, left_out) = sort(&folder);
    assert_eq!(portable.iter().map(|o| o.name()).collect::<Vec<_>>(), ["v", "vm", "mine"]);
    assert_eq!(left_out.iter().map(|(o, _)| o.name()).collect::<Vec<_>>(), ["w", "s", "g"]);
    assert!(portable[0].text.starts_with("# mine\n"));
}

#[test]
fn a_list_is_printed_once() {
    let text = "kind: List\nitems:\n- {kind: Gateway, metadata: {name: a}}\n- {kind: Gateway, metadata: {name: b}}\n";
    let folder = Folder::from_documents(&[("x.yaml", text)]);
    assert_eq!(sort(&folder).0.len(), 1);
}
