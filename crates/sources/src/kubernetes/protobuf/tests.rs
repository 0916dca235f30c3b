//! Frames as an API server sends them, and as nobody should.

use super::endpoint_slice::*;
use super::pod::*;
use super::*;

/// A frame with an object.
fn encoded(kind: &str, object: &impl Message) -> Bytes {
    let unknown = Unknown { raw: object.encode_to_vec().into() };
    let raw = [&MARK[..], &unknown.encode_to_vec()].concat().into();
    WatchEvent { kind: kind.to_owned(), object: Some(RawExtension { raw }) }.encode_to_vec().into()
}

fn pod(version: &'static str) -> Pod {
    let metadata = ObjectMeta {
        name: "cart-1".into(),
        namespace: "shop".into(),
        resource_version: version.into(),
        ..ObjectMeta::default()
    };
    Pod { metadata: Some(metadata), ..Pod::default() }
}

fn entry(key: &'static str, value: &'static str) -> Entry {
    Entry { key: key.into(), value: value.into() }
}

/// The object that a frame with this one makes.
fn object_of(kind: Kind, version: &str, message: &impl Message) -> Object {
    let Ok(Frame::Put(raw)) = frame(kind, encoded("ADDED", message)) else { panic!("an object") };
    let decoded = raw.decode(kind, version, &"cluster a".into());
    assert_eq!(decoded.problems, []);
    let [object] = <[Object; 1]>::try_from(decoded.objects).unwrap();
    object
}

fn object(pod: &Pod) -> Object {
    object_of(Kind::Pod, "v1", pod)
}

/// The pod that the same as JSON makes.
fn from_json(tree: serde_json::Value) -> Object {
    json_of(Kind::Pod, "v1", tree)
}

/// The object that the same as JSON makes.
fn json_of(kind: Kind, version: &str, mut tree: serde_json::Value) -> Object {
    let members = tree.as_object_mut().unwrap();
    members.extend([("apiVersion".to_owned(), version.into()), ("kind".to_owned(), kind.name().into())]);
    let decoded = config::decode::from_json("cluster a", &tree);
    assert_eq!(decoded.problems, []);
    let [object] = <[Object; 1]>::try_from(decoded.objects).unwrap();
    object
}

#[test]
fn what_is_empty_is_not_there() {
    let tree =
        serde_json::json!({"metadata": {"name": "cart-1", "namespace": "shop", "resourceVersion": "7"}});
    assert_eq!(object(&pod("7")), from_json(tree));
}

#[test]
fn every_field_is_that_of_json() {
    let mut whole = pod("7");
    let metadata = whole.metadata.as_mut().unwrap();
    metadata.uid = "6f".into();
    metadata.generation = 3;
    metadata.creation = Some(Time { seconds: 1_709_209_815 });
    metadata.deletion = Some(Time { seconds: 1_709_209_816 });
    metadata.labels = vec![entry("version", "v1"), entry("app", "cart")];
    metadata.annotations = vec![entry("note", "no")];
    metadata.owners = vec![OwnerReference {
        kind: "ReplicaSet".into(),
        name: "cart".into(),
        api_version: "apps/v1".into(),
        controller: true,
    }];
    let port = ContainerPort { name: "http".into(), container_port: 8080, protocol: "TCP".into() };
    let container = |name: &'static str| Container {
        name: name.into(),
        image: "cart:1".into(),
        ports: vec![port.clone()],
        restart_policy: "Always".into(),
    };
    whole.spec = Some(PodSpec {
        containers: vec![container("app")],
        service_account_name: "cart".into(),
        node_name: "node-1".into(),
        host_network: true,
        hostname: "cart-1".into(),
        subdomain: "cart".into(),
        init_containers: vec![container("proxy")],
        readiness_gates: vec![ReadinessGate { condition_type: "ready".into() }],
    });
    whole.status = Some(PodStatus {
        phase: "Running".into(),
        conditions: vec![Condition {
            kind: "Ready".into(),
            status: "False".into(),
            reason: "Slow".into(),
            message: "wait".into(),
        }],
        host_ip: "10.0.0.1".into(),
        pod_ip: "10.1.0.1".into(),
        pod_ips: vec![PodIp { ip: "10.1.0.1".into() }, PodIp { ip: "fd00::1".into() }],
    });
    let containers = |name: &str| {
        let ports = serde_json::json!([{"name": "http", "containerPort": 8080, "protocol": "TCP"}]);
        serde_json::json!([{"name": name, "image": "cart:1", "ports": ports, "restartPolicy": "Always"}])
    };
    let tree = serde_json::json!({
        "metadata": {
            "name": "cart-1", "namespace": "shop", "resourceVersion": "7", "uid": "6f", "generation": 3,
            "creationTimestamp": "2024-02-29T12:30:15Z", "deletionTimestamp": "2024-02-29T12:30:16Z",
            "labels": {"app": "cart", "version": "v1"}, "annotations": {"note": "no"},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "cart", "controller": true},
            ],
        },
        "spec": {
            "nodeName": "node-1", "serviceAccountName": "cart", "hostNetwork": true,
            "hostname": "cart-1", "subdomain": "cart",
            "containers": containers("app"), "initContainers": containers("proxy"),
            "readinessGates": [{"conditionType": "ready"}],
        },
        "status": {
            "phase": "Running", "podIP": "10.1.0.1", "hostIP": "10.0.0.1",
            "podIPs": [{"ip": "10.1.0.1"}, {"ip": "fd00::1"}],
            "conditions": [{"type": "Ready", "status": "False", "reason": "Slow", "message": "wait"}],
        },
    });
    assert_eq!(object(&whole), from_json(tree));
}

#[test]
fn a_text_that_is_none_spoils_nothing_else() {
    let mut odd = pod("7");
    odd.metadata.as_mut().unwrap().annotations =
        vec![Entry { key: "note".into(), value: Bytes::from_static(b"\xffcaf\xc3\xa9") }];
    assert_eq!(object(&odd).meta.annotations.get("note").unwrap(), "\u{fffd}caf\u{e9}");
}

#[test]
fn a_version_is_no_difference() {
    let state = std::hash::RandomState::new();
    let hash = |pod: &Pod| match frame(Kind::Pod, encoded("MODIFIED", pod)) {
        Ok(Frame::Put(raw)) => raw.hash(Kind::Pod, &state),
        other => panic!("{other:?}"),
    };
    let mut labelled = pod("7");
    labelled.metadata.as_mut().unwrap().labels = vec![entry("app", "cart")];
    assert_eq!(hash(&pod("7")), hash(&pod("8")));
    assert_ne!(hash(&pod("7")), hash(&labelled));
}

#[test]
fn a_bookmark_is_a_version_and_so_is_a_list() {
    let bookmark = Frame::Bookmark { version: "9".to_owned() };
    assert_eq!(frame(Kind::Pod, encoded("BOOKMARK", &pod("9"))), Ok(bookmark));
    let list = ListMeta { resource_version: "9".into() };
    assert_eq!(version_of_list(list.encode_to_vec().into()), Ok("9".to_owned()));
}

#[test]
fn every_field_of_a_slice_is_that_of_json() {
    let hint = |name: &'static str| Hint { name: name.into() };
    let endpoint = Endpoint {
        addresses: vec!["10.1.0.1".into(), "10.1.0.2".into()],
        conditions: Some(EndpointConditions { ready: Some(false), serving: Some(true), terminating: None }),
        hostname: "cart-1".into(),
        target_ref: Some(ObjectReference {
            kind: "Pod".into(),
            namespace: "shop".into(),
            name: "cart-1".into(),
        }),
        node_name: "node-1".into(),
        zone: "a".into(),
        hints: Some(EndpointHints { for_zones: vec![hint("a"), hint("b")], for_nodes: vec![hint("node-2")] }),
    };
    let ports = vec![
        EndpointPort {
            name: "http".into(),
            protocol: "TCP".into(),
            port: Some(8080),
            app_protocol: Some("kubernetes.io/h2c".into()),
        },
        EndpointPort::default(),
    ];
    let metadata = pod("7").metadata;
    let bare = EndpointSlice { metadata: metadata.clone(), ..EndpointSlice::default() };
    let whole = EndpointSlice {
        metadata,
        endpoints: vec![endpoint, Endpoint::default()],
        ports,
        address_type: "IPv4".into(),
    };
    let metadata = serde_json::json!({"name": "cart-1", "namespace": "shop", "resourceVersion": "7"});
    let tree = serde_json::json!({
        "metadata": metadata, "addressType": "IPv4",
        "endpoints": [{
            "addresses": ["10.1.0.1", "10.1.0.2"], "conditions": {"ready": false, "serving": true},
            "hostname": "cart-1", "nodeName": "node-1", "zone": "a",
            "targetRef": {"kind": "Pod", "namespace": "shop", "name": "cart-1", "uid": "6f"},
            "hints": {"forZones": [{"name": "a"}, {"name": "b"}], "forNodes": [{"name": "node-2"}]},
        }, {}],
        "ports": [{"name": "http", "protocol": "TCP", "port": 8080, "appProtocol": "kubernetes.io/h2c"}, {}],
    });
    let (kind, version) = (Kind::EndpointSlice, "discovery.k8s.io/v1");
    assert_eq!(object_of(kind, version, &whole), json_of(kind, version, tree));
    assert_eq!(
        object_of(kind, version, &bare),
        json_of(kind, version, serde_json::json!({"metadata": metadata}))
    );
}

#[test]
fn an_error_keeps_its_code() {
    let status = Status { message: "too old".to_owned(), reason: "Expired".to_owned(), code: 410 };
    let failed = Frame::Failed { code: 410, reason: "Expired".to_owned(), message: "too old".to_owned() };
    assert_eq!(frame(Kind::Pod, encoded("ERROR", &status)), Ok(failed));
}

#[test]
fn what_is_no_event_is_an_error() {
    let frame = |bytes| frame(Kind::Pod, bytes);
    assert!(frame(Bytes::from_static(b"{\"type\":\"ADDED\"}")).is_err());
    assert!(frame(encoded("RENAMED", &pod("1"))).unwrap_err().contains("RENAMED"));
    let bare = WatchEvent { kind: "ADDED".to_owned(), object: None };
    assert!(frame(bare.encode_to_vec().into()).unwrap_err().contains("binary"));
    let whole = encoded("ADDED", &pod("1"));
    assert!((1..whole.len()).any(|end| frame(whole.slice(..end)).is_err()));
}
