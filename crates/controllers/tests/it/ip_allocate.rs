//! Addresses in the status of ServiceEntries.

use std::collections::BTreeSet;

use controllers::ip_allocate::{IpAllocator, Options};
use controllers::namespaces::Scope;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use testkit::eventually;
use tokio::sync::watch;

use crate::cluster::{PATIENCE, control_plane, counting, create, shared};

fn entries(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("networking.istio.io", "v1", "ServiceEntry");
    let resource = ApiResource::from_gvk_with_plural(&kind, "serviceentries");
    Api::namespaced_with(client.clone(), namespace, &resource)
}

fn entry(name: &str, hosts: &[&str]) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": name},
        "spec": {"hosts": hosts, "resolution": "DNS", "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}]},
    })
}

fn addresses(entry: &DynamicObject) -> BTreeSet<(String, String)> {
    let list = entry.data["status"]["addresses"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    list.iter().map(|address| (text(&address["host"]), text(&address["value"]))).collect()
}

/// Waits until the status of an entry has addresses of which `is` holds.
async fn until(
    api: &Api<DynamicObject>,
    name: &str,
    what: &str,
    is: impl Fn(&BTreeSet<(String, String)>) -> bool,
) -> BTreeSet<(String, String)> {
    let look = async || api.get(name).await.ok().map(|entry| addresses(&entry)).filter(|found| is(found));
    eventually(&format!("{name}: {what}"), PATIENCE, look).await.unwrap()
}

async fn merge(api: &Api<DynamicObject>, name: &str, patch: Value) {
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_get_addresses_once_and_conflicts_are_the_younger_one_s() {
    let server = shared().await;
    let admin = server.client().await.unwrap();
    let (client, writes) = counting(control_plane(&server, "vips-istiod").await);
    create(&Api::<Namespace>::all(admin.clone()), json!({"metadata": {"name": "vips"}})).await;
    let api = entries(&admin, "vips");
    let (_all, selectors) = watch::channel(Vec::new());
    let start = || {
        let scope = Scope::selected(selectors.clone());
        let options = Options::new("240.240.0.0/16", "2001:2::/48", scope).unwrap();
        tokio::spawn(IpAllocator::new(client.clone(), options).run())
    };
    // what a status has besides addresses stays; these addresses are of an allocator before us
    create(&api, entry("older", &["o.com"])).await;
    let status = json!({"status": {
        "addresses": [{"value": "240.240.0.1", "host": "o.com"}, {"value": "2001:2::1", "host": "o.com"}],
        "conditions": [{"type": "Reconciled", "status": "True"}],
    }});
    api.patch_status("older", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    let running = start();
    create(&api, entry("a", &["a.com", "b.com", "*.c.com"])).await;
    let given = until(&api, "a", "two hosts have two addresses each", |found| found.len() == 4).await;
    let of = |host: &str| given.iter().filter(|(named, _)| named == host).count();
    assert_eq!((of("a.com"), of("b.com")), (2, 2));
    assert!(given.iter().all(|(_, ip)| !["240.240.0.1", "2001:2::1"].contains(&ip.as_str())), "{given:?}");

    // another host, and the first ones keep what they have
    merge(&api, "a", json!({"spec": {"hosts": ["a.com", "b.com", "d.com"]}})).await;
    let more = until(&api, "a", "three hosts have addresses", |found| found.len() == 6).await;
    assert!(more.is_superset(&given));
    // an edit of something else
    merge(&api, "a", json!({"metadata": {"labels": {"team": "one"}}})).await;
    let count = |name: &str| writes.of(&format!("/vips/serviceentries/{name}/status")).len();
    assert_eq!((count("older"), count("a")), (0, 2), "{:?}", writes.of("/vips/"));

    // an author takes an address of an older entry, which gets others
    let mut own = entry("own", &["own.com"]);
    own["spec"]["addresses"] = json!(["240.240.0.1"]);
    create(&api, own).await;
    let moved = until(&api, "older", "its address is another", |found| {
        found.iter().all(|(_, ip)| ip != "240.240.0.1")
    });
    let moved = moved.await;
    assert_eq!(moved.len(), 2);
    assert_eq!(api.get("older").await.unwrap().data["status"]["conditions"][0]["type"], "Reconciled");
    // somebody writes an older entry's address into a younger one's status
    create(&api, entry("younger", &["y.com"])).await;
    until(&api, "younger", "it has addresses", |found| found.len() == 2).await;
    let stolen = moved.iter().map(|(_, ip)| json!({"value": ip, "host": "y.com"})).collect::<Vec<_>>();
    let stolen = json!({"status": {"addresses": stolen}});
    api.patch_status("younger", &PatchParams::default(), &Patch::Merge(&stolen)).await.unwrap();
    let ips =
        |found: &BTreeSet<(String, String)>| found.iter().map(|(_, ip)| ip.clone()).collect::<BTreeSet<_>>();
    let theirs = ips(&moved);
    until(&api, "younger", "it has its own", |found| found.len() == 2 && ips(found).is_disjoint(&theirs))
        .await;
    assert_eq!(addresses(&api.get("older").await.unwrap()), moved);

    // refused by its author
    merge(
        &api,
        "a",
        json!({"metadata": {"labels": {"networking.istio.io/enable-autoallocate-ip": "false"}}}),
    )
    .await;
    until(&api, "a", "it has none", BTreeSet::is_empty).await;
    assert_eq!((count("older"), count("a"), count("younger"), count("own")), (1, 3, 2, 0));

    // another leader finds everything right
    running.abort();
    let running = start();
    create(&api, entry("zzz", &["z.com"])).await;
    let last = until(&api, "zzz", "it has addresses", |found| found.len() == 2).await;
    assert!(ips(&last).is_disjoint(&theirs));
    assert_eq!((count("older"), count("a"), count("younger"), count("own")), (1, 3, 2, 0));
    api.delete("zzz", &DeleteParams::default()).await.unwrap();
    running.abort();
    assert_eq!(api.get("a").await.unwrap().labels()["team"], "one");
}

#[test]
fn a_prefix_that_is_none_is_refused_with_its_switch() {
    let (_all, selectors) = watch::channel(Vec::new());
    let refused = |v4: &str, v6: &str| {
        Options::new(v4, v6, Scope::selected(selectors.clone())).unwrap_err().to_string()
    };
    assert!(
        refused("240.240.0.0", "2001:2::/48").starts_with("PILOT_IP_AUTOALLOCATE_IPV4_PREFIX=240.240.0.0:")
    );
    assert!(refused("240.240.0.0/16", "10.0.0.0/8").contains("PILOT_IP_AUTOALLOCATE_IPV6_PREFIX=10.0.0.0/8"));
}
