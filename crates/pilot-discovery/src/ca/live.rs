//! The authority of the present moment, shared by all who sign, serve and verify, and replaced in one step.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use identity::{Authority, Bundle};
use tokio::sync::watch;

#[cfg(test)]
mod tests;

/// A handle to the present authority and the roots to believe. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Live(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    present: ArcSwap<Present>,
    edition: watch::Sender<u64>,
}

/// Roots that are not our authority's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Others {
    /// Believed for every trust domain, as our own: `caCertificates` of the mesh config without trust domains.
    pub anywhere: Bundle,
    /// Believed for workloads of one trust domain only (`caCertificates` with `trustDomains`, SPIFFE bundle endpoints): the
    /// root of another mesh must not vouch for ours.
    pub scoped: BTreeMap<String, Bundle>,
}

#[derive(Debug)]
struct Present {
    authority: Option<Arc<Authority>>,
    others: Others,
    /// Roots that vouch for callers of our own ports only.
    of_callers: Bundle,
    /// The authority's roots and those believed anywhere.
    roots: Arc<Bundle>,
    /// These, and the scoped ones.
    all: Arc<Bundle>,
}

impl Present {
    fn of(authority: Option<Arc<Authority>>, others: Others, of_callers: Bundle) -> Self {
        let own = authority.as_ref().map(|authority| authority.bundle().clone()).unwrap_or_default();
        let roots = own.merged(&others.anywhere);
        let all = others.scoped.values().fold(roots.clone(), |all, scoped| all.merged(scoped));
        Self { authority, others, of_callers, roots: Arc::new(roots), all: Arc::new(all) }
    }
}

impl Live {
    /// A handle that shows `authority`; without one (`ENABLE_CA_SERVER=false`) nobody signs.
    #[must_use]
    pub fn new(authority: impl Into<Option<Authority>>) -> Self {
        let authority = authority.into().map(Arc::new);
        let present = Present::of(authority, Others::default(), Bundle::default());
        Self(Arc::new(Shared { present: ArcSwap::from_pointee(present), edition: watch::Sender::new(0) }))
    }

    /// The authority that signs now, if there is one.
    #[must_use]
    pub fn authority(&self) -> Option<Arc<Authority>> {
        self.0.present.load().authority.clone()
    }

    /// The roots to hand out to workloads: the authority's, then those believed anywhere.
    #[must_use]
    pub fn bundle(&self) -> Arc<Bundle> {
        self.0.present.load().roots.clone()
    }

    /// Every root that vouches for workloads of at least one trust domain.
    #[must_use]
    pub fn anchors(&self) -> Arc<Bundle> {
        self.0.present.load().all.clone()
    }

    /// Every root that is believed of a caller of ours; good for a handshake, after which [`Live::bundle_for`] decides.
    #[must_use]
    pub fn every_root(&self) -> Bundle {
        let present = self.0.present.load();
        present.all.merged(&present.of_callers)
    }

    /// The roots that may vouch for callers of `trust_domain`. As pkg/spiffe/spiffe.go: VerifyPeerCert.
    #[must_use]
    pub fn bundle_for(&self, trust_domain: &str) -> Bundle {
        let present = self.0.present.load();
        let known = present.roots.merged(&present.of_callers);
        present.others.scoped.get(trust_domain).map_or_else(|| known.clone(), |scoped| known.merged(scoped))
    }

    /// Shows another authority from now on and tells the subscribers.
    pub fn replace(&self, authority: Authority) {
        let authority = Some(Arc::new(authority));
        self.0.present.rcu(|old| Present::of(authority.clone(), old.others.clone(), old.of_callers.clone()));
        self.told();
    }

    /// Believes callers of our own ports by these roots too (and by no other ones that were given so) from now on; they are
    /// not handed out.
    pub fn believe_callers(&self, roots: &Bundle) {
        let old =
            self.0.present.rcu(|old| Present::of(old.authority.clone(), old.others.clone(), roots.clone()));
        if old.of_callers != *roots {
            self.told();
        }
    }

    /// Believes these roots from elsewhere (and no other ones from elsewhere) from now on; tells the subscribers if that is
    /// a change.
    pub fn trust(&self, others: &Others) {
        let old = self
            .0
            .present
            .rcu(|old| Present::of(old.authority.clone(), others.clone(), old.of_callers.clone()));
        if old.others != *others {
            self.told();
        }
    }

    fn told(&self) {
        self.0.edition.send_modify(|edition| *edition += 1);
    }

    /// A number that grows with every change; wait on it to learn that authority or roots are other ones.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.edition.subscribe()
    }

    /// The number of the present state.
    #[must_use]
    pub fn edition(&self) -> u64 {
        *self.0.edition.borrow()
    }
}
