//! Events of Kubernetes, as they stand in the cluster.

use controllers::notices::{self, Notices, Regarding, Topic};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams};
use serde_json::json;
use testkit::eventually;

use crate::cluster::{PATIENCE, control_plane, counting, create, shared};

fn topic(name: &str, uid: &str) -> Topic {
    let regarding = Regarding {
        api_version: "v1".to_owned(),
        kind: "Secret".to_owned(),
        namespace: "notice-shop".to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
    };
    Topic { regarding, reason: "Refused", part: String::new() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_about_the_same_object_is_one_event_whoever_says_it() {
    let server = shared().await;
    let admin = server.client().await.unwrap();
    create(&Api::<Namespace>::all(admin.clone()), json!({"metadata": {"name": "notice-shop"}})).await;
    let secrets: Api<Secret> = Api::namespaced(admin.clone(), "notice-shop");
    let secret = create(&secrets, json!({"metadata": {"name": "s"}})).await;
    let topic = |name: &str| topic(name, secret.metadata.uid.as_deref().unwrap());
    let events: Api<Event> = Api::namespaced(admin.clone(), "notice-shop");
    let of = |name: &str| ListParams::default().fields(&format!("regarding.name={name}"));
    let count = async |name: &str, wanted: i32| {
        let look = async || {
            let all = events.list(&of(name)).await.ok()?.items;
            let told = all.first().map(|event| event.series.as_ref().map_or(1, |series| series.count));
            (told == Some(wanted)).then_some(all)
        };
        eventually(&format!("{name} is told {wanted} times"), PATIENCE, look).await.unwrap()
    };

    // told before anybody writes: it is written once somebody does
    let notices = Notices::default();
    notices.tell(topic("s"), &"ä".repeat(2000));
    notices.tell(topic("right again"), "wrong");
    notices.withdraw(&topic("right again"));
    let one = tokio::spawn(notices::run(admin.clone(), notices.clone(), "one".to_owned()));
    let written = count("s", 1).await;
    let event = &written[0];
    assert_eq!((event.reason.as_deref(), event.type_.as_deref()), (Some("Refused"), Some("Warning")));
    assert_eq!(event.reporting_instance.as_deref(), Some("one"));
    assert_eq!(event.regarding.as_ref().unwrap().uid, secret.metadata.uid);
    assert!(event.note.as_ref().is_some_and(|note| note.len() == 1000), "as much of it as the API takes");

    // the same again, by another process too
    notices.tell(topic("s"), &"ä".repeat(2000));
    assert_eq!(count("s", 2).await.len(), 1);
    one.abort();
    let others = Notices::default();
    let two = tokio::spawn(notices::run(admin.clone(), others.clone(), "two".to_owned()));
    others.tell(topic("s"), &"ä".repeat(2000));
    others.tell(topic("marker"), "seen behind it");
    count("marker", 1).await;
    assert_eq!(events.list(&of("s")).await.unwrap().items.len(), 1);
    assert!(events.list(&of("right again")).await.unwrap().items.is_empty());
    two.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_to_write_events_none_is_tried_twice() {
    let server = shared().await;
    let (client, writes) = counting(control_plane(&server, "notice-istiod").await);
    let notices = Notices::default();
    for name in ["a", "b"] {
        let mut topic = topic(name, "");
        topic.regarding.namespace = "notice-istiod".to_owned();
        notices.tell(topic, "wrong");
    }
    let running = tokio::spawn(notices::run(client, notices.clone(), "one".to_owned()));
    let tried = async || (writes.of("/events").len() == 2).then_some(());
    eventually("both are tried", PATIENCE, tried).await.unwrap();
    let mut marker = topic("c", "");
    marker.regarding.namespace = "notice-istiod".to_owned();
    notices.tell(marker, "wrong");
    eventually("what comes later", PATIENCE, async || (writes.of("/events").len() > 2).then_some(()))
        .await
        .unwrap();
    assert_eq!(writes.of("/events").len(), 3, "each once");
    running.abort();
}
