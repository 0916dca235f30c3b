//! Whether an authenticated caller may speak as the proxy it says it is.

use std::collections::BTreeSet;

use crate::spiffe::Id;

#[cfg(test)]
mod tests;

/// The caller's identities do not include the proxy's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no identities ({identities}) matched {namespace}/{service_account}")]
pub struct Mismatch {
    /// Who the caller proved to be.
    pub identities: String,
    /// The namespace the node claims.
    pub namespace: String,
    /// The service account the node claims.
    pub service_account: String,
}

/// The verified identity of a proxy: the first of `identities` whose namespace and service account are the node's; what
/// the node leaves empty is not compared. As pilot/pkg/xds/auth.go: checkConnectionIdentity. Callers skip this when
/// `PILOT_ENABLE_XDS_IDENTITY_CHECK` is false or the connection is unauthenticated plaintext.
pub fn proxy_identity<'a>(
    identities: &'a BTreeSet<Id>,
    namespace: &str,
    service_account: &str,
) -> Result<&'a Id, Mismatch> {
    let fits = |id: &&Id| {
        (namespace.is_empty() || id.namespace() == namespace)
            && (service_account.is_empty() || id.service_account() == service_account)
    };
    identities.iter().find(fits).ok_or_else(|| Mismatch {
        identities: identities.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        namespace: namespace.to_string(),
        service_account: service_account.to_string(),
    })
}
