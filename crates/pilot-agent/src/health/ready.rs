//! Whether the proxy can take traffic.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::dns::Resolver;
use crate::envoy::{Admin, Readiness};

/// Checks Envoy and the DNS proxy. What was reached once is not asked again: Envoy does not go back behind it, and
/// probes reach the agent through Envoy anyway.
#[derive(Debug)]
pub struct ReadyProbe {
    envoy: Option<Admin>,
    resolver: Option<Arc<Resolver>>,
    configured: AtomicBool,
    live: AtomicBool,
    ending: AtomicBool,
}

impl ReadyProbe {
    /// Checks these parts; `None` is not there and does not matter.
    #[must_use]
    pub fn new(envoy: Option<Admin>, resolver: Option<Arc<Resolver>>) -> Self {
        Self {
            envoy,
            resolver,
            configured: AtomicBool::new(false),
            live: AtomicBool::new(false),
            ending: AtomicBool::new(false),
        }
    }

    /// From now on nothing is ready any more.
    pub fn end(&self) {
        self.ending.store(true, Ordering::SeqCst);
    }

    /// Whether everything is ready; the text says what is not. As pilot/cmd/pilot-agent/status/ready/probe.go: Check.
    ///
    /// # Errors
    /// When something is not ready.
    pub async fn check(&self) -> Result<(), String> {
        if self.ending.load(Ordering::SeqCst) {
            return Err("server is terminated".to_owned());
        }
        if let Some(envoy) = &self.envoy {
            self.check_envoy(envoy).await?;
        }
        if self.resolver.as_ref().is_some_and(|resolver| !resolver.is_ready()) {
            return Err("istio DNS capture is turned ON and DNS lookup table is not ready yet".to_owned());
        }
        Ok(())
    }

    async fn check_envoy(&self, envoy: &Admin) -> Result<(), String> {
        if self.configured.load(Ordering::Relaxed) && self.live.load(Ordering::Relaxed) {
            return Ok(());
        }
        let found =
            envoy.readiness().await.map_err(|error| format!("failed to get readiness stats: {error}"))?;
        if !self.configured.load(Ordering::Relaxed) {
            configured(&found)?;
            self.configured.store(true, Ordering::Relaxed);
        }
        match (found.state, found.workers_started) {
            (Some(0), Some(true)) => {
                self.live.store(true, Ordering::Relaxed);
                Ok(())
            }
            (None, _) => Err("server.state is not yet updated".to_owned()),
            (_, None) => Err("listener_manager.workers_started is not yet updated".to_owned()),
            (Some(0), Some(false)) => Err("workers have not yet started".to_owned()),
            (Some(state), _) => {
                let name = match state {
                    1 => "DRAINING",
                    2 => "PRE_INITIALIZING",
                    3 => "INITIALIZING",
                    _ => "UNKNOWN",
                };
                Err(format!("server is not live, current state is: {name}"))
            }
        }
    }
}

/// Whether Envoy has taken clusters and listeners. As pilot/cmd/pilot-agent/status/ready/probe.go: checkConfigStatus,
/// except that an Envoy that refused both is not said to have received nothing.
fn configured(found: &Readiness) -> Result<(), String> {
    let ((cds, cds_refused), (lds, lds_refused)) = (found.cds, found.lds);
    let refused = cds_refused > 0 || lds_refused > 0;
    let what = match (cds > 0, lds > 0) {
        (true, true) => return Ok(()),
        _ if refused => "config received from XDS server, but was rejected",
        (false, false) => "config not received from XDS server (is Istiod running?)",
        _ => "config not fully received from XDS server",
    };
    Err(format!(
        "{what}: cds updates: {cds} successful, {cds_refused} rejected; lds updates: {lds} successful, {lds_refused} rejected"
    ))
}

#[cfg(test)]
mod tests;
