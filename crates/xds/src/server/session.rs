//! The protocol as a state machine: requests and changes go in, responses come out. No IO, no clock, no randomness.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

use rustc_hash::FxHashSet;

use super::holding::{Batch, Holding};
use super::subscription::{Interner, NameSet, Subscription};
use crate::edition::{Edition, Resource};
use crate::request::{Request, Resources, Response, Variant, Wish};
use crate::type_url::TypeUrl;

mod delta;
mod hosts;
mod sotw;
#[cfg(test)]
mod tests;
mod work;

use hosts::Hosts;

/// How many unanswered responses of a type are remembered; a client that never answers costs no more than this.
const MAX_FLIGHTS: usize = 4096;

/// Where a session gets editions from: a catalog, seen by one client.
pub trait Source {
    /// As [`crate::Catalog::edition`].
    fn edition(&self, type_url: &TypeUrl) -> Option<Arc<Edition>>;

    /// As [`crate::Catalog::on_demand`].
    fn on_demand(&self, _type_url: &TypeUrl) -> bool {
        false
    }

    /// As [`crate::Catalog::lookup`].
    fn lookup(&self, _type_url: &TypeUrl, _name: &str) -> Option<Resource> {
        None
    }
}

/// What a request told about earlier responses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A response was accepted.
    Ack {
        /// Its type.
        type_url: TypeUrl,
        /// Its nonce.
        nonce: Arc<str>,
        /// The revision it was made from.
        revision: u64,
    },
    /// A response was refused.
    Nack {
        /// Its type.
        type_url: TypeUrl,
        /// Its nonce.
        nonce: Arc<str>,
        /// The revision it was made from.
        revision: u64,
        /// The names in it.
        names: Vec<Arc<str>>,
        /// The gRPC code the client gave.
        code: i32,
        /// The client's words.
        message: String,
    },
    /// The nonce was none of an unanswered response; nothing was taken from it.
    Stale {
        /// The type.
        type_url: TypeUrl,
    },
}

/// How one type of one connection stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TypeStatus {
    /// Everything is subscribed.
    pub wildcard: bool,
    /// The names that are subscribed.
    pub names: Arc<NameSet>,
    /// The nonce of the last response.
    pub nonce_sent: Option<Arc<str>>,
    /// The nonce of the last accepted response.
    pub nonce_acked: Option<Arc<str>>,
    /// The revision of the last response.
    pub revision_sent: u64,
    /// The revision of the last accepted response.
    pub revision_acked: u64,
    /// When the last response was made.
    pub last_sent: Option<SystemTime>,
    /// The client's words at the last refusal; gone once nothing refused is left.
    pub last_error: Option<String>,
    /// Names the client refused and still should have.
    pub refused: Vec<Arc<str>>,
    /// Responses sent and not answered.
    pub unanswered: usize,
}

/// A response that the client has not answered.
#[derive(Debug)]
struct Flight {
    nonce: Arc<str>,
    revision: u64,
    batch: Batch,
    /// Refused, it is sent again in halves.
    divisible: bool,
}

/// One type on one connection.
#[derive(Debug, Default)]
struct Watch {
    subscription: Subscription,
    holding: Holding,
    /// Answer even with nothing.
    must: bool,
    /// What the client is to be brought to in this round.
    target: Option<Arc<Edition>>,
    /// Names may be found by look-up; set at the beginning of each round.
    look_up: bool,
    on_demand: bool,
    queue: VecDeque<Batch>,
    retries: VecDeque<Batch>,
    flights: VecDeque<Flight>,
    status: TypeStatus,
    /// Names claimed at the first request: the client accepted them on an earlier stream.
    claimed: FxHashSet<Arc<str>>,
    /// State of the world: names were given at least once, so an empty list now means none.
    named: bool,
    /// State of the world: to be sent if the client asks again for what it has, since it may be warming clusters.
    rewarm: Vec<Arc<str>>,
    /// Virtual hosts only: they are kept by route configuration.
    hosts: Option<Box<Hosts>>,
}

impl Watch {
    fn flight(&mut self, nonce: &str) -> Option<Flight> {
        let at = self.flights.iter().position(|flight| &*flight.nonce == nonce)?;
        self.flights.remove(at)
    }
}

/// One stream: what the client subscribed to, what it was sent, what it said to that.
#[derive(Debug)]
pub struct Session {
    variant: Variant,
    nonces: (u32, u64),
    interner: Arc<Interner>,
    watches: BTreeMap<TypeUrl, Watch>,
    /// Removals that wait for the end of the round.
    late: VecDeque<(TypeUrl, Batch)>,
    dirty: bool,
}

impl Session {
    /// A new stream. `seed` makes nonces of different streams different; `interner` is shared by all of a server.
    #[must_use]
    pub fn new(variant: Variant, seed: u32, interner: Arc<Interner>) -> Self {
        Self {
            variant,
            nonces: (seed, 0),
            interner,
            watches: BTreeMap::new(),
            late: VecDeque::new(),
            dirty: false,
        }
    }

    /// The variant it speaks.
    #[must_use]
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// Something of the source may have changed. Any number of calls cost one look.
    pub fn on_change(&mut self) {
        self.dirty = true;
    }

    /// A request arrived. Requests of the other variant are ignored.
    pub fn on_request(&mut self, request: Request) -> Vec<Event> {
        match (self.variant, request.wish) {
            (Variant::Delta, Wish::Delta { subscribe, unsubscribe, claims }) => {
                let mut events = Vec::new();
                self.answered(&request.type_url, &request.nonce, request.error, &mut events);
                let spontaneous = request.nonce.is_empty();
                let wish = delta::DeltaWish { subscribe, unsubscribe, claims, spontaneous };
                self.on_delta(&request.type_url, wish);
                events
            }
            (Variant::Sotw, Wish::Sotw { names }) => {
                self.on_sotw(request.type_url, &request.nonce, request.error, names)
            }
            _ => Vec::new(),
        }
    }

    /// A response outside of any subscription, for questions answered once.
    pub fn answer(&mut self, type_url: TypeUrl, resources: Resources) -> Response {
        let nonce = self.nonce();
        Response { variant: self.variant, type_url, nonce, revision: 0, resources, removed: Vec::new() }
    }

    /// The types the client subscribed to, with how they stand, in the order they are sent.
    pub fn status(&self) -> impl Iterator<Item = (&TypeUrl, TypeStatus)> {
        self.watches.iter().map(|(type_url, watch)| (type_url, watch.current_status()))
    }

    /// How one type stands.
    #[must_use]
    pub fn status_of(&self, type_url: &TypeUrl) -> Option<TypeStatus> {
        self.watches.get(type_url).map(Watch::current_status)
    }

    /// Whether every response was answered.
    #[must_use]
    pub fn all_answered(&self) -> bool {
        self.watches.values().all(|watch| watch.flights.is_empty())
    }

    /// Names subscribed for a type, sorted; empty for a pure wildcard.
    #[must_use]
    pub fn names(&self, type_url: &TypeUrl) -> Vec<Arc<str>> {
        let mut names: Vec<_> = self
            .watches
            .get(type_url)
            .map(|watch| watch.subscription.names.iter().cloned().collect())
            .unwrap_or_default();
        names.sort_unstable();
        names
    }

    fn nonce(&mut self) -> Arc<str> {
        self.nonces.1 += 1;
        format!("{:08x}-{}", self.nonces.0, self.nonces.1).into()
    }
}

impl Watch {
    fn current_status(&self) -> TypeStatus {
        let mut refused: Vec<_> = match &self.hosts {
            Some(hosts) => hosts.refused(),
            None => self.holding.refused.keys().cloned().collect(),
        };
        refused.sort_unstable();
        TypeStatus {
            wildcard: self.subscription.wildcard,
            names: self.subscription.names.clone(),
            unanswered: self.flights.len(),
            refused,
            ..self.status.clone()
        }
    }
}
