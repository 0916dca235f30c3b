//! Which services are called in the caller's cluster only.

use super::ServiceSettings;
use crate::host;

/// Whether calls of `name` stay in the cluster of the caller, `domain` being that of the cluster.
///
/// As `pilot/pkg/model/cluster_local.go`: precise hosts win over wildcards, and Kubernetes' own services stay unless
/// `settings` say otherwise.
#[must_use]
pub fn is_cluster_local(settings: &[ServiceSettings], domain: &str, name: &str) -> bool {
    let defaults = [format!("*.kube-system.svc.{domain}"), format!("kubernetes.default.svc.{domain}")];
    let said = settings.iter().flat_map(|s| {
        let local = s.settings.as_ref().is_some_and(|settings| settings.cluster_local);
        s.hosts.iter().map(move |host| (host.as_str(), local))
    });
    let mut best: Option<(&str, bool)> = None;
    for (pattern, local) in defaults.iter().map(|default| (default.as_str(), true)).chain(said) {
        let fits = name == pattern || (host::is_wildcard(pattern) && host::subset_of(name, pattern));
        let better = best.is_none_or(|(held, _)| held == pattern || host::more_specific(pattern, held));
        if fits && better {
            best = Some((pattern, local));
        }
    }
    best.is_some_and(|(_, local)| local)
}
