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
    authority: Arc<Authority>,
    others: Others,
    /// The authority's roots and those believed anywhere.
    roots: Arc<Bundle>,
    /// These, and the scoped ones.
    all: Arc<Bundle>,
}

impl Present {
    fn of(authority: Arc<Authority>, others: Others) -> Self {
        let roots = authority.bundle().merged(&others.anywhere);
        let all = others.scoped.values().fold(roots.clone(), |all, scoped| all.merged(scoped));
        Self { authority, others, roots: Arc::new(roots), all: Arc::new(all) }
    }
}

impl Live {
    /// A handle that shows `authority`.
    #[must_use]
    pub fn new(authority: Authority) -> Self {
        let present = Present::of(Arc::new(authority), Others::default());
        Self(Arc::new(Shared { present: ArcSwap::from_pointee(present), edition: watch::Sender::new(0) }))
    }

    /// The authority that signs now.
    #[must_use]
    pub fn authority(&self) -> Arc<Authority> {
        self.0.present.load().authority.clone()
    }

    /// The roots to hand out to workloads: the authority's, then those believed anywhere.
    #[must_use]
    pub fn bundle(&self) -> Arc<Bundle> {
        self.0.present.load().roots.clone()
    }

    /// Every root that is believed for at least one trust domain; good for a handshake, after which
    /// [`Live::bundle_for`] decides.
    #[must_use]
    pub fn every_root(&self) -> Arc<Bundle> {
        self.0.present.load().all.clone()
    }

    /// The roots that may vouch for workloads of `trust_domain`. As pkg/spiffe/spiffe.go: VerifyPeerCert.
    #[must_use]
    pub fn bundle_for(&self, trust_domain: &str) -> Arc<Bundle> {
        let present = self.0.present.load();
        match present.others.scoped.get(trust_domain) {
            Some(scoped) => Arc::new(present.roots.merged(scoped)),
            None => present.roots.clone(),
        }
    }

    /// Shows another authority from now on and tells the subscribers.
    pub fn replace(&self, authority: Authority) {
        let authority = Arc::new(authority);
        self.0.present.rcu(|old| Present::of(authority.clone(), old.others.clone()));
        self.told();
    }

    /// Believes these roots from elsewhere (and no other ones from elsewhere) from now on; tells the subscribers if that is
    /// a change.
    pub fn trust(&self, others: &Others) {
        let old = self.0.present.rcu(|old| Present::of(old.authority.clone(), others.clone()));
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
