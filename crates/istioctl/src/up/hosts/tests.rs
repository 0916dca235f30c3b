//! Names, and files that stay the same file.

use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt as _;

use super::{render, write_in_place};
use crate::up::folder::Folder;

#[test]
fn names_stand_at_the_workloads_own_address_short_ones_only_in_its_namespace() {
    let text = "kind: Service\nmetadata: {name: a}\n---\nkind: Service\nmetadata: {name: b, namespace: shop}\n\
        ---\nkind: ServiceEntry\nmetadata: {name: e}\nspec: {hosts: [db.example.com, '*.example.com'], ports: [{number: 5432}]}\n\
        ---\nkind: ServiceEntry\nmetadata: {name: f}\nspec: {hosts: [www.example.com], ports: [{number: 443}]}\n";
    let folder = Folder::from_documents(&[("s.yaml", text)]);
    let got =
        render("127.0.0.1 localhost\n", &folder.services(), &folder, Ipv4Addr::new(127, 65, 0, 3), "default");
    let lines: Vec<&str> = got.lines().filter(|l| l.starts_with("127.")).collect();
    assert_eq!(
        lines,
        [
            "127.0.0.1 localhost",
            "127.65.0.3 a a.default a.default.svc a.default.svc.cluster.local",
            "127.65.0.3 b.shop b.shop.svc b.shop.svc.cluster.local",
            "127.65.0.3 db.example.com",
        ]
    );
}

#[test]
fn a_file_is_changed_in_place_and_shrinks() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hosts");
    write_in_place(&path, "a long text\n").unwrap();
    let before = std::fs::metadata(&path).unwrap().ino();
    write_in_place(&path, "short\n").unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "short\n");
    assert_eq!(std::fs::metadata(&path).unwrap().ino(), before);
}
