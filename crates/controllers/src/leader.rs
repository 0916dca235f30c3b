//! Leader election: of all replicas of all revisions, one does a piece of work, and shares its locks with upstream's.
//!
//! A lock is a record that its holder renews. Others take it when they have seen no renewal for as long as [`TTL`], by
//! their own clock, or at once if their key outranks the holder's. The holder stops its work a quarter of that time before
//! anybody may take over. As pilot/pkg/leaderelection and its fork of client-go's elector.

mod candidate;
mod elector;
mod lock;
mod record;

use std::time::Duration;

pub use candidate::Candidate;
use elector::Elector;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::Api;
use tokio::task::JoinSet;

use crate::{Stop, stopped};

/// How long a lock outlives its holder's last sign of life.
pub const TTL: Duration = Duration::from_secs(30);

/// What a lock is for: its name, and how replicas of several revisions share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// The name of the lock, as upstream's replicas use it.
    pub name: &'static str,
    /// Who competes for it, and in what kind of object.
    pub shared: Shared,
}

/// Who competes for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shared {
    /// All revisions, in a ConfigMap; the default revision takes it from others.
    InConfigMap,
    /// All revisions, in a Lease; the default revision takes it from others.
    InLease,
    /// The replicas of one revision, in a Lease named `<name>-<revision>`.
    ByRevision,
}

impl Work {
    /// Writes the mesh's roots, as ConfigMap or ClusterTrustBundle, into a cluster.
    pub const NAMESPACES: Self = Self::new("istio-namespace-controller-election", Shared::InConfigMap);
    /// Exports services to other clusters.
    pub const SERVICE_EXPORTS: Self =
        Self::new("istio-serviceexport-controller-election", Shared::InConfigMap);
    /// Writes the status of Ingresses.
    pub const INGRESS: Self = Self::new("istio-leader", Shared::InConfigMap);
    /// Writes the status of Istio's kinds.
    pub const STATUS: Self = Self::new("istio-status-leader", Shared::InLease);
    /// Writes events about what a revision reads, which upstream has none of: another revision reads other objects.
    pub const EVENTS: Self = Self::new("meltemi-events-leader", Shared::ByRevision);
    /// Analyzes the configuration and writes what it found.
    pub const ANALYSIS: Self = Self::new("istio-analyze-leader", Shared::InConfigMap);
    /// Writes the status of the Gateway API's kinds.
    pub const GATEWAY_STATUS: Self = Self::new("istio-gateway-status-leader", Shared::ByRevision);
    /// Makes Deployments and Services of Gateways.
    pub const GATEWAY_DEPLOYMENT: Self = Self::new("istio-gateway-deployment", Shared::ByRevision);
    /// Makes Services of InferencePools.
    pub const INFERENCE_POOLS: Self = Self::new("istio-gateway-inferencepool", Shared::ByRevision);
    /// Takes the CNI's taint from nodes.
    pub const NODE_UNTAINT: Self = Self::new("istio-node-untaint", Shared::InConfigMap);
    /// Allocates addresses for ServiceEntries.
    pub const IP_AUTOALLOCATE: Self = Self::new("istio-ip-autoallocate", Shared::InConfigMap);

    const fn new(name: &'static str, shared: Shared) -> Self {
        Self { name, shared }
    }
}

/// Competes for the lock of `work` until `stop`, and runs `task` whenever it is held.
///
/// The task is a tokio task of its own. It is aborted, and its end awaited, when the lock is lost, stolen or to be given
/// back; it must not hold a thread for long without awaiting. A task that ends by itself keeps the lock; one that panics
/// gives it up, and this replica competes again. Dropped, this aborts the task and leaves the lock to expire.
///
/// Trouble with the cluster is logged and tried again; this ends with `stop` only.
pub async fn run<F, T>(client: Client, candidate: Candidate, work: Work, stop: Stop, task: F)
where
    F: FnMut() -> T + Send,
    T: Future<Output = ()> + Send + 'static,
{
    if !candidate.competes {
        return unopposed(stop, task).await;
    }
    let namespace = candidate.namespace.clone();
    match work.shared {
        Shared::InConfigMap => {
            let api: Api<ConfigMap> = Api::namespaced(client, &namespace);
            Elector::new(api, candidate, work).run(stop, task).await;
        }
        Shared::InLease | Shared::ByRevision => {
            let api: Api<Lease> = Api::namespaced(client, &namespace);
            Elector::new(api, candidate, work).run(stop, task).await;
        }
    }
}

/// The task of a control plane that has no other replicas, as ENABLE_LEADER_ELECTION=false says.
async fn unopposed<F, T>(mut stop: Stop, mut task: F)
where
    F: FnMut() -> T + Send,
    T: Future<Output = ()> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    tasks.spawn(task());
    stopped(&mut stop).await;
    tasks.shutdown().await;
}
