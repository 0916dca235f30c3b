//! Filters: network and HTTP filters with their place in the chain, chosen by what the proxy can load.

use mesh::World;
use mesh::settings::Settings;
use tables::{Level, Reads};

use crate::proxy::Proxy;

pub(crate) mod hcm;
pub(crate) mod tcp;

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

/// Which side of a proxy a filter stands on (as pilot/pkg/networking: `ListenerClass`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Class {
    /// Towards the workload.
    SidecarInbound,
    /// From the workload.
    SidecarOutbound,
    /// Through a gateway.
    Gateway,
}

/// What the filter chains of one class of one proxy have in common, read once per build: proxy configuration, telemetry.
/// Make one with [`Filters::of`], then ask it for [`Filters::manager`] and [`Filters::tcp_proxy_chain`].
pub(crate) struct Filters<'a> {
    proxy: &'a Proxy,
    settings: &'a Settings,
    class: Class,
}

impl<'a> Filters<'a> {
    /// Reads what applies to `proxy` (outbound or full form).
    pub(crate) fn of<L: Level>(r: &Reads<L>, world: &'a World, proxy: &'a Proxy, class: Class) -> Self {
        Self { proxy, settings: crate::settings(r, world), class }
    }
}
