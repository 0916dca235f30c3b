//! State-of-the-world requests, read as changes of the same subscription that delta requests change.

use std::sync::Arc;

use super::{Event, Session, Watch};
use crate::request::Rejection;
use crate::type_url::TypeUrl;

impl Session {
    /// As pkg/xds/server.go: `ShouldRespond`.
    pub(super) fn on_sotw(
        &mut self,
        type_url: TypeUrl,
        nonce: &str,
        error: Option<Rejection>,
        names: Vec<String>,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        let known = self.watches.get(&type_url);
        let Some(known) = known.filter(|_| !nonce.is_empty()) else {
            // The first request of the type, or the client begins anew.
            self.watches.remove(&type_url);
            if !names.is_empty() || type_url.implicit_wildcard() {
                let mut watch = Watch { must: true, ..Watch::default() };
                watch.want(names, &type_url, &self.interner);
                self.watches.insert(type_url, watch);
            }
            return events;
        };
        let latest = known.status.nonce_sent.as_deref() == Some(nonce);
        let pending = known.flights.iter().any(|flight| &*flight.nonce == nonce);
        if pending || error.is_some() {
            self.answered(&type_url, nonce, error, &mut events);
        } else if !latest {
            events.push(Event::Stale { type_url: type_url.clone() });
        }
        if !latest {
            // The names in it are those of before the newer response; the answer to that one will bring the real ones.
            return events;
        }
        let Some(watch) = self.watches.get_mut(&type_url) else { return events };
        let more = watch.want(names, &type_url, &self.interner);
        if !more && !pending {
            // Asked again for what it has: it is warming what it was sent anew, as upstream's `AlwaysRespond`.
            for name in std::mem::take(&mut watch.rewarm) {
                watch.holding.follow(name);
            }
        }
        events
    }
}

impl Watch {
    /// Makes the subscription these names. Whether there is something in it that was not before.
    fn want(&mut self, names: Vec<String>, type_url: &TypeUrl, interner: &super::Interner) -> bool {
        let was_wildcard = self.subscription.wildcard;
        let asked = names.iter().any(|name| name == "*");
        let names: Vec<Arc<str>> = names.into_iter().filter(|name| name != "*").map(Arc::from).collect();
        self.named |= !names.is_empty();
        self.subscription.wildcard = asked || (!self.named && type_url.implicit_wildcard());
        let before = self.subscription.names.clone();
        if self.subscription.wildcard && !was_wildcard {
            self.holding.forget_all_but(before.iter());
            self.must = true;
        }
        let added: Vec<_> = names.iter().filter(|name| !before.contains(name)).cloned().collect();
        let kept: rustc_hash::FxHashSet<_> = names.iter().collect();
        let dropped: Vec<_> = before.iter().filter(|name| !kept.contains(name)).cloned().collect();
        for name in &added {
            self.holding.owe(name.clone());
        }
        for name in &dropped {
            self.holding.forget(name);
        }
        self.subscription.change(interner, added.iter(), dropped.iter().map(|name| &**name));
        !added.is_empty() || (self.subscription.wildcard && !was_wildcard)
    }
}
