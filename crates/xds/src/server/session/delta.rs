//! Delta requests: answers to earlier responses, and changes of the subscription.

use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::hosts::Hosts;
use super::{Event, Flight, Session, Watch};
use crate::edition::parent_of;
use crate::request::Rejection;
use crate::server::holding::{Batch, Held, Holding};
use crate::type_url::TypeUrl;

/// The subscribing half of a delta request.
pub(super) struct DeltaWish {
    pub(super) subscribe: Vec<String>,
    pub(super) unsubscribe: Vec<String>,
    pub(super) claims: Vec<(String, String)>,
    /// The request answers no response.
    pub(super) spontaneous: bool,
}

const WILDCARD: &str = "*";

impl Session {
    /// Accounts for the response that a request answers. Responses are answered one by one, and several may be on
    /// their way, so any unanswered one may be meant. As pilot/pkg/xds/delta.go: `shouldRespondDelta`, except that
    /// a late answer there loses the subscription change that came with it.
    pub(super) fn answered(
        &mut self,
        type_url: &TypeUrl,
        nonce: &str,
        error: Option<Rejection>,
        events: &mut Vec<Event>,
    ) {
        let Some(watch) = self.watches.get_mut(type_url) else { return };
        let flight = if nonce.is_empty() { None } else { watch.flight(nonce) };
        match (flight, error) {
            (Some(flight), None) => {
                watch.accept(&flight);
                events.push(Event::Ack {
                    type_url: type_url.clone(),
                    nonce: flight.nonce.clone(),
                    revision: flight.revision,
                });
                if *type_url == TypeUrl::Route {
                    self.routes_accepted(&flight.batch);
                }
            }
            (Some(flight), Some(error)) => {
                let names = watch.refuse(&flight, &error.message);
                events.push(Event::Nack {
                    type_url: type_url.clone(),
                    nonce: flight.nonce.clone(),
                    revision: flight.revision,
                    names,
                    code: error.code,
                    message: error.message,
                });
            }
            (None, Some(error)) => {
                watch.status.last_error = Some(error.message.clone());
                events.push(Event::Nack {
                    type_url: type_url.clone(),
                    nonce: nonce.into(),
                    revision: 0,
                    names: Vec::new(),
                    code: error.code,
                    message: error.message,
                });
            }
            (None, None) if nonce.is_empty() => {}
            (None, None) => events.push(Event::Stale { type_url: type_url.clone() }),
        }
    }

    pub(super) fn on_delta(&mut self, type_url: &TypeUrl, wish: DeltaWish) {
        if *type_url == TypeUrl::VirtualHost {
            self.on_hosts_request(wish);
            return;
        }
        let is_new = !self.watches.contains_key(type_url);
        let routes = *type_url == TypeUrl::Route;
        let watch = self.watches.entry(type_url.clone()).or_default();
        if is_new {
            watch.begin(&wish, type_url, &self.interner);
        } else {
            watch.change(wish, &self.interner);
        }
        if routes {
            self.match_hosts_to_routes(false);
        }
    }
}

impl Watch {
    /// The first request for the type on this stream.
    fn begin(&mut self, wish: &DeltaWish, type_url: &TypeUrl, interner: &super::Interner) {
        let named = |name: &String| name != WILDCARD;
        // As pilot/pkg/xds/delta.go: clients that want to begin with nothing subscribe to and unsubscribe from `*`.
        let withdrawn = wish.unsubscribe.iter().any(|name| name == WILDCARD);
        let asked = wish.subscribe.iter().any(|name| name == WILDCARD);
        self.subscription.wildcard =
            !withdrawn && (asked || (wish.subscribe.is_empty() && type_url.implicit_wildcard()));
        let mut names: Vec<Arc<str>> =
            wish.subscribe.iter().filter(|name| named(name)).map(|name| Arc::from(name.as_str())).collect();
        for (name, version) in &wish.claims {
            let name: Arc<str> = Arc::from(name.as_str());
            self.holding.claim(name.clone(), Held::claimed(version));
            // As upstream: what a client claims by name it also subscribes to.
            if !self.subscription.wildcard {
                names.push(name.clone());
            }
            self.claimed.insert(name);
        }
        for name in &names {
            if !self.claimed.contains(name) {
                self.holding.owe(name.clone());
            }
        }
        // A client that comes back in sync is told so, with an empty response: its ACK is what status tools show.
        self.must = self.subscription.wildcard || !self.claimed.is_empty();
        if *type_url != TypeUrl::Route {
            self.claimed = Default::default();
        }
        let gone = wish.unsubscribe.iter().map(String::as_str);
        self.subscription.change(interner, names.iter(), gone);
    }

    /// A later request: every name it subscribes to is answered, whatever was sent before, since the client may have
    /// dropped the name and come back to it.
    fn change(&mut self, wish: DeltaWish, interner: &super::Interner) {
        let was_wildcard = self.subscription.wildcard;
        let mut names: Vec<Arc<str>> = Vec::new();
        for name in wish.subscribe {
            if name == WILDCARD {
                self.subscription.wildcard = true;
                self.must = true;
            } else {
                let name: Arc<str> = name.into();
                self.holding.owe(name.clone());
                names.push(name);
            }
        }
        if self.subscription.wildcard && !was_wildcard {
            let names = self.subscription.names.clone();
            self.holding.forget_all_but(names.iter());
        }
        if wish.unsubscribe.iter().any(|name| name == WILDCARD) {
            self.subscription.wildcard = false;
        }
        let gone = wish.unsubscribe.iter().map(String::as_str);
        self.subscription.change(interner, names.iter(), gone);
        for name in wish.unsubscribe.into_iter().filter(|name| name != WILDCARD) {
            self.holding.forget(&name);
            self.claimed.remove(name.as_str());
            if self.subscription.wildcard {
                // The client dropped it, yet the wildcard still covers it: it must hear which of the two is true.
                self.holding.owe(name.into());
            }
        }
    }

    pub(super) fn accept(&mut self, flight: &Flight) {
        self.status.nonce_acked = Some(flight.nonce.clone());
        self.status.revision_acked = flight.revision;
        if !self.nothing_refused() {
            for resource in flight.batch.resources() {
                self.holding_of(&resource.name).refused.remove(&resource.name);
            }
            for name in &flight.batch.removed {
                self.holding_of(name).refused.remove(name);
            }
        }
        if self.nothing_refused() && self.retries.is_empty() {
            self.status.last_error = None;
        }
    }

    fn nothing_refused(&self) -> bool {
        match &self.hosts {
            Some(hosts) => hosts.refused().is_empty(),
            None => self.holding.refused.is_empty(),
        }
    }

    /// The client refused a response. Alone in it, a resource is remembered as refused and not sent again until it
    /// changes; otherwise both halves are tried, so that the good ones get in. Gives the names.
    pub(super) fn refuse(&mut self, flight: &Flight, message: &str) -> Vec<Arc<str>> {
        self.status.last_error = Some(message.to_owned());
        if flight.divisible && flight.batch.halves().is_some() {
            let rest = self.not_sent_since(&flight.batch);
            match rest.halves() {
                Some((first, second)) => self.retries.extend([first, second]),
                None if rest.says_nothing() => {}
                None => self.retries.push_back(rest),
            }
        } else {
            for resource in flight.batch.resources() {
                let (name, version) = (resource.name.clone(), resource.version);
                self.holding_of(&name).refused.insert(name, version);
            }
        }
        flight.batch.resources().map(|resource| resource.name.clone()).collect()
    }

    /// The part of a batch that no response since has mentioned; answers come in order, so those are unanswered.
    fn not_sent_since(&self, batch: &Batch) -> Batch {
        let since = self.flights.iter().map(|flight| &flight.batch);
        let mentioned: FxHashSet<&str> = since
            .flat_map(|batch| batch.resources().map(|resource| &resource.name).chain(&batch.removed))
            .map(|name| &**name)
            .collect();
        let mut rest = batch.clone();
        rest.picks.retain(|at| batch.edition.at(*at).is_some_and(|r| !mentioned.contains(&*r.name)));
        rest.loose.retain(|resource| !mentioned.contains(&*resource.name));
        rest.removed.retain(|name| !mentioned.contains(&**name));
        rest
    }

    /// What is held of the name's type, or for a virtual host of its route configuration.
    pub(super) fn holding_of(&mut self, name: &str) -> &mut Holding {
        let hosts = self
            .hosts
            .as_deref_mut()
            .and_then(|hosts: &mut Hosts| parent_of(name).and_then(|parent| hosts.holding(parent)));
        hosts.unwrap_or(&mut self.holding)
    }
}
