//! A folder and a cluster are two sources of the same facts: what is applied to an API server is what stands in the files.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::{Kind, Meta, Object, Origin};
use sources::files::{Folder, Root};
use testkit::api_server::{ApiServer, objects};

use crate::mirror::*;

/// One of every kind that has something to lose on the way: ports by name, statuses, both families, many versions.
const MESH: &str = include_str!("same.yaml");

/// What an API server adds to every object, and where it says that an object stands.
fn bare(object: &Object) -> Object {
    let meta = Meta {
        creation: 0,
        uid: String::new(),
        resource_version: String::new(),
        generation: 0,
        origin: Origin::default(),
        ..(*object.meta).clone()
    };
    Object { meta: Arc::new(meta), ..object.clone() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_applied_is_what_stands_in_the_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mesh.yaml"), MESH).unwrap();
    let root = Root { path: folder.path().to_owned(), generated: false };
    let mut files = Folder::new(vec![root], "one".into());
    let look = files.look(None).unwrap();
    assert!(files.take(look).problems.iter().all(|problem| !problem.is_error()));

    let server = ApiServer::start().await.unwrap();
    let client = server.client().await.unwrap();
    let written = objects::apply(&client, MESH).await.unwrap();
    let mut mirror = Mirror::of(client.clone(), options()).await;
    let written_kinds: BTreeMap<Kind, usize> = files.objects().fold(BTreeMap::new(), |mut all, object| {
        *all.entry(object.kind()).or_default() += 1;
        all
    });
    assert!(written_kinds.len() >= 20, "{written_kinds:?}");
    for object in files.objects() {
        let meta = &object.meta;
        let served = mirror.get("one", object.kind(), &meta.namespace, &meta.name);
        let served = served.unwrap_or_else(|| panic!("{meta} was not read from the API server"));
        assert_eq!(bare(served), bare(object), "{meta}");
    }
    written.remove(&client).await.unwrap();
    mirror
        .until("all of it is gone", |m| !m.objects.keys().any(|(_, _, namespace, _)| namespace == "shop"))
        .await;
}
