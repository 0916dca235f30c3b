//! Envoy's admin interface, as far as the agent needs it: statistics and draining.

use std::collections::HashSet;
use std::time::Duration;

use http::Method;

use crate::http_client::{HttpError, Target, text};

/// Where the admin interface is.
#[derive(Clone, Debug)]
pub struct Admin {
    target: Target,
}

/// What Envoy's statistics say about its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Configurations of clusters taken, refused.
    pub cds: (u64, u64),
    /// Configurations of listeners taken, refused.
    pub lds: (u64, u64),
    /// `server.state`; 0 is live. `None` when it is not told yet.
    pub state: Option<u64>,
    /// Whether the workers have started. `None` when it is not told yet.
    pub workers_started: Option<bool>,
}

const READINESS: &str = "/stats?usedonly&filter=%5E(server%5C.state%7Clistener_manager%5C.workers_started%7C(cluster_manager%5C.cds%7Clistener_manager%5C.lds)%5C.(update_success%7Cupdate_rejected)%24)";
const ACTIVE: &str = "/stats?usedonly&filter=downstream_cx_active$";

impl Admin {
    /// The admin interface at `host:port`.
    #[must_use]
    pub fn new(host: &str, port: u16) -> Self {
        Self { target: Target::plain(host, port) }
    }

    /// Where it is.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Asks Envoy to tell its clients to go and to take no new ones. As pkg/envoy/admin.go: DrainListeners.
    ///
    /// # Errors
    /// When the admin interface does not answer.
    pub async fn drain(&self, inbound_only: bool, skip_exit: bool) -> Result<(), HttpError> {
        let mut path = "/drain_listeners?".to_owned();
        if inbound_only {
            path.push_str("inboundonly&");
        }
        path.push_str("graceful");
        if skip_exit {
            path.push_str("&skip_exit");
        }
        let (_, answer) = text(&self.target, Method::POST, &path, Duration::from_secs(5)).await?;
        tracing::debug!("Drain listener endpoint response: {answer}");
        Ok(())
    }

    /// Statistics that tell whether Envoy is ready.
    ///
    /// # Errors
    /// When the admin interface does not answer.
    pub async fn readiness(&self) -> Result<Readiness, HttpError> {
        let (_, stats) = text(&self.target, Method::GET, READINESS, Duration::from_secs(3)).await?;
        let mut out = Readiness::default();
        for (name, value) in numbers(&stats) {
            match name {
                "cluster_manager.cds.update_success" => out.cds.0 = value,
                "cluster_manager.cds.update_rejected" => out.cds.1 = value,
                "listener_manager.lds.update_success" => out.lds.0 = value,
                "listener_manager.lds.update_rejected" => out.lds.1 = value,
                "server.state" => out.state = Some(value),
                "listener_manager.workers_started" => out.workers_started = Some(value == 1),
                _ => {}
            }
        }
        Ok(out)
    }

    /// The connections of clients, without those to listeners in `not_counted` and Envoy's internal ones. `None` when
    /// Envoy has no such statistic. As pkg/envoy/agent.go: activeProxyConnections.
    ///
    /// # Errors
    /// When the admin interface does not answer.
    pub async fn active_connections(&self, not_counted: &HashSet<String>) -> Result<Option<u64>, HttpError> {
        let (_, stats) = text(&self.target, Method::GET, ACTIVE, Duration::from_secs(2)).await?;
        if stats.trim().is_empty() {
            return Ok(None);
        }
        Ok(Some(
            numbers(&stats)
                .filter(|(name, _)| {
                    name.starts_with("listener.")
                        && !name.contains("worker_")
                        && !name.starts_with("listener.envoy_internal_")
                        && !not_counted.contains(*name)
                })
                .map(|(_, value)| value)
                .sum(),
        ))
    }
}

fn numbers(stats: &str) -> impl Iterator<Item = (&str, u64)> {
    stats.lines().filter_map(|line| {
        let (name, value) = line.rsplit_once(':')?;
        Some((name, value.trim().parse().ok()?))
    })
}
