//! Where a cluster comes from: its service, its subset, and each part of the traffic policy in force.

use config::Kind;
use config::networking::{H2UpgradePolicy, LbPolicy, Sidecar, TrafficPolicy};
use mesh::World;
use mesh::rules::Rule;
use mesh::services::{Port, Registry, Service};
use mesh::settings::Settings;
use proto::envoy::config::cluster::v3::Cluster;
use tables::{Level, Reads};

use super::layers::Layers;
use super::{pool, sni_key};
use crate::authentication;
use crate::encoded::TypeName;
use crate::provenance::{self, Origin};
use crate::scope::{Named, Scope};

impl Layers {
    /// Says where connection limits and timeouts were written; `policy` is the one in force.
    pub(super) fn tell_pool(
        &self,
        rule: Option<&Rule>,
        policy: Option<&TrafficPolicy>,
        keepalive: bool,
        say: &mut dyn FnMut(&str, Origin),
    ) {
        let pool = policy.and_then(|p| p.connection_pool.as_ref());
        let (tcp, http) = (pool.and_then(|p| p.tcp.as_ref()), pool.and_then(|p| p.http.as_ref()));
        let of = |field: &str| self.origin(rule, "connectionPool", field);
        let timeout = tcp.filter(|t| t.connect_timeout.is_some()).and_then(|_| of(".tcp.connectTimeout"));
        say("connect_timeout", timeout.unwrap_or_else(|| Origin::mesh("connectTimeout")));
        let limits = [
            (tcp.is_some_and(|t| t.max_connections > 0), "max_connections", ".tcp.maxConnections"),
            (
                http.is_some_and(|h| h.http1_max_pending_requests > 0),
                "max_pending_requests",
                ".http.http1MaxPendingRequests",
            ),
            (http.is_some_and(|h| h.http2_max_requests > 0), "max_requests", ".http.http2MaxRequests"),
            (http.is_some_and(|h| h.max_retries > 0), "max_retries", ".http.maxRetries"),
        ];
        say("circuit_breakers", Origin::default("no limit but those that are written"));
        for (_, name, field) in limits.iter().filter(|(written, ..)| *written) {
            of(field)
                .into_iter()
                .for_each(|origin| say(&format!("circuit_breakers.thresholds[0].{name}"), origin));
        }
        if let Some(origin) = self.origin(rule, "retryBudget", "") {
            say("circuit_breakers.thresholds[0].retry_budget", origin);
        }
        let idle = http.is_some_and(|h| h.idle_timeout.is_some());
        let options = [
            (idle, "idle_timeout", ".http.idleTimeout"),
            (!idle && tcp.is_some_and(|t| t.idle_timeout.is_some()), "idle_timeout", ".tcp.idleTimeout"),
            (
                tcp.is_some_and(|t| t.max_connection_duration.is_some()),
                "max_connection_duration",
                ".tcp.maxConnectionDuration",
            ),
            (
                http.is_some_and(|h| h.max_requests_per_connection > 0),
                "max_requests_per_connection",
                ".http.maxRequestsPerConnection",
            ),
        ];
        for (_, name, field) in options.iter().filter(|(written, ..)| *written) {
            let path = format!("typed_extension_protocol_options.common_http_protocol_options.{name}");
            of(field).into_iter().for_each(|origin| say(&path, origin));
        }
        if tcp.is_some_and(|t| t.tcp_keepalive.is_some()) {
            of(".tcp.tcpKeepalive")
                .into_iter()
                .for_each(|o| say("upstream_connection_options.tcp_keepalive", o));
        } else if keepalive {
            say("upstream_connection_options.tcp_keepalive", Origin::mesh("tcpKeepalive"));
        }
    }
}

/// A finished outbound cluster, and what it was made of.
pub(super) struct Told<'a> {
    pub(super) settings: &'a Settings,
    pub(super) service: &'a Service,
    pub(super) rule: Option<&'a Rule>,
    pub(super) port: &'a Port,
    pub(super) subset: &'a str,
    /// The policy in force.
    pub(super) policy: Option<&'a TrafficPolicy>,
    pub(super) cluster: &'a Cluster,
}

impl Told<'_> {
    /// Says where its parts come from.
    pub(super) fn tell<L: Level>(&self, r: &Reads<L>, world: &World) {
        let mesh = &*self.settings.mesh;
        let spec = self.rule.map(|rule| &*rule.rule);
        let number = self.port.number;
        let layers = Layers::of(spec, number, self.subset, mesh.default_traffic_policy.as_ref());
        provenance::notes(r, |say| {
            say("", Origin::service(self.service, Some(number)));
            if let (Some(rule), false) = (self.rule, self.subset.is_empty()) {
                say("", Origin::rule(rule, [format!("spec.subsets[name={}]", self.subset)]));
            } else if let Some(rule) = self.rule {
                say("metadata", Origin::rule(rule, ["spec.host".to_owned()]));
            }
            if self.service.registry == Registry::External {
                say("type", of_entry(self.service, "spec.resolution"));
            }
            layers.tell_pool(self.rule, self.policy, mesh.tcp_keepalive.is_some(), say);
            if let Some(origin) = layers.origin(self.rule, "outlierDetection", "") {
                say("outlier_detection", origin);
            }
            self.tell_balancing(&layers, say);
            self.tell_protocol(&layers, say);
            if let Some(origin) = layers.origin(self.rule, "proxyProtocol", "") {
                say("transport_socket", origin);
            }
            self.tell_tls(&layers, r, world, say);
        });
    }

    fn tell_balancing(&self, layers: &Layers, say: &mut dyn FnMut(&str, Origin)) {
        let lb = self.policy.and_then(|p| p.load_balancer.as_ref());
        let of = |field: &str| layers.origin(self.rule, "loadBalancer", field);
        let chosen = match lb.and_then(|lb| lb.lb_policy.as_ref()) {
            Some(LbPolicy::Simple(_)) => of(".simple"),
            Some(LbPolicy::ConsistentHash(_)) => of(".consistentHash"),
            _ => None,
        };
        say(
            "lb_policy",
            chosen.unwrap_or_else(|| Origin::default("LEAST_REQUEST, or what the kind of cluster asks for")),
        );
        let locality = lb.filter(|lb| lb.locality_lb_setting.is_some() || lb.zone_aware_lb_setting.is_some());
        if self.cluster.common_lb_config.as_ref().is_some_and(|c| c.locality_config_specifier.is_some()) {
            let field = if lb.is_some_and(|lb| lb.zone_aware_lb_setting.is_some()) {
                ".zoneAwareLbSetting"
            } else {
                ".localityLbSetting"
            };
            let written = locality.and_then(|_| of(field));
            say("common_lb_config", written.unwrap_or_else(|| Origin::mesh("localityLbSetting")));
        }
        if lb.is_some_and(|lb| lb.warmup.is_some()) {
            of(".warmup").into_iter().for_each(|origin| say("lb_config", origin));
        }
    }

    fn tell_protocol(&self, layers: &Layers, say: &mut dyn FnMut(&str, Origin)) {
        let mesh = &*self.settings.mesh;
        let pool = self.policy.and_then(|p| p.connection_pool.as_ref());
        let http = pool.and_then(|p| p.http.as_ref());
        let of = |field: &str| layers.origin(self.rule, "connectionPool", field);
        let options = "typed_extension_protocol_options";
        let http2 = format!("{options}.explicit_http_config.http2_protocol_options");
        if pool::upgrades_http2(mesh, self.port, pool) {
            let own = http.is_some_and(|h| h.h2_upgrade_policy != H2UpgradePolicy::Default);
            let written = of(".http.h2UpgradePolicy").filter(|_| own);
            say(&http2, written.unwrap_or_else(|| Origin::mesh("h2UpgradePolicy")));
        } else if self.port.protocol.is_http2() {
            say(&http2, Origin::service(self.service, Some(self.port.number)));
        }
        if http.is_some_and(|h| h.use_client_protocol) {
            let path = format!("{options}.use_downstream_protocol_config");
            of(".http.useClientProtocol").into_iter().for_each(|origin| say(&path, origin));
        }
        if self.cluster.load_assignment.is_some() {
            say("dns_refresh_rate", Origin::mesh("dnsRefreshRate"));
        }
    }

    fn tell_tls<L: Level>(
        &self,
        layers: &Layers,
        r: &Reads<L>,
        world: &World,
        say: &mut dyn FnMut(&str, Origin),
    ) {
        if let Some(origin) = layers.origin(self.rule, "tls", "") {
            say("transport_socket", origin);
        } else if !self.cluster.transport_socket_matches.is_empty() {
            // detected: each endpoint tells whether it takes mutual TLS
            say("transport_socket_matches", Origin::mesh("enableAutoMtls"));
            let mode = authentication::namespace_origin(r, world, &self.service.key.namespace);
            say("transport_socket_matches", mode);
        } else if self.cluster.transport_socket.is_some() {
            say("transport_socket", Origin::mesh("enableAutoMtls"));
        }
        if self.cluster.name
            == sni_key("outbound", self.port.number, self.subset, self.service.key.hostname.as_str())
        {
            say("", Origin::default("a Gateway server with AUTO_PASSTHROUGH forwards to it by SNI"));
        }
    }
}

/// A field of the ServiceEntries that declare a service.
fn of_entry(service: &Service, path: &str) -> Origin {
    match Origin::service(service, None) {
        Origin::Field(fields) => Origin::Field(
            fields
                .into_iter()
                .filter(|field| field.kind == Kind::ServiceEntry)
                .map(|field| provenance::Field { path: path.to_owned(), ..field })
                .collect(),
        ),
        other => other,
    }
}

/// Says where the clusters that no service declares come from.
pub(super) fn tell_fixed<L: Level>(r: &Reads<L>, world: &World, scope: Option<&Scope>, clusters: &[Cluster]) {
    if r.trace().is_none() {
        return;
    }
    let mesh = &crate::settings(r, world).mesh;
    for cluster in clusters {
        provenance::resource(
            r,
            TypeName::Cluster,
            || cluster.name.as_str(),
            || {
                provenance::notes(r, |say| {
                    say(
                        "",
                        match (cluster.name.as_str(), scope) {
                            ("BlackHoleCluster", _) => {
                                Origin::default("where traffic to nobody ends; every proxy has it")
                            }
                            ("PassthroughCluster", _) => Origin::default(
                                "where traffic of a sidecar to unknown hosts goes; every sidecar has it",
                            ),
                            ("InboundPassthroughCluster", _) => Origin::default(
                                "ports of the workload that no service declares; every sidecar has it",
                            ),
                            (_, Some(scope)) => scope.policy_origin(r, world),
                            (_, None) => Origin::mesh("outboundTrafficPolicy.mode"),
                        },
                    );
                    say("connect_timeout", Origin::mesh("connectTimeout"));
                    let pool = mesh.default_traffic_policy.as_ref().and_then(|p| p.connection_pool.as_ref());
                    if pool.is_some() && cluster.circuit_breakers.is_some() {
                        say("circuit_breakers", Origin::mesh("defaultTrafficPolicy.connectionPool"));
                    }
                });
            },
        );
    }
}

/// Says where the cluster of a port of the workload comes from: the services that are served there, or the Sidecar that
/// declares it; `rule` and `policy` are those in force.
pub(super) fn tell_inbound<L: Level>(
    r: &Reads<L>,
    settings: &Settings,
    sidecar: Option<(&Named, &Sidecar)>,
    (number, port, services): (u32, &Port, &[&Service]),
    rule: Option<&Rule>,
    policy: Option<&TrafficPolicy>,
) {
    let mesh = &*settings.mesh;
    provenance::notes(r, |say| {
        let ingress = sidecar.and_then(|(name, spec)| {
            let own = spec.ingress.iter().find(|l| l.port.as_ref().is_some_and(|p| p.number == number))?;
            Some((name, own))
        });
        if let Some((name, _)) = ingress {
            say("", Origin::named(Kind::Sidecar, name, format!("spec.ingress[port.number={number}]")));
        }
        for service in services {
            say("", Origin::service(service, Some(port.number)));
        }
        let pool = match (ingress.filter(|(_, l)| l.connection_pool.is_some()), sidecar) {
            (Some((name, _)), _) => {
                Some((name, format!("spec.ingress[port.number={number}].connectionPool")))
            }
            (None, Some((name, spec))) if spec.inbound_connection_pool.is_some() => {
                Some((name, "spec.inboundConnectionPool".to_owned()))
            }
            _ => None,
        };
        if let Some((name, path)) = pool {
            let written = policy.and_then(|p| p.connection_pool.as_ref()).and_then(|p| p.tcp.as_ref());
            say("circuit_breakers", Origin::named(Kind::Sidecar, name, path.clone()));
            say(
                "connect_timeout",
                match written.and_then(|tcp| tcp.connect_timeout) {
                    Some(_) => Origin::named(Kind::Sidecar, name, format!("{path}.tcp.connectTimeout")),
                    None => Origin::mesh("connectTimeout"),
                },
            );
            return;
        }
        let spec = rule.map(|rule| &*rule.rule);
        let layers = Layers::of(spec, port.number, "", mesh.default_traffic_policy.as_ref());
        layers.tell_pool(rule, policy, mesh.tcp_keepalive.is_some(), say);
    });
}
