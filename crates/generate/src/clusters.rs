//! Clusters (CDS): one per service port and subset, the proxy's own ports, and the fixed ones.

use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use config::Host;
use mesh::rules::Rule;
use mesh::services::{Resolution, Service};
use mesh::workloads::ServiceTarget;
use mesh::{ServiceKey, World};
use proto::envoy::config::cluster::v3::Cluster;
use tables::{Level, Reads};

use crate::encoded::{Resource, Section, digest_of};
use crate::plan::ServiceClusters;
use crate::proxy::{Proxy, ProxyKind};
use crate::scope::{Named, Run, Scope, ScopedService};

pub mod balance;
pub(crate) mod build;
pub(crate) mod fixed;
mod inbound;
pub(crate) mod layers;
pub(crate) mod origins;
mod outbound;
pub mod policy;
mod pool;
pub mod tls;

pub(crate) use build::stat_prefix;
pub(crate) use fixed::{DNS_CACHE_SUFFIX, lookup_family};

/// Which rule of the mesh's tables: its row and the objects it was merged from.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct RuleName {
    /// Namespace of the rule.
    pub namespace: Arc<str>,
    /// Host (fully qualified, possibly a wildcard).
    pub host: Host,
    /// `namespace/name` of the objects.
    pub from: Vec<Arc<str>>,
}

impl RuleName {
    /// The name of a rule.
    #[must_use]
    pub fn of(rule: &Rule) -> Self {
        Self {
            namespace: rule.namespace.clone(),
            host: rule.rule.host.as_str().into(),
            from: rule.from.clone(),
        }
    }

    /// Reads the rule; `None` if it is gone.
    pub fn read<'a, L: Level>(&self, r: &Reads<L>, world: &'a World) -> Option<&'a Rule> {
        let row = world.rules.get(r, &(self.namespace.clone(), self.host.clone()))?;
        row.rules.iter().chain(&row.exported).chain(&row.private).find(|rule| rule.from == self.from)
    }
}

/// A cluster whose endpoints are told over EDS.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct EdsName {
    /// Cluster name = EDS service name.
    pub name: Arc<str>,
    /// The service.
    pub service: ServiceKey,
    /// Service port.
    pub port: u32,
    /// Subset, empty for the whole service.
    pub subset: Arc<str>,
    /// The destination rule that applies.
    pub rule: Option<RuleName>,
}

/// Clusters, with what else follows from them.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Built {
    /// Encoded clusters in order.
    pub resources: Vec<Resource>,
    /// EDS names among them, with the proxy form that their endpoints depend on.
    pub eds: Vec<(Arc<Proxy>, EdsName)>,
    /// SDS names that the control plane serves.
    pub secrets: Vec<Arc<str>>,
}

impl Built {
    /// Hash of everything.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let names: Vec<&EdsName> = self.eds.iter().map(|(_, name)| name).collect();
        digest_of(&(crate::encoded::digest(&self.resources), &self.secrets, names))
    }

    /// Appends another's.
    pub fn extend(&mut self, other: &Self) {
        self.resources.extend(other.resources.iter().cloned());
        self.eds.extend(other.eds.iter().cloned());
        self.secrets.extend(other.secrets.iter().cloned());
    }

    /// Appends clusters without endpoints of their own.
    pub fn append(&mut self, clusters: &[Cluster]) {
        self.resources.extend(clusters.iter().map(|c| Resource::encode(c.name.as_str(), c)));
    }
}

/// Finished clusters that are sent one after the other, with what else follows from them.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The clusters.
    pub section: Arc<Section>,
    /// EDS names among them, with the proxy form that their endpoints depend on.
    pub eds: Vec<(Arc<Proxy>, EdsName)>,
    /// SDS names that the control plane serves.
    pub secrets: Vec<Arc<str>>,
    /// Hash of everything.
    pub digest: u64,
}

/// Of several clusters of one name the first stays (as `normalizeClusters`).
impl From<Built> for Finished {
    fn from(built: Built) -> Self {
        let Built { resources, mut eds, secrets } = built;
        let mut have = HashSet::new();
        eds.retain(|(_, name)| have.insert(name.name.clone()));
        let section = Section::new(resources);
        let names: Vec<&EdsName> = eds.iter().map(|(_, name)| name).collect();
        let digest = digest_of(&(section.digest(), &secrets, names));
        Self { section, eds, secrets, digest }
    }
}

/// A run of services with the destination rule of each, for a proxy form that has no place any more: the same for all
/// namespaces in which the same rules hold. It is compared by a hash that is known.
#[derive(Clone)]
pub struct Ruled {
    hash: u64,
    proxy: Arc<Proxy>,
    services: Arc<[(ScopedService, Option<RuleName>)]>,
}

impl Ruled {
    /// The asks for the clusters of each service.
    pub fn asks(&self) -> impl Iterator<Item = ServiceClusters> {
        self.services.iter().map(|(service, rule)| ServiceClusters {
            proxy: self.proxy.clone(),
            service: service.clone(),
            rule: rule.clone(),
        })
    }

    /// The services and their rules.
    #[must_use]
    pub fn services(&self) -> &[(ScopedService, Option<RuleName>)] {
        &self.services
    }

    /// Equal exactly when the rest is.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.hash
    }
}

impl PartialEq for Ruled {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
            && self.proxy == other.proxy
            && (Arc::ptr_eq(&self.services, &other.services) || self.services == other.services)
    }
}

impl Eq for Ruled {}

impl Hash for Ruled {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Debug for Ruled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ruled({} services, {:016x})", self.services.len(), self.hash)
    }
}

/// The services of a run with the rules that hold for a proxy.
pub fn ruled<L: Level>(r: &Reads<L>, world: &World, proxy: &Proxy, run: &Run) -> Ruled {
    let services: Arc<[_]> = run
        .iter()
        .map(|scoped| {
            let service = world.services.get(r, &scoped.key);
            let rule =
                service.and_then(|s| mesh::rules::for_host(r, world, &proxy.namespace, s, &proxy.labels));
            (scoped.clone(), rule.as_ref().map(RuleName::of))
        })
        .collect();
    let proxy = Arc::new(proxy.placeless());
    Ruled { hash: digest_of(&(&proxy, &services)), proxy, services }
}

/// `outbound|80|v1|reviews.default.svc.cluster.local`, as pilot/pkg/model/context.go: `BuildSubsetKey`.
#[must_use]
pub fn subset_key(direction: &str, port: u32, subset: &str, hostname: &str) -> String {
    format!("{direction}|{port}|{subset}|{hostname}")
}

/// `outbound_.80_.v1_.reviews.default.svc.cluster.local`: the SNI form, as `BuildDNSSrvSubsetKey`.
#[must_use]
pub fn sni_key(direction: &str, port: u32, subset: &str, hostname: &str) -> String {
    format!("{direction}_.{port}_.{subset}_.{hostname}")
}

/// All clusters of one service.
pub fn service<L: Level>(r: &Reads<L>, world: &World, ask: &ServiceClusters) -> Built {
    outbound::service(r, world, ask)
}

/// The clusters of one service that an `AUTO_PASSTHROUGH` gateway forwards to by SNI
/// (as pilot/pkg/networking/core/cluster.go: `buildOutboundSniDnatClusters`).
pub fn sni_service<L: Level>(r: &Reads<L>, world: &World, ask: &ServiceClusters) -> Built {
    outbound::sni_service(r, world, ask)
}

/// `BlackHoleCluster`, `PassthroughCluster` and what else does not come from a service.
pub fn fixed<L: Level>(r: &Reads<L>, world: &World, proxy: &Proxy, scope: &Scope) -> Vec<Cluster> {
    let out = fixed::outbound(r, world, proxy, scope);
    origins::tell_fixed(r, world, Some(scope), &out);
    out
}

/// Clusters of the proxy's own ports, and `InboundPassthroughCluster`.
pub fn inbound<L: Level>(
    r: &Reads<L>,
    world: &World,
    proxy: &Proxy,
    sidecar: Option<&Named>,
    targets: &[ServiceTarget],
) -> Built {
    let mut out = Built::default();
    out.append(&inbound::clusters(r, world, proxy, sidecar, targets));
    let passthrough = [fixed::inbound_passthrough(r, world, proxy)];
    origins::tell_fixed(r, world, None, &passthrough);
    out.append(&passthrough);
    out
}

/// Whether a service's endpoints are told over EDS to this kind of proxy
/// (as pilot/pkg/networking/core/cluster.go: `convertResolution`).
#[must_use]
pub fn is_eds(kind: ProxyKind, service: &Service, eds_for_headless: bool) -> bool {
    match service.resolution {
        Resolution::ClientSideLb | Resolution::Alias | Resolution::DynamicDns => true,
        Resolution::DnsLb | Resolution::DnsRoundRobinLb => false,
        Resolution::Passthrough => {
            kind == ProxyKind::Router
                || (eds_for_headless && service.registry == mesh::services::Registry::Kubernetes)
        }
    }
}
