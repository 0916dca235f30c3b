//! Who competes for a lock, and whom it may take one from.

use std::sync::Arc;
use std::time::Duration;

use process::clock::{Clock, Real};
use tokio::sync::watch;

use super::TTL;

/// Before the revision in the key of a replica that runs outside the cluster.
const REMOTE: &str = "^";

/// One replica of the control plane, as a candidate for leadership.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Where locks are: the namespace of the control plane.
    pub namespace: String,
    /// The name of the pod; no two replicas that run may have the same.
    pub identity: String,
    /// The revision, never empty.
    pub revision: String,
    /// Whether it runs outside the cluster whose locks these are.
    pub remote: bool,
    /// The revision that takes locks from others; empty if there is none. See [`crate::default_revision`].
    pub default_revision: watch::Receiver<String>,
    /// Whether there may be others; otherwise no lock is taken.
    pub competes: bool,
    /// How long a lock outlives its holder's last sign of life. All candidates have the same.
    pub ttl: Duration,
    /// What times are measured by.
    pub clock: Arc<dyn Clock>,
}

impl Candidate {
    /// A replica in the cluster itself that competes under upstream's terms. An empty revision is `default`.
    #[must_use]
    pub fn new(
        namespace: &str,
        identity: &str,
        revision: &str,
        default_revision: watch::Receiver<String>,
    ) -> Self {
        Self {
            namespace: namespace.to_owned(),
            identity: identity.to_owned(),
            revision: if revision.is_empty() { "default" } else { revision }.to_owned(),
            remote: false,
            default_revision,
            competes: true,
            ttl: TTL,
            clock: Arc::new(Real::new()),
        }
    }

    /// What its records say of its rank.
    pub(super) fn key(&self) -> String {
        format!("{}{}", if self.remote { REMOTE } else { "" }, self.revision)
    }

    /// Whether it takes a lock from a living holder of this key: the default revision from others, and of one revision who
    /// is in the cluster from who is not (as leaderelection.go: `LocationPrioritizedComparison`).
    pub(super) fn outranks(&self, holder: &str) -> bool {
        let (revision, remote) = match holder.strip_prefix(REMOTE) {
            Some(revision) => (revision, true),
            None => (holder, false),
        };
        if self.revision == revision {
            return remote && !self.remote;
        }
        *self.default_revision.borrow() == self.revision
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(revision: &str, default_revision: &str) -> Candidate {
        Candidate::new("istio-system", "istiod-a", revision, watch::channel(default_revision.to_owned()).1)
    }

    #[test]
    fn the_default_revision_outranks_others_and_is_outranked_by_none() {
        assert!(candidate("stable", "stable").outranks("canary"));
        assert!(candidate("stable", "stable").outranks("^canary"));
        assert!(candidate("stable", "stable").outranks(""), "a holder of before there were keys");
        assert!(!candidate("stable", "stable").outranks("stable"));
        assert!(!candidate("canary", "stable").outranks("stable"));
        assert!(!candidate("canary", "stable").outranks("third"));
        assert!(!candidate("canary", "").outranks("stable"), "no default revision, no rank");
    }

    #[test]
    fn of_one_revision_the_cluster_s_own_replica_outranks_the_remote_one() {
        let local = candidate("stable", "");
        let remote = Candidate { remote: true, ..candidate("stable", "") };
        assert_eq!((local.key().as_str(), remote.key().as_str()), ("stable", "^stable"));
        assert!(local.outranks(&remote.key()));
        assert!(!remote.outranks(&local.key()));
        assert!(!remote.outranks(&remote.key()));
    }

    #[test]
    fn no_revision_is_the_revision_called_default() {
        assert_eq!(candidate("", "").key(), "default");
    }
}
