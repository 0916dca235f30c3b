//! Frames as an API server sends them, and as nobody should.

use super::*;

/// A frame with an object.
fn encoded(kind: &str, object: &impl Message) -> Bytes {
    let unknown = Unknown { raw: object.encode_to_vec().into() };
    let raw = [MARK, &unknown.encode_to_vec()].concat().into();
    WatchEvent { kind: kind.to_owned(), object: Some(RawExtension { raw }) }.encode_to_vec().into()
}

fn pod(version: &str) -> Pod {
    let metadata = ObjectMeta {
        name: "cart-1".to_owned(),
        namespace: "shop".to_owned(),
        resource_version: version.to_owned(),
        ..ObjectMeta::default()
    };
    Pod { metadata: Some(metadata), ..Pod::default() }
}

#[test]
fn what_is_empty_is_not_there() {
    let Ok(Frame::Put(raw)) = frame(encoded("ADDED", &pod("7"))) else { panic!("a pod") };
    let tree =
        serde_json::json!({"metadata": {"name": "cart-1", "namespace": "shop", "resourceVersion": "7"}});
    assert_eq!(raw, Raw::new(("cart-1".into(), "shop".into(), "7".into()), Node::from(&tree)));
}

#[test]
fn the_end_of_the_list_is_a_bookmark() {
    let mut mark = pod("9");
    let bookmark = |listed| Ok(Frame::Bookmark { version: "9".to_owned(), listed });
    assert_eq!(frame(encoded("BOOKMARK", &mark)), bookmark(false));
    let annotations = &mut mark.metadata.as_mut().unwrap().annotations;
    annotations.insert("k8s.io/initial-events-end".to_owned(), "true".to_owned());
    assert_eq!(frame(encoded("BOOKMARK", &mark)), bookmark(true));
}

#[test]
fn an_error_keeps_its_code() {
    let status = Status { message: "too old".to_owned(), reason: "Expired".to_owned(), code: 410 };
    let failed = Frame::Failed { code: 410, reason: "Expired".to_owned(), message: "too old".to_owned() };
    assert_eq!(frame(encoded("ERROR", &status)), Ok(failed));
}

#[test]
fn what_is_no_event_is_an_error() {
    assert!(frame(Bytes::from_static(b"{\"type\":\"ADDED\"}")).is_err());
    assert!(frame(encoded("RENAMED", &pod("1"))).unwrap_err().contains("RENAMED"));
    let bare = WatchEvent { kind: "ADDED".to_owned(), object: None };
    assert!(frame(bare.encode_to_vec().into()).unwrap_err().contains("binary"));
    let whole = encoded("ADDED", &pod("1"));
    assert!((1..whole.len()).any(|end| frame(whole.slice(..end)).is_err()));
}
