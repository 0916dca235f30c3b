//! The nodes and controllers of a tests' API server: what scheduler, kubelet and controller-manager do, kept plain.
//!
//! Every namespace gets its `default` service account; Deployments become ReplicaSets and pods; pods are bound to a
//! node, get an address of it, run, are ready, and go when they are deleted; Services with a selector get EndpointSlices;
//! what nobody owns any more is removed, and so is what is in a deleted namespace. Nothing is executed, unless a
//! test asks for it ([`Nodes::run`], [`RunningPod`]).

mod address;
mod apart;
mod capture;
mod echo;
mod kubelet;
mod listing;
mod namespaces;
mod network;
mod outcome;
mod running;
mod sidecar;
mod slices;
mod workloads;

use std::fmt::{self, Debug};
use std::net::Ipv4Addr;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use futures_util::StreamExt as _;
use ipnet::Ipv4Net;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Namespace, Pod, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, DeleteParams, ListParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watcher};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinSet;

use crate::eventually;
pub use apart::apart;
use kubelet::Kubelet;
use listing::Listing;
pub use network::{Network, Sandbox};
use outcome::Outcome;
pub use running::RunningPod;
pub use sidecar::{Credentials, Sidecar};

/// Annotation of pods that a test really runs: they are ready when the test says so, not from the start.
pub const RUN: &str = "testkit/run";

/// More rounds than any object needs from one state to the next.
const ROUNDS: usize = 100;

/// How long a test waits for what takes milliseconds on a quiet machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// A node, as it stands in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The Node's name.
    pub name: String,
    /// Label `topology.kubernetes.io/region`.
    pub region: String,
    /// Label `topology.kubernetes.io/zone`.
    pub zone: String,
    /// Its own address, which is the `hostIP` of its pods.
    pub address: Ipv4Addr,
    /// Where its pods have their addresses. The first one is nobody's.
    pub pods: Ipv4Net,
}

impl Machine {
    /// A node of the zone `zone-1` of `region-1`, whose own address is the first of its pods' network.
    #[must_use]
    pub fn new(name: &str, pods: Ipv4Net) -> Self {
        let address = pods.hosts().next().unwrap_or(Ipv4Addr::UNSPECIFIED);
        let (region, zone) = ("region-1".to_owned(), "zone-1".to_owned());
        Self { name: name.to_owned(), region, zone, address, pods }
    }

    /// The same elsewhere.
    #[must_use]
    pub fn at(mut self, region: &str, zone: &str) -> Self {
        (self.region, self.zone) = (region.to_owned(), zone.to_owned());
        self
    }
}

/// The nodes and controllers of one API server; there must not be two of them. They end when this is dropped.
pub struct Nodes {
    cluster: Arc<Cluster>,
    tasks: JoinSet<()>,
}

impl Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nodes").field("tasks", &self.tasks.len()).finish_non_exhaustive()
    }
}

/// What the tasks share.
struct Cluster {
    client: Client,
    /// Held for a whole round: two at a time would make everything twice.
    kubelet: Mutex<Kubelet>,
    orders: std::sync::Mutex<kubelet::Orders>,
    changed: Notify,
}

impl Nodes {
    /// Registers the machines and starts to work.
    ///
    /// # Errors
    /// When there is no machine, or the API server refuses a Node.
    pub async fn start(client: Client, machines: Vec<Machine>) -> Result<Self> {
        if machines.is_empty() {
            bail!("pods need a node: name at least one machine");
        }
        for machine in &machines {
            kubelet::register(&client, machine).await.with_context(|| format!("node {}", machine.name))?;
        }
        let cluster = Arc::new(Cluster {
            client: client.clone(),
            kubelet: Mutex::new(Kubelet::new(machines)),
            orders: std::sync::Mutex::default(),
            changed: Notify::new(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(watched::<Namespace>(Arc::clone(&cluster)));
        tasks.spawn(watched::<ServiceAccount>(Arc::clone(&cluster)));
        tasks.spawn(watched::<Deployment>(Arc::clone(&cluster)));
        tasks.spawn(watched::<ReplicaSet>(Arc::clone(&cluster)));
        tasks.spawn(watched::<Pod>(Arc::clone(&cluster)));
        tasks.spawn(watched::<Service>(Arc::clone(&cluster)));
        tasks.spawn(watched::<EndpointSlice>(Arc::clone(&cluster)));
        let working = Arc::clone(&cluster);
        tasks.spawn(async move {
            loop {
                working.changed.notified().await;
                // who wants to know what failed asks `settled`; the next change is the next attempt
                let _ = working.round().await;
            }
        });
        Ok(Self { cluster, tasks })
    }

    /// Waits until everything that was written before has had its consequences.
    ///
    /// # Errors
    /// What the API server refused, or that the objects do not come to rest.
    pub async fn settled(&self) -> Result<()> {
        for _ in 0..ROUNDS {
            if !self.cluster.round().await? {
                return Ok(());
            }
        }
        bail!("the cluster does not come to rest in {ROUNDS} rounds: somebody else writes the same objects")
    }

    /// Waits until a pod is ready.
    ///
    /// # Errors
    /// When it is not, after three minutes.
    pub async fn pod_ready(&self, namespace: &str, name: &str) -> Result<Pod> {
        let pods: Api<Pod> = self.api(namespace);
        let look = async || pods.get(name).await.ok().filter(kubelet::is_ready);
        eventually(&format!("pod {namespace}/{name} is ready"), PATIENCE, look)
            .await
            .map_err(|late| anyhow!(late))
    }

    /// Waits until exactly `count` pods with these labels (`app=cart,version=v1`) have an address, and there is no
    /// other one with them. Sorted by name.
    ///
    /// # Errors
    /// When it is not so, after three minutes.
    pub async fn pods(&self, namespace: &str, labels: &str, count: usize) -> Result<Vec<Pod>> {
        let (pods, wanted): (Api<Pod>, _) = (self.api(namespace), ListParams::default().labels(labels));
        let runs = |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.pod_ip.is_some());
        let look = async || {
            let found = pods.list(&wanted).await.ok()?.items;
            (found.len() == count && found.iter().all(runs)).then_some(found)
        };
        eventually(&format!("{count} pods {labels} run in {namespace}"), PATIENCE, look)
            .await
            .map_err(|late| anyhow!(late))
    }

    /// Really runs a pod beside a sidecar, when the scheduler and the control plane have done their part: the pod has an
    /// address (of a machine whose pods are in `network`), and its namespace the mesh's root (ConfigMap
    /// `istio-ca-root-cert`). Then the pod is ready.
    ///
    /// # Errors
    /// When any of it is missing after three minutes, or the sidecar does not become ready; with the end of its log.
    pub async fn run(
        &self,
        network: &Network,
        namespace: &str,
        name: &str,
        sidecar: &Sidecar,
    ) -> Result<RunningPod> {
        let pods: Api<Pod> = self.api(namespace);
        let look = async || pods.get(name).await.ok().filter(|pod| kubelet::address(pod).is_some());
        let pod = eventually(&format!("pod {namespace}/{name} has an address"), PATIENCE, look).await;
        let pod = pod.map_err(|late| anyhow!(late))?;
        let credentials = Credentials::of(&self.cluster.client, &pod).await?;
        let running = RunningPod::with_sidecar(network, &pod, sidecar, &credentials).await?;
        self.set_ready(namespace, name, true);
        self.pod_ready(namespace, name).await?;
        Ok(running)
    }

    /// Says whether a pod is ready from now on, instead of what its annotations say. See [`Nodes::settled`].
    pub fn set_ready(&self, namespace: &str, pod: &str, ready: bool) {
        self.order(|orders| orders.ready.insert(kubelet::key(namespace, pod), ready));
    }

    /// Deletes a pod, which then terminates until [`Nodes::end_termination`].
    ///
    /// # Errors
    /// When there is none.
    pub async fn begin_termination(&self, namespace: &str, pod: &str) -> Result<()> {
        self.order(|orders| orders.held.insert(kubelet::key(namespace, pod)));
        let pods: Api<Pod> = self.api(namespace);
        let deleted = pods.delete(pod, &DeleteParams::default()).await;
        deleted.with_context(|| format!("pod {namespace}/{pod}"))?;
        Ok(())
    }

    /// Lets a pod go that is terminating.
    pub fn end_termination(&self, namespace: &str, pod: &str) {
        self.order(|orders| orders.held.remove(&kubelet::key(namespace, pod)));
    }

    fn order<T>(&self, give: impl FnOnce(&mut kubelet::Orders) -> T) {
        give(&mut self.cluster.orders.lock().unwrap_or_else(PoisonError::into_inner));
        self.cluster.changed.notify_one();
    }

    fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.cluster.client.clone(), namespace)
    }
}

impl Cluster {
    /// Looks at everything and does what is to be done next; whether anything was.
    ///
    /// It looks at the API server, not at what watches said: those may not have told yet what the last round wrote.
    async fn round(&self) -> Result<bool> {
        let mut kubelet = self.kubelet.lock().await;
        let listing = Listing::read(&self.client).await.context("a list of the cluster's objects")?;
        // after what is seen: who is told to stay was told so before its deletion began
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut outcome = Outcome::default();
        namespaces::work(&self.client, &listing, &mut outcome).await;
        workloads::deployments(&self.client, &listing, &mut outcome).await;
        workloads::replica_sets(&self.client, &listing, &mut outcome).await;
        workloads::orphans(&self.client, &listing, &mut outcome).await;
        kubelet.work(&self.client, &listing, &orders, &mut outcome).await;
        slices::work(&self.client, &listing, &kubelet, &mut outcome).await;
        outcome.into_result()
    }
}

/// Tells the worker of every change of a kind, also of those that happened while nobody could be asked.
async fn watched<K>(cluster: Arc<Cluster>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let all: Api<K> = Api::all(cluster.client.clone());
    let mut events = pin!(watcher(all, watcher::Config::default()).default_backoff());
    while events.next().await.is_some() {
        cluster.changed.notify_one();
    }
}
