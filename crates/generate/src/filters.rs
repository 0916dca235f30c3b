//! Filters: network and HTTP filters with their place in the chain, chosen by what the proxy can load.

use proto::envoy::config::cluster::v3::Filter as ClusterFilter;
use proto::google::protobuf::{Any, Struct, Value, value::Kind};

/// An extension of istio/proxy, which travels as a `TypedStruct` since its message is not Envoy's.
pub(crate) fn typed_struct(type_url: &str, value: Struct) -> Any {
    proto::any(&proto::udpa::r#type::v1::TypedStruct { type_url: type_url.into(), value: Some(value) })
}

/// A struct of fields.
pub(crate) fn fields<const N: usize>(fields: [(&str, Kind); N]) -> Struct {
    Struct { fields: fields.into_iter().map(|(k, v)| (k.to_owned(), Value { kind: Some(v) })).collect() }
}

fn exchange() -> Any {
    typed_struct(
        "type.googleapis.com/envoy.tcp.metadataexchange.config.MetadataExchange",
        fields([
            ("enable_discovery", Kind::BoolValue(true)),
            ("protocol", Kind::StringValue("istio-peer-exchange".into())),
        ]),
    )
}

/// TCP metadata exchange towards upstreams.
pub(crate) fn cluster_metadata_exchange() -> ClusterFilter {
    ClusterFilter { name: "istio.metadata_exchange".into(), typed_config: Some(exchange()), ..ClusterFilter::default() }
}
