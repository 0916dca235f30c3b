//! Which other clusters a control plane is in charge of.

use controllers::charge::Charge;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Client;
use kube::api::Api;
use serde_json::json;
use tokio::sync::watch;

use crate::cluster::{breakable, create, shared};

fn charge(client: &Client, namespace: &str, own: &str, named: bool) -> Charge {
    let (namespace, own, roots) =
        (namespace.to_owned(), own.to_owned(), watch::channel("first\nsecond\n".to_owned()).1);
    Charge { client: client.clone(), namespace, own, named, roots }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_says_itself_in_whose_charge_it_is() {
    let server = shared().await;
    let admin = server.client().await.unwrap();
    for (name, clusters) in
        [("charge-none", None), ("charge-two", Some("one,two")), ("charge-all", Some("*"))]
    {
        let annotations =
            clusters.map(|clusters| json!({"topology.istio.io/controlPlaneClusters": clusters}));
        let metadata = json!({"name": name, "annotations": annotations});
        create(&Api::<Namespace>::all(admin.clone()), json!({"metadata": metadata})).await;
    }
    let asked = [
        ("charge-none", "two"),
        ("charge-two", "two"),
        ("charge-two", "three"),
        ("charge-all", "three"),
        ("charge-gone", "two"),
    ];
    let mut answers = Vec::new();
    for (namespace, own) in asked {
        answers.push(charge(&admin, namespace, own, true).is_ours().await);
    }
    assert_eq!(answers, [false, true, false, true, false]);

    // who does not answer is asked until it does
    let (client, cut) = breakable(server.config().await.unwrap());
    cut.send_replace(true);
    let asked = charge(&client, "charge-two", "two", true);
    let mut asking = std::pin::pin!(asked.is_ours());
    let early = tokio::time::timeout(std::time::Duration::from_millis(300), &mut asking).await;
    assert!(early.is_err(), "nobody has answered");
    cut.send_replace(false);
    assert!(asking.await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_need_not_be_named_is_ours_unless_it_has_another_root() {
    let server = shared().await;
    let admin = server.client().await.unwrap();
    let authorities = [
        ("alone", None),
        ("plugged", Some(("cacerts", json!({"root-cert.pem": "third\n"})))),
        ("shared", Some(("cacerts", json!({"ca-cert.pem": "between\n", "root-cert.pem": "second\n"})))),
        ("signed", Some(("istio-ca-secret", json!({"ca-cert.pem": "third\n"})))),
        ("empty", Some(("cacerts", json!({})))),
    ];
    for (name, authority) in authorities {
        create(&Api::<Namespace>::all(admin.clone()), json!({"metadata": {"name": name}})).await;
        if let Some((secret, data)) = authority {
            let secrets = Api::<Secret>::namespaced(admin.clone(), name);
            create(&secrets, json!({"metadata": {"name": secret}, "stringData": data})).await;
        }
    }
    let mut answers = Vec::new();
    for namespace in ["alone", "plugged", "shared", "signed", "empty", "not-there"] {
        answers.push(charge(&admin, namespace, "one", false).is_ours().await);
    }
    assert_eq!(answers, [true, false, true, false, false, true]);
}
