//! What to send next: rounds over the types in their order, each towards editions pinned at its beginning.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use super::{Flight, MAX_FLIGHTS, Session, Source, Watch};
use crate::edition::{Edition, Resource, parent_of};
use crate::request::{Response, Variant};
use crate::server::holding::{Batch, LookUp, Scope, Step};
use crate::type_url::TypeUrl;

impl Session {
    /// The next response, if there is anything to say. The editions of a round are taken together, so that no type
    /// runs ahead of the ones it mentions; changes that come during a round are for the next one, merged.
    pub fn next_response(&mut self, source: &dyn Source, now: SystemTime) -> Option<Response> {
        loop {
            if self.watches.values().any(|watch| watch.target.is_none()) {
                self.pin(source);
            }
            if let Some(response) = self.work(source, now) {
                return Some(response);
            }
            // Work may have added a type: the virtual hosts of routes just sent.
            let added = self.watches.values().any(|watch| watch.target.is_none());
            if !self.dirty && !added {
                return None;
            }
            self.pin(source);
        }
    }

    fn pin(&mut self, source: &dyn Source) {
        self.dirty = false;
        for (type_url, watch) in &mut self.watches {
            watch.target = Some(source.edition(type_url).unwrap_or_else(Edition::empty));
            watch.on_demand = source.on_demand(type_url);
            watch.look_up = watch.on_demand;
        }
    }

    fn work(&mut self, source: &dyn Source, now: SystemTime) -> Option<Response> {
        let types: Vec<TypeUrl> = self.watches.keys().cloned().collect();
        for type_url in &types {
            while let Some((of, batch)) = self.next_batch(type_url, source) {
                if let Some(response) = self.emit(&of, batch, now) {
                    return Some(response);
                }
            }
        }
        while let Some((type_url, batch)) = self.late.pop_front() {
            // A new subscription may have begun another round before this one could end.
            let batch = self.still_due(&type_url, batch);
            if let Some(response) = self.emit(&type_url, batch, now) {
                return Some(response);
            }
        }
        if self.dirty {
            return None;
        }
        // Second tries last: by now, what a newer edition replaced is no more among them.
        for type_url in &types {
            while let Some(batch) = self.watches.get_mut(type_url).and_then(|watch| watch.retries.pop_front())
            {
                let batch = self.still_due(type_url, batch);
                if let Some(response) = self.emit(type_url, batch, now) {
                    return Some(response);
                }
            }
        }
        None
    }

    /// The next batch of a type on the way to its target; before routes, what there is to withdraw of their hosts.
    fn next_batch(&mut self, type_url: &TypeUrl, source: &dyn Source) -> Option<(TypeUrl, Batch)> {
        let watch = self.watches.get_mut(type_url)?;
        if watch.queue.is_empty() && watch.is_behind() {
            self.plan(type_url, source);
        }
        if *type_url == TypeUrl::Route
            && let Some(watch) = self.watches.get_mut(&TypeUrl::VirtualHost)
            && let (Some(hosts), target) = (&mut watch.hosts, watch.target.clone())
            && let Some(farewell) = hosts.farewell(&target.unwrap_or_else(Edition::empty))
        {
            return Some((TypeUrl::VirtualHost, farewell));
        }
        let batch = self.watches.get_mut(type_url)?.queue.pop_front()?;
        Some((type_url.clone(), batch))
    }

    fn plan(&mut self, type_url: &TypeUrl, source: &dyn Source) {
        let Some(watch) = self.watches.get_mut(type_url) else { return };
        let Some(target) = watch.target.clone() else { return };
        if let Some(hosts) = &mut watch.hosts {
            watch.queue.extend(hosts.plan(&target));
            return;
        }
        let lookup = |name: &str| source.lookup(type_url, name);
        let lookup: Option<&LookUp<'_>> = if watch.on_demand { Some(&lookup) } else { None };
        let before = watch.holding.base.clone();
        let step = watch.holding.advance(&target, Scope::Subscribed(&watch.subscription), lookup);
        watch.look_up = false;
        let late = watch.divide(type_url, self.variant, step, &before);
        self.late.extend(late.map(|batch| (type_url.clone(), batch)));
        if *type_url == TypeUrl::Route {
            self.match_hosts_to_routes(true);
        }
    }

    /// What of a batch is still what the client should have; the rest has been overtaken by a newer edition.
    fn still_due(&self, type_url: &TypeUrl, mut batch: Batch) -> Batch {
        let Some(watch) = self.watches.get(type_url) else { return batch };
        let current = |name: &str| {
            let holding = match &watch.hosts {
                Some(hosts) => parent_of(name).and_then(|route| hosts.holds(route)),
                None => Some(&watch.holding),
            };
            holding.and_then(|holding| holding.version(name))
        };
        let edition = batch.edition.clone();
        let is_current = |resource: &Resource| current(&resource.name) == Some(resource.version);
        batch.picks.retain(|at| edition.at(*at).is_some_and(is_current));
        batch.loose.retain(is_current);
        batch.removed.retain(|name| current(name).is_none());
        batch
    }

    /// Turns a batch into a response and remembers it; `None` if nothing of it is left to say.
    fn emit(&mut self, type_url: &TypeUrl, mut batch: Batch, now: SystemTime) -> Option<Response> {
        let watch = self.watches.get_mut(type_url)?;
        let edition = batch.edition.clone();
        let wanted = |name: &str| match (&watch.hosts, parent_of(name)) {
            (None, _) => watch.subscription.covers(name),
            (Some(hosts), Some(route)) => hosts.holds(route).is_some(),
            (Some(_), None) => false,
        };
        batch.picks.retain(|at| edition.at(*at).is_some_and(|resource| wanted(&resource.name)));
        batch.loose.retain(|resource| wanted(&resource.name));
        if watch.hosts.is_none() {
            batch.removed.retain(|name| wanted(name));
        }
        let whole = watch.listed_whole(type_url, self.variant);
        let resources = match whole {
            true => watch.whole(&batch, &self.late, type_url).into(),
            false => batch.content(),
        };
        let removed = match self.variant {
            Variant::Delta => batch.removed.clone(),
            Variant::Sotw => Vec::new(),
        };
        let silent = if whole { batch.says_nothing() } else { resources.is_empty() && removed.is_empty() };
        let first = watch.status.nonce_sent.is_none();
        let nothing_yet = first && resources.is_empty() && removed.is_empty();
        if (silent && !batch.must) || (nothing_yet && type_url.ends_at_the_agent()) {
            return None;
        }
        if *type_url == TypeUrl::Cluster {
            self.endpoints_follow(&batch);
        }
        let nonce = self.nonce();
        let revision = edition.revision();
        let watch = self.watches.get_mut(type_url)?;
        for resource in batch.resources() {
            watch.holding_of(&resource.name).answered(&resource.name);
        }
        watch.status.nonce_sent = Some(nonce.clone());
        watch.status.revision_sent = revision;
        watch.status.last_sent = Some(now);
        if watch.flights.len() == MAX_FLIGHTS {
            watch.flights.pop_front();
        }
        watch.flights.push_back(Flight { nonce: nonce.clone(), revision, batch, divisible: !whole });
        let (variant, type_url) = (self.variant, type_url.clone());
        Some(Response { variant, type_url, nonce, revision, resources, removed })
    }

    /// Envoy warms a cluster that it is sent until it is sent endpoints, even if it had the same ones before
    /// (envoy#13009). Upstream resends all endpoints then; only those of these clusters are needed.
    fn endpoints_follow(&mut self, clusters: &Batch) {
        let Some(endpoints) = self.watches.get_mut(&TypeUrl::Endpoint) else { return };
        let again: Vec<Arc<str>> = clusters
            .resources()
            .map(|cluster| cluster.name.clone())
            .filter(|name| endpoints.subscription.covers(name))
            .collect();
        for name in &again {
            endpoints.holding.follow(name.clone());
        }
        if self.variant == Variant::Sotw && !again.is_empty() {
            endpoints.rewarm = again;
        }
    }
}

impl Watch {
    fn is_behind(&self) -> bool {
        let Some(target) = &self.target else { return false };
        match &self.hosts {
            Some(hosts) => hosts.is_behind(target),
            None => self.must || self.look_up || self.holding.is_behind(target),
        }
    }

    fn listed_whole(&self, type_url: &TypeUrl, variant: Variant) -> bool {
        variant == Variant::Sotw && (type_url.always_listed_whole() || self.subscription.wildcard)
    }

    /// Everything of the type that the client should now have, and what is listed until its removal is due: that of
    /// earlier rounds too, which a new one may have interrupted.
    fn whole(&self, batch: &Batch, late: &VecDeque<(TypeUrl, Batch)>, type_url: &TypeUrl) -> Vec<Resource> {
        let base = &self.holding.base;
        let covered = base.iter().filter(|resource| self.subscription.covers(&resource.name));
        let late = late.iter().filter(|(of, _)| of == type_url).flat_map(|(_, batch)| &batch.ghosts);
        let mut ghosts: Vec<&Resource> = late.filter(|ghost| base.get(&ghost.name).is_none()).collect();
        ghosts.sort_by(|a, b| a.name.cmp(&b.name));
        ghosts.dedup_by(|a, b| a.name == b.name);
        covered.chain(&batch.loose).chain(ghosts).cloned().collect()
    }

    /// Queues a step's batches. Gives the removals that must wait for the end of the round.
    fn divide(
        &mut self,
        type_url: &TypeUrl,
        variant: Variant,
        step: Step,
        before: &Edition,
    ) -> Option<Batch> {
        let Step { mut batch, mut gone } = step;
        let whole = self.listed_whole(type_url, variant);
        // A name that was asked for and is not there is an answer, also where the protocol cannot say "gone".
        batch.must = std::mem::take(&mut self.must) || !batch.removed.is_empty();
        if !type_url.removable() {
            batch.removed.clear();
            gone.clear();
        }
        let mut late = None;
        if type_url.removed_last() && !gone.is_empty() && (variant == Variant::Delta || whole) {
            let ghosts = gone.iter().filter(|_| whole).filter_map(|name| before.get(name).cloned()).collect();
            let removed = std::mem::take(&mut gone);
            late = Some(Batch { removed, ghosts, ..Batch::of(&batch.edition) });
        }
        batch.removed.append(&mut gone);
        if type_url.one_per_response() && !whole {
            self.queue_singly(batch);
        } else if batch.must || !batch.says_nothing() {
            self.queue.push_back(batch);
        }
        late
    }

    /// One resource per batch: a bad one must not take the others down.
    fn queue_singly(&mut self, batch: Batch) {
        let before = self.queue.len();
        for at in &batch.picks {
            self.queue.push_back(Batch { picks: vec![*at], ..Batch::of(&batch.edition) });
        }
        for resource in batch.loose {
            self.queue.push_back(Batch { loose: vec![resource], ..Batch::of(&batch.edition) });
        }
        if !batch.removed.is_empty() || (batch.must && self.queue.len() == before) {
            let removed = batch.removed;
            self.queue.push_back(Batch { removed, must: batch.must, ..Batch::of(&batch.edition) });
        }
    }
}
