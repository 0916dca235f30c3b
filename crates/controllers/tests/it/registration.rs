//! Workloads outside of Kubernetes come, go, move and fall ill.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use controllers::registration::{Health, Identity, Options, Refused, Registrar, Role, Workload};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind};
use kube::{Client, ResourceExt as _};
use process::clock::{Clock as _, Virtual};
use process::metrics::Metrics;
use serde_json::{Value, json};
use testkit::api_server::ApiServer;
use testkit::eventually;
use tokio::task::JoinHandle;

use crate::cluster::{PATIENCE, Writes, control_plane, counting, create, shared};

const CONTROLLER: &str = "istio.io/workloadController";
const LEFT: &str = "istio.io/disconnectedAt";
/// By the clock of the instances, which goes when a test says so.
const GRACE: Duration = Duration::from_secs(5);

/// A cluster with a namespace of workloads, as an administrator sees it.
struct Mesh {
    entries: Api<DynamicObject>,
    groups: Api<DynamicObject>,
}

impl Mesh {
    async fn of(admin: &Client, namespace: &str) -> Self {
        create(&Api::<Namespace>::all(admin.clone()), json!({"metadata": {"name": namespace}})).await;
        let api = |kind: &str, plural: &str| {
            let kind = GroupVersionKind::gvk("networking.istio.io", "v1", kind);
            let resource = ApiResource::from_gvk_with_plural(&kind, plural);
            Api::namespaced_with(admin.clone(), namespace, &resource)
        };
        Self {
            entries: api("WorkloadEntry", "workloadentries"),
            groups: api("WorkloadGroup", "workloadgroups"),
        }
    }

    async fn group(&self, name: &str) -> DynamicObject {
        let template = json!({"template": {"serviceAccount": "db", "labels": {"app": "db"}}});
        let kind = json!({"apiVersion": "networking.istio.io/v1", "kind": "WorkloadGroup"});
        let mut group = kind;
        group["metadata"] = json!({"name": name});
        group["spec"] = template;
        create(&self.groups, group).await
    }

    async fn entry(&self, name: &str, annotations: Value) {
        let entry = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry",
            "metadata": {"name": name, "annotations": annotations}, "spec": {"address": "10.9.9.9"},
        });
        create(&self.entries, entry).await;
    }

    /// Waits until an entry is so.
    async fn until(&self, name: &str, what: &str, is: impl Fn(&DynamicObject) -> bool) -> DynamicObject {
        let look = async || self.entries.get_opt(name).await.ok().flatten().filter(|entry| is(entry));
        eventually(&format!("{name} {what}"), PATIENCE, look).await.unwrap()
    }

    async fn until_gone(&self, name: &str) {
        let look = async || self.entries.get_opt(name).await.ok()?.is_none().then_some(());
        eventually(&format!("{name} is gone"), PATIENCE, look).await.unwrap();
    }
}

/// One instance of the control plane.
struct Instance {
    registrar: Registrar,
    writes: Writes,
    metrics: Metrics,
    running: JoinHandle<()>,
}

impl Instance {
    fn start(config: kube::Config, name: &str, hands: &Virtual) -> Self {
        let (client, writes) = counting(config);
        let metrics = Metrics::new();
        let options = Options { grace: GRACE, clock: Arc::new(hands.clone()), ..Options::new(name) };
        let registrar = Registrar::new(client, options, &metrics);
        let running = tokio::spawn(registrar.clone().run());
        Self { registrar, writes, metrics, running }
    }

    /// Methods of its writes about an entry.
    fn wrote(&self, name: &str) -> Vec<String> {
        let paths = self.writes.of("/workloadentries");
        let of_entry = |write: &&String| write.contains(&format!("/{name}")) || write.starts_with("POST");
        paths.iter().filter(of_entry).map(|write| write.split(' ').next().unwrap().to_owned()).collect()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.running.abort();
    }
}

fn vm(namespace: &str, address: &str) -> Workload {
    let identity = Identity { namespace: namespace.to_owned(), service_account: "db".to_owned() };
    Workload {
        proxy: format!("vm-{address}.{namespace}"),
        namespace: namespace.to_owned(),
        address: address.to_owned(),
        is_probed: true,
        identity: Some(identity),
        ..Workload::default()
    }
}

fn member(group: &str) -> Role {
    Role::Member(group.to_owned())
}

fn health(is_healthy: bool, at: SystemTime) -> Health {
    Health { is_healthy, message: "connection refused".to_owned(), at }
}

/// A clock that stands still.
fn clock() -> Virtual {
    Virtual::new(SystemTime::now())
}

fn says_of_health(entry: &DynamicObject) -> Option<String> {
    let conditions = entry.data["status"]["conditions"].as_array()?;
    Some(conditions.iter().find(|condition| condition["type"] == "Healthy")?["status"].as_str()?.to_owned())
}

fn has_left(entry: &DynamicObject) -> bool {
    entry.annotations().contains_key(LEFT)
}

fn is_of(entry: &DynamicObject, instance: &str) -> bool {
    entry.annotations().get(CONTROLLER).is_some_and(|controller| controller == instance)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_of_a_group_has_an_entry_while_it_is_connected_anywhere_and_a_grace_longer() {
    let server = shared().await;
    let mesh = Mesh::of(&server.client().await.unwrap(), "vms").await;
    let config = control_plane(&server, "vms-istiod").await;
    let hands = clock();
    let a = Instance::start(config.clone(), "istiod-a", &hands);
    let b = Instance::start(config, "istiod-b", &hands);
    let now = || {
        hands.advance(Duration::from_millis(1));
        hands.now()
    };

    let early = a.registrar.connect(member("db"), vm("vms", "10.0.0.1"), now()).await;
    assert!(matches!(early.err(), Some(Refused::Precondition(why)) if why.contains("WorkloadGroup vms/db")));
    let group = mesh.group("db").await;
    let stranger = Workload { identity: None, ..vm("vms", "10.0.0.1") };
    let refused = a.registrar.connect(member("db"), stranger, now()).await;
    assert!(matches!(refused.err(), Some(Refused::Denied(_))));
    assert!(a.writes.of("").is_empty());

    let on_a = a.registrar.connect(member("db"), vm("vms", "10.0.0.1"), now()).await.unwrap().unwrap();
    let name = on_a.entry().to_owned();
    assert_eq!(name, "db-10.0.0.1");
    let made = mesh.entries.get(&name).await.unwrap();
    assert!(is_of(&made, "istiod-a"));
    assert_eq!(
        (&made.data["spec"]["address"], &made.labels()["app"]),
        (&json!("10.0.0.1"), &"db".to_owned())
    );
    assert_eq!(made.owner_references()[0].uid, group.uid().unwrap());

    // it moves to another instance, whose word then counts
    let on_b = b.registrar.connect(member("db"), vm("vms", "10.0.0.1"), now()).await.unwrap().unwrap();
    on_a.report(health(false, now()));
    drop(on_a);
    on_b.report(health(true, now()));
    let moved =
        mesh.until(&name, "is healthy", |entry| says_of_health(entry).as_deref() == Some("True")).await;
    assert!(is_of(&moved, "istiod-b") && !moved.annotations().contains_key(LEFT));
    on_b.report(health(false, now()));
    mesh.until(&name, "is ill", |entry| says_of_health(entry).as_deref() == Some("False")).await;
    on_b.report(health(false, now()));

    // it leaves and is back in time; another one that leaves later and for good is gone meanwhile
    drop(on_b);
    mesh.until(&name, "has left", has_left).await;
    let back = b.registrar.connect(member("db"), vm("vms", "10.0.0.1"), now()).await.unwrap().unwrap();
    let brief = b.registrar.connect(member("db"), vm("vms", "10.0.0.2"), now()).await.unwrap().unwrap();
    drop(brief);
    mesh.until("db-10.0.0.2", "has left", has_left).await;
    hands.advance(GRACE);
    mesh.until_gone("db-10.0.0.2").await;
    let stayed = mesh.entries.get(&name).await.unwrap();
    assert!(is_of(&stayed, "istiod-b") && !stayed.annotations().contains_key(LEFT));
    drop(back);
    mesh.until(&name, "has left", has_left).await;
    hands.advance(GRACE);
    mesh.until_gone(&name).await;

    assert_eq!(a.wrote(&name), ["POST"], "the entry; nothing when it had moved");
    let of_b = b.wrote(&name);
    assert_eq!(
        of_b,
        ["PUT", "PUT", "PUT", "PUT", "PUT", "POST", "PUT", "DELETE"],
        "moved, well, ill, left, back, left, gone"
    );
    // counted when the API server has answered, which may be after the entry was seen to be gone
    let counted = [
        "auto_registration_success_total 1",
        "auto_registration_updates_total 2",
        "auto_registration_unregister_total 3",
        "auto_registration_deletes_total 2",
        "auto_registration_errors_total 0",
    ];
    let look = async || {
        let counts = b.metrics.render();
        counted.iter().all(|line| counts.lines().any(|shown| shown == *line)).then_some(())
    };
    let looked = eventually("everything is counted", PATIENCE, look).await;
    assert!(looked.is_ok(), "{}", b.metrics.render());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_connected_gets_its_entry_again_and_what_dead_instances_left_is_cleaned_up() {
    // what it finds of dead instances, any instance of the cluster would clean up
    let server = ApiServer::start().await.unwrap();
    let mesh = Mesh::of(&server.client().await.unwrap(), "late").await;
    let hands = clock();
    let instance = Instance::start(control_plane(&server, "late-istiod").await, "istiod", &hands);
    mesh.group("db").await;
    let connection = instance.registrar.connect(member("db"), vm("late", "10.0.0.1"), hands.now()).await;
    let connection = connection.unwrap().unwrap();
    let name = connection.entry();
    let first = mesh.entries.get(name).await.unwrap();
    // deleted by somebody, then with its group, which comes back
    mesh.entries.delete(name, &DeleteParams::default()).await.unwrap();
    let second = mesh.until(name, "is made again", |entry| entry.uid() != first.uid()).await;
    mesh.groups.delete("db", &DeleteParams::default()).await.unwrap();
    mesh.entries.delete(name, &DeleteParams::default()).await.unwrap();
    let group = mesh.group("db").await;
    let third = mesh
        .until(name, "is of the new group", |entry| entry.owner_references()[0].uid == group.uid().unwrap());
    let third = third.await;
    assert_ne!(third.uid(), second.uid());

    let left = |ago: Duration| {
        let at = jiff::Timestamp::try_from(hands.now() - ago).unwrap().to_string();
        json!({"istio.io/autoRegistrationGroup": "db", CONTROLLER: "istiod-dead", LEFT: at})
    };
    mesh.entry("recent", left(GRACE * 2)).await;
    mesh.entry("own", json!({})).await;
    mesh.entry("old", left(GRACE * 12)).await;
    mesh.until_gone("old").await;
    assert!(mesh.entries.get_opt("recent").await.unwrap().is_some(), "its own instance comes first");
    assert!(mesh.entries.get_opt("own").await.unwrap().is_some());
    assert!(mesh.entries.get_opt(name).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_author_s_entry_gets_the_health_of_the_workload_behind_it_and_loses_it_with_the_workload() {
    let server = shared().await;
    let mesh = Mesh::of(&server.client().await.unwrap(), "behind").await;
    let hands = clock();
    let instance = Instance::start(control_plane(&server, "behind-istiod").await, "istiod-c", &hands);
    let connect = async |entry: &str| {
        let role = Role::Behind(entry.to_owned());
        instance.registrar.connect(role, vm("behind", "10.9.9.9"), hands.now()).await
    };
    assert!(
        matches!(connect("none").await.err(), Some(Refused::Precondition(why)) if why.contains("behind/none"))
    );
    mesh.entry("plain", json!({})).await;
    assert!(connect("plain").await.unwrap().is_none(), "it does not ask for health");
    assert!(instance.writes.of("").is_empty());

    mesh.entry("checked", json!({"proxy.istio.io/health-checks-enabled": "true"})).await;
    let connection = connect("checked").await.unwrap().unwrap();
    connection.report(health(false, hands.now()));
    mesh.until("checked", "is ill", |entry| says_of_health(entry).as_deref() == Some("False")).await;
    drop(connection);
    mesh.until("checked", "has left", has_left).await;
    hands.advance(GRACE);
    mesh.until("checked", "is of nobody", |entry| has_left(entry) && says_of_health(entry).is_none()).await;
    assert_eq!(instance.wrote("checked"), ["PUT", "PUT", "PUT", "PUT"], "here, ill, left, unknown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_stays_connected_whose_registration_nobody_waited_for() {
    let server = shared().await;
    let mesh = Mesh::of(&server.client().await.unwrap(), "hasty").await;
    let hands = clock();
    let instance = Instance::start(control_plane(&server, "hasty-istiod").await, "istiod-d", &hands);
    mesh.group("db").await;
    let connecting = instance.registrar.connect(member("db"), vm("hasty", "10.0.0.1"), hands.now());
    // begun, and given up
    assert!(futures_util::FutureExt::now_or_never(connecting).is_none());
    mesh.until("db-10.0.0.1", "has left", has_left).await;

    let connecting = instance.registrar.connect(member("db"), vm("hasty", "10.0.0.2"), hands.now());
    let connection = connecting.await.unwrap().unwrap();
    let settled = instance.registrar.settled();
    assert!(futures_util::FutureExt::now_or_never(settled).is_none(), "it is connected");
    drop(connection);
    tokio::time::timeout(PATIENCE, instance.registrar.settled()).await.unwrap();
    let left = mesh.entries.get("db-10.0.0.2").await.unwrap();
    assert!(left.annotations().contains_key(LEFT), "{left:?}");
}
