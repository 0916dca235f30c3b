//! Routes (RDS, VHDS) of sidecars: virtual hosts made part by part, assembled from encoded pieces.

use std::sync::Arc;

use bytes::Bytes;
use mesh::{ServiceKey, World};
use tables::{Level, Reads};

use crate::encoded::{Resource, digest_debug};
use crate::plan::PartSource;
use crate::proxy::Proxy;
use crate::scope::{Named, Scope};

mod actions;
pub(crate) mod domains;
mod hash;
pub(crate) mod headers;
pub(crate) mod http;
pub(crate) mod matches;
mod places;
mod retry;
pub(crate) mod session;
mod sidecar;

use domains::Domain;
pub use sidecar::Served;
pub(crate) use sidecar::catch_all;

/// One part of a route configuration: what one virtual service, or one service without, adds to it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Part {
    /// RouteConfiguration name.
    pub route: Arc<str>,
    /// Port of the listener, 0 where one listener serves all ports.
    pub port: u32,
    /// Where it comes from.
    pub source: PartSource,
}

/// A virtual host of a part, before domains that an earlier one has are taken away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartHost {
    /// Virtual host name, `reviews.default.svc.cluster.local:9080`.
    pub name: Arc<str>,
    /// The host name without port, lower case.
    pub full: Arc<str>,
    /// Every domain it would answer to, in order.
    pub domains: Vec<Domain>,
    /// Whether it stands for a service of the registry.
    pub service: bool,
    /// The encoded VirtualHost without name and domains.
    pub rest: Bytes,
}

/// Hash of a part's hosts.
#[must_use]
pub fn digest_parts(parts: &[PartHost]) -> u64 {
    digest_debug(
        &parts.iter().map(|p| (&p.name, &p.domains, xxhash_rust::xxh3::xxh3_64(&p.rest))).collect::<Vec<_>>(),
    )
}

/// A finished route configuration.
#[derive(Clone, PartialEq, Debug)]
pub struct BuiltRoute {
    /// The RouteConfiguration, with its virtual hosts unless they travel on their own.
    pub route: Resource,
    /// The virtual hosts as resources of their own (stock Envoy on delta), else empty.
    pub virtual_hosts: Vec<Resource>,
}

impl BuiltRoute {
    /// Hash of everything.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.route.version ^ crate::encoded::digest(&self.virtual_hosts).rotate_left(17)
    }
}

/// Whether the virtual hosts of a route configuration travel as resources of their own to this proxy: those of shared
/// listeners, for Envoys that can take them. One service's own route has one virtual host and stays whole.
#[must_use]
pub fn travels_apart(proxy: &Proxy, name: &str) -> bool {
    sidecar::travels_apart(proxy, name)
}

/// The services that a route configuration is about.
pub fn served<L: Level>(r: &Reads<L>, world: &World, scope: &Scope, name: &str) -> Served {
    sidecar::served(r, world, scope, name)
}

/// The parts of a sidecar's route configuration, in order of precedence.
pub fn parts<L: Level>(
    r: &Reads<L>,
    world: &World,
    proxy: &Proxy,
    scope: &Scope,
    served: &Served,
    name: &Arc<str>,
) -> Vec<Part> {
    sidecar::parts(r, world, proxy, scope, served, name)
}

/// The virtual hosts of a service that no virtual service speaks of: they depend on that service alone.
pub fn service_part<L: Level>(
    r: &Reads<L>,
    world: &World,
    proxy: &Proxy,
    part: &Part,
    service: &ServiceKey,
) -> Vec<PartHost> {
    sidecar::service_part(r, world, proxy, part, service)
}

/// The virtual hosts of a virtual service.
pub fn part<L: Level>(
    r: &Reads<L>,
    world: &World,
    proxy: &Proxy,
    scope: &Scope,
    served: &Served,
    part: &Part,
    name: &Named,
) -> Vec<PartHost> {
    sidecar::part(r, world, proxy, scope, served, part, name)
}

/// The whole: head, parts with duplicate domains removed, catch-all.
pub fn assemble<L: Level>(
    r: &Reads<L>,
    world: &World,
    proxy: &Proxy,
    scope: &Scope,
    name: &Arc<str>,
    parts: &[Arc<Vec<PartHost>>],
) -> BuiltRoute {
    sidecar::assemble(r, world, proxy, scope, name, parts)
}
