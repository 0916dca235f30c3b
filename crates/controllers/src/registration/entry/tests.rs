//! Entries before and after.

use super::*;

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}

fn workload() -> Workload {
    Workload {
        proxy: "vm1.vms".to_owned(),
        namespace: "vms".to_owned(),
        address: "10.0.0.1".to_owned(),
        labels: BTreeMap::from([
            ("app".to_owned(), "mine".to_owned()),
            (ISTIO_LOCALITY.to_owned(), "a/b/c".to_owned()),
        ]),
        ..Workload::default()
    }
}

fn object(json: Value) -> DynamicObject {
    serde_json::from_value(json).unwrap()
}

fn entry(annotations: Value, status: Value) -> DynamicObject {
    let mut entry = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry",
        "metadata": {"name": "db-10.0.0.1", "namespace": "vms"},
        "spec": {"address": "10.0.0.1", "serviceAccount": "db"},
    });
    entry["metadata"]["annotations"] = annotations;
    entry["status"] = status;
    object(entry)
}

fn says(entry: &DynamicObject) -> Value {
    json!(entry.metadata.annotations)
}

#[test]
fn a_name_is_of_group_address_and_network_and_never_too_long() {
    let mut vm = workload();
    assert_eq!(name("db", &vm), Ok("db-10.0.0.1".to_owned()));
    vm.address = "fd00::1".to_owned();
    vm.network = "net2".to_owned();
    assert_eq!(name("db", &vm), Ok("db-fd00--1-net2".to_owned()));
    let long = name(&"g".repeat(300), &vm).unwrap();
    assert_eq!((long.len(), long.ends_with("g-fd00--1-net2")), (253, true));
    vm.address.clear();
    assert!(matches!(name("db", &vm), Err(Refused::Precondition(why)) if why.contains("vm1.vms")));
}

#[test]
fn an_entry_is_its_group_s_template_with_what_the_workload_says_of_itself() {
    let group = object(json!({
        "apiVersion": "networking.istio.io/v1", "kind": "WorkloadGroup",
        "metadata": {"name": "db", "namespace": "vms", "uid": "u-1"},
        "spec": {
            "metadata": {"labels": {"app": "group", "tier": "back"}, "annotations": {"team": "one"}},
            "template": {"ports": {"http": 80}, "serviceAccount": "db", "network": "net1", "labels": {"tier": "template", "x": "y"}},
        },
    }));
    let full = Workload {
        network: "net2".to_owned(),
        locality: "a/b/c".to_owned(),
        is_probed: true,
        takes_hbone: true,
        ..workload()
    };
    let made = json!(from_group("db-10.0.0.1-net2", &full, &group));
    let labels = json!({"app": "mine", "tier": "back", "x": "y", "networking.istio.io/tunnel": "http"});
    assert_eq!(
        made,
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry",
            "metadata": {
                "name": "db-10.0.0.1-net2", "namespace": "vms", "labels": labels,
                "annotations": {
                    "istio.io/autoRegistrationGroup": "db", "proxy.istio.io/health-checks-enabled": "true", "team": "one",
                },
                "ownerReferences": [{
                    "apiVersion": "networking.istio.io/v1", "kind": "WorkloadGroup", "name": "db", "uid": "u-1", "controller": true,
                }],
            },
            "spec": {
                "ports": {"http": 80}, "serviceAccount": "db", "network": "net2", "locality": "a/b/c",
                "address": "10.0.0.1", "labels": labels,
            },
        })
    );
    let bare =
        from_group("db-10.0.0.1", &workload(), &object(json!({"metadata": {"name": "db"}, "spec": {}})));
    assert_eq!(bare.data, json!({"spec": {"address": "10.0.0.1", "labels": {"app": "mine"}}}));
}

#[test]
fn only_who_proves_to_be_whom_the_entry_names_stands_behind_it() {
    let of = |namespace: &str, account: &str| {
        let identity = Identity { namespace: namespace.to_owned(), service_account: account.to_owned() };
        may_stand_behind(Some(&identity), &entry(json!({}), Value::Null))
    };
    assert_eq!(of("vms", "db"), Ok(()));
    assert!(
        matches!(of("other", "db"), Err(Refused::Denied(why)) if why.contains("namespace vms, not of other"))
    );
    assert!(matches!(of("vms", "web"), Err(Refused::Denied(why)) if why.contains("account db, not of web")));
    assert!(matches!(may_stand_behind(None, &entry(json!({}), Value::Null)), Err(Refused::Denied(_))));
    let mut any = entry(json!({}), Value::Null);
    any.data["spec"]["serviceAccount"] = Value::Null;
    let web = Identity { namespace: "vms".to_owned(), service_account: "web".to_owned() };
    assert_eq!(may_stand_behind(Some(&web), &any), Ok(()));
}

#[test]
fn of_connections_and_ends_the_newest_counts_wherever_it_was() {
    let fresh = entry(json!({"kept": "yes"}), Value::Null);
    let on_a = connected(&fresh, "a", at(10)).unwrap();
    assert_eq!(
        says(&on_a),
        json!({"kept": "yes", "istio.io/workloadController": "a", "istio.io/connectedAt": "1970-01-01T00:00:10Z"})
    );
    assert!(connected(&on_a, "a", at(10)).is_none(), "says so");
    assert!(connected(&on_a, "b", at(9)).is_none(), "older than what is known");
    let on_b = connected(&on_a, "b", at(11)).unwrap();
    // the end of the older connection comes late, from the other instance and from this one
    assert!(disconnected(&on_b, "a", at(10), at(12)).is_none());
    assert!(disconnected(&on_b, "b", at(10), at(12)).is_none());
    let gone = disconnected(&on_b, "b", at(11), at(12)).unwrap();
    assert_eq!(
        says(&gone),
        json!({"kept": "yes", "istio.io/workloadController": "b", "istio.io/disconnectedAt": "1970-01-01T00:00:12Z"})
    );
    assert!(disconnected(&gone, "b", at(11), at(13)).is_none(), "said once");
    assert!(connected(&gone, "a", at(11)).is_none(), "a connection that has ended since");
    let back = connected(&gone, "a", at(13)).unwrap();
    assert!(!back.annotations().contains_key(DISCONNECTED_AT));
}

#[test]
fn health_is_the_newest_report_of_who_looks_after_the_entry() {
    let ours = json!({"istio.io/workloadController": "a"});
    let report =
        |healthy, second| Health { is_healthy: healthy, message: "refused".to_owned(), at: at(second) };
    let others = json!([{"type": "Other"}]);
    let sick =
        with_health(&entry(ours.clone(), json!({"conditions": others})), "a", &report(false, 5)).unwrap();
    let condition = json!({
        "type": "Healthy", "status": "False", "message": "refused",
        "lastProbeTime": "1970-01-01T00:00:05Z", "lastTransitionTime": "1970-01-01T00:00:05Z",
    });
    assert_eq!(sick.data["status"]["conditions"], json!([{"type": "Other"}, condition]));
    assert!(with_health(&sick, "a", &report(false, 6)).is_none(), "says so");
    assert!(with_health(&sick, "a", &report(true, 4)).is_none(), "older");
    assert!(with_health(&sick, "b", &report(true, 6)).is_none(), "of another instance");
    let well = with_health(&sick, "a", &report(true, 6)).unwrap();
    assert_eq!(well.data["status"]["conditions"][1]["status"], "True");
    assert_eq!(well.data["status"]["conditions"][1]["message"], Value::Null);
    assert_eq!(without_health(&well).data["status"]["conditions"], others);
}

#[test]
fn who_left_is_cleaned_up_after_the_grace_and_who_was_never_seen_to_leave_after_the_longest_connection() {
    let grace = Duration::from_secs(10);
    let longest = Some(Duration::from_secs(100));
    let due = |annotations: Value, status: Value| cleanup(&entry(annotations, status), grace, longest);
    let healthy = || json!({"conditions": [{"type": "Healthy", "status": "True"}]});
    let (group, controller) = ("istio.io/autoRegistrationGroup", "istio.io/workloadController");
    let (on, off) = ("istio.io/connectedAt", "istio.io/disconnectedAt");
    let second = |second: u64| written(at(second));
    let made = due(json!({group: "db", controller: "a", off: second(5)}), Value::Null);
    assert_eq!(made, Some((at(15), Cleanup::Delete)));
    let checked = due(json!({controller: "a", off: second(5)}), healthy());
    assert_eq!(checked, Some((at(15), Cleanup::DropHealth)));
    // connected: not before one and a half of the longest connections
    let connected = json!({group: "db", controller: "a", on: second(5), off: second(1)});
    assert_eq!(due(connected.clone(), Value::Null), Some((at(155), Cleanup::Delete)));
    assert_eq!(cleanup(&entry(connected, Value::Null), grace, None), None);
    // nobody's business
    assert_eq!(due(json!({}), healthy()), None);
    assert_eq!(due(json!({controller: "a", off: second(5)}), Value::Null), None);
    assert_eq!(due(json!({group: "db", controller: "a"}), Value::Null), None);
    // a time that is none is no reason to stay for ever
    let garbled = due(json!({group: "db", off: "?"}), Value::Null);
    assert_eq!(garbled, Some((SystemTime::UNIX_EPOCH, Cleanup::Delete)));
}

#[test]
fn names_that_no_object_can_have_are_refused_before_anybody_is_asked() {
    let check = |group: &str, namespace: &str, network: &str| {
        let workload = Workload {
            namespace: namespace.to_owned(),
            address: "fd00::1".to_owned(),
            network: network.to_owned(),
            ..Workload::default()
        };
        let entry = name(group, &workload)?;
        check_names(&Role::Member(group.to_owned()), &entry, &workload)
    };
    assert_eq!(check("db.one", "vms", "n1"), Ok(()));
    for (group, namespace, network) in [
        ("../../secrets", "vms", ""),
        ("db?x=", "vms", ""),
        ("db", "vms/../other", ""),
        ("db", "vms", "n1/status"),
        ("db", "vms", "n1#"),
        ("DB", "vms", ""),
        (".", "vms", ""),
        ("db..one", "vms", ""),
    ] {
        let refused = check(group, namespace, network);
        assert!(matches!(refused, Err(Refused::Precondition(_))), "{group} {namespace} {network}");
    }
}
