//! Pods that really run: they reach each other and this machine, two tests do not meet, and nothing of them remains.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use testkit::get;
use testkit::node::{Network, RunningPod};

fn pod(name: &str, address: Ipv4Addr) -> Pod {
    let pod = json!({
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"containers": [{"name": "app", "ports": [{"containerPort": 8080}]}]},
        "status": {"podIP": address},
    });
    serde_json::from_value(pod).unwrap()
}

fn bridge(network: &Network) -> String {
    format!("/sys/class/net/mlt{}", network.host().octets()[1] - 64)
}

fn namespaces(network: &Network) -> Vec<String> {
    let prefix = format!("mlt{}-", network.host().octets()[1] - 64);
    let entries = std::fs::read_dir("/run/netns").unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(&prefix)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_pods_reach_each_other_and_their_network_ends_with_them() {
    let (network, another) = (Network::claim().unwrap(), Network::claim().unwrap());
    assert_ne!(network.host(), another.host(), "two tests at a time");
    let [at_a, at_b] = [1, 2].map(|node| network.pods(node).hosts().nth(1).unwrap());
    let a = RunningPod::start(&network, &pod("a", at_a)).await.unwrap();
    let b = RunningPod::start(&network, &pod("b", at_b)).await.unwrap();

    let answer = a.get(SocketAddrV4::new(at_b, 8080), "b.shop", "/hello").await.unwrap();
    let said: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((answer.status, &said["pod"], &said["path"]), (200, &json!("b"), &json!("/hello")));
    assert_eq!(said["headers"]["host"], "b.shop");
    let of_machine = get(&format!("http://{at_a}:8080/"), &[]).unwrap();
    assert!(of_machine.body.contains(r#""pod":"a""#), "{of_machine:?}");
    assert!(a.get(SocketAddrV4::new(at_b, 8081), "b.shop", "/").await.is_err(), "nobody listens there");

    let stranger = RunningPod::start(&another, &pod("c", at_a)).await.unwrap_err();
    assert!(stranger.to_string().contains("Network::pods"), "{stranger}");

    assert_eq!(namespaces(&network).len(), 2);
    drop(a);
    assert_eq!(namespaces(&network).len(), 1);
    let path = bridge(&network);
    drop(network);
    assert!(Path::new(&path).exists(), "a pod is left in it");
    drop(b);
    assert!(!Path::new(&path).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_a_panic_ends_leaves_nothing() {
    let network = Network::claim().unwrap();
    let watched = network.clone();
    let failing = tokio::spawn(async move {
        let at = network.pods(1).hosts().nth(1).unwrap();
        let _pod = RunningPod::start(&network, &pod("a", at)).await.unwrap();
        assert_eq!(namespaces(&network).len(), 0, "this test fails with a pod running");
    });
    assert!(failing.await.unwrap_err().is_panic());
    assert_eq!(namespaces(&watched), Vec::<String>::new());
}
