//! Finding the type of messages, good and bad.

use prost::Message;
use proto::envoy::config::core::v3::Node;
use proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
};
use proto::google::protobuf::Any;

use super::*;

#[test]
fn the_type_is_found_in_all_four_messages() {
    let url = LISTENER.to_owned();
    let any = Any { type_url: "other".to_owned(), value: vec![1; 300].into() };
    let node = Node { id: "x".to_owned(), ..Node::default() };
    let request = DiscoveryRequest {
        type_url: url.clone(),
        node: Some(node.clone()),
        resource_names: vec!["a".to_owned()],
        version_info: "1".to_owned(),
        ..Default::default()
    };
    assert_eq!(request_type(Variant::Sotw, &request.encode_to_vec()), Some(LISTENER));
    let response = DiscoveryResponse {
        type_url: url.clone(),
        resources: vec![any.clone(), any.clone()],
        canary: true,
        ..Default::default()
    };
    assert_eq!(response_type(&response.encode_to_vec()), Some(LISTENER));
    let request = DeltaDiscoveryRequest { type_url: url.clone(), node: Some(node), ..Default::default() };
    assert_eq!(request_type(Variant::Delta, &request.encode_to_vec()), Some(LISTENER));
    let resource = Resource { name: "r".to_owned(), resource: Some(any), ..Default::default() };
    let response = DeltaDiscoveryResponse {
        type_url: url,
        resources: vec![resource],
        nonce: "n".to_owned(),
        ..Default::default()
    };
    assert_eq!(response_type(&response.encode_to_vec()), Some(LISTENER));
}

#[test]
fn damaged_bytes_have_no_type() {
    let bytes = DiscoveryRequest { type_url: LISTENER.to_owned(), ..Default::default() }.encode_to_vec();
    for end in 1..bytes.len() {
        assert_eq!(response_type(&bytes[..end]), None, "{end}");
    }
    assert_eq!(response_type(&[0xff; 20]), None);
    assert_eq!(response_type(&[]), None);
}
