//! Gateways: Gateway objects merged per workload, their listeners and routes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::networking::{Server as Spec, ServerTlsSettings, ServerTlsSettingsTlsMode as Mode};
use config::protocol::Protocol;
use mesh::World;
use mesh::workloads::ServiceTarget;
use tables::{Level, Reads};

use crate::listeners::Built;
use crate::proxy::Proxy;
use crate::routes::BuiltRoute;
use crate::scope::Scope;

mod bound;
mod chains;
mod listeners;
mod merge;
mod origins;
mod routes;
mod tcp;
pub(crate) mod tls;

#[cfg(test)]
mod tests;

/// Where servers listen: those with the same place share a listener (as pilot/pkg/model/gateway.go: `ServerPort`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ServerPort {
    /// Port of the listener: the target port of the gateway's Service where it has one.
    pub number: u32,
    /// As written in the Gateway.
    pub protocol: String,
    /// Address, empty for the wildcard.
    pub bind: String,
}

/// A server of a Gateway object at one port of the workload.
#[derive(Clone, PartialEq, Debug)]
pub struct Server {
    /// `namespace/name` of the Gateway.
    pub gateway: Arc<str>,
    /// Its number in the Gateway.
    pub at: usize,
    /// The server; hosts are `host` or `namespace/host`, without `.` and `*` as namespace.
    pub spec: Spec,
    /// Protocol of its port.
    pub protocol: Protocol,
    /// Number of its port as written, which virtual services match.
    pub port: u32,
    /// RouteConfiguration name, empty without HTTP.
    pub route: Arc<str>,
    /// Its hosts as server names, sorted.
    pub sni: Vec<String>,
}

impl Server {
    fn mode(&self) -> Option<Mode> {
        self.spec.tls.as_ref().map(|t| t.mode)
    }

    /// TLS goes through (as pkg/config/gateway/gateway.go: `IsPassThroughServer`).
    fn passes(&self) -> bool {
        matches!(self.mode(), Some(Mode::Passthrough | Mode::AutoPassthrough))
    }

    /// TLS settings besides those that only redirect (`IsTLSServer`).
    fn is_tls(&self) -> bool {
        self.spec.tls.is_some() && !self.protocol.is_http()
    }

    /// HTTP, or HTTPS that ends here (`IsHTTPServer`).
    fn is_http(&self) -> bool {
        self.protocol.is_http() || (self.protocol == Protocol::Https && !self.passes())
    }

    /// HTTPS that ends here (`IsHTTPSServerWithTLSTermination`).
    fn ends_https(&self) -> bool {
        self.protocol == Protocol::Https && self.spec.tls.is_some() && !self.passes()
    }

    /// The TLS settings of a server where TLS ends.
    fn ending(&self) -> Option<&ServerTlsSettings> {
        self.spec.tls.as_ref().filter(|_| !self.passes())
    }

    fn redirects(&self) -> bool {
        self.spec.tls.as_ref().is_some_and(|t| t.https_redirect)
    }
}

/// The servers at one place.
#[derive(Clone, PartialEq, Debug)]
pub struct PortServers {
    /// The place.
    pub port: ServerPort,
    /// In order of precedence.
    pub servers: Vec<Arc<Server>>,
    /// Route of plain HTTP servers, which share one.
    pub route: Arc<str>,
}

/// The servers of all Gateway objects that select a router, by port (as pilot/pkg/model/gateway.go: `MergedGateway`).
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Merged {
    /// TCP listeners, in the order in which their first server came.
    pub ports: Vec<PortServers>,
    /// Servers that are offered over QUIC too, by the place of their TCP listener.
    pub quic: BTreeMap<ServerPort, Vec<Arc<Server>>>,
    /// HTTP servers by RouteConfiguration name.
    pub routes: BTreeMap<Arc<str>, Vec<Arc<Server>>>,
    /// Routes that advertise HTTP/3.
    pub http3: BTreeSet<Arc<str>>,
    /// Every Gateway that selects the workload.
    pub gateways: BTreeSet<Arc<str>>,
    /// SDS names that the Gateway objects entitle this workload to.
    pub verified: BTreeSet<String>,
    /// Some server forwards by SNI to any service.
    pub auto_passthrough: bool,
    /// Why servers were left out: one line each, for people.
    pub rejected: Vec<String>,
}

/// Merges the Gateway objects that select the proxy. Servers that conflict with older ones are left out and named in
/// [`Merged::rejected`].
pub fn merge<L: Level>(r: &Reads<L>, world: &World, proxy: &Proxy, targets: &[ServiceTarget]) -> Merged {
    merge::merged(r, world, proxy, targets)
}

/// Listeners of a gateway, one for each address and port, with a filter chain for each TLS server.
pub fn listeners<L: Level>(
    r: &Reads<L>,
    world: &World,
    proxy: &Proxy,
    merged: &Merged,
    scope: &Scope,
) -> Built {
    listeners::built(r, world, proxy, merged, scope)
}

/// One route configuration of a gateway: the virtual hosts of all virtual services bound to its servers.
pub fn route<L: Level>(
    r: &Reads<L>,
    world: &World,
    proxy: &Proxy,
    merged: &Merged,
    scope: &Scope,
    name: &Arc<str>,
) -> BuiltRoute {
    routes::built(r, world, proxy, merged, scope, name)
}
