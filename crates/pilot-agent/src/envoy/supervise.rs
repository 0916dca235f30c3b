//! Watches Envoy from its start to its end, and ends it the way that was asked for.

use std::collections::HashSet;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use process::signals::{Signals, Stop};
use tokio::process::{Child, Command};
use tokio::sync::Notify;

use super::admin::Admin;
use super::command::EnvoyCommand;
use super::launch::LAUNCH_SUBCOMMAND;

/// How often the connections are counted while draining.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// How often in a row counting may fail.
const COUNT_FAILURES: u32 = 4;

/// How Envoy is sent home.
#[derive(Clone, Debug)]
pub struct DrainPolicy {
    /// `terminationDrainDuration`: how long clients have to go.
    pub duration: Duration,
    /// End as soon as nobody is connected, instead of after `duration`.
    pub until_nobody_is_connected: bool,
    /// `MINIMUM_DRAIN_DURATION`: not before this.
    pub at_least: Duration,
    /// Statistics of listeners whose connections do not count: metrics, health, admin.
    pub not_counted: HashSet<String>,
    /// Only listeners for incoming calls are drained, as at sidecars.
    pub inbound_only: bool,
}

impl DrainPolicy {
    /// Names the agent's own listeners, as pkg/envoy/agent.go: NewAgent. `address` is where they are bound.
    #[must_use]
    pub fn own_listeners(address: &str, ports: &[u16]) -> HashSet<String> {
        let address = address.replace(':', "_");
        ports
            .iter()
            .filter(|port| **port != 0)
            .map(|port| format!("listener.{address}_{port}.downstream_cx_active"))
            .chain(["admin", "admin.main_thread"].map(|name| format!("listener.{name}.downstream_cx_active")))
            .collect()
    }
}

/// How Envoy ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, or somebody else ended it.
    ByItself(ExitStatus),
    /// The agent ended it, as it was told.
    AsOrdered,
}

impl Ended {
    /// The agent's own exit code: Envoy's, 128 and the signal's number when a signal ended it, 0 when all was in order.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::AsOrdered => 0,
            Self::ByItself(status) => {
                let code = status.code().or_else(|| Some(128 + status.signal()?));
                code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
            }
        }
    }
}

/// Orders from elsewhere in the agent: `/drain`, `/quitquitquit`, a status server that broke.
#[derive(Clone, Debug, Default)]
pub struct Orders(Arc<OrdersInner>);

#[derive(Debug, Default)]
struct OrdersInner {
    stop: Notify,
    drain: Notify,
    drained: AtomicBool,
}

impl Orders {
    /// Ends Envoy; without draining when `at_once` or when it was drained already.
    pub fn stop(&self, at_once: bool) {
        if at_once {
            self.0.drained.store(true, Ordering::SeqCst);
        }
        self.0.stop.notify_one();
    }

    /// Comes back when somebody ordered a stop; for an agent without Envoy.
    pub async fn stopped(&self) {
        self.0.stop.notified().await;
    }

    /// Starts draining now and goes on running; a later stop comes at once.
    pub fn drain(&self) {
        self.0.drain.notify_one();
    }
}

/// A running Envoy.
pub struct Supervisor {
    child: Child,
    admin: Admin,
    policy: DrainPolicy,
    orders: Orders,
}

/// Where to find the program that ties Envoy's life to the agent's; see [`super::launch`].
#[derive(Clone, Debug)]
pub struct Launcher {
    /// The agent's own binary.
    pub program: PathBuf,
    /// User and group for Envoy.
    pub run_as: Option<u32>,
}

impl Supervisor {
    /// Starts Envoy, by way of `launcher` where there is one, with `env` besides the agent's own environment.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start(
        command: &EnvoyCommand,
        launcher: Option<&Launcher>,
        env: &[(&str, &str)],
        admin: Admin,
        policy: DrainPolicy,
        orders: Orders,
    ) -> std::io::Result<Self> {
        let args = command.args();
        tracing::info!("Envoy command: {}", args.join(" "));
        let mut process = match launcher {
            None => Command::new(&command.binary),
            Some(launcher) => {
                let mut process = Command::new(&launcher.program);
                process.arg(LAUNCH_SUBCOMMAND).arg("--parent").arg(std::process::id().to_string());
                if let Some(id) = launcher.run_as {
                    process.arg("--run-as").arg(id.to_string());
                }
                process.arg("--binary").arg(&command.binary).arg("--");
                process
            }
        };
        let child = process.args(&args).envs(env.iter().copied()).kill_on_drop(true).spawn()?;
        Ok(Self { child, admin, policy, orders })
    }

    /// Envoy's process id, while it lives.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Watches until Envoy has ended, by itself or because a signal or an order said so. A second signal ends it at
    /// once. `ending` is called when the end begins. As pkg/envoy/agent.go: Run.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub async fn run(mut self, mut signals: Signals, ending: impl FnOnce()) -> std::io::Result<Ended> {
        let orders = self.orders.clone();
        loop {
            tokio::select! {
                status = self.child.wait() => return Ok(by_itself(status?)),
                () = orders.0.drain.notified() => self.drain_now().await,
                () = orders.0.stop.notified() => break,
                stop = signals.next() => match stop {
                    Stop::Hard(name) => return self.abort(name).await,
                    Stop::Graceful(name) => {
                        tracing::info!("Received {name}, draining");
                        break;
                    }
                },
            }
        }
        ending();
        if self.orders.0.drained.load(Ordering::SeqCst) {
            tracing::info!("Agent already drained, exiting immediately");
            return self.abort("stop").await;
        }
        tracing::info!("Agent draining Proxy for termination");
        if let Err(error) = self.admin.drain(self.policy.inbound_only, false).await {
            tracing::warn!("Error in invoking drain listeners endpoint: {error}");
        }
        let (admin, policy) = (self.admin.clone(), self.policy.clone());
        let waited = wait_for_clients(&admin, &policy);
        tokio::pin!(waited);
        loop {
            tokio::select! {
                status = self.child.wait() => {
                    tracing::info!("Graceful termination logic ended prematurely, envoy process terminated early");
                    return Ok(by_itself(status?));
                }
                () = &mut waited => break,
                // The application is told first in some pods; whoever orders a stop now means it.
                () = orders.0.stop.notified() => {
                    if orders.0.drained.load(Ordering::SeqCst) { break; }
                }
                stop = signals.next() => {
                    if let Stop::Hard(name) = stop {
                        tracing::warn!("Received {name} again, not waiting any longer");
                        break;
                    }
                }
            }
        }
        self.abort("end of drain").await
    }

    async fn drain_now(&mut self) {
        tracing::info!("Agent draining proxy");
        if let Err(error) = self.admin.drain(self.policy.inbound_only, true).await {
            tracing::warn!("Error in invoking drain listeners endpoint: {error}");
        }
        self.orders.0.drained.store(true, Ordering::SeqCst);
    }

    async fn abort(mut self, why: &str) -> std::io::Result<Ended> {
        tracing::warn!("Aborting proxy ({why})");
        self.child.kill().await?;
        tracing::info!("Agent has successfully terminated");
        Ok(Ended::AsOrdered)
    }
}

fn by_itself(status: ExitStatus) -> Ended {
    match status.signal() {
        Some(9) => {
            tracing::warn!("Envoy may have been out of memory killed. Check memory usage and limits.");
            tracing::error!("Envoy exited with error: {status}");
        }
        None if status.success() => tracing::info!("Envoy exited normally"),
        _ => tracing::error!("Envoy exited with error: {status}"),
    }
    Ended::ByItself(status)
}

/// Comes back when Envoy's clients have had their time, or are gone. As pkg/envoy/agent.go: terminate.
async fn wait_for_clients(admin: &Admin, policy: &DrainPolicy) {
    if !policy.until_nobody_is_connected {
        tracing::info!("Graceful termination period is {:?}, starting...", policy.duration);
        tokio::time::sleep(policy.duration).await;
        tracing::info!("Graceful termination period complete, terminating remaining proxies.");
        return;
    }
    tracing::info!(
        "Agent draining proxy for {:?}, then waiting for active connections to terminate...",
        policy.at_least
    );
    tokio::time::sleep(policy.at_least).await;
    let mut failures = 0;
    loop {
        match admin.active_connections(&policy.not_counted).await {
            Ok(Some(0)) => {
                tracing::info!("There are no more active connections. terminating proxy...");
                return;
            }
            Ok(None) => {
                tracing::info!(
                    "downstream_cx_active is not available; skipping the check of active connections"
                );
                return;
            }
            Ok(Some(count)) => {
                tracing::info!("There are still {count} active connections");
                failures = 0;
            }
            Err(error) => {
                tracing::error!("unable to get listener stats from Envoy: {error}");
                failures += 1;
                if failures > COUNT_FAILURES {
                    return;
                }
            }
        }
        tokio::time::sleep(COUNT_EVERY).await;
    }
}
