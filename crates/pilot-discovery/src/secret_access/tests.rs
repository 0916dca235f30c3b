//! What becomes of a right when the API server says so, and when it says nothing.

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Client;
use serde_json::{Value, json};
use testkit::api_server::ApiServer;
use testkit::eventually;
use tokio::sync::mpsc;

use super::*;

fn object<T: serde::de::DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap()
}

/// One cluster.
struct One(Client);

impl Reviewers for One {
    fn client(&self, cluster: &str) -> Option<Client> {
        (cluster == "one").then(|| self.0.clone())
    }

    fn clusters(&self) -> Vec<String> {
        vec!["one".to_owned()]
    }
}

fn account(cluster: &str) -> Account {
    Account { cluster: cluster.into(), namespace: "shop".into(), name: "gw".into() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_is_what_was_said_last_and_is_followed_as_long_as_it_is_held() {
    let mut server = ApiServer::start().await.unwrap();
    let client = server.client().await.unwrap();
    let post = PostParams::default();
    let space = object(json!({"metadata": {"name": "shop"}}));
    Api::<Namespace>::all(client.clone()).create(&post, &space).await.unwrap();
    let (told, mut changes) = mpsc::unbounded_channel();
    let aliases = [("uno".to_owned(), "one".to_owned())].into();
    let changed: Changed = Box::new(move |account| drop(told.send(account.clone())));
    let pace = Duration::from_millis(100);
    let access = SecretAccess::new(Arc::new(One(client.clone())), aliases, pace, &Metrics::new(), changed);
    let count = |result: &'static str| access.0.reviews.get_or_create(&[("result", result)]).get();
    let more = async |result: &'static str| {
        let before = count(result);
        let said =
            eventually(result, Duration::from_secs(60), async || (count(result) > before).then_some(()));
        said.await.unwrap();
    };

    let right = access.right_of(&account("uno"));
    let nowhere = access.right_of(&account("elsewhere"));
    assert!(!right.is_given(), "before anybody said so");
    assert!(Arc::ptr_eq(&right, &access.right_of(&account("uno"))), "asked once for all");
    more("denied").await;

    let roles: Api<Role> = Api::namespaced(client.clone(), "shop");
    let rules = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}]);
    roles.create(&post, &object(json!({"metadata": {"name": "r"}, "rules": rules}))).await.unwrap();
    let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), "shop");
    let binding = json!({
        "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "gw", "namespace": "shop"}],
    });
    bindings.create(&post, &object(binding)).await.unwrap();
    assert_eq!(changes.recv().await, Some(account("uno")));
    assert!(right.is_given());
    more("denied").await;
    assert!(!nowhere.is_given(), "a cluster that is not known gives no rights");

    server.kill();
    more("failed").await;
    assert!(right.is_given(), "an API server that is away takes nothing away");
    assert!(changes.try_recv().is_err());

    drop((right, nowhere));
    let gone = || access.0.rights.lock().values().all(|right| right.strong_count() == 0);
    assert!(gone(), "nobody is asked about what nobody holds");
}
