//! Asks for clusters and their endpoints: per service, per run of services, per form.

use std::sync::Arc;

use mesh::World;
use tables::{Ask, Asking, Level};

use super::{GatewayOf, OutboundOf, ScopeOf, TargetsOf};
use crate::encoded::{Resource, Section, digest_of};
use crate::proxy::Proxy;
use crate::scope::{Run, ScopedService};
use crate::{clusters, endpoints};

/// All clusters of one service: its ports and subsets.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ServiceClusters {
    /// Outbound form without its place (see [`Proxy::placeless`]).
    pub proxy: Arc<Proxy>,
    /// The service and its ports in scope.
    pub service: ScopedService,
    /// The destination rule that applies.
    pub rule: Option<clusters::RuleName>,
}
level!(ServiceClusters = 2100);
impl Ask for ServiceClusters {
    type World = World;
    type Out = clusters::Built;
    fn build(&self, r: &Asking<'_, Self>) -> clusters::Built {
        clusters::service(r, r.world(), self)
    }
    fn digest(out: &clusters::Built) -> u64 {
        out.digest()
    }
    fn weight(out: &clusters::Built) -> usize {
        out.resources.iter().map(Resource::len).sum()
    }
}

/// The clusters of one service to which a gateway forwards by SNI.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SniServiceClusters(pub ServiceClusters);
level!(SniServiceClusters = 2101);
impl Ask for SniServiceClusters {
    type World = World;
    type Out = clusters::Built;
    fn build(&self, r: &Asking<'_, Self>) -> clusters::Built {
        clusters::sni_service(r, r.world(), &self.0)
    }
    fn digest(out: &clusters::Built) -> u64 {
        out.digest()
    }
    fn weight(out: &clusters::Built) -> usize {
        out.resources.iter().map(Resource::len).sum()
    }
}

/// All clusters to which a gateway forwards by SNI, in order; none unless one of its servers does.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SniClusters(pub Arc<Proxy>);
level!(SniClusters = 2111);
impl Ask for SniClusters {
    type World = World;
    type Out = clusters::Finished;
    fn build(&self, r: &Asking<'_, Self>) -> clusters::Finished {
        let mut out = clusters::Built::default();
        if r.ask(&GatewayOf(self.0.clone())).auto_passthrough {
            let outbound = r.ask(&OutboundOf(self.0.clone()));
            for ruled in &*r.ask(&RunsOf((*outbound).clone())) {
                ruled.asks().for_each(|ask| out.extend(&r.ask(&SniServiceClusters(ask))));
            }
        }
        out.into()
    }
    fn digest(out: &clusters::Finished) -> u64 {
        out.digest
    }
}

/// The same as what is asked: equal values from several forms become one, which is quickly compared.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct OneOf(pub clusters::Ruled);
level!(OneOf = 2080);
impl Ask for OneOf {
    type World = World;
    type Out = clusters::Ruled;
    fn build(&self, _: &Asking<'_, Self>) -> clusters::Ruled {
        self.0.clone()
    }
    fn digest(out: &clusters::Ruled) -> u64 {
        out.digest()
    }
}

/// A run of services with their rules.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RunOf {
    /// Outbound form.
    pub proxy: Arc<Proxy>,
    /// The services.
    pub run: Run,
}
level!(RunOf = 2090);
impl Ask for RunOf {
    type World = World;
    type Out = clusters::Ruled;
    fn build(&self, r: &Asking<'_, Self>) -> clusters::Ruled {
        (*r.ask(&OneOf(clusters::ruled(r, r.world(), &self.proxy, &self.run)))).clone()
    }
    fn digest(out: &clusters::Ruled) -> u64 {
        out.digest()
    }
}

/// All services in scope with their rules, in order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RunsOf(pub Arc<Proxy>);
level!(RunsOf = 2095);
impl Ask for RunsOf {
    type World = World;
    type Out = Vec<clusters::Ruled>;
    fn build(&self, r: &Asking<'_, Self>) -> Vec<clusters::Ruled> {
        let seen = r.ask(&ScopeOf(self.0.clone()));
        let one = |run: &Run| (*r.ask(&RunOf { proxy: self.0.clone(), run: run.clone() })).clone();
        seen.services.runs().iter().map(one).collect()
    }
    fn digest(out: &Vec<clusters::Ruled>) -> u64 {
        digest_of(out)
    }
}

/// The clusters of a run of services.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RunClusters(pub clusters::Ruled);
level!(RunClusters = 2105);
impl Ask for RunClusters {
    type World = World;
    type Out = clusters::Finished;
    fn build(&self, r: &Asking<'_, Self>) -> clusters::Finished {
        let mut out = clusters::Built::default();
        self.0.asks().for_each(|ask| out.extend(&r.ask(&ask)));
        out.into()
    }
    fn digest(out: &clusters::Finished) -> u64 {
        out.digest
    }
}

/// All outbound clusters, in order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct OutboundClusters(pub Arc<Proxy>);
level!(OutboundClusters = 2110);
impl Ask for OutboundClusters {
    type World = World;
    type Out = Vec<Arc<clusters::Finished>>;
    fn build(&self, r: &Asking<'_, Self>) -> Vec<Arc<clusters::Finished>> {
        let seen = r.ask(&ScopeOf(self.0.clone()));
        let runs = r.ask(&RunsOf(self.0.clone()));
        let mut out: Vec<_> = runs.iter().map(|ruled| r.ask(&RunClusters(ruled.clone()))).collect();
        let mut fixed = clusters::Built::default();
        fixed.append(&clusters::fixed(r, r.world(), &self.0, &seen));
        out.push(Arc::new(fixed.into()));
        out
    }
    fn digest(out: &Vec<Arc<clusters::Finished>>) -> u64 {
        digest_of(&out.iter().map(|finished| finished.digest).collect::<Vec<_>>())
    }
}

/// The clusters of a proxy's own ports.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct InboundClusters(pub Arc<Proxy>);
level!(InboundClusters = 2120);
impl Ask for InboundClusters {
    type World = World;
    type Out = clusters::Finished;
    fn build(&self, r: &Asking<'_, Self>) -> clusters::Finished {
        let targets = r.ask(&TargetsOf(self.0.clone()));
        let outbound = r.ask(&OutboundOf(self.0.clone()));
        clusters::inbound(r, r.world(), &self.0, outbound.sidecar.as_ref(), &targets).into()
    }
    fn digest(out: &clusters::Finished) -> u64 {
        out.digest
    }
}

/// The endpoints of one EDS cluster.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Assignment {
    /// Outbound form without its place.
    pub proxy: Arc<Proxy>,
    /// Which cluster: service, port, subset, rule.
    pub cluster: clusters::EdsName,
}
level!(Assignment = 2200);
impl Ask for Assignment {
    type World = World;
    type Out = Resource;
    fn build(&self, r: &Asking<'_, Self>) -> Resource {
        endpoints::assignment(r, r.world(), &self.proxy, &self.cluster)
    }
    fn digest(out: &Resource) -> u64 {
        out.version
    }
    fn weight(out: &Resource) -> usize {
        out.len()
    }
}

/// The endpoints of the EDS clusters of a run of services.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RunAssignments(pub clusters::Ruled);
level!(RunAssignments = 2210);
impl Ask for RunAssignments {
    type World = World;
    type Out = Arc<Section>;
    fn build(&self, r: &Asking<'_, Self>) -> Arc<Section> {
        Section::new(assignments(r, &r.ask(&RunClusters(self.0.clone()))))
    }
    fn digest(out: &Arc<Section>) -> u64 {
        out.digest()
    }
}

/// The endpoints of clusters.
pub(super) fn assignments<A: Ask<World = World>>(
    r: &Asking<'_, A>,
    clusters: &clusters::Finished,
) -> Vec<Resource> {
    let one = |(proxy, cluster): &(Arc<Proxy>, clusters::EdsName)| {
        (*r.ask(&Assignment { proxy: proxy.clone(), cluster: cluster.clone() })).clone()
    };
    clusters.eds.iter().map(one).collect()
}
