//! Reading by hand against the generated code.

use prost::Message;
use proto::envoy::config::core::v3::{ControlPlane, Node};
use proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
};
use proto::google::protobuf::Any;
use proto::google::rpc::Status;

use super::*;

const RDS: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";

fn any(value: &'static [u8]) -> Any {
    Any { type_url: RDS.into(), value: Bytes::from_static(value) }
}

#[test]
fn a_delta_response_is_read_without_touching_its_bodies() {
    let message = DeltaDiscoveryResponse {
        system_version_info: "7".into(),
        type_url: RDS.into(),
        nonce: "n1".into(),
        resources: vec![Resource {
            name: "80".into(),
            version: "abc".into(),
            aliases: vec!["x".into()],
            resource: Some(any(b"not a message")),
            ..Default::default()
        }],
        removed_resources: vec!["81".into()],
        control_plane: Some(ControlPlane { identifier: "me".into() }),
        ..Default::default()
    };
    let bytes = Bytes::from(message.encode_to_vec());
    let read = read_response(Variant::Delta, bytes.clone()).unwrap();
    assert_eq!((read.version.as_str(), read.nonce.as_str()), ("7", "n1"));
    assert_eq!(read.type_url, TypeUrl::Route);
    assert_eq!(read.removed, ["81"]);
    assert_eq!(read.control_plane, "me");
    assert_eq!(read.resources[0].name, "80");
    assert_eq!(read.resources[0].version, "abc");
    assert_eq!(read.resources[0].body, "not a message");
    assert!(bytes.as_ptr_range().contains(&read.resources[0].body.as_ptr()), "a slice, not a copy");
    let peek = peek_response(Variant::Delta, &bytes).unwrap();
    assert_eq!((peek.type_url.as_str(), peek.nonce.as_str()), (RDS, "n1"));
    assert_eq!((peek.names, peek.removed), (vec!["80".to_owned()], vec!["81".to_owned()]));
}

#[test]
fn a_sotw_response_gives_its_version_to_its_resources() {
    let message = DiscoveryResponse {
        version_info: "7".into(),
        type_url: RDS.into(),
        nonce: "n1".into(),
        resources: vec![any(b"a"), any(b"")],
        control_plane: Some(ControlPlane { identifier: "me".into() }),
        ..Default::default()
    };
    let read = read_response(Variant::Sotw, message.encode_to_vec().into()).unwrap();
    assert_eq!(read.resources.len(), 2);
    assert_eq!(read.resources[0].version, "7");
    assert_eq!((read.control_plane.as_str(), read.removed.len()), ("me", 0));
}

#[test]
fn requests_of_both_variants_can_be_looked_into() {
    let delta = DeltaDiscoveryRequest {
        node: Some(Node { id: "n".into(), ..Default::default() }),
        type_url: RDS.into(),
        resource_names_subscribe: vec!["80".into()],
        resource_names_unsubscribe: vec!["81".into()],
        initial_resource_versions: [("80".to_owned(), "1".to_owned())].into(),
        response_nonce: "n1".into(),
        error_detail: Some(Status { code: 13, message: "no".into(), ..Default::default() }),
        ..Default::default()
    };
    let expected = Peek {
        type_url: RDS.into(),
        nonce: "n1".into(),
        names: vec!["80".into()],
        removed: vec!["81".into()],
        claims: 1,
        error: Some("no".into()),
        node: true,
    };
    assert_eq!(peek_request(Variant::Delta, &delta.encode_to_vec().into()).unwrap(), expected);
    let sotw = DiscoveryRequest {
        version_info: "3".into(),
        node: Some(Node { id: "n".into(), ..Default::default() }),
        type_url: RDS.into(),
        resource_names: vec!["80".into()],
        response_nonce: "n1".into(),
        error_detail: Some(Status { code: 13, message: "no".into(), ..Default::default() }),
        ..Default::default()
    };
    let expected = Peek { removed: vec![], claims: 0, ..expected };
    assert_eq!(peek_request(Variant::Sotw, &sotw.encode_to_vec().into()).unwrap(), expected);
}

#[test]
fn bytes_that_are_no_message_are_an_error() {
    for bytes in [&b"\x0a\xff"[..], b"\x0a\x05ab", b"\x07", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"] {
        let bytes = Bytes::copy_from_slice(bytes);
        assert!(read_response(Variant::Delta, bytes.clone()).is_err());
        assert!(peek_request(Variant::Sotw, &bytes).is_err());
    }
}
