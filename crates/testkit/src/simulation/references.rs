//! What a resource mentions: read from its message, as the proxy that loads it would.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use generate::TypeName;
use prost::Message;
use proto::envoy::config::cluster::v3::{Cluster, cluster};
use proto::envoy::config::core::v3::{ConfigSource, TransportSocket, config_source::ConfigSourceSpecifier};
use proto::envoy::config::listener::v3::{Filter, Listener, filter};
use proto::envoy::config::route::v3::{
    RouteAction, RouteConfiguration, VirtualHost, route::Action, route_action::ClusterSpecifier,
};
use proto::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, http_connection_manager::RouteSpecifier,
};
use proto::envoy::extensions::filters::network::tcp_proxy::v3::{TcpProxy, tcp_proxy};
use proto::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, UpstreamTlsContext,
    common_tls_context::ValidationContextType,
};

/// The names that a resource mentions and that the proxy gets over the same stream.
#[derive(Debug, Default)]
pub(crate) struct References {
    pub(crate) clusters: BTreeSet<Box<str>>,
    pub(crate) routes: BTreeSet<Box<str>>,
    pub(crate) secrets: BTreeSet<Box<str>>,
    /// Clusters only: the name under which it asks for endpoints.
    pub(crate) endpoints: Option<Box<str>>,
    /// Route configurations only: virtual hosts come as resources of their own.
    pub(crate) hosts_apart: bool,
}

thread_local! {
    /// By type and version: the same few resources come again and again.
    static KNOWN: RefCell<HashMap<(TypeName, u64), Rc<References>>> = RefCell::default();
}

/// What a resource mentions; an unreadable one is an error.
pub(crate) fn of(of: TypeName, resource: &xds::Resource) -> Result<Rc<References>, String> {
    let key = (of, resource.version);
    if let Some(known) = KNOWN.with_borrow(|known| known.get(&key).cloned()) {
        return Ok(known);
    }
    let mut found = References::default();
    let bytes = resource.body.clone();
    let read = match of {
        TypeName::Cluster => Cluster::decode(bytes).map(|cluster| found.cluster(&cluster)),
        TypeName::Listener => Listener::decode(bytes).map(|listener| found.listener(&listener)),
        TypeName::Route => RouteConfiguration::decode(bytes).map(|route| found.route(&route)),
        TypeName::VirtualHost => VirtualHost::decode(bytes).map(|host| found.host(&host)),
        _ => Ok(()),
    };
    read.map_err(|error| format!("{of:?} {} cannot be read: {error}", resource.name))?;
    let found = Rc::new(found);
    KNOWN.with_borrow_mut(|known| known.insert(key, found.clone()));
    Ok(found)
}

impl References {
    fn cluster(&mut self, cluster: &Cluster) {
        let eds = cluster::DiscoveryType::Eds as i32;
        if cluster.cluster_discovery_type == Some(cluster::ClusterDiscoveryType::Type(eds)) {
            let service = cluster.eds_cluster_config.as_ref().map(|c| c.service_name.as_str());
            self.endpoints = Some(service.filter(|s| !s.is_empty()).unwrap_or(&cluster.name).into());
        }
        let matches = cluster.transport_socket_matches.iter().filter_map(|m| m.transport_socket.as_ref());
        for socket in cluster.transport_socket.iter().chain(matches) {
            self.socket(socket);
        }
    }

    fn listener(&mut self, listener: &Listener) {
        for chain in listener.filter_chains.iter().chain(&listener.default_filter_chain) {
            chain.filters.iter().for_each(|filter| self.filter(filter));
            chain.transport_socket.iter().for_each(|socket| self.socket(socket));
        }
    }

    fn filter(&mut self, filter: &Filter) {
        let Some(filter::ConfigType::TypedConfig(any)) = &filter.config_type else { return };
        if any.type_url.ends_with(".HttpConnectionManager") {
            let Ok(manager) = HttpConnectionManager::decode(&*any.value) else { return };
            match manager.route_specifier {
                Some(RouteSpecifier::Rds(rds)) => {
                    self.routes.insert(rds.route_config_name.into());
                }
                Some(RouteSpecifier::RouteConfig(route)) => self.route(&route),
                _ => {}
            }
        } else if any.type_url.ends_with(".TcpProxy") {
            let Ok(tcp) = TcpProxy::decode(&*any.value) else { return };
            match tcp.cluster_specifier {
                Some(tcp_proxy::ClusterSpecifier::Cluster(name)) => {
                    self.clusters.insert(name.into());
                }
                Some(tcp_proxy::ClusterSpecifier::WeightedClusters(weighted)) => {
                    self.clusters.extend(weighted.clusters.into_iter().map(|c| c.name.into()));
                }
                _ => {}
            }
        }
    }

    fn route(&mut self, configuration: &RouteConfiguration) {
        self.hosts_apart = configuration.vhds.is_some();
        configuration.virtual_hosts.iter().for_each(|host| self.host(host));
    }

    fn host(&mut self, host: &VirtualHost) {
        for route in &host.routes {
            if let Some(Action::Route(action)) = &route.action {
                self.action(action);
            }
        }
    }

    fn action(&mut self, action: &RouteAction) {
        match &action.cluster_specifier {
            Some(ClusterSpecifier::Cluster(name)) => {
                self.clusters.insert(name.as_str().into());
            }
            Some(ClusterSpecifier::WeightedClusters(weighted)) => {
                self.clusters.extend(weighted.clusters.iter().map(|c| c.name.as_str().into()));
            }
            _ => {}
        }
        self.clusters.extend(action.request_mirror_policies.iter().map(|m| m.cluster.as_str().into()));
    }

    fn socket(&mut self, socket: &TransportSocket) {
        let Some(proto::envoy::config::core::v3::transport_socket::ConfigType::TypedConfig(any)) =
            &socket.config_type
        else {
            return;
        };
        let context = if any.type_url.ends_with(".UpstreamTlsContext") {
            UpstreamTlsContext::decode(&*any.value).ok().and_then(|tls| tls.common_tls_context)
        } else if any.type_url.ends_with(".DownstreamTlsContext") {
            DownstreamTlsContext::decode(&*any.value).ok().and_then(|tls| tls.common_tls_context)
        } else {
            None
        };
        context.iter().for_each(|context| self.tls(context));
    }

    fn tls(&mut self, context: &CommonTlsContext) {
        for secret in &context.tls_certificate_sds_secret_configs {
            self.secret(secret);
        }
        match &context.validation_context_type {
            Some(ValidationContextType::ValidationContextSdsSecretConfig(secret)) => self.secret(secret),
            Some(ValidationContextType::CombinedValidationContext(both)) => {
                both.validation_context_sds_secret_config.iter().for_each(|secret| self.secret(secret));
            }
            _ => {}
        }
    }

    /// Only secrets that come over the aggregated stream; the agent serves the others itself.
    fn secret(&mut self, secret: &SdsSecretConfig) {
        let over_ads = |source: &ConfigSource| {
            matches!(source.config_source_specifier, Some(ConfigSourceSpecifier::Ads(_)))
        };
        if secret.sds_config.as_ref().is_some_and(over_ads) {
            self.secrets.insert(secret.name.as_str().into());
        }
    }
}
