//! Names are found where Envoy's schema has them.

use prost::Message;
use proto::envoy::config::cluster::v3::Cluster;
use proto::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, EdsClusterConfig};
use proto::envoy::config::listener::v3::filter::ConfigType;
use proto::envoy::config::listener::v3::{Filter, FilterChain, Listener};
use proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use proto::envoy::extensions::filters::network::http_connection_manager::v3::{HttpConnectionManager, Rds};

use super::*;

#[test]
fn a_cluster_takes_endpoints_under_its_service_name_if_it_has_one() {
    let named = |service: &str, kind: i32| {
        let eds = EdsClusterConfig { service_name: service.into(), ..Default::default() };
        Cluster {
            name: "c".into(),
            cluster_discovery_type: Some(ClusterDiscoveryType::Type(kind)),
            eds_cluster_config: Some(eds),
            ..Default::default()
        }
        .encode_to_vec()
    };
    assert_eq!(endpoints_of(&named("s", 3)), Some("s"));
    assert_eq!(endpoints_of(&named("", 3)), Some("c"));
    assert_eq!(endpoints_of(&named("s", 0)), None);
}

#[test]
fn a_listener_asks_for_the_routes_of_its_connection_managers() {
    let rds = Rds { route_config_name: "80".into(), ..Default::default() };
    let manager =
        HttpConnectionManager { route_specifier: Some(RouteSpecifier::Rds(rds)), ..Default::default() };
    let any = proto::google::protobuf::Any {
        type_url: "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager".into(),
        value: manager.encode_to_vec().into(),
    };
    let filter = |config: Option<ConfigType>| Filter { config_type: config, ..Default::default() };
    let filters = vec![filter(None), filter(Some(ConfigType::TypedConfig(any)))];
    let chain = FilterChain { filters, ..Default::default() };
    let listener = Listener { filter_chains: vec![chain], ..Default::default() }.encode_to_vec();
    assert_eq!(routes_of(&listener).collect::<Vec<_>>(), ["80"]);
}

#[test]
fn a_message_that_is_cut_off_ends_the_walk() {
    let mut message = BytesMut::new();
    put(&mut message, 1, b"whole");
    put(&mut message, 2, b"cut off");
    assert_eq!(text(&message[..message.len() - 1], 1), "whole");
    assert_eq!(Fields::of(&message[..message.len() - 1]).count(), 1);
}

#[test]
fn a_structure_is_one_of_protobuf() {
    let inner = [("b", Json::Text("x"))];
    let encoded = structure(&[("a", Json::Object(&inner))]);
    let decoded = proto::google::protobuf::Struct::decode(&encoded[..]).unwrap();
    assert_eq!(decoded.encode_to_vec(), encoded);
    assert_eq!(decoded.fields.len(), 1);
}
