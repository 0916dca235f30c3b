//! Who spoke plain text where mutual TLS is wanted: Envoy resets such a connection and only counts it.

use std::collections::BTreeMap;

use super::observe::Observation;

/// What has been told of each proxy.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<String, u64>);

impl Refusals {
    /// A line for each proxy that refused connections since the last round.
    pub(super) fn update(&mut self, observation: &Observation) -> Vec<String> {
        let mut lines = Vec::new();
        for (id, seen) in &observation.proxies {
            let before = self.0.insert(id.clone(), seen.refused_connections).unwrap_or_default();
            // a proxy that was started again counts from zero
            let new = seen.refused_connections.checked_sub(before).unwrap_or(seen.refused_connections);
            if new > 0 {
                lines.push(format!(
                    "{id} refused {new} connection{}: not the mutual TLS that its PeerAuthentication asks for",
                    if new == 1 { "" } else { "s" }
                ));
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests;
