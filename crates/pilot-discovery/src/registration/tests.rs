//! Workloads as their nodes have them.

use proto::envoy::config::core::v3::Locality;
use proto::google::protobuf::{Value, value::Kind};

use super::*;

fn text(text: &str) -> Value {
    Value { kind: Some(Kind::StringValue(text.into())) }
}

#[test]
fn a_workload_has_its_own_labels_and_the_locality_of_its_node() {
    let own = Struct { fields: [("team".to_owned(), text("one"))].into() };
    let probe = Struct {
        fields: [("periodSeconds".to_owned(), Value { kind: Some(Kind::NumberValue(2.0)) })].into(),
    };
    let config = Struct {
        fields: [("readinessProbe".to_owned(), Value { kind: Some(Kind::StructValue(probe)) })].into(),
    };
    let structs = [("LABELS", own), ("PROXY_CONFIG", config)]
        .map(|(key, value)| (key.to_owned(), Value { kind: Some(Kind::StructValue(value)) }));
    let texts = [("NAMESPACE", "vms"), ("NETWORK", "n1"), ("INSTANCE_IPS", "10.0.0.7,fd00::7")]
        .map(|(key, value)| (key.to_owned(), text(value)));
    let node = Node {
        id: "sidecar~10.0.0.9~vm-1.vms~vms.svc.cluster.local".into(),
        metadata: Some(Struct { fields: structs.into_iter().chain(texts).collect() }),
        locality: Some(Locality { region: "r".into(), zone: "z".into(), sub_zone: String::new() }),
        ..Node::default()
    };
    let proxy = Proxy::from_node(&node).unwrap();
    let made = workload(&node, &proxy, None);
    let want = Workload {
        proxy: "vm-1.vms".into(),
        namespace: "vms".into(),
        address: "10.0.0.7".into(),
        network: "n1".into(),
        locality: "r/z".into(),
        labels: [("team".to_owned(), "one".to_owned())].into(),
        is_probed: true,
        takes_hbone: false,
        identity: None,
    };
    assert_eq!(made, want);
}

#[test]
fn a_long_message_is_cut_between_characters() {
    assert_eq!(shortened("refused"), "refused");
    let long = format!("x{}", "é".repeat(LONGEST_MESSAGE));
    assert_eq!(shortened(&long).len(), LONGEST_MESSAGE - 1);
}
