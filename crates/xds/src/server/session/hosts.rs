//! Virtual hosts as resources (VHDS): a subscription to a route configuration is the subscription to its hosts.
//!
//! Envoy asks for virtual hosts once per stream, not once per configuration, and drops, yet later claims to hold,
//! whatever arrives for a configuration it does not have. So what it holds is kept per configuration here.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::delta::DeltaWish;
use super::{Session, Watch};
use crate::edition::{Edition, parent_of};
use crate::request::Variant;
use crate::server::holding::{Batch, Held, Holding, Scope};
use crate::type_url::TypeUrl;

/// A name under a configuration that nothing has. An empty response does not release a listener that waits for its
/// virtual hosts; the removal of an unknown one does.
const NONE: &str = ".none";

/// The virtual hosts of all configurations of a stream.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    by_route: BTreeMap<Arc<str>, OfRoute>,
    /// The client has sent its request, with the claims of an earlier stream.
    requested: bool,
    claims: FxHashMap<Arc<str>, Vec<(Arc<str>, Held)>>,
    /// Hosts of configurations that the client gave up: declared gone, so that it does not claim them later.
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
    /// The client accepted the configuration, now or on an earlier stream.
    accepted: bool,
    /// The client refused the configuration before it ever accepted one, and dropped the hosts with it.
    lost: bool,
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
        if !self.farewell.is_empty() {
            let removed = std::mem::take(&mut self.farewell);
            batches.push(Batch { removed, ..Batch::of(target) });
        }
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

    fn settle_claims(&mut self) {
        for (route, hosts) in &mut self.by_route {
            if std::mem::take(&mut hosts.waiting) {
                for (name, held) in self.claims.remove(route).unwrap_or_default() {
                    hosts.holding.claim(name, held);
                }
            }
        }
    }

    /// Begins with the configurations in `live` that are new, gives up those that are no more in it.
    fn keep(&mut self, live: &[Arc<str>], claimed: impl Fn(&str) -> bool) {
        let gone: Vec<_> = self.by_route.keys().filter(|route| !live.contains(route)).cloned().collect();
        for route in gone {
            if let Some(hosts) = self.by_route.remove(&route) {
                self.farewell.extend(hosts.holding.held(Scope::Under(&route)));
            }
        }
        for route in live {
            if self.by_route.contains_key(route) {
                continue;
            }
            let accepted = claimed(route);
            if !accepted {
                // What is claimed under a configuration that the client does not have was dropped on arrival.
                self.claims.remove(route);
            }
            let hosts = OfRoute { must: !accepted, accepted, waiting: accepted, ..OfRoute::default() };
            self.by_route.insert(route.clone(), hosts);
        }
        if self.requested {
            self.settle_claims();
        }
    }
}

impl OfRoute {
    fn is_due(&self, target: &Edition) -> bool {
        !self.waiting && !self.lost && (self.must || self.holding.is_behind(target))
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
        let mut unknown = Vec::new();
        for name in wish.subscribe.into_iter().filter(|name| name != "*") {
            match parent_of(&name).and_then(|route| hosts.holding(route)) {
                Some(holding) => holding.owe(name.into()),
                None => unknown.push(name.into()),
            }
        }
        hosts.farewell.extend(unknown);
    }

    /// Makes the virtual hosts those of the route configurations that are subscribed, sent, and without inline hosts.
    pub(super) fn match_hosts_to_routes(&mut self) {
        if self.variant != Variant::Delta {
            return;
        }
        let Some(routes) = self.watches.get(&TypeUrl::Route) else { return };
        let live: Vec<Arc<str>> = routes
            .holding
            .base
            .resources()
            .iter()
            .filter(|route| route.vhds && routes.subscription.covers(&route.name))
            .map(|route| route.name.clone())
            .collect();
        let claimed = routes.claimed.clone();
        if live.is_empty() && !self.watches.contains_key(&TypeUrl::VirtualHost) {
            return;
        }
        let watch: &mut Watch = self.watches.entry(TypeUrl::VirtualHost).or_default();
        watch.subscription.wildcard = true;
        watch.hosts.get_or_insert_default().keep(&live, |route| claimed.contains(route));
    }

    pub(super) fn routes_accepted(&mut self, batch: &Batch) {
        for route in batch.resources() {
            let Some(hosts) = self.of_route(&route.name) else { continue };
            hosts.accepted = true;
            if std::mem::take(&mut hosts.lost) {
                hosts.holding = Holding::default();
                hosts.must = true;
            }
        }
    }

    pub(super) fn routes_refused(&mut self, batch: &Batch) {
        for route in batch.resources() {
            if let Some(hosts) = self.of_route(&route.name) {
                hosts.lost |= !hosts.accepted;
            }
        }
    }

    fn of_route(&mut self, route: &str) -> Option<&mut OfRoute> {
        self.watches.get_mut(&TypeUrl::VirtualHost)?.hosts.as_mut()?.by_route.get_mut(route)
    }
}
