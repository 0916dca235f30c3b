//! Where streams go, as network filters
//! (as pilot/pkg/networking/core/networkfilter.go).

use mesh::services::{Port, Service};
use proto::envoy::config::core::v3::Metadata;
use proto::envoy::config::listener::v3::{Filter, filter::ConfigType};
use proto::envoy::extensions::common::dynamic_forward_proxy::v3::DnsCacheConfig;
use proto::envoy::extensions::filters::network::sni_dynamic_forward_proxy::v3::{
    FilterConfig as SniForwardProxy, filter_config::PortSpecifier,
};
use proto::google::protobuf::{Struct, Value, value::Kind};
use tables::Level;

use super::Outbound;
use super::chains::{Streams, To};
use crate::clusters::{DNS_CACHE_SUFFIX, lookup_family, subset_key};
use crate::filters::destinations::Destinations;
use crate::filters::tcp::Tcp;
use crate::scope::Named;

impl<'a, L: Level> Outbound<'a, L> {
    /// The TCP proxy of a chain.
    pub(super) fn tcp_proxy(&self, streams: &Streams<'a>) -> Tcp<'a> {
        let mut tcp = match streams.to {
            To::Service(service, number) => self.direct(service, number, streams),
            To::Routed(to, (namespace, name)) => {
                let named = |host: &str| self.service_named(host);
                self.destinations().routed(to, (namespace, name), &streams.port, named)
            }
        };
        tcp.protocol = streams.port.protocol;
        tcp
    }

    fn destinations(&self) -> Destinations<'a, L> {
        Destinations { r: self.r, world: self.world, proxy: self.proxy, settings: self.settings }
    }

    fn direct(&self, service: &Service, number: u32, streams: &Streams<'a>) -> Tcp<'a> {
        let cluster = subset_key("outbound", number, "", service.key.hostname.as_str());
        let port = Port { name: "".into(), number, protocol: streams.port.protocol };
        let destinations = self.destinations();
        let stat_prefix = destinations.stat_prefix(service, "", &port, &cluster);
        let rule = destinations.rule(service);
        let rule = rule.as_ref().map(|rule| &*rule.rule);
        let mut tcp = Tcp { stat_prefix, ..Tcp::to(cluster) };
        tcp.follow(rule, "");
        tcp.tunnel_by(rule, "");
        if streams.by_name() {
            tcp.before.push(self.resolve_by_name(service, streams.port.number));
        }
        tcp
    }

    fn service_named(&self, host: &str) -> Option<&'a Service> {
        let scoped = (self.find)(host)?;
        self.world.services.get(self.r, &scoped.key).map(|row| &**row)
    }

    /// Looks up the name that a TLS client asks for.
    fn resolve_by_name(&self, service: &Service, port: u32) -> Filter {
        let config = SniForwardProxy {
            dns_cache_config: Some(DnsCacheConfig {
                name: format!("{}{DNS_CACHE_SUFFIX}", service.key.hostname.as_str()),
                dns_lookup_family: lookup_family(self.proxy, self.settings).into(),
                ..DnsCacheConfig::default()
            }),
            port_specifier: Some(PortSpecifier::PortValue(port)),
            ..SniForwardProxy::default()
        };
        Filter {
            name: "envoy.extensions.filters.network.sni_dynamic_forward_proxy".into(),
            config_type: Some(ConfigType::TypedConfig(proto::any(&config))),
        }
    }
}

/// Names the object that a chain comes from (as pilot/pkg/networking/util: `BuildConfigInfoMetadata`).
pub(super) fn config_metadata((namespace, name): &Named) -> Metadata {
    let path = format!("/apis/networking.istio.io/v1/namespaces/{namespace}/virtual-service/{name}");
    let fields = [("config".to_owned(), Value { kind: Some(Kind::StringValue(path)) })].into();
    Metadata { filter_metadata: [("istio".to_owned(), Struct { fields })].into(), ..Metadata::default() }
}
