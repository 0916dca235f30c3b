//! Routes (RDS, VHDS) of sidecars: virtual hosts made part by part, assembled from encoded pieces.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::encoded::{Resource, Section, digest_of};
use crate::findings::Finding;
use crate::scope::Named;

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
pub(crate) use sidecar::catch_all;
pub use sidecar::{Served, assemble, listener, part, parts, served, service_hosts, travels_apart};

/// What one virtual service adds to a route configuration.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Part {
    /// RouteConfiguration name.
    pub route: Arc<str>,
    /// The virtual service.
    pub virtual_service: Named,
}

/// What the virtual services of a route configuration add to it, and which services they leave to themselves.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Parts {
    /// In order of precedence.
    pub parts: Vec<Part>,
    /// Lower-case host names of services that virtual services speak of.
    pub taken: BTreeSet<String>,
}

/// A virtual host of a part, before domains that an earlier one has are taken away.
#[derive(Clone, Debug)]
pub struct PartHost {
    /// Virtual host name, `reviews.default.svc.cluster.local:9080`.
    pub name: Arc<str>,
    /// The host name without port, lower case.
    pub full: Arc<str>,
    /// Every domain it would answer to, in order.
    pub domains: Vec<Domain>,
    /// Whether it stands for a service of the registry.
    pub service: bool,
    /// The encoded VirtualHost, with its name and every domain.
    pub whole: Bytes,
    /// The encoded VirtualHost without name and domains: the end of `whole`.
    pub rest: Bytes,
    /// The resource it is under the route configuration of its listener's port, for Envoys that take virtual hosts apart.
    pub apart: Option<Resource>,
}

/// Hash of everything.
#[must_use]
pub fn digest_hosts(hosts: &[PartHost]) -> u64 {
    let parts: Vec<_> = hosts.iter().map(|h| (&h.name, &h.full, &h.domains, h.service, &h.whole)).collect();
    digest_of(&parts)
}

/// A finished route configuration.
#[derive(Clone, Debug)]
pub struct BuiltRoute {
    /// The RouteConfiguration, with its virtual hosts unless they travel on their own.
    pub route: Resource,
    /// The virtual hosts as resources of their own (stock Envoy on delta), else empty.
    pub virtual_hosts: Arc<Section>,
    /// What its owner should know.
    pub findings: Arc<[Finding]>,
}

impl BuiltRoute {
    /// Hash of everything.
    #[must_use]
    pub fn digest(&self) -> u64 {
        digest_of(&(self.route.version, self.virtual_hosts.digest(), &self.findings))
    }
}
