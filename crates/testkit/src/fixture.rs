//! YAML in, a mesh out.

use std::sync::Arc;

use config::Object;
use mesh::settings::Settings;
use mesh::{Batch, Mesh};

/// The cluster that objects belong to where a test does not say otherwise.
pub const CLUSTER: &str = "Kubernetes";

/// The objects of a text.
///
/// # Panics
/// On any problem in the text: a mistake in a fixture fails the test that uses it.
#[must_use]
pub fn objects(yaml: &str) -> Vec<Object> {
    let decoded = config::decode::documents("fixture.yaml", yaml);
    assert!(decoded.problems.is_empty(), "the fixture has problems: {:#?}", decoded.problems);
    decoded.objects
}

/// The built-in settings with a MeshConfig (YAML, may be empty) over them.
///
/// # Panics
/// On any problem in the MeshConfig.
#[must_use]
#[expect(clippy::expect_used, reason = "a mistake in a fixture fails the test that uses it")]
pub fn settings(mesh_config: &str) -> Settings {
    let base = config::mesh::default_mesh_config();
    let applied = config::mesh::apply_mesh_config(&base, "mesh.yaml", mesh_config);
    let (mesh, problems) = applied.expect("the MeshConfig can be read");
    assert!(problems.is_empty(), "the MeshConfig has problems: {problems:#?}");
    Settings { mesh: Arc::new(mesh), ..Settings::default() }
}

/// A batch that puts all objects of a text.
#[must_use]
pub fn batch(yaml: &str) -> Batch {
    let mut batch = Batch::default();
    for object in objects(yaml) {
        batch.put(&CLUSTER.into(), object);
    }
    batch
}

/// A mesh of these objects with the built-in settings.
#[must_use]
pub fn mesh(yaml: &str) -> Mesh {
    mesh_with(settings(""), yaml)
}

/// A mesh of these objects with these settings.
///
/// # Panics
/// If a stage of the mesh panics, or two make the same row.
#[must_use]
pub fn mesh_with(settings: Settings, yaml: &str) -> Mesh {
    let mut mesh = Mesh::new(settings);
    let story = mesh.commit(batch(yaml));
    assert!(story.panics.is_empty() && story.conflicts.is_empty(), "{story:?}");
    mesh
}
