//! Statuses of objects, as the leader writes them.

use std::collections::BTreeMap;
use std::time::Duration;

use config::Kind;
use controllers::status::{self, Board, Condition, Options, Target, Wanted};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use testkit::eventually;

use crate::cluster::{PATIENCE, control_plane, counting, create, shared};

fn objects(client: &Client, namespace: &str, group: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind), plural);
    Api::namespaced_with(client.clone(), namespace, &resource)
}

fn entry(name: &str) -> Value {
    json!({"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": name}, "spec": {"hosts": ["a"]}})
}

fn target(name: &str) -> Target {
    Target { kind: Kind::ServiceEntry, namespace: "status-shop".to_owned(), name: name.to_owned() }
}

fn bound(message: &str) -> Wanted {
    let condition = Condition { holds: true, reason: "Bound".to_owned(), message: message.to_owned() };
    Wanted::Conditions(BTreeMap::from([("istio.io/WaypointBound".to_owned(), Some(condition))]))
}

async fn until(
    api: &Api<DynamicObject>,
    name: &str,
    what: &str,
    is: impl Fn(&Value) -> bool,
) -> DynamicObject {
    let look = async || api.get(name).await.ok().filter(|object| is(&object.data["status"]));
    eventually(&format!("the status of {name}: {what}"), PATIENCE, look).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_writes_what_was_said_last_once_and_leaves_the_rest() {
    let server = shared().await;
    let admin = server.client().await.unwrap();
    let (client, writes) = counting(control_plane(&server, "status-istiod").await);
    create(&Api::<Namespace>::all(admin.clone()), json!({"metadata": {"name": "status-shop"}})).await;
    let api = objects(&admin, "status-shop", "networking.istio.io", "ServiceEntry", "serviceentries");
    for name in ["a", "b", "marker"] {
        create(&api, entry(name)).await;
    }
    let theirs = json!({"status": {"addresses": [{"value": "240.240.0.1", "host": "a"}]}});
    api.patch_status("a", &PatchParams::default(), &Patch::Merge(theirs)).await.unwrap();
    let count = |name: &str| writes.of(&format!("/serviceentries/{name}/status")).len();
    let message = |status: &Value| status["conditions"][0]["message"].as_str().unwrap_or_default().to_owned();
    // looked at after everything before it, for the queue is in order and there is one worker
    let marker = async |text: &str| {
        until(&api, "marker", text, |status| message(status) == text).await;
    };

    // said while nobody leads: only the last word is written, of two reporters in one write
    let board = Board::default();
    board.set(target("a"), "waypoints", 1, bound("to one"));
    board.set(target("a"), "waypoints", 1, bound("to two"));
    board.set(target("a"), "analysis", 1, Wanted::Messages(vec![json!({"level": "WARNING"})]));
    board.set(target("gone"), "waypoints", 1, bound("to nothing"));
    let start = || {
        let options = Options { workers: 1, quiet: Duration::ZERO, ..Options::default() };
        tokio::spawn(status::run(client.clone(), board.clone(), options))
    };
    let running = start();
    let written = until(&api, "a", "a condition and a message", |status| message(status) == "to two").await;
    let status = &written.data["status"];
    assert_eq!(status["validationMessages"], json!([{"level": "WARNING"}]));
    assert_eq!((&status["observedGeneration"], &status["addresses"][0]["host"]), (&json!("1"), &json!("a")));
    assert_eq!(count("a"), 1);

    // the same again, what is of another generation, and what is forgotten, makes no write
    board.set(target("a"), "waypoints", 1, bound("to two"));
    board.set(target("b"), "waypoints", 7, bound("to a generation there is not"));
    board.set(target("marker"), "waypoints", 1, bound("first"));
    marker("first").await;
    assert_eq!((count("a"), count("b"), count("gone")), (1, 0, 0));
    // somebody edits what stands there; asked to look, the leader puts it right
    let edited = json!({"status": {"conditions": []}});
    api.patch_status("a", &PatchParams::default(), &Patch::Merge(edited)).await.unwrap();
    board.set(target("a"), "waypoints", 1, bound("to two"));
    until(&api, "a", "the condition again", |status| message(status) == "to two").await;
    // withdrawn: the condition goes, the message and the addresses stay
    board.set(
        target("a"),
        "waypoints",
        1,
        Wanted::Conditions(BTreeMap::from([("istio.io/WaypointBound".to_owned(), None)])),
    );
    let withdrawn = until(&api, "a", "no condition", |status| status["conditions"] == json!([])).await;
    assert_eq!(withdrawn.data["status"]["validationMessages"], json!([{"level": "WARNING"}]));
    assert_eq!(count("a"), 3);

    // the next leader looks at everything and writes nothing
    board.forget(&target("b"), "waypoints");
    running.abort();
    let running = start();
    board.set(target("marker"), "waypoints", 1, bound("second"));
    marker("second").await;
    assert_eq!((count("a"), count("b"), count("marker")), (3, 0, 2));
    assert_eq!(api.get("a").await.unwrap().metadata.generation, Some(1), "{}", withdrawn.name_any());

    // what is not ours to write keeps nobody else waiting
    let services = objects(&admin, "status-shop", "networking.istio.io", "VirtualService", "virtualservices");
    create(
        &services,
        json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "v"}, "spec": {}}),
    )
    .await;
    board.set(Target { kind: Kind::VirtualService, ..target("v") }, "analysis", 1, bound("never"));
    board.set(target("marker"), "waypoints", 1, bound("third"));
    marker("third").await;
    assert_eq!(services.get("v").await.unwrap().data["status"], Value::Null);
    assert_eq!(writes.of("/virtualservices/v/status").len(), 1, "tried once");
    running.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_of_one_status_lose_nothing_of_each_other() {
    let server = shared().await;
    let client = server.client().await.unwrap();
    create(&Api::<Namespace>::all(client.clone()), json!({"metadata": {"name": "status-two"}})).await;
    let api = objects(&client, "status-two", "networking.istio.io", "ServiceEntry", "serviceentries");
    create(&api, entry("a")).await;
    let target = Target { namespace: "status-two".to_owned(), ..target("a") };
    let named = |name: &str, round: i32| {
        let condition = Condition { holds: true, reason: "R".to_owned(), message: round.to_string() };
        Wanted::Conditions(BTreeMap::from([(name.to_owned(), Some(condition))]))
    };
    let writers = ["One", "Two"].map(|name| {
        let board = Board::default();
        (name, board.clone(), tokio::spawn(status::run(client.clone(), board, Options::default())))
    });
    for round in 0..20 {
        for (name, board, _) in &writers {
            board.set(target.clone(), "test", 1, named(name, round));
        }
        tokio::task::yield_now().await;
    }
    until(&api, "a", "both have the last word", |status| {
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        conditions.len() == 2 && conditions.iter().all(|condition| condition["message"] == "19")
    })
    .await;
    writers.into_iter().for_each(|(_, _, running)| running.abort());
}
