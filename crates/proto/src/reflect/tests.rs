//! JSON both ways and the order of map entries.

use std::collections::{BTreeMap, BTreeSet};

use prost::{Message, Name};
use serde_json::json;

use super::*;
use crate::envoy::config::cluster::v3::Cluster;
use crate::envoy::config::core::v3::{Metadata, TransportSocket, transport_socket};
use crate::envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;
use crate::google::protobuf::{Any, Duration, FileDescriptorSet, Struct, UInt32Value, Value, value::Kind};

fn cluster() -> Cluster {
    Cluster {
        name: "outbound|80||a".to_owned(),
        connect_timeout: Some(Duration { seconds: 1, nanos: 500_000_000 }),
        per_connection_buffer_limit_bytes: Some(UInt32Value { value: 0 }),
        transport_socket: Some(TransportSocket {
            name: "raw".to_owned(),
            config_type: Some(transport_socket::ConfigType::TypedConfig(crate::any(&RawBuffer {}))),
        }),
        ..Cluster::default()
    }
}

#[test]
fn json_has_original_names_opened_anys_and_no_defaults() {
    let json = to_json(&Cluster::type_url(), &cluster().encode_to_vec()).unwrap();
    assert_eq!(
        json,
        json!({
            "name": "outbound|80||a",
            "connect_timeout": "1.500s",
            "per_connection_buffer_limit_bytes": 0,
            "transport_socket": {
                "name": "raw",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"}
            }
        })
    );
}

#[test]
fn json_goes_back_to_the_same_bytes() {
    let bytes = cluster().encode_to_vec();
    let json = to_json(&Cluster::type_url(), &bytes).unwrap();
    assert_eq!(from_json(&Cluster::type_url(), &json).unwrap(), bytes);
}

#[test]
fn an_unknown_any_shows_its_bytes() {
    let any = Any { type_url: "type.googleapis.com/no.such.Type".to_owned(), value: vec![1, 2].into() };
    assert_eq!(any_to_json(&any), json!({"@type": "type.googleapis.com/no.such.Type", "value": "AQI="}));
}

#[test]
fn a_well_known_type_in_an_any_stands_under_value() {
    let any = crate::any(&UInt32Value { value: 7 });
    assert_eq!(
        any_to_json(&any),
        json!({"@type": "type.googleapis.com/google.protobuf.UInt32Value", "value": 7})
    );
}

fn problem(json: &serde_json::Value) -> String {
    from_json(&Cluster::type_url(), json).unwrap_err().to_string()
}

#[test]
fn a_problem_says_where_it_is() {
    assert!(problem(&json!({"nmae": "a"})).contains(": nmae: "));
    let typed = |config| json!({"transport_socket": {"typed_config": config}});
    assert!(problem(&typed(json!({"@type": "x/no.Such"}))).contains("transport_socket.typed_config.@type: "));
    let tcp = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
    assert!(
        problem(&json!({"filters": [{"typed_config": {"@type": tcp, "idle_timeout": "soon"}}]}))
            .contains("filters[0].typed_config.idle_timeout: ")
    );
    assert!(problem(&json!({"type": "EDS", "cluster_type": {"name": "x"}})).contains("excludes type"));
    assert!(problem(&json!({"connect_timeout": "1s", "connectTimeout": "1s"})).contains("given twice"));
}

#[test]
fn an_unknown_any_is_read_back_from_its_bytes() {
    let json = json!({"transport_socket": {"typed_config": {"@type": "x/no.Such", "value": "AQI="}}});
    let bytes = from_json(&Cluster::type_url(), &json).unwrap();
    assert_eq!(to_json(&Cluster::type_url(), &bytes).unwrap(), json);
}

#[test]
fn an_empty_any_is_read_and_null_sets_nothing() {
    let json = json!({"transport_socket": {"typed_config": {}}, "connect_timeout": null, "altStatName": "a"});
    let bytes = from_json(&Cluster::type_url(), &json).unwrap();
    let back = to_json(&Cluster::type_url(), &bytes).unwrap();
    assert_eq!(back, json!({"alt_stat_name": "a", "transport_socket": {"typed_config": {}}}));
}

/// A message with maps inside maps, and the same once more inside an `Any`.
fn with_maps() -> Cluster {
    let fields: BTreeMap<String, Value> =
        (0..50).map(|i| (format!("k{i}"), Value { kind: Some(Kind::NumberValue(f64::from(i))) })).collect();
    let metadata = Metadata {
        filter_metadata: (0..50).map(|i| (format!("n{i}"), Struct { fields: fields.clone() })).collect(),
        typed_filter_metadata: [("t".to_owned(), crate::any(&Struct { fields }))].into(),
    };
    Cluster { metadata: Some(metadata), ..cluster() }
}

#[test]
fn map_entries_are_encoded_in_the_order_of_generated_code() {
    let typed = with_maps().encode_to_vec();
    for _ in 0..5 {
        let dynamic = decode(&Cluster::type_url(), &typed).unwrap();
        assert_eq!(encode(&dynamic), typed);
    }
}

#[test]
fn maps_inside_an_any_of_json_are_encoded_in_order() {
    let typed = with_maps().encode_to_vec();
    let json = to_json(&Cluster::type_url(), &typed).unwrap();
    assert_eq!(from_json(&Cluster::type_url(), &json).unwrap(), typed);
}

#[test]
fn fields_of_a_newer_version_survive_encoding() {
    let mut bytes = UInt32Value { value: 7 }.encode_to_vec();
    bytes.extend([0xfa, 0x01, 0x01, 0x2a]); // field 31, one byte
    let dynamic = decode(&UInt32Value::type_url(), &bytes).unwrap();
    assert_eq!(encode(&dynamic), bytes);
}

#[test]
fn every_file_of_the_committed_set_is_in_the_pool() {
    let committed =
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/descriptors/envoy-1.40.0.fds")).unwrap();
    let committed = FileDescriptorSet::decode(committed.as_slice()).unwrap();
    assert_eq!(committed.file.len(), 533);
    let pool: BTreeSet<String> = pool().files().map(|file| file.name().to_owned()).collect();
    for file in committed.file {
        assert!(pool.contains(file.name()), "{} is missing", file.name());
    }
    assert!(pool.contains("workload.proto"));
}

#[test]
fn camel_case_renames_fields_and_leaves_keys_of_maps_and_of_free_json() {
    let cluster = Cluster {
        name: "a".into(),
        alt_stat_name: "b".into(),
        typed_extension_protocol_options: [("some_key".to_owned(), crate::any(&UInt32Value { value: 7 }))]
            .into(),
        ..Cluster::default()
    };
    let value = "type.googleapis.com/google.protobuf.UInt32Value";
    assert_eq!(
        any_to_camel_json(&crate::any(&cluster)),
        json!({
            "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "name": "a", "altStatName": "b",
            "typedExtensionProtocolOptions": {"some_key": {"@type": value, "value": 7}},
        })
    );
}
