//! What is understood of a folder.

use super::Folder;

#[test]
fn documents_keep_their_file_and_line_and_bad_ones_are_passed_over() {
    let text = "# a comment\n---\n\nkind: Service\nmetadata: {name: a}\n---\nkind: [broken\n---\nkind: Sidecar\nmetadata: {name: s, namespace: shop}\n";
    let folder = Folder::from_documents(&[("x.yaml", text)]);
    let found: Vec<_> =
        folder.objects().iter().map(|o| (o.kind(), o.name(), o.namespace(), o.line)).collect();
    assert_eq!(found, [("Service", "a", "default", 4), ("Sidecar", "s", "shop", 9)]);
}

#[test]
fn a_list_is_its_items() {
    let text = "kind: List\napiVersion: v1\nitems:\n- {kind: Service, metadata: {name: a}}\n- {kind: Service, metadata: {name: b}}\n";
    assert_eq!(Folder::from_documents(&[("x.yaml", text)]).services().len(), 2);
}

#[test]
fn ports_of_services_have_target_and_protocol() {
    let text = "kind: Service\nmetadata: {name: a}\nspec:\n  selector: {app: a}\n  ports:\n  - {port: 80, name: http-main, targetPort: 8080}\n  - {port: 81, name: x, appProtocol: grpc}\n  - {port: 82, name: y, targetPort: web}\n  - {port: 53, protocol: UDP}\n";
    let service = &Folder::from_documents(&[("x.yaml", text)]).services()[0];
    let ports: Vec<_> = service
        .ports
        .iter()
        .map(|p| (p.port, p.target, p.target_name.as_deref(), p.protocol.as_str()))
        .collect();
    assert_eq!(
        ports,
        [(80, Some(8080), None, "HTTP"), (81, Some(81), None, "GRPC"), (82, None, Some("web"), "")]
    );
    assert!(
        service.selects(
            "default",
            &[("app".to_owned(), "a".to_owned()), ("v".to_owned(), "1".to_owned())].into()
        )
    );
    assert!(!service.selects("shop", &[("app".to_owned(), "a".to_owned())].into()));
}

#[test]
fn a_folder_on_disk_is_read_without_hidden_files_and_mesh_yaml() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str| {
        std::fs::write(directory.path().join(name), "kind: Service\nmetadata: {name: a}\n").unwrap();
    };
    std::fs::create_dir(directory.path().join("sub")).unwrap();
    for name in ["a.yaml", "sub/b.yml", ".hidden.yaml", "mesh.yaml", "notes.txt"] {
        write(name);
    }
    let folder = Folder::read(directory.path());
    let files: Vec<_> = folder.objects().iter().map(|o| o.file.to_str().unwrap()).collect();
    assert_eq!(files, ["a.yaml", "sub/b.yml"]);
}
