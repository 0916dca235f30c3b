//! What a stock Envoy remembers of virtual hosts besides those it uses: what it will claim, what it waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use xds::Response;

use super::proxy::Proxy;
use generate::TypeName;

/// The route configuration that a virtual host belongs to.
fn parent(name: &str) -> &str {
    xds::parent_of(name).unwrap_or_default()
}

/// Virtual hosts of one proxy, apart from those in use.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    /// Versions by name: a new stream begins with them. Whatever was acknowledged, be it used or dropped on arrival.
    claims: BTreeMap<Arc<str>, String>,
    /// Configurations whose listeners wait for the first word about their hosts.
    awaited: BTreeSet<Arc<str>>,
    /// Names asked for one by one, as the on-demand filter does, and not answered.
    demanded: BTreeSet<Box<str>>,
}

impl Hosts {
    pub(super) fn claims(&self) -> impl Iterator<Item = &Arc<str>> {
        self.claims.keys()
    }

    /// Names with versions, for a first request.
    pub(super) fn claimed(&self) -> Vec<(String, String)> {
        self.claims.iter().map(|(name, version)| (name.to_string(), version.clone())).collect()
    }

    /// What is waited for: configurations, and names that were asked for.
    pub(super) fn awaited(&self) -> impl Iterator<Item = &str> {
        self.awaited.iter().map(|route| &**route).chain(self.demanded.iter().map(|name| &**name))
    }

    pub(super) fn demand(&mut self, name: &str) {
        self.demanded.insert(name.into());
    }

    /// A new stream: nobody remembers what was asked on the old one.
    pub(super) fn open(&mut self) {
        self.demanded.clear();
    }

    /// The first of a configuration: its listener opens with the first word about its hosts, good or bad.
    pub(super) fn wait_for(&mut self, route: &Arc<str>) {
        self.awaited.insert(route.clone());
    }

    /// The configuration is let go of.
    pub(super) fn drop_route(&mut self, route: &str) {
        self.awaited.remove(route);
        self.demanded.retain(|name| parent(name) != route);
    }

    /// A response with virtual hosts arrived; `accepted` says whether it was taken.
    ///
    /// # Errors
    /// If it mixes configurations: a bad host of one would leave the others' half applied.
    pub(super) fn receive(&mut self, response: &Response, accepted: bool) -> Result<(), String> {
        let parents: BTreeSet<&str> = response.resources.iter().map(|r| parent(&r.name)).collect();
        if parents.len() > 1 {
            return Err(format!("virtual hosts of several configurations in one response: {parents:?}"));
        }
        let names = response.resources.iter().map(|resource| &resource.name).chain(&response.removed);
        for name in names {
            self.awaited.remove(parent(name));
            self.demanded.remove(&**name);
        }
        if accepted {
            let claims = response.resources.iter().map(|r| (r.name.clone(), r.wire_version()));
            self.claims.extend(claims);
            response.removed.iter().for_each(|name| drop(self.claims.remove(name)));
        }
        Ok(())
    }
}

impl Proxy {
    /// Whether it uses a virtual host of this name: its configuration is there and wants hosts of their own.
    pub(super) fn has_place_for(&self, host: &str) -> bool {
        self.of(TypeName::Route).get(parent(host)).is_some_and(|route| route.references.hosts_apart)
    }

    /// Lets go of the virtual hosts of a configuration. It would still claim them.
    pub(super) fn drop_hosts_of(&mut self, route: &str) {
        self.hosts.drop_route(route);
        if let Some(held) = self.held.get_mut(&TypeName::VirtualHost) {
            held.retain(|name, _| parent(name) != route);
        }
    }

    /// A name to ask for by itself: the `at`-th virtual host of those in use, or one that nobody has.
    pub(super) fn demand(&mut self, at: usize) -> Option<Box<str>> {
        let apart = self.of(TypeName::Route).iter().filter(|(_, route)| route.references.hosts_apart);
        let route = apart.map(|(name, _)| name.clone()).next()?;
        let held = self.of(TypeName::VirtualHost);
        let name = match held.keys().nth(at % (held.len() + 1)) {
            Some(name) => Box::from(&**name),
            None => format!("{route}/nobody").into_boxed_str(),
        };
        self.hosts.demand(&name);
        Some(name)
    }
}
