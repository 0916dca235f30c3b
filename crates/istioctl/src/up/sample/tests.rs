//! The sample is whole, and edits survive.

use super::{FILES, remove_if_unedited, write};
use crate::up::folder::Folder;
use crate::up::paths::Paths;

#[test]
fn the_sample_has_services_accounts_workloads_and_strict_mutual_tls() {
    let folder = Folder::from_documents(&FILES);
    let names: Vec<String> = folder.services().into_iter().map(|s| s.name).collect();
    assert_eq!(names, ["details", "ratings", "reviews", "productpage"]);
    assert_eq!(folder.of_kind("ServiceAccount").count(), 4);
    assert_eq!(folder.of_kind("DestinationRule").count(), 4);
    let strict = folder.of_kind("PeerAuthentication").next().unwrap();
    assert_eq!(
        (strict.namespace(), &strict.value["spec"]["mtls"]["mode"]),
        ("istio-system", &"STRICT".into())
    );
    let directory = tempfile::tempdir().unwrap();
    let paths = Paths::new(directory.path(), None);
    let mesh = crate::up::meshfile::read(&write(&paths).unwrap()).unwrap();
    assert_eq!(mesh.workloads.len(), 6);
    for mut workload in mesh.workloads {
        workload.complete(&folder);
        assert!(
            folder.services().iter().any(|s| s.selects("default", &workload.labels)),
            "{}",
            workload.name
        );
    }
}

#[test]
fn an_unedited_sample_goes_and_an_edited_one_stays() {
    let directory = tempfile::tempdir().unwrap();
    let paths = Paths::new(directory.path(), None);
    let folder = write(&paths).unwrap();
    std::fs::write(folder.join("reviews.yaml"), "# mine\n").unwrap();
    write(&paths).unwrap();
    remove_if_unedited(&paths);
    assert_eq!(std::fs::read_to_string(folder.join("reviews.yaml")).unwrap(), "# mine\n");
    std::fs::remove_dir_all(&folder).unwrap();
    write(&paths).unwrap();
    remove_if_unedited(&paths);
    assert!(!folder.exists());
}
