//! One cluster, reached in one way: a watch per kind, and whether all of them are complete.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use config::Kind;
use kube::Client;
use kube::api::{ApiResource, ListParams};
use mesh::Batch;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::definitions::{self, Defined, Sought, Wanted};
use super::held::Held;
use super::raw::{Raw, resource};
use super::watch::{Told, Trouble, Watched, seconds};
use crate::change::Change;

/// The kinds of Kubernetes that the mesh is deduced from.
const REGISTRY: [Kind; 7] = [
    Kind::Namespace,
    Kind::Node,
    Kind::Service,
    Kind::EndpointSlice,
    Kind::Pod,
    Kind::Secret,
    Kind::ConfigMap,
];
/// How often is looked whether the API server went back to an older state.
const LOOK: Duration = Duration::from_secs(20);
/// A small question that is not answered by then never will be: a connection can be dead without anybody having said so.
const LIMIT: Duration = Duration::from_secs(10);

/// What of a cluster is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Services and workloads, and what configures the mesh.
    Config,
    /// Services and workloads; configuration comes from somewhere else.
    Registry,
    /// Those of another cluster, whose owner decides what may be read there.
    Remote,
}

impl Role {
    /// The custom kinds that are read. As pilot/pkg/serviceregistry/kube/controller/multicluster.go, of other clusters only
    /// their WorkloadEntries, and what they say of services of several clusters.
    fn custom_kinds(self, reading: &Reading) -> Sought {
        let of = |kind: &&Kind| match (self, *kind) {
            (_, Kind::ServiceExport) => reading.multicluster.is_some(),
            (_, Kind::ServiceImport) => reading.multicluster.as_ref().is_some_and(|api| api.imports),
            (Self::Config, kind) => kind.is_configuration(),
            (Self::Registry, _) => false,
            (Self::Remote, kind) => *kind == Kind::WorkloadEntry && reading.remote_workloads,
        };
        let served = |kind: &Kind| match reading.multicluster.as_ref().filter(|_| kind.is_multicluster()) {
            Some(api) => vec![ApiResource {
                api_version: format!("{}/{}", api.group, api.version),
                group: api.group.clone(),
                version: api.version.clone(),
                ..resource(*kind, &api.version)
            }],
            None => kind.versions().iter().map(|version| resource(*kind, version)).collect(),
        };
        Kind::ALL.iter().filter(of).map(|kind| (*kind, served(kind))).collect()
    }

    /// The kinds of Kubernetes that are read. Of another cluster no ConfigMaps, and its Secrets for its own gateways (as
    /// pilot/pkg/credentials/kube/multicluster.go).
    fn kinds(self, reading: &Reading) -> impl Iterator<Item = Kind> + use<> {
        let credentials = reading.remote_credentials;
        REGISTRY.into_iter().filter(move |kind| match kind {
            Kind::ConfigMap => self != Self::Remote,
            Kind::Secret => self != Self::Remote || credentials,
            _ => true,
        })
    }

    /// Whether the mesh is not to be served without this kind.
    fn needs(self, kind: Kind) -> bool {
        let optional = matches!(kind, Kind::Secret | Kind::WorkloadEntry);
        self != Self::Remote || !optional && !kind.is_multicluster()
    }
}

/// How a cluster is read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reading {
    /// Objects of other revisions are left out (`REVISION`).
    pub(crate) revision: String,
    /// Only this namespace, if not empty (`ISTIO_WATCH_NAMESPACE`).
    pub(crate) namespace: String,
    /// Which custom kinds.
    pub(crate) wanted: Wanted,
    /// How the Multi-Cluster Services API is served, if it is read.
    pub(crate) multicluster: Option<Multicluster>,
    /// Whether WorkloadEntries of other clusters are read (`PILOT_ENABLE_CROSS_CLUSTER_WORKLOAD_ENTRY`).
    pub(crate) remote_workloads: bool,
    /// Whether their Secrets are (`PILOT_ENABLE_REMOTE_CREDENTIALS_CONTROLLER`).
    pub(crate) remote_credentials: bool,
    /// After this long watches are begun anew.
    pub(crate) renewal: Duration,
}

/// How API servers serve the Multi-Cluster Services API, and what of it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Multicluster {
    /// `MCS_API_GROUP`.
    pub group: String,
    /// `MCS_API_VERSION`.
    pub version: String,
    /// Whether not only exports are read.
    pub imports: bool,
}

/// What is heard of one instance.
#[derive(Debug)]
pub(crate) struct News {
    /// Of which.
    pub(crate) instance: u64,
    pub(crate) what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    /// By the watch of a kind, the how many-th of this instance.
    Kind(Kind, u32, Box<Told>),
    /// Of custom kinds.
    Defined(Defined),
    /// The API server is in an older state than it was.
    WentBack,
    /// What the API server can do is known.
    Reached { streaming: bool },
}

/// A task that ends with its handle.
#[derive(Debug)]
pub(crate) struct Task(AbortHandle);

impl Task {
    pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(future).abort_handle())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The watch of one kind.
struct Watch {
    /// A kind that comes back gets another one: nothing of the watch before is mixed with it.
    number: u32,
    held: Arc<Mutex<Held>>,
    watched: Watched,
    /// Whether a trouble was told that has not passed.
    troubled: bool,
    /// `None` for a moment, between two tasks.
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// What an instance still waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Awaited {
    /// That the API server answers at all.
    Server,
    /// To know which custom kinds there are.
    Definitions,
    /// A complete list of a kind.
    Kind(Kind),
}

/// A cluster that is being read.
pub(crate) struct Instance {
    number: u64,
    cluster: Arc<str>,
    role: Role,
    client: Client,
    reading: Reading,
    tell: mpsc::Sender<News>,
    watches: BTreeMap<Kind, Watch>,
    /// How many watches there were.
    begun: u32,
    awaited: BTreeSet<Awaited>,
    /// Whether nothing was awaited any more at some time. What is awaited later (a kind that appears) holds nothing up.
    complete: bool,
    /// What is not handed on yet.
    gathered: Change,
    streaming: bool,
    tasks: Vec<Task>,
}

impl Instance {
    /// Begins to read. `number` is a new one each time.
    pub(crate) fn begin(
        number: u64,
        cluster: Arc<str>,
        role: Role,
        client: Client,
        reading: Reading,
        tell: mpsc::Sender<News>,
    ) -> Self {
        let mut instance = Self {
            number,
            cluster,
            role,
            client,
            reading,
            tell,
            watches: BTreeMap::new(),
            begun: 0,
            awaited: BTreeSet::from([Awaited::Server]),
            complete: false,
            gathered: Change::default(),
            streaming: false,
            tasks: Vec::new(),
        };
        let reach = reach(instance.client.clone(), instance.teller(|streaming| What::Reached { streaming }));
        instance.tasks.push(Task::spawn(reach));
        instance
    }

    /// Its number.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// How it is asked.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Whether every list was complete once.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// How many objects are refused.
    pub(crate) fn refused(&self) -> usize {
        self.watches.values().map(|watch| watch.held.lock().refused()).sum()
    }

    fn teller<T, W: Fn(T) -> What>(&self, what: W) -> Teller<impl Fn(T) -> News + use<T, W>> {
        let instance = self.number;
        Teller { tell: self.tell.clone(), wrap: move |told| News { instance, what: what(told) } }
    }

    /// Takes in what was heard of it. The change for the mesh, if there is one: the first of all only when everything is
    /// complete, so that nobody is told half of a cluster.
    pub(crate) fn hear(&mut self, what: What) -> Option<Change> {
        let was_complete = self.complete;
        match what {
            What::Reached { streaming } => self.reached(streaming),
            What::Defined(defined) => self.defined(defined),
            What::WentBack => self.start_again(),
            What::Kind(kind, number, told) => self.heard_of(kind, number, *told),
        }
        self.complete |= self.awaited.is_empty();
        (self.complete && (!was_complete || !self.gathered.is_empty()))
            .then(|| std::mem::take(&mut self.gathered))
    }

    fn heard_of(&mut self, kind: Kind, number: u32, told: Told) {
        if self.watches.get(&kind).is_none_or(|watch| watch.number != number) {
            return;
        }
        match told {
            Told::Change(change) => self.gathered.merge(change),
            Told::Complete(change) => {
                self.gathered.merge(change);
                self.awaited.remove(&Awaited::Kind(kind));
                tracing::debug!(target: "kube", "cluster {}: {} are listed; awaited: {:?}", self.cluster, kind.plural(), self.awaited);
                if let Some(watch) = self.watches.get_mut(&kind).filter(|watch| watch.troubled) {
                    watch.troubled = false;
                    tracing::info!(target: "kube", "cluster {}: {} can be read again", self.cluster, kind.plural());
                }
            }
            Told::Failed(trouble) => self.failed(kind, &trouble),
        }
    }

    fn failed(&mut self, kind: Kind, trouble: &Trouble) {
        if trouble.lasting && !self.role.needs(kind) {
            self.awaited.remove(&Awaited::Kind(kind));
        }
        let Some(watch) = self.watches.get_mut(&kind) else { return };
        let first = !std::mem::replace(&mut watch.troubled, true);
        let (cluster, plural, text) = (&self.cluster, kind.plural(), &trouble.text);
        if first && trouble.lasting {
            tracing::error!(target: "kube", "cluster {cluster}: {plural} cannot be read: {text}; trying again");
        } else if first {
            tracing::warn!(target: "kube", "cluster {cluster}: watching {plural}: {text}; trying again");
        } else {
            tracing::debug!(target: "kube", "cluster {cluster}: watching {plural}: {text}; trying again");
        }
    }

    /// The API server answers: now the watches begin, those of kinds that every API server has first.
    fn reached(&mut self, streaming: bool) {
        tracing::debug!(target: "kube", "cluster {}: the API server answers", self.cluster);
        self.streaming = streaming;
        self.awaited.remove(&Awaited::Server);
        for kind in self.role.kinds(&self.reading) {
            self.watch(kind, resource(kind, kind.versions().first().copied().unwrap_or_default()));
        }
        let custom = self.role.custom_kinds(&self.reading);
        if !custom.is_empty() {
            self.awaited.insert(Awaited::Definitions);
            let Teller { tell, wrap } = self.teller(What::Defined);
            let wanted = self.reading.wanted.clone();
            let follow = definitions::follow(self.client.clone(), custom, wanted, streaming, tell, wrap);
            self.tasks.push(Task::spawn(follow));
        }
        let sentinel = sentinel(
            self.client.clone(),
            self.watches.values().map(|watch| watch.held.clone()).collect(),
            self.teller(|()| What::WentBack),
        );
        self.tasks.push(Task::spawn(sentinel));
    }

    fn defined(&mut self, defined: Defined) {
        match defined {
            Defined::Kinds(served) => {
                tracing::debug!(target: "kube", "cluster {}: {} custom kinds are served", self.cluster, served.len());
                self.awaited.remove(&Awaited::Definitions);
                let gone: Vec<Kind> =
                    self.watches.keys().copied().filter(|kind| !REGISTRY.contains(kind)).collect();
                for kind in gone.into_iter().filter(|kind| !served.contains_key(kind)) {
                    self.unwatch(kind);
                }
                for (kind, resource) in served {
                    if !self.watches.contains_key(&kind) {
                        self.watch(kind, resource);
                    }
                }
            }
            Defined::Failed(trouble) => {
                let (cluster, text) = (&self.cluster, trouble.text);
                tracing::warn!(target: "kube", "cluster {cluster}: definitions of custom resources: {text}; trying again");
                if trouble.lasting && self.role == Role::Remote {
                    self.awaited.remove(&Awaited::Definitions);
                }
            }
        }
    }

    fn watch(&mut self, kind: Kind, resource: ApiResource) {
        // whatever the group is called where it is served
        let known = kind.versions().first().filter(|_| kind.is_multicluster());
        let version = known.map_or_else(|| resource.version.clone(), |version| (*version).to_owned());
        let watched = Watched {
            client: self.client.clone(),
            resource,
            namespace: Some(self.reading.namespace.clone()).filter(|ns| !ns.is_empty() && kind.namespaced()),
            fields: fields(kind).map(str::to_owned),
            labels: None,
            streaming: self.streaming,
            binary: true,
            renewed: seconds(self.reading.renewal),
        };
        let held = Held::new(kind, &version, &self.cluster, &self.reading.revision);
        let judges = self.role == Role::Config && kind.is_configuration();
        let held = Arc::new(Mutex::new(if judges { held.judging() } else { held }));
        self.begun += 1;
        let number = self.begun;
        let task = Some(tokio::spawn(self.follow(kind, number, &watched, &held)));
        self.watches.insert(kind, Watch { number, held, watched, troubled: false, task });
        self.awaited.insert(Awaited::Kind(kind));
    }

    fn follow(
        &self,
        kind: Kind,
        number: u32,
        watched: &Watched,
        held: &Arc<Mutex<Held>>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let Teller { tell, wrap } = self.teller(move |told| What::Kind(kind, number, Box::new(told)));
        watched.clone().follow(held.clone(), tell, wrap)
    }

    fn unwatch(&mut self, kind: Kind) {
        let Some(watch) = self.watches.remove(&kind) else { return };
        self.awaited.remove(&Awaited::Kind(kind));
        tracing::info!(target: "kube", "cluster {}: {} are not served any more", self.cluster, kind.plural());
        let gone = watch.held.lock().clear();
        self.gathered.merge(gone);
    }

    /// Lists everything anew; what differs from what is held is told, nothing else.
    fn start_again(&mut self) {
        tracing::warn!(target: "kube", "cluster {}: the API server went back to an older state; reading everything again", self.cluster);
        for kind in self.watches.keys().copied().collect::<Vec<_>>() {
            let Some(watch) = self.watches.get(&kind) else { continue };
            let follow = self.follow(kind, watch.number, &watch.watched, &watch.held);
            let Some(watch) = self.watches.get_mut(&kind) else { continue };
            let old = watch.task.take();
            watch.task = Some(tokio::spawn(async move {
                if let Some(old) = old {
                    old.abort();
                    let _ = old.await;
                }
                follow.await;
            }));
        }
    }

    /// Ends it and says all that the mesh was told of it as gone, but for what `next` has.
    pub(crate) fn withdraw(mut self, next: Option<&Self>) -> Batch {
        let mut batch = Batch::default();
        for (kind, watch) in std::mem::take(&mut self.watches) {
            let old = watch.held.lock();
            let removes = match next.and_then(|next| next.watches.get(&kind)) {
                Some(next) => next.held.lock().without(&old).removes,
                None => Held::new(kind, "", &self.cluster, "").without(&old).removes,
            };
            batch.removes.extend(removes);
        }
        batch
    }

    /// Ends all its tasks and waits for that: what it told until then has been sent.
    pub(crate) async fn halt(&mut self) {
        self.tasks.clear();
        for watch in self.watches.values_mut() {
            if let Some(task) = watch.task.take() {
                task.abort();
                let _ = task.await;
            }
        }
    }
}

/// Sends to the one who owns all instances.
struct Teller<W> {
    tell: mpsc::Sender<News>,
    wrap: W,
}

/// Restrictions that spare the API server and us what nobody looks at. As pilot/pkg/serviceregistry/kube/controller and
/// pilot/pkg/credentials/kube: SecretsFieldSelector.
fn fields(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Pod => Some("status.phase!=Failed"),
        Kind::Secret => Some("type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token"),
        _ => None,
    }
}

/// Asks the API server for its version until it answers. Lists can be streamed from 1.27 on; older ones take the request
/// for one of an ordinary watch.
async fn reach(client: Client, teller: Teller<impl Fn(bool) -> News>) {
    let mut delays = super::watch::DELAYS.delays();
    loop {
        match timeout(LIMIT, client.apiserver_version()).await {
            Ok(Ok(version)) => {
                let number = |text: &str| text.trim_end_matches('+').parse::<u32>().unwrap_or(0);
                let streaming = (number(&version.major), number(&version.minor)) >= (1, 27);
                let _ = teller.tell.send((teller.wrap)(streaming)).await;
                return;
            }
            Ok(Err(error)) => {
                tracing::warn!(target: "kube", "the API server does not answer: {error}; trying again");
            }
            Err(_) => {
                tracing::warn!(target: "kube", "the API server has not answered within {LIMIT:?}; trying again");
            }
        }
        sleep(delays.next().unwrap_or(LOOK) + Duration::from_millis(50)).await;
    }
}

/// Looks from time to time whether the API server is older than what was seen of it: its store was restored from a backup,
/// and a watch from a later point waits for ever for what has happened already.
async fn sentinel(client: Client, held: Vec<Arc<Mutex<Held>>>, teller: Teller<impl Fn(()) -> News>) {
    let namespaces = resource(Kind::Namespace, "v1");
    let api = kube::Api::<Raw>::all_with(client, &namespaces);
    loop {
        sleep(LOOK).await;
        // before it is asked: what comes meanwhile is newer than the answer
        let seen = held.iter().map(|held| held.lock().newest()).max().unwrap_or(0);
        let Ok(Ok(list)) = timeout(LIMIT, api.list(&ListParams::default().limit(1))).await else { continue };
        let now = list.metadata.resource_version.and_then(|version| version.parse::<u64>().ok());
        if now.is_some_and(|now| now < seen) && teller.tell.send((teller.wrap)(())).await.is_err() {
            return;
        }
    }
}
