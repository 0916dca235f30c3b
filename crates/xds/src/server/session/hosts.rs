//! Virtual hosts as resources (VHDS): a subscription to a route configuration is the subscription to its hosts.
//!
//! Envoy asks for virtual hosts once per stream, not once per configuration, and drops, yet later claims to hold,
//! whatever arrives for a configuration it does not have. So what it holds is kept per configuration here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::delta::DeltaWish;
use super::{Session, Watch};
use crate::edition::{Edition, parent_of};
use crate::request::Variant;
use crate::server::holding::{Batch, Held, Holding, Scope};
use crate::type_url::TypeUrl;

/// A name under a configuration that nothing has. An empty response does not release a listener that waits for its
/// virtual hosts; the removal of an unknown one does.
const NONE: &str = ".none";

/// So many single hosts may wait for their configuration to be known; with more, unknown ones are declared gone.
const MOST_ASKED: usize = 4096;

/// The virtual hosts of all configurations of a stream.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    by_route: BTreeMap<Arc<str>, OfRoute>,
    /// The client has sent its request, with the claims of an earlier stream.
    requested: bool,
    claims: BTreeMap<Arc<str>, Vec<(Arc<str>, Held)>>,
    /// The first route configurations have been sent, or found to be held.
    routes_known: bool,
    /// Single hosts that were asked for before it was known which configurations there are.
    asked: BTreeSet<Arc<str>>,
    /// Hosts that the client has not, or no more, but would claim: declared gone.
    farewell: Vec<Arc<str>>,
}

/// The virtual hosts of one configuration.
#[derive(Debug, Default)]
struct OfRoute {
    holding: Holding,
    /// The listener may be waiting: answer even with nothing.
    must: bool,
    /// The client had this configuration on an earlier stream, so its claims must be known first.
    waiting: bool,
    /// The client accepted the configuration, now or on an earlier stream. Hosts sent before that it might drop, and
    /// would claim to hold ever after.
    accepted: bool,
}

impl Hosts {
    pub(super) fn holding(&mut self, route: &str) -> Option<&mut Holding> {
        self.by_route.get_mut(route).map(|hosts| &mut hosts.holding)
    }

    pub(super) fn holds(&self, route: &str) -> Option<&Holding> {
        self.by_route.get(route).map(|hosts| &hosts.holding)
    }

    pub(super) fn refused(&self) -> Vec<Arc<str>> {
        self.by_route.values().flat_map(|hosts| hosts.holding.refused.keys().cloned()).collect()
    }

    pub(super) fn is_behind(&self, target: &Edition) -> bool {
        !self.farewell.is_empty() || self.by_route.values().any(|hosts| hosts.is_due(target))
    }

    /// One batch per configuration: Envoy applies a response configuration by configuration, so a bad host of one
    /// would leave the others' half applied.
    pub(super) fn plan(&mut self, target: &Arc<Edition>) -> Vec<Batch> {
        let mut batches = Vec::new();
        batches.extend(self.farewell(target));
        for (route, hosts) in &mut self.by_route {
            if !hosts.is_due(target) {
                continue;
            }
            let step = hosts.holding.advance(target, Scope::Under(route), None);
            let mut batch = step.batch;
            batch.removed.extend(step.gone);
            if std::mem::take(&mut hosts.must) && batch.says_nothing() {
                batch.removed.push(format!("{route}/{NONE}").into());
            }
            if !batch.says_nothing() {
                batches.push(batch);
            }
        }
        batches
    }

    /// Withdraws hosts that the client would claim without having them. Due before their configuration comes (again),
    /// or a reconnect right after that would bring the claims back as if they were true.
    pub(super) fn farewell(&mut self, target: &Arc<Edition>) -> Option<Batch> {
        let removed = std::mem::take(&mut self.farewell);
        (!removed.is_empty()).then(|| Batch { removed, ..Batch::of(target) })
    }

    /// Once both are known, what the client claims and which configurations it has: takes the claims that count, and
    /// has those withdrawn that Envoy makes for hosts it dropped on arrival.
    fn settle_claims(&mut self) {
        if !(self.requested && self.routes_known) {
            return;
        }
        for (route, claims) in std::mem::take(&mut self.claims) {
            match self.by_route.get_mut(&route) {
                Some(hosts) if hosts.waiting => {
                    for (name, held) in claims {
                        hosts.holding.claim(name, held);
                    }
                }
                Some(hosts) => {
                    let base = &hosts.holding.base;
                    self.farewell
                        .extend(claims.into_iter().map(|(name, _)| name).filter(|n| base.get(n).is_none()));
                }
                None => self.farewell.extend(claims.into_iter().map(|(name, _)| name)),
            }
        }
        for hosts in self.by_route.values_mut() {
            hosts.waiting = false;
        }
    }

    /// Single hosts are asked for: to be answered as soon as it is known whether there are such.
    fn ask(&mut self, names: impl Iterator<Item = Arc<str>>) {
        self.asked.extend(names);
        if !self.routes_known && self.asked.len() <= MOST_ASKED {
            return;
        }
        for name in std::mem::take(&mut self.asked) {
            match parent_of(&name).and_then(|route| self.by_route.get_mut(route)) {
                Some(hosts) => hosts.holding.owe(name),
                None => self.farewell.push(name),
            }
        }
    }

    /// Begins with the configurations in `live` that are new, gives up those that are no more in it.
    /// Gives those given up.
    fn keep(&mut self, live: &[Arc<str>], claimed: impl Fn(&str) -> bool) -> Vec<Arc<str>> {
        let gone: Vec<_> = self.by_route.keys().filter(|route| !live.contains(route)).cloned().collect();
        for route in &gone {
            if let Some(hosts) = self.by_route.remove(route) {
                self.farewell.extend(hosts.holding.held(Scope::Under(route)));
            }
        }
        for route in live {
            if self.by_route.contains_key(route) {
                continue;
            }
            let accepted = claimed(route);
            let hosts = OfRoute { must: !accepted, accepted, waiting: accepted, ..OfRoute::default() };
            self.by_route.insert(route.clone(), hosts);
        }
        self.settle_claims();
        self.ask(std::iter::empty());
        gone
    }
}

impl Watch {
    /// Forgets what is still to be sent of a configuration's hosts: they will be sent in full, or not at all.
    fn purge(&mut self, route: &str) {
        let others = |batch: &Batch| !batch.resources().any(|host| parent_of(&host.name) == Some(route));
        self.queue.retain(others);
        self.retries.retain(others);
    }
}

impl OfRoute {
    fn is_due(&self, target: &Edition) -> bool {
        !self.waiting && self.accepted && (self.must || self.holding.is_behind(target))
    }
}

impl Session {
    /// The client's request for virtual hosts: its claims, and with the on-demand filter single names.
    pub(super) fn on_hosts_request(&mut self, wish: DeltaWish) {
        let watch = self.watches.entry(TypeUrl::VirtualHost).or_default();
        watch.subscription.wildcard = true;
        let hosts = watch.hosts.get_or_insert_default();
        if wish.spontaneous && !hosts.requested {
            hosts.requested = true;
            for (name, version) in wish.claims {
                let Some(route) = parent_of(&name) else { continue };
                let claims = hosts.claims.entry(Arc::from(route)).or_default();
                claims.push((Arc::from(name.as_str()), Held::claimed(&version)));
            }
            hosts.settle_claims();
        }
        hosts.ask(wish.subscribe.into_iter().filter(|name| name != "*").map(Arc::from));
    }

    /// Makes the virtual hosts those of the route configurations that are subscribed, sent, and without inline hosts.
    /// `planned`: the routes have just been brought to an edition.
    pub(super) fn match_hosts_to_routes(&mut self, planned: bool) {
        if self.variant != Variant::Delta {
            return;
        }
        let Some(routes) = self.watches.get_mut(&TypeUrl::Route) else { return };
        let live: Vec<Arc<str>> = routes
            .holding
            .base
            .iter()
            .filter(|route| route.vhds && routes.subscription.covers(&route.name))
            .map(|route| route.name.clone())
            .collect();
        // What was claimed counts for the first edition only: later the client may have lost it again.
        let claimed = if planned { std::mem::take(&mut routes.claimed) } else { routes.claimed.clone() };
        if live.is_empty() && !self.watches.contains_key(&TypeUrl::VirtualHost) {
            return;
        }
        let watch: &mut Watch = self.watches.entry(TypeUrl::VirtualHost).or_default();
        watch.subscription.wildcard = true;
        let hosts = watch.hosts.get_or_insert_default();
        hosts.routes_known |= planned;
        for route in hosts.keep(&live, |route| claimed.contains(route)) {
            watch.purge(&route);
        }
    }

    pub(super) fn routes_accepted(&mut self, batch: &Batch) {
        let Some(watch) = self.watches.get_mut(&TypeUrl::VirtualHost) else { return };
        let Some(hosts) = watch.hosts.as_deref_mut() else { return };
        for route in batch.resources() {
            if let Some(hosts) = hosts.by_route.get_mut(&route.name) {
                hosts.accepted = true;
            }
        }
    }
}
