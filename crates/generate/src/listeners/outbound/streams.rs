//! Chains of TCP and TLS ports: routes of virtual services, else straight to the service
//! (as pilot/pkg/networking/core/tls.go and networkfilter.go).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::Host;
use config::networking::{DestinationRule, HashKey, LbPolicy, LoadBalancerSettings, RouteDestination};
use mesh::routes::Layer4;
use mesh::services::{Port, Registry, Resolution, Service};
use proto::envoy::config::core::v3::Metadata;
use proto::envoy::config::listener::v3::{Filter, filter::ConfigType};
use proto::envoy::extensions::common::dynamic_forward_proxy::v3::DnsCacheConfig;
use proto::envoy::extensions::filters::network::sni_dynamic_forward_proxy::v3::{
    FilterConfig as SniForwardProxy, filter_config::PortSpecifier,
};
use proto::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::{
    ClusterSpecifier, TunnelingConfig, WeightedCluster, weighted_cluster::ClusterWeight,
};
use proto::google::protobuf::{Struct, Value, value::Kind};
use tables::Level;

use super::Outbound;
use super::chains::{Chain, Content};
use super::entries::Wanted;
use crate::addresses::UNSPECIFIED;
use crate::clusters::{DNS_CACHE_SUFFIX, lookup_family, stat_name, subset_key};
use crate::encoded::duration;
use crate::filters::tcp::Tcp;
use crate::routes::domains::alternatives;
use crate::scope::{Egress, Named};

/// The gateway of a match that means sidecars.
const MESH: &str = "mesh";

/// The TLS and TCP routes of a virtual service.
pub(super) struct StreamRoutes<'a> {
    name: &'a Named,
    hosts: &'a [Host],
    rows: &'a Layer4,
}

/// What a match says of the caller and the listener; all known when configuration is made.
struct Source<'m> {
    gateways: &'m [String],
    labels: &'m BTreeMap<String, String>,
    port: u32,
    namespace: &'m str,
}

impl<'a, L: Level> Outbound<'a, L> {
    /// The virtual services of an egress listener that route streams. The one place that reads virtual services.
    pub(super) fn stream_routes(&self, egress: &'a Egress) -> Vec<StreamRoutes<'a>> {
        let one = |name: &'a Named| {
            let rows = self.world.layer4_routes.get(self.r, name)?;
            let head = self.world.route_heads.get(self.r, name)?;
            Some(StreamRoutes { name, hosts: &head.hosts, rows })
        };
        egress.virtual_services.iter().filter_map(one).collect()
    }

    /// The chains of a stream port.
    pub(super) fn streams(&self, wanted: &Wanted<'_, 'a>, routes: &[StreamRoutes<'a>]) -> Vec<Chain<'a>> {
        let host = wanted.view.service.key.hostname.as_str();
        let speaks = |v: &&StreamRoutes<'_>| v.hosts.iter().any(|h| config::host::matches(h.as_str(), host));
        let routes: Vec<&StreamRoutes<'_>> = routes.iter().filter(speaks).collect();
        if wanted.port.protocol.is_tls() { self.tls(wanted, &routes) } else { self.tcp(wanted, &routes) }
    }

    fn applies(&self, source: &Source<'_>, port: u32) -> bool {
        let labels = &self.proxy.labels;
        (source.gateways.is_empty() || source.gateways.iter().any(|g| g == MESH))
            && source.labels.iter().all(|(k, v)| labels.get(k.as_str()).is_some_and(|have| **have == **v))
            && (source.port == 0 || source.port == port)
            && (source.namespace.is_empty() || *source.namespace == *self.proxy.namespace)
    }

    /// TLS ports: by the name the client asks for. Of matches that ask for the same, the first counts.
    fn tls(&self, wanted: &Wanted<'_, 'a>, routes: &[&StreamRoutes<'_>]) -> Vec<Chain<'a>> {
        let number = wanted.port.number;
        let mut ranges = wanted.cidrs.clone();
        let mut seen: BTreeSet<(&[String], &[String])> = BTreeSet::new();
        let mut out = Vec::new();
        for &v in routes {
            for route in v.rows.tls.iter().filter(|route| !route.route.is_empty()) {
                for m in &route.r#match {
                    let source = Source {
                        gateways: &m.gateways,
                        labels: &m.source_labels,
                        port: m.port,
                        namespace: &m.source_namespace,
                    };
                    if !self.applies(&source, number) {
                        continue;
                    }
                    // A range that the user names goes before the service's own. Unix sockets have none.
                    if !m.destination_subnets.is_empty() && number > 0 {
                        ranges = shared(&m.destination_subnets);
                    }
                    if seen.insert((&m.sni_hosts, &m.destination_subnets)) {
                        out.push(Chain {
                            metadata: Some(config_metadata(v.name)),
                            server_names: m.sni_hosts.clone(),
                            ranges: ranges.clone(),
                            ..self.routed(&route.route, wanted.port, v.name)
                        });
                    }
                }
            }
        }
        if out.is_empty() {
            let server_names = self.server_names(wanted);
            out.push(Chain { server_names, ranges, ..self.direct(wanted) });
        }
        out
    }

    /// Names by which TLS to a service is known, where the address of the listener does not tell.
    fn server_names(&self, wanted: &Wanted<'_, 'a>) -> Vec<String> {
        if wanted.pods {
            return Vec::new();
        }
        let service = wanted.view.service;
        let mut address = wanted.view.address(self.settings, self.proxy);
        if address.contains('/') {
            address = "".into();
        }
        let wildcard = self.proxy.wildcard();
        if service.registry == Registry::External && wildcard == "::" && *address == *UNSPECIFIED {
            address = wildcard.into();
        }
        let bound_to_all = wanted.bind.primary().is_some_and(|b| **b == *wildcard);
        let dynamic = service.key.hostname.is_wildcard() && service.resolution == Resolution::DynamicDns;
        let shared =
            !wanted.cidrs.is_empty() || address.is_empty() || (*address == *wildcard && bound_to_all);
        if !shared && !dynamic {
            return Vec::new();
        }
        let mut out = vec![service.key.hostname.as_str().to_owned()];
        for alias in &service.aliases {
            out.push(alias.hostname.as_str().to_owned());
            let absolute = self.settings.switches.pilot_enable_absolute_fqdn_vhost_domain;
            out.extend(alternatives(alias.hostname.as_str(), None, &self.proxy.dns_domain, absolute));
        }
        out
    }

    /// TCP ports: the first route that has no condition ends the list.
    fn tcp(&self, wanted: &Wanted<'_, 'a>, routes: &[&StreamRoutes<'_>]) -> Vec<Chain<'a>> {
        let number = wanted.port.number;
        let mut out: Vec<Chain<'a>> = Vec::new();
        let mut covered = false;
        for &v in routes {
            for route in v.rows.tcp.iter().filter(|route| !route.route.is_empty()) {
                let mut subnets: Vec<Arc<str>> = Vec::new();
                let mut everything = route.r#match.is_empty();
                for m in &route.r#match {
                    let source = Source {
                        gateways: &m.gateways,
                        labels: &m.source_labels,
                        port: m.port,
                        namespace: &m.source_namespace,
                    };
                    if !self.applies(&source, number) {
                        continue;
                    }
                    if m.destination_subnets.is_empty() || number == 0 {
                        everything = true;
                        break;
                    }
                    subnets.extend(shared(&m.destination_subnets));
                }
                if everything {
                    out.push(Chain {
                        metadata: Some(config_metadata(v.name)),
                        ranges: wanted.cidrs.clone(),
                        ..self.routed(&route.route, wanted.port, v.name)
                    });
                    return out;
                }
                if subnets.is_empty() {
                    continue;
                }
                // a chain with the very ranges of the service leaves nothing to the service's own
                let sorted = |all: &[Arc<str>]| all.iter().cloned().collect::<BTreeSet<_>>();
                covered |= subnets.len() == wanted.cidrs.len() && sorted(&subnets) == sorted(&wanted.cidrs);
                out.push(Chain { ranges: subnets, ..self.routed(&route.route, wanted.port, v.name) });
            }
        }
        if !covered {
            out.push(Chain { ranges: wanted.cidrs.clone(), ..self.direct(wanted) });
        }
        out
    }

    /// Straight to the service. A port that a Sidecar object names leads to the only port of the service.
    fn direct(&self, wanted: &Wanted<'_, 'a>) -> Chain<'a> {
        let service = wanted.view.service;
        let number = wanted.view.only_port().unwrap_or(wanted.port.number);
        let cluster = subset_key("outbound", number, "", service.key.hostname.as_str());
        let port = Port { name: Arc::from(""), number, protocol: wanted.port.protocol };
        let mut tcp = Tcp { stat_prefix: self.stat_prefix(service, "", &port, &cluster), ..Tcp::to(cluster) };
        let rule =
            mesh::rules::for_host(self.r, self.world, &self.proxy.namespace, service, &self.proxy.labels);
        apply_rule(&mut tcp, rule.as_ref().map(|rule| &*rule.rule), "");
        tcp.protocol = wanted.port.protocol;
        let dynamic = service.key.hostname.is_wildcard() && service.resolution == Resolution::DynamicDns;
        if dynamic {
            tcp.before.push(self.resolve_by_name(service, wanted.port.number));
        }
        Chain { content: Content::Streams(self.filters.tcp_proxy_chain(tcp), dynamic), ..Chain::default() }
    }

    /// Where a virtual service leads.
    fn routed(&self, to: &[RouteDestination], port: &Port, of: &Named) -> Chain<'a> {
        let named = |d: &RouteDestination| d.destination.as_ref().and_then(|d| self.service_named(&d.host));
        let cluster = |d: &RouteDestination| match &d.destination {
            Some(to) => crate::routes::http::cluster_of(to, named(d), port.number),
            None => "UnknownService".to_owned(),
        };
        let service = to.first().and_then(named);
        let rule = service.and_then(|service| {
            mesh::rules::for_host(self.r, self.world, &self.proxy.namespace, service, &self.proxy.labels)
        });
        let rule = rule.as_ref().map(|rule| &*rule.rule);
        let mut tcp;
        if let [only] = to {
            let subset = only.destination.as_ref().map_or("", |d| d.subset.as_str());
            tcp = Tcp::to(cluster(only));
            if let Some(service) = service {
                let name = std::mem::take(&mut tcp.stat_prefix);
                tcp.stat_prefix = self.stat_prefix(service, subset, port, &name);
            }
            apply_rule(&mut tcp, rule, subset);
        } else {
            let weighted = to.iter().filter_map(|d| match u32::try_from(d.weight) {
                Ok(weight) if weight > 0 => {
                    Some(ClusterWeight { name: cluster(d), weight, ..ClusterWeight::default() })
                }
                _ => None,
            });
            tcp = Tcp {
                stat_prefix: format!("{}.{}", of.1, of.0),
                destination: ClusterSpecifier::WeightedClusters(WeightedCluster {
                    clusters: weighted.collect(),
                }),
                ..Tcp::to("")
            };
            apply_rule(&mut tcp, rule, "");
        }
        tcp.protocol = port.protocol;
        Chain { content: Content::Streams(self.filters.tcp_proxy_chain(tcp), false), ..Chain::default() }
    }

    fn service_named(&self, host: &str) -> Option<&'a Service> {
        let scoped = self.scope.service(host)?;
        self.world.services.get(self.r, &scoped.key).map(|row| &**row)
    }

    /// The cluster's name, unless the mesh has a pattern for it.
    fn stat_prefix(&self, service: &Service, subset: &str, port: &Port, cluster: &str) -> String {
        let pattern = &self.settings.mesh.outbound_cluster_stat_name;
        if pattern.is_empty() {
            return cluster.to_owned();
        }
        let mut name = stat_name(pattern, service, subset, port, 0);
        name.truncate(name.len() - 1);
        name
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

fn shared(texts: &[String]) -> Vec<Arc<str>> {
    texts.iter().map(|t| Arc::from(t.as_str())).collect()
}

/// What a destination rule says of streams: timeouts, hash of the source, tunnel.
fn apply_rule(tcp: &mut Tcp<'_>, rule: Option<&DestinationRule>, subset: &str) {
    let Some(rule) = rule else { return };
    let whole = rule.traffic_policy.as_ref();
    let own = rule.subsets.iter().find(|s| s.name == subset).and_then(|s| s.traffic_policy.as_ref());
    let pool = whole.and_then(|p| p.connection_pool.as_ref()).and_then(|p| p.tcp.as_ref());
    tcp.idle_timeout = pool.and_then(|p| p.idle_timeout).map(duration);
    tcp.max_duration = pool.and_then(|p| p.max_connection_duration).map(duration);
    let balancer =
        own.and_then(|p| p.load_balancer.as_ref()).or_else(|| whole.and_then(|p| p.load_balancer.as_ref()));
    tcp.hash_source = balancer.is_some_and(hashes_source);
    let tunnel = if subset.is_empty() { whole } else { own }.and_then(|p| p.tunnel.as_ref());
    tcp.tunnel = tunnel.map(|t| TunnelingConfig {
        hostname: if t.target_host.contains(':') {
            format!("[{}]:{}", t.target_host, t.target_port)
        } else {
            format!("{}:{}", t.target_host, t.target_port)
        },
        use_post: t.protocol == "POST",
        ..TunnelingConfig::default()
    });
}

fn hashes_source(balancer: &LoadBalancerSettings) -> bool {
    match &balancer.lb_policy {
        Some(LbPolicy::ConsistentHash(hash)) => matches!(hash.hash_key, Some(HashKey::UseSourceIp(true))),
        _ => false,
    }
}

/// Names the object that a chain comes from (as pilot/pkg/networking/util: `BuildConfigInfoMetadata`).
fn config_metadata((namespace, name): &Named) -> Metadata {
    let path = format!("/apis/networking.istio.io/v1/namespaces/{namespace}/virtual-service/{name}");
    let fields = [("config".to_owned(), Value { kind: Some(Kind::StringValue(path)) })].into();
    Metadata { filter_metadata: [("istio".to_owned(), Struct { fields })].into(), ..Metadata::default() }
}
