//! A pod that really runs: a network namespace, an application that says who it is, and a sidecar if it has one.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use k8s_openapi::api::core::v1::Pod;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::capture::capture;
use super::listing::place;
use super::network::{Network, Sandbox};
use super::sidecar::{self, Credentials, Sidecar};
use super::{PATIENCE, echo, kubelet};
use crate::ask::{Answer, get_over};
use crate::eventually;
use crate::program::Program;

/// Envoy's health listener, which is not captured.
const HEALTH: u16 = 15021;
/// Envoy's admin interface.
const ADMIN: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 15000);

/// A running pod. Dropped, it ends, with its processes and its namespace.
pub struct RunningPod {
    name: String,
    // in this order: the processes end before the place they live in
    _applications: JoinSet<Result<()>>,
    agent: Option<Program>,
    sandbox: Arc<Sandbox>,
    folder: TempDir,
}

impl fmt::Debug for RunningPod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningPod")
            .field("name", &self.name)
            .field("sandbox", &self.sandbox)
            .finish_non_exhaustive()
    }
}

impl RunningPod {
    /// Runs a pod without a sidecar, at the address of its status: each of its containers' ports answers every request
    /// with `{"pod": its name, "path": ..., "headers": {...}}`.
    ///
    /// # Errors
    /// When it has no address in this network, or no place can be made for it (see [`Network::claim`]).
    pub async fn start(network: &Network, pod: &Pod) -> Result<Self> {
        let (namespace, name) = place(&pod.metadata);
        let address =
            kubelet::address(pod).with_context(|| format!("pod {namespace}/{name} has no address"))?;
        if !network.contains(address) {
            bail!("pod {namespace}/{name} has the address {address}: run its node on `Network::pods`");
        }
        let sandbox =
            network.sandbox(address).with_context(|| format!("a place for pod {namespace}/{name}"))?;
        let mut applications = JoinSet::new();
        for port in sidecar::ports(pod) {
            let number = u16::try_from(port.container_port).context("a container's port")?;
            applications.spawn(echo::serve(sandbox.listen(number)?, name.to_owned()));
        }
        Ok(Self {
            name: format!("{namespace}/{name}"),
            _applications: applications,
            agent: None,
            sandbox: Arc::new(sandbox),
            folder: tempfile::tempdir().context("a folder for a pod")?,
        })
    }

    /// Runs a pod beside a sidecar that takes its calls, and waits until that is ready.
    ///
    /// # Errors
    /// As [`RunningPod::start`]; when the sidecar does not become ready; with the end of its log.
    pub async fn with_sidecar(
        network: &Network,
        pod: &Pod,
        sidecar: &Sidecar,
        credentials: &Credentials,
    ) -> Result<Self> {
        let mut running = Self::start(network, pod).await?;
        capture(&running.sandbox)?;
        let folder = running.folder.path();
        let agent = sidecar::start(&running.sandbox, pod, sidecar, credentials, folder)?;
        let health = SocketAddrV4::new(running.sandbox.address(), HEALTH);
        let what = format!("the sidecar of {} is ready", running.name);
        let ready = eventually(&what, PATIENCE, async || {
            if let Some(why) = agent.ended() {
                return Some(Err(why));
            }
            let answer = running.get(health, "localhost", "/healthz/ready").await;
            answer.is_ok_and(|answer| answer.status == 200).then_some(Ok(()))
        });
        ready.await.map_err(|late| anyhow!("{late}\n{}", agent.tail()))??;
        running.agent = Some(agent);
        Ok(running)
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.sandbox.address()
    }

    /// `GET http://host/path` as its application asks, over a connection to `to`: the address of a pod or a Service.
    /// Names are not looked up.
    ///
    /// # Errors
    /// When nobody answers within ten seconds, or not in HTTP.
    pub async fn get(&self, to: SocketAddrV4, host: &str, path: &str) -> Result<Answer> {
        let sandbox = Arc::clone(&self.sandbox);
        let (host, path) = (host.to_owned(), path.to_owned());
        let asked = move || get_over(sandbox.connect(to)?, &host, &path, &[]);
        Ok(tokio::task::spawn_blocking(asked).await??)
    }

    /// A page of its Envoy's admin interface.
    ///
    /// # Errors
    /// As [`RunningPod::get`].
    pub async fn admin(&self, path: &str) -> Result<Answer> {
        self.get(ADMIN, "localhost", path).await
    }

    /// The last lines that its sidecar logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.agent.as_ref().map(Program::tail).unwrap_or_default()
    }
}
