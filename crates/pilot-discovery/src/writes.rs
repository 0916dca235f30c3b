//! What this control plane writes into clusters: the mesh's roots where it has charge, exports of services everywhere,
//! addresses of ServiceEntries, taints of nodes, statuses of objects and events about them.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::Switches;
use config::mesh::{LabelSelector, MeshConfig};
use config::switches::Statuses;
use controllers::ca_bundle::{self, CaBundle};
use controllers::charge::Charge;
use controllers::cluster_trust_bundle::ClusterTrustBundle;
use controllers::ip_allocate::{self, IpAllocator};
use controllers::leader::{Candidate, Work, run};
use controllers::namespaces::Scope;
use controllers::notices::{self, Notices};
use controllers::service_exports::{self, ServiceExporter};
use controllers::status::{self, Board};
use controllers::untaint::{self, NodeUntainter};
use controllers::{Stop, default_revision};
use futures_util::future::BoxFuture;
use kube::Client;
use sources::kubernetes::{Directory, Other};
use sources::mesh_config::MeshConfiguration;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::ca::Ca;
use crate::options::Options;
use crate::reports::Reports;

/// What all of it needs.
#[derive(Clone)]
pub struct Writes {
    candidate: Candidate,
    switches: Switches,
    cni_namespace: String,
    cluster: Arc<str>,
    domain: String,
    mesh: Followed,
    roots: watch::Receiver<String>,
    /// What was revoked, where that is handed on.
    revoked: Option<watch::Receiver<String>>,
    stop: Stop,
}

/// What of the mesh configuration says where to write, as it changes.
#[derive(Clone)]
pub struct Followed {
    selectors: watch::Receiver<Vec<LabelSelector>>,
    effective: watch::Receiver<Arc<MeshConfig>>,
}

impl Followed {
    /// Of this mesh configuration.
    #[must_use]
    pub fn of(mesh: &MeshConfiguration) -> Self {
        Self { selectors: mesh.discovery_selectors(), effective: mesh.effective() }
    }
}

/// Begins to write, in our own cluster and in all others, until `stop`. Each kind of write is done by one replica of all.
///
/// # Errors
/// A switch that says nothing sensible.
pub fn begin(
    options: &Options,
    clusters: &Directory,
    authority: &Ca,
    mesh: Followed,
    reports: Reports,
    stop: Stop,
) -> Result<Vec<JoinHandle<()>>, ip_allocate::BadPrefix> {
    let Some(client) = clusters.client(clusters.own()) else { return Ok(Vec::new()) };
    let switches = options.switches.clone();
    let (revision, known) = watch::channel(String::new());
    let mut candidate = Candidate::new(&options.namespace, &options.instance(), &switches.revision, known);
    candidate.competes = switches.enable_leader_election;
    let writes = Writes {
        candidate,
        cni_namespace: options.cni_namespace.clone(),
        cluster: clusters.own().clone(),
        domain: options.domain.clone(),
        mesh,
        // without a certificate of our own there is nothing that workloads need to reach us
        roots: authority.tls().map_or_else(|| watch::channel(String::new()).1, |tls| tls.roots()),
        revoked: authority.revoked().filter(|_| switches.pilot_enable_ca_crl),
        stop,
        switches,
    };
    let mut tasks = vec![tokio::spawn(writes.clone().bundles(client.clone()))];
    if writes.switches.enable_mcs_auto_export {
        tasks.push(tokio::spawn(writes.clone().exports(client.clone())));
    }
    tasks.push(tokio::spawn(writes.clone().elsewhere(clusters.subscribe())));
    if writes.switches.pilot_enable_ip_autoallocate {
        let (v4, v6) = (
            &writes.switches.pilot_ip_autoallocate_ipv4_prefix,
            &writes.switches.pilot_ip_autoallocate_ipv6_prefix,
        );
        let addresses = ip_allocate::Options::new(v4, v6, writes.scope())?;
        tasks.push(tokio::spawn(writes.clone().addresses(client.clone(), addresses)));
    }
    if writes.switches.pilot_enable_node_untaint_controllers {
        tasks.push(tokio::spawn(writes.clone().taints(client.clone())));
    }
    if writes.switches.meltemi_status != Statuses::Off {
        tasks.push(tokio::spawn(writes.clone().statuses(client.clone(), reports.board)));
    }
    if writes.switches.meltemi_events {
        let instance = options.instance();
        let about_us = notices::run(client.clone(), reports.own, instance.clone());
        tasks.push(tokio::spawn(until(writes.stop.clone(), about_us)));
        tasks.push(tokio::spawn(writes.events(client.clone(), reports.notices, instance)));
    }
    tokio::spawn(default_revision::follow(client, revision));
    Ok(tasks)
}

/// Does this until the process stops.
async fn until(mut stop: Stop, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

impl Writes {
    fn scope(&self) -> Scope {
        let only = Some(self.switches.istio_watch_namespace.clone()).filter(|name| !name.is_empty());
        Scope { only, selectors: self.mesh.selectors.clone() }
    }

    /// The mesh's roots, in one cluster.
    async fn bundles(self, client: Client) {
        let write = self.bundle(&client, None);
        run(client, self.candidate, Work::NAMESPACES, self.stop, write).await;
    }

    /// The same in another cluster, if that is in our charge: else its own control plane writes there. It may have got one
    /// whenever it is our turn.
    async fn bundles_in_charge(self, client: Client) {
        let charge = Charge {
            client: client.clone(),
            namespace: self.candidate.namespace.clone(),
            own: self.cluster.to_string(),
            named: self.switches.external_istiod,
            roots: self.roots.clone(),
        };
        let mut stop = self.stop.clone();
        let is_ours = tokio::select! {
            is_ours = charge.is_ours() => is_ours,
            _ = stop.wait_for(|stop| *stop) => false,
        };
        if is_ours {
            let write = self.bundle(&client, Some(charge.clone()));
            let write = move || charge.clone().only_ours(write());
            run(client, self.candidate, Work::NAMESPACES, self.stop, write).await;
        }
    }

    /// How the roots are written.
    fn bundle(
        &self,
        client: &Client,
        charge: Option<Charge>,
    ) -> impl Fn() -> BoxFuture<'static, ()> + Send + Sync + use<> {
        let mut options = ca_bundle::Options { charge, ..ca_bundle::Options::new(self.scope()) };
        options.roots_name.clone_from(&self.switches.pilot_ca_cert_configmap);
        options.crl_name.clone_from(&self.switches.pilot_crl_configmap);
        let as_object = self.switches.enable_cluster_trust_bundle_api;
        let (client, roots, revoked) = (client.clone(), self.roots.clone(), self.revoked.clone());
        move || {
            let (client, options) = (client.clone(), options.clone());
            let (roots, revoked) = (roots.clone(), revoked.clone());
            Box::pin(async move {
                if as_object {
                    ClusterTrustBundle::new(client, roots).run().await;
                } else {
                    CaBundle::new(&client, options, roots, revoked).run().await;
                }
            })
        }
    }

    /// An export of every service of a cluster that is not local to it.
    async fn exports(self, client: Client) {
        let options = service_exports::Options {
            scope: self.scope(),
            domain: self.domain.clone(),
            mesh: self.mesh.effective.clone(),
            group: self.switches.mcs_api_group.clone(),
            version: self.switches.mcs_api_version.clone(),
        };
        let to = client.clone();
        let task = move || ServiceExporter::new(to.clone(), options.clone()).run();
        run(client, self.candidate, Work::SERVICE_EXPORTS, self.stop, task).await;
    }

    /// Exports in all other clusters, and roots in those in our charge, as they come and go and are reached in other ways.
    async fn elsewhere(mut self, mut others: watch::Receiver<BTreeMap<Arc<str>, Other>>) {
        self.candidate.remote = true;
        let mut stop = self.stop.clone();
        let mut running: BTreeMap<Arc<str>, (u64, JoinSet<()>)> = BTreeMap::new();
        loop {
            let wanted = others.borrow_and_update().clone();
            running.retain(|id, (number, _)| wanted.get(id).is_some_and(|other| other.number == *number));
            for (id, other) in wanted {
                let Some(client) = other.client.filter(|_| !running.contains_key(&id)) else { continue };
                let mut tasks = JoinSet::new();
                if self.switches.enable_mcs_auto_export {
                    tasks.spawn(self.clone().exports(client.clone()));
                }
                tasks.spawn(self.clone().bundles_in_charge(client));
                running.insert(id, (other.number, tasks));
            }
            tokio::select! {
                changed = others.changed() => if changed.is_err() { return },
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        for (_, mut tasks) in running.into_values() {
            while tasks.join_next().await.is_some() {}
        }
    }

    async fn addresses(self, client: Client, options: ip_allocate::Options) {
        let to = client.clone();
        let task = move || IpAllocator::new(to.clone(), options.clone()).run();
        run(client, self.candidate, Work::IP_AUTOALLOCATE, self.stop, task).await;
    }

    async fn taints(self, client: Client) {
        let mut options = untaint::Options::new(&self.cni_namespace);
        options.taint.clone_from(&self.switches.pilot_node_untaint_controllers_taint_name);
        let to = client.clone();
        let task = move || NodeUntainter::new(to.clone(), options.clone()).run();
        run(client, self.candidate, Work::NODE_UNTAINT, self.stop, task).await;
    }

    /// What became of objects, in their statuses: all replicas see the same, so one tells it.
    async fn statuses(self, client: Client, board: Board) {
        let workers = self.switches.pilot_status_max_workers as usize;
        let to = client.clone();
        let task = move || {
            let options = status::Options { workers, ..status::Options::default() };
            status::run(to.clone(), board.clone(), options)
        };
        run(client, self.candidate, Work::STATUS, self.stop, task).await;
    }

    /// The same in events.
    async fn events(self, client: Client, notices: Notices, instance: String) {
        let to = client.clone();
        let task = move || notices::run(to.clone(), notices.clone(), instance.clone());
        run(client, self.candidate, Work::EVENTS, self.stop, task).await;
    }
}
