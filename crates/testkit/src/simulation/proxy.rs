//! A scripted Envoy: what it holds, what it asks for because of that, and what it must never be told.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use generate::{Class, TypeName};
use xds::{Rejection, Request, Resource, Response, TypeUrl, Variant, Wish};

use super::hosts::Hosts;
use super::references::{self, References};

/// A resource that the proxy has accepted.
pub(super) struct Held {
    pub(super) resource: Resource,
    pub(super) references: Rc<References>,
}

/// What a proxy holds of one type.
pub(super) type HeldOf = BTreeMap<Arc<str>, Held>;

/// Something that a held resource mentions and the proxy does not hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Dangling {
    pub(super) from: (TypeName, Arc<str>, u64),
    pub(super) to: (TypeName, Box<str>),
}

/// One proxy of the mesh.
pub(super) struct Proxy {
    pub(super) name: &'static str,
    pub(super) class: Class,
    pub(super) variant: Variant,
    /// Some content is refused, by this salt.
    pub(super) picky: Option<u64>,
    pub(super) slow: bool,
    pub(super) held: BTreeMap<TypeName, HeldOf>,
    /// Names subscribed, of the types that are asked for by name. All started types have an entry.
    pub(super) subscribed: BTreeMap<TypeName, BTreeSet<Box<str>>>,
    /// Names asked for, or due after their cluster, since the stream was last at rest: requests and responses cross,
    /// so these may be repeated.
    asked: BTreeSet<(TypeName, Box<str>)>,
    /// Clusters received whose endpoints must follow, by the name of their endpoints.
    pub(super) warming: BTreeSet<Box<str>>,
    nonces: BTreeMap<TypeName, Arc<str>>,
    /// Types whose first answer on this stream has not come.
    first: BTreeSet<TypeName>,
    /// A new state-of-the-world stream brings lists, not differences: old things go before new ones come.
    pub(super) healing: bool,
    /// What was refused and not replaced since.
    pub(super) refused: BTreeSet<(TypeName, Box<str>)>,
    /// What the last response had in it although it was held and not asked for.
    pub(super) repeated: Vec<(TypeName, Arc<str>)>,
    /// The last response listed all of a type as it was.
    pub(super) same_again: Option<TypeName>,
    /// What the last response took away.
    lost: Vec<(TypeName, Box<str>)>,
    pub(super) hosts: Hosts,
}

/// Types subscribed to as a whole.
pub(super) fn is_wildcard(of: TypeName) -> bool {
    TypeUrl::parse(of.url()).implicit_wildcard()
}

impl Proxy {
    pub(super) fn new(name: &'static str, class: Class, variant: Variant) -> Self {
        Self {
            name,
            class,
            variant,
            picky: None,
            slow: false,
            held: TypeName::ALL.into_iter().map(|of| (of, HeldOf::new())).collect(),
            subscribed: BTreeMap::from([
                (TypeName::Cluster, BTreeSet::new()),
                (TypeName::NameTable, BTreeSet::new()),
            ]),
            asked: BTreeSet::new(),
            warming: BTreeSet::new(),
            nonces: BTreeMap::new(),
            first: BTreeSet::new(),
            healing: false,
            refused: BTreeSet::new(),
            repeated: Vec::new(),
            same_again: None,
            lost: Vec::new(),
            hosts: Hosts::default(),
        }
    }

    /// What it holds of a type.
    pub(super) fn of(&self, of: TypeName) -> &HeldOf {
        &self.held[&of]
    }

    /// Whether it refuses content of this version.
    pub(super) fn refuses(&self, of: TypeName, version: u64) -> bool {
        let refusable =
            matches!(of, TypeName::Cluster | TypeName::Listener | TypeName::Route | TypeName::VirtualHost);
        self.picky
            .is_some_and(|salt| refusable && (version ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60 == 0)
    }

    /// A new stream: the first request of each type, in the order Envoy sends them.
    pub(super) fn open(&mut self) -> Vec<Request> {
        self.asked.clear();
        self.warming.clear();
        self.hosts.open();
        self.nonces.clear();
        self.healing = self.variant == Variant::Sotw;
        self.first = self.subscribed.keys().copied().collect();
        let types: Vec<TypeName> = self.subscribed.keys().copied().collect();
        types.into_iter().map(|of| self.first_request(of)).collect()
    }

    fn first_request(&mut self, of: TypeName) -> Request {
        let names: Vec<String> = self.names(of);
        let held = self.held.get(&of);
        let wish = match self.variant {
            Variant::Delta => {
                let held = held.into_iter().flatten();
                let claims: Vec<_> = match of {
                    TypeName::VirtualHost => self.hosts.claimed(),
                    _ => held.map(|(n, h)| (n.to_string(), h.resource.wire_version())).collect(),
                };
                Wish::Delta { subscribe: names.clone(), unsubscribe: Vec::new(), claims }
            }
            Variant::Sotw => Wish::Sotw { names: names.clone() },
        };
        for name in names {
            let claimed = self.variant == Variant::Delta && self.of(of).contains_key(&*name);
            if !claimed {
                self.ask(of, &name);
            }
        }
        self.request(of, "", None, wish)
    }

    fn names(&self, of: TypeName) -> Vec<String> {
        self.subscribed.get(&of).into_iter().flatten().map(ToString::to_string).collect()
    }

    fn ask(&mut self, of: TypeName, name: &str) {
        self.asked.insert((of, name.into()));
    }

    /// Nothing is on its way, and the server has nothing to say: every question was answered.
    pub(super) fn at_rest(&mut self) {
        self.asked.clear();
        self.healing = false;
    }

    fn request(&self, of: TypeName, nonce: &str, error: Option<Rejection>, wish: Wish) -> Request {
        Request { type_url: TypeUrl::parse(of.url()), nonce: nonce.to_string(), error, wish }
    }

    /// Takes a response in. Gives the requests that follow from it, or what must not have been sent.
    pub(super) fn receive(&mut self, response: &Response) -> Result<Vec<Request>, String> {
        let of = TypeName::from_url(response.type_url.as_str())
            .ok_or_else(|| format!("a response of type {} that nobody asked for", response.type_url))?;
        self.nonces.insert(of, response.nonce.clone());
        self.lost.clear();
        self.repeated.clear();
        self.same_again = None;
        let first = self.first.remove(&of);
        let whole = self.variant == Variant::Sotw && is_wildcard(of);
        let bad = response.resources.iter().any(|r| self.refuses(of, r.version));
        if self.picky.is_none() {
            self.expect_news(of, response, first, whole)?;
        }
        // Envoy takes clusters and listeners one by one; of a response with routes or their hosts all or nothing.
        let accepted = !bad || !matches!(of, TypeName::Route | TypeName::VirtualHost);
        if of == TypeName::VirtualHost {
            self.hosts.receive(response, accepted)?;
        }
        let mut resent = BTreeSet::new();
        if accepted {
            if whole {
                self.drop_unlisted(of, response);
            }
            for resource in response.resources.iter() {
                self.take(of, resource, &mut resent)?;
            }
            for name in &response.removed {
                self.remove(of, name);
            }
        } else {
            self.refused.extend(response.resources.iter().map(|r| (of, Box::from(&*r.name))));
        }
        let error = bad.then(|| Rejection { code: 13, message: "the content is refused".to_owned() });
        let mut out = self.follow(of, &resent);
        let wish = match self.variant {
            Variant::Delta => Wish::Delta { subscribe: vec![], unsubscribe: vec![], claims: vec![] },
            Variant::Sotw => Wish::Sotw { names: self.names(of) },
        };
        out.insert(0, self.request(of, &response.nonce, error, wish));
        Ok(out)
    }

    /// A response must say something that the proxy does not know, or answer something that it asked.
    fn expect_news(
        &mut self,
        of: TypeName,
        response: &Response,
        first: bool,
        whole: bool,
    ) -> Result<(), String> {
        let held = self.of(of);
        let is_news = |r: &&Resource| held.get(&r.name).is_none_or(|h| h.resource.version != r.version);
        let news = response.resources.iter().filter(is_news).count();
        if whole {
            let kept = response.resources.len() - news;
            let same = news == 0 && kept == held.len();
            self.same_again = (same && !first).then_some(of);
            return Ok(());
        }
        // A name that was let go of meanwhile may leave its answer empty; of a whole type nothing must come for nothing.
        let empty = response.resources.is_empty() && response.removed.is_empty();
        if !first && empty && is_wildcard(of) && self.variant == Variant::Delta {
            return Err(format!("an empty response of {of:?} that nothing asked for"));
        }
        let same: Vec<Arc<str>> =
            response.resources.iter().filter(|r| !is_news(r)).map(|r| r.name.clone()).collect();
        for name in same {
            let asked = self.asked.contains(&(of, Box::from(&*name)));
            // State of the world has no way to say "these again", so any request may mean that endpoints are awaited.
            let warms = of == TypeName::Endpoint && self.variant == Variant::Sotw;
            if !asked && !warms {
                self.repeated.push((of, name));
            }
        }
        Ok(())
    }

    fn drop_unlisted(&mut self, of: TypeName, response: &Response) {
        let listed: BTreeSet<&str> = response.resources.iter().map(|r| &*r.name).collect();
        let gone: Vec<Arc<str>> = self.of(of).keys().filter(|n| !listed.contains(&***n)).cloned().collect();
        gone.iter().for_each(|name| self.remove(of, name));
    }

    fn take(
        &mut self,
        of: TypeName,
        resource: &Resource,
        resent: &mut BTreeSet<Box<str>>,
    ) -> Result<(), String> {
        let name: &str = &resource.name;
        let wanted = match of {
            TypeName::VirtualHost => self.has_place_for(name),
            _ => is_wildcard(of) || self.subscribed.get(&of).is_some_and(|names| names.contains(name)),
        };
        if !wanted {
            return Ok(());
        }
        if self.refuses(of, resource.version) {
            self.refused.insert((of, name.into()));
            return Ok(());
        }
        self.refused.remove(&(of, Box::from(name)));
        let references = references::of(of, resource)?;
        let same = self.of(of).get(name).is_some_and(|held| held.resource.version == resource.version);
        if let Some(endpoints) =
            references.endpoints.as_ref().filter(|_| !same || self.variant == Variant::Delta)
        {
            self.warming.insert(endpoints.clone());
            self.ask(TypeName::Endpoint, endpoints);
            resent.insert(endpoints.clone());
        }
        if of == TypeName::Endpoint {
            self.warming.remove(name);
        }
        if references.hosts_apart && !self.of(of).contains_key(name) {
            self.hosts.wait_for(&resource.name);
        }
        let held = Held { resource: resource.clone(), references };
        self.held.entry(of).or_default().insert(resource.name.clone(), held);
        Ok(())
    }

    fn remove(&mut self, of: TypeName, name: &str) {
        self.refused.remove(&(of, Box::from(name)));
        if self.held.get_mut(&of).and_then(|held| held.remove(name)).is_some() {
            self.lost.push((of, name.into()));
        }
        if of == TypeName::Route {
            self.drop_hosts_of(name);
        }
    }

    /// Subscribes to what is mentioned now, and lets go of what is mentioned no more.
    fn follow(&mut self, of: TypeName, resent: &BTreeSet<Box<str>>) -> Vec<Request> {
        let mut out = Vec::new();
        if of == TypeName::Cluster {
            out.extend(self.want(TypeName::Endpoint, resent));
        }
        // As Envoy begins: listeners once every cluster has its endpoints.
        let begun = self.subscribed.contains_key(&TypeName::Listener);
        if !begun && matches!(of, TypeName::Cluster | TypeName::Endpoint) && self.clusters_are_warm() {
            self.subscribed.insert(TypeName::Listener, BTreeSet::new());
            self.first.insert(TypeName::Listener);
            out.push(self.first_request(TypeName::Listener));
        }
        if of == TypeName::Listener {
            out.extend(self.want(TypeName::Route, &BTreeSet::new()));
        }
        // Once, whatever comes later: it asks for all of them without a name.
        let apart = self.of(TypeName::Route).values().any(|route| route.references.hosts_apart);
        if apart && !self.subscribed.contains_key(&TypeName::VirtualHost) {
            self.subscribed.insert(TypeName::VirtualHost, BTreeSet::new());
            self.first.insert(TypeName::VirtualHost);
            out.push(self.first_request(TypeName::VirtualHost));
        }
        if matches!(of, TypeName::Listener | TypeName::Cluster) {
            out.extend(self.want(TypeName::Secret, &BTreeSet::new()));
        }
        out
    }

    pub(super) fn clusters_are_warm(&self) -> bool {
        let endpoints = self.of(TypeName::Endpoint);
        let mut needed = self.of(TypeName::Cluster).values().filter_map(|c| c.references.endpoints.as_ref());
        needed.all(|name| endpoints.contains_key(&**name))
    }

    fn mentioned(&self, of: TypeName) -> BTreeSet<Box<str>> {
        let all = [TypeName::Cluster, TypeName::Listener].into_iter().flat_map(|t| self.of(t).values());
        let mut out = BTreeSet::new();
        for held in all {
            let references = &held.references;
            match of {
                TypeName::Endpoint => out.extend(references.endpoints.iter().cloned()),
                TypeName::Route => out.extend(references.routes.iter().cloned()),
                TypeName::Secret => out.extend(references.secrets.iter().cloned()),
                _ => {}
            }
        }
        out
    }

    /// Asks for one virtual host by itself, as the on-demand filter does; see [`Proxy::demand`].
    pub(super) fn ask_for_host(&mut self, at: usize) -> Option<Request> {
        let name = self.demand(at)?;
        self.ask(TypeName::VirtualHost, &name);
        let wish = Wish::Delta { subscribe: vec![name.into()], unsubscribe: vec![], claims: vec![] };
        Some(self.request(TypeName::VirtualHost, "", None, wish))
    }

    fn want(&mut self, of: TypeName, resent: &BTreeSet<Box<str>>) -> Option<Request> {
        let names = self.mentioned(of);
        let known = self.subscribed.get(&of).cloned();
        let before = known.clone().unwrap_or_default();
        if names.is_empty() && known.is_none() {
            return None;
        }
        let added: Vec<Box<str>> = names.difference(&before).cloned().collect();
        let dropped: Vec<Box<str>> = before.difference(&names).cloned().collect();
        self.subscribed.insert(of, names);
        for name in &dropped {
            self.remove(of, name);
            self.warming.remove(name);
        }
        if known.is_none() {
            self.first.insert(of);
            return Some(self.first_request(of));
        }
        added.iter().for_each(|name| self.ask(of, name));
        let strings = |names: &[Box<str>]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        match self.variant {
            Variant::Delta if added.is_empty() && dropped.is_empty() => None,
            Variant::Delta => {
                let wish = Wish::Delta {
                    subscribe: strings(&added),
                    unsubscribe: strings(&dropped),
                    claims: vec![],
                };
                Some(self.request(of, "", None, wish))
            }
            Variant::Sotw => {
                // Asked again for the same names too: a resent cluster waits for its endpoints.
                let again: Vec<_> = resent.iter().filter(|n| !added.contains(n)).cloned().collect();
                if added.is_empty() && dropped.is_empty() && again.is_empty() {
                    return None;
                }
                again.iter().for_each(|name| self.ask(of, name));
                let nonce = self.nonces.get(&of).cloned().unwrap_or_else(|| Arc::from(""));
                if nonce.is_empty() {
                    self.names(of).iter().for_each(|name| self.ask(of, name));
                }
                Some(self.request(of, &nonce, None, Wish::Sotw { names: self.names(of) }))
            }
        }
    }

    /// What is mentioned and missing. Things that are awaited for the first time are not: the proxy warms what
    /// mentions them, and uses what it had.
    pub(super) fn dangling(&self) -> Vec<Dangling> {
        let mut out = Vec::new();
        for of in [TypeName::Cluster, TypeName::Listener, TypeName::Route, TypeName::VirtualHost] {
            for held in self.of(of).values() {
                let from = || (of, held.resource.name.clone(), held.resource.version);
                let clusters = held.references.clusters.iter();
                for name in clusters.filter(|name| !self.of(TypeName::Cluster).contains_key(&***name)) {
                    out.push(Dangling { from: from(), to: (TypeName::Cluster, name.clone()) });
                }
                for lost in self.lost.iter().filter(|lost| held.references.mention(lost)) {
                    out.push(Dangling { from: from(), to: lost.clone() });
                }
            }
        }
        out
    }
}

impl References {
    /// Whether this is mentioned; clusters are looked at apart.
    fn mention(&self, (of, name): &(TypeName, Box<str>)) -> bool {
        match of {
            TypeName::Secret => self.secrets.contains(name),
            TypeName::Route => self.routes.contains(name),
            TypeName::Endpoint => self.endpoints.as_ref() == Some(name),
            _ => false,
        }
    }
}
