//! The mesh's trust domain of the present moment.

use std::sync::Arc;

use arc_swap::ArcSwap;

/// A handle to the trust domain that identities are issued in. The mesh configuration may change it while the control
/// plane runs: callers with tokens then get certificates of the new one (as
/// security/pkg/server/ca/authenticate/oidc.go, whose mesh holder is asked for each token), while a self-signed root keeps
/// the name it was made under. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TrustDomain(Arc<ArcSwap<String>>);

impl TrustDomain {
    /// A handle that shows `name`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(name.to_owned())))
    }

    /// The present one.
    #[must_use]
    pub fn get(&self) -> Arc<String> {
        self.0.load_full()
    }

    /// Shows `name` from now on.
    pub fn set(&self, name: &str) {
        if *self.get() != *name {
            tracing::info!(target: "pkica", "the trust domain is {name} now, no longer {}", self.get());
            self.0.store(Arc::new(name.to_owned()));
        }
    }
}
