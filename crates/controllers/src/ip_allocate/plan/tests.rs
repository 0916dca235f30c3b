//! Which addresses entries get, keep and lose.

use jiff::Timestamp;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::*;

fn key(name: &str) -> Key {
    Key::new("shop", name)
}

/// An entry of a second, with hosts and the addresses of its status as `host=address`.
fn entry(second: i64, hosts: &[&str], status: &[&str]) -> Entry {
    let status = status.iter().map(|text| {
        let (host, value) = text.split_once('=').unwrap();
        Allocated { host: host.to_owned(), value: value.to_owned() }
    });
    Entry {
        version: "1".to_owned(),
        created: Some(Timestamp::from_second(second).unwrap()),
        wanted: true,
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        own: Vec::new(),
        status: status.collect(),
    }
}

fn addresses() -> Addresses {
    Addresses::new("240.240.0.0/16".parse().unwrap(), "2001:2::/48".parse().unwrap())
}

/// Observes and plans, and gives what would be written.
fn planned(addresses: &mut Addresses, name: &str, entry: &Entry) -> Option<Vec<String>> {
    addresses.observe(&key(name), Some(entry));
    let planned = addresses.plan(&key(name), entry)?;
    Some(planned.iter().map(|a| format!("{}={}", a.host, a.value)).collect())
}

fn some(texts: &[&str]) -> Option<Vec<String>> {
    Some(texts.iter().map(|text| (*text).to_owned()).collect())
}

#[test]
fn each_host_gets_one_address_of_each_family_and_keeps_it() {
    let mut all = addresses();
    let given = planned(&mut all, "a", &entry(1, &["x", "y"], &[]));
    let status = ["x=240.240.0.1", "x=2001:2::1", "y=240.240.0.2", "y=2001:2::2"];
    assert_eq!(given, some(&status));
    assert_eq!(planned(&mut all, "a", &entry(1, &["x", "y"], &status)), None, "it has them");
    // a host more, a host less
    let more = planned(&mut all, "a", &entry(1, &["y", "z"], &status));
    let status = ["y=240.240.0.2", "y=2001:2::2", "z=240.240.0.3", "z=2001:2::3"];
    assert_eq!(more, some(&status));
    assert_eq!(planned(&mut all, "a", &entry(1, &["y", "z"], &status)), None);
    // what a replica of upstream's wrote is as good, whatever it is
    assert_eq!(planned(&mut all, "b", &entry(1, &["x"], &["x=240.240.77.7"])), None);
    assert_eq!(planned(&mut all, "c", &entry(1, &["x"], &["x=10.1.1.1"])), None);
}

#[test]
fn what_was_given_and_is_not_seen_yet_is_neither_given_twice_nor_replaced() {
    let mut all = addresses();
    let bare = entry(1, &["x"], &[]);
    let given = planned(&mut all, "a", &bare);
    assert_eq!(given, some(&["x=240.240.0.1", "x=2001:2::1"]));
    assert_eq!(planned(&mut all, "a", &bare), given, "a second try, after one without an answer");
    assert_eq!(planned(&mut all, "b", &bare), some(&["x=240.240.0.2", "x=2001:2::2"]));
}

#[test]
fn of_two_that_have_one_address_the_older_keeps_it() {
    let mut all = addresses();
    let (older, newer) = (entry(1, &["x"], &["x=240.240.0.9"]), entry(2, &["y"], &["y=240.240.0.9"]));
    assert!(all.observe(&key("b"), Some(&newer)).is_empty());
    assert_eq!(
        all.observe(&key("a"), Some(&older)),
        BTreeSet::from([key("b")]),
        "the other one must look again"
    );
    assert_eq!(planned(&mut all, "a", &older), None);
    assert_eq!(planned(&mut all, "b", &newer), some(&["y=240.240.0.1", "y=2001:2::1"]));
    // of one second, the first by name
    let mut all = addresses();
    all.observe(&key("a"), Some(&older));
    let twin = entry(1, &["y"], &["y=240.240.0.9", "y=2001:2::9"]);
    assert_eq!(planned(&mut all, "b", &twin), some(&["y=240.240.0.1", "y=2001:2::1"]));
    assert_eq!(planned(&mut all, "a", &older), None);
    // and not two hosts of one entry either
    let both = planned(&mut addresses(), "a", &entry(1, &["x", "y"], &["x=240.240.0.1", "y=240.240.0.1"]));
    assert_eq!(both, some(&["x=240.240.0.1", "y=240.240.0.2", "y=2001:2::1"]));
}

#[test]
fn an_address_of_an_author_is_taken_from_others_and_given_to_none() {
    let mut all = addresses();
    let status = ["x=240.240.0.1", "x=2001:2::1"];
    let allocated = entry(1, &["x"], &status);
    assert_eq!(planned(&mut all, "a", &allocated), None);
    let own = Entry {
        wanted: false,
        own: vec!["240.240.0.1".parse().unwrap(), "240.240.0.2".parse().unwrap()],
        ..entry(9, &["y"], &[])
    };
    assert_eq!(all.observe(&key("b"), Some(&own)), BTreeSet::from([key("a")]));
    assert_eq!(planned(&mut all, "b", &own), None);
    assert_eq!(planned(&mut all, "a", &allocated), some(&["x=240.240.0.3", "x=2001:2::2"]));
}

#[test]
fn who_wants_none_any_more_loses_them_and_they_rest() {
    let mut all = addresses();
    let status = ["x=240.240.0.1", "x=2001:2::1"];
    assert_eq!(planned(&mut all, "a", &entry(1, &["x"], &status)), None);
    let refused = Entry { wanted: false, ..entry(1, &["x"], &status) };
    assert_eq!(planned(&mut all, "a", &refused), some(&[]));
    let cleared = Entry { wanted: false, ..entry(1, &["x"], &[]) };
    assert_eq!(planned(&mut all, "a", &cleared), None);
    assert_eq!(planned(&mut all, "b", &entry(1, &["x"], &[])), some(&["x=240.240.0.2", "x=2001:2::2"]));
    all.observe(&key("b"), None);
    assert_eq!(planned(&mut all, "c", &entry(1, &["x"], &[])), some(&["x=240.240.0.3", "x=2001:2::3"]));
}

#[test]
fn a_prefix_that_is_used_up_gives_what_rested_and_then_nothing() {
    let mut all = Addresses::new("10.0.0.0/31".parse().unwrap(), "2001:2::/128".parse().unwrap());
    assert_eq!(planned(&mut all, "a", &entry(1, &["x"], &[])), some(&["x=10.0.0.1", "x=2001:2::"]));
    assert_eq!(planned(&mut all, "b", &entry(1, &["x"], &[])), None, "nothing to write");
    assert_eq!(all.observe(&key("a"), None), BTreeSet::from([key("b")]), "there is something for it now");
    assert_eq!(planned(&mut all, "b", &entry(1, &["x"], &[])), some(&["x=10.0.0.1", "x=2001:2::"]));
}

#[test]
fn entries_are_read_as_upstream_reads_them() {
    let read = |labels: Value, spec: Value, status: Value| {
        let object = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
            "metadata": {"name": "a", "namespace": "shop", "labels": labels, "resourceVersion": "7"},
            "spec": spec, "status": status,
        });
        Entry::of(&serde_json::from_value::<DynamicObject>(object).unwrap())
    };
    let hosts = json!(["a.com", "*.b.com", "a.com"]);
    let entry = read(json!({}), json!({"hosts": hosts, "resolution": "DNS"}), Value::Null);
    assert!(entry.wanted);
    assert_eq!((entry.version.as_str(), entry.hosts), ("7", vec!["a.com".to_owned()]));
    let dynamic = read(json!({}), json!({"hosts": hosts, "resolution": "DYNAMIC_DNS"}), Value::Null);
    assert_eq!(dynamic.hosts, ["a.com", "*.b.com"]);
    let refused = json!({"networking.istio.io/enable-autoallocate-ip": "False"});
    assert!(!read(refused, json!({"hosts": hosts, "resolution": "DNS"}), Value::Null).wanted);
    assert!(!read(json!({}), json!({"hosts": hosts}), Value::Null).wanted, "without resolution");
    let own = json!({"hosts": hosts, "resolution": "STATIC", "addresses": ["10.0.0.1", "10.0.0.0/8"]});
    let own = read(json!({}), own, json!({"addresses": [{"value": "::ffff:1.2.3.4", "host": "a.com"}, 7]}));
    assert!(!own.wanted);
    assert_eq!(own.own, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
    assert_eq!(own.allocated().collect::<Vec<_>>(), ["1.2.3.4".parse::<IpAddr>().unwrap()]);
    let nonsense = read(json!({}), json!({"hosts": 7, "resolution": []}), json!("?"));
    assert!(!nonsense.wanted && nonsense.hosts.is_empty());
}
