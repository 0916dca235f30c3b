//! All clusters that are read: our own, and those that Secrets in it or files name.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use mesh::Batch;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::counters::Counters;
use super::definitions::Wanted;
use super::directory::{Directory, Other, State, Status};
use super::instance::{Instance, Multicluster, News, Reading, Role, Task, What};
use super::kubeconfigs::Kubeconfigs;
use super::pace::Pace;
use super::remote::{self, Remote, Remotes};
use super::watch::Told;
use crate::change::Change;
use crate::verdict::{Ruling, Verdict};

/// What waits to be taken in; a watch that has more waits itself.
const QUEUE: usize = 64;

/// What is read.
#[derive(Debug, Clone)]
pub struct Options {
    /// The id of our own cluster.
    pub cluster: Arc<str>,
    /// Whether our own cluster configures the mesh; else only its services and workloads are read.
    pub configures: bool,
    /// `REVISION`: objects of other revisions are left out; empty for none.
    pub revision: String,
    /// `ISTIO_WATCH_NAMESPACE`: only this namespace is read; empty for all.
    pub namespace: String,
    /// Which custom kinds.
    pub wanted: Wanted,
    /// How the Multi-Cluster Services API is served; `None` if it is not read.
    pub multicluster: Option<Multicluster>,
    /// `PILOT_ENABLE_CROSS_CLUSTER_WORKLOAD_ENTRY`: whether WorkloadEntries of other clusters are read.
    pub remote_workloads: bool,
    /// `PILOT_ENABLE_REMOTE_CREDENTIALS_CONTROLLER`: whether Secrets of other clusters are read.
    pub remote_credentials: bool,
    /// After this long a watch is begun anew; a connection that is silent for longer is dead. [`RENEWAL`], but in tests.
    ///
    /// [`RENEWAL`]: super::RENEWAL
    pub renewal: Duration,
    /// Where Secrets name other clusters (`--clusterRegistriesNamespace`).
    pub registries_namespace: String,
    /// `PILOT_MULTICLUSTER_KUBECONFIG_PATH`: where kubeconfigs name them instead.
    pub kubeconfigs: Option<PathBuf>,
    /// After this long another cluster that says nothing is not waited for (`PILOT_REMOTE_CLUSTER_TIMEOUT`).
    pub remote_timeout: Duration,
    /// `PILOT_INSECURE_MULTICLUSTER_KUBECONFIG_OPTIONS`: what kubeconfigs of Secrets may have.
    pub insecure: String,
    /// How fast clients of other clusters ask.
    pub pace: Pace,
}

/// Another cluster.
struct Member {
    remote: Remote,
    /// That whose objects the mesh has.
    current: Option<Instance>,
    /// That with other credentials, until it is complete.
    next: Option<Instance>,
    /// When it is not waited for any longer.
    deadline: Instant,
    timed_out: bool,
}

impl Member {
    fn is_complete(&self) -> bool {
        self.current.as_ref().is_some_and(Instance::is_complete)
    }

    /// Whether the start is held up by it.
    fn is_awaited(&self) -> bool {
        !self.timed_out && !self.is_complete() && (self.current.is_some() || self.next.is_some())
    }
}

/// The one task that owns all instances.
struct Owner {
    options: Options,
    own: Instance,
    /// Who has the Secrets that name other clusters, if they are not in our own.
    registries: Option<Client>,
    members: BTreeMap<Arc<str>, Member>,
    /// Whether it is known which clusters Secrets name.
    members_known: bool,
    number: u64,
    tell: mpsc::Sender<News>,
    news: mpsc::Receiver<News>,
    /// News that came while those of one instance were sought.
    put_off: VecDeque<News>,
    /// Until everything is complete: what is to be told then.
    first: Option<Change>,
    changes: mpsc::Sender<Change>,
    directory: Directory,
    counters: Counters,
}

/// Begins to read our own cluster by `client`, and all others that it names. The first of the `changes` comes when every
/// list is complete (of a cluster that takes too long, later): it is the whole state. It ends when nobody receives changes.
/// Other clusters are named by Secrets that `registries` answers for; `None` for those of our own.
#[must_use]
pub fn begin(
    client: Client,
    registries: Option<Client>,
    options: Options,
    counters: Counters,
    changes: mpsc::Sender<Change>,
) -> Directory {
    let directory = Directory::new(options.cluster.clone(), client.clone());
    let (tell, news) = mpsc::channel(QUEUE);
    let role = if options.configures { Role::Config } else { Role::Registry };
    let own = Instance::begin(0, options.cluster.clone(), role, client, options.reading(), tell.clone());
    let owner = Owner {
        options,
        own,
        registries,
        members: BTreeMap::new(),
        members_known: false,
        number: 0,
        tell,
        news,
        put_off: VecDeque::new(),
        first: Some(Change::default()),
        changes,
        directory: directory.clone(),
        counters,
    };
    tokio::spawn(owner.run());
    directory
}

impl Options {
    fn reading(&self) -> Reading {
        Reading {
            revision: self.revision.clone(),
            namespace: self.namespace.clone(),
            wanted: self.wanted.clone(),
            multicluster: self.multicluster.clone(),
            remote_workloads: self.remote_workloads,
            remote_credentials: self.remote_credentials,
            renewal: self.renewal,
        }
    }
}

impl Owner {
    async fn run(mut self) {
        let (tell, mut named) = mpsc::channel(1);
        let elsewhere = self.registries.is_some();
        let client = self.registries.take().unwrap_or_else(|| self.own.client().clone());
        let namespace = self.options.registries_namespace.clone();
        let own = self.options.cluster.clone();
        let _named_by = match self.options.kubeconfigs.clone() {
            Some(path) => Task::spawn(Kubeconfigs::new(path, own).follow(tell, |remotes| remotes)),
            None => Task::spawn(remote::follow(client, elsewhere, namespace, own, tell, |remotes| remotes)),
        };
        loop {
            let deadline = self.members.values().filter(|m| m.is_awaited()).map(|m| m.deadline).min();
            let news = match self.put_off.pop_front() {
                Some(news) => Some(news),
                None => tokio::select! {
                    Some(news) = self.news.recv() => Some(news),
                    Some(remotes) = named.recv() => {
                        self.name(remotes).await;
                        None
                    }
                    () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                        self.give_up_waiting().await;
                        None
                    }
                    () = self.changes.closed() => return,
                },
            };
            if let Some(news) = news {
                self.hear(news).await;
            }
            self.finish_start().await;
        }
    }

    /// Hands on what was told of an instance that is there.
    async fn hear(&mut self, News { instance: number, what }: News) {
        let is_trouble = matches!(&what, What::Kind(_, _, told) if matches!(**told, Told::Failed(_)));
        if self.own.number() == number {
            if is_trouble {
                self.counters.failed(&self.options.cluster);
            }
            if let Some(change) = self.own.hear(what) {
                self.hand_on(change).await;
            }
            return;
        }
        let of = |instance: &Option<Instance>| instance.as_ref().is_some_and(|i| i.number() == number);
        let found = self.members.iter_mut().find(|(_, m)| of(&m.current) || of(&m.next));
        let Some((cluster, member)) = found else { return };
        if is_trouble {
            self.counters.failed(cluster);
        }
        let is_next = of(&member.next);
        let instance = if is_next { &mut member.next } else { &mut member.current };
        let Some(change) = instance.as_mut().and_then(|instance| instance.hear(what)) else { return };
        if is_next {
            let cluster = cluster.clone();
            self.swap(&cluster, change).await;
        } else {
            self.hand_on(change).await;
        }
    }

    /// The instance with other credentials is complete: it takes the place of the one before. What both have stays as it is.
    async fn swap(&mut self, cluster: &Arc<str>, mut change: Change) {
        let Some(member) = self.members.get_mut(cluster) else { return };
        let old = member.current.take();
        let next = member.next.take();
        if let Some(old) = old {
            // nobody edited anything: the same objects are told by somebody else
            change.edits.clear();
            let removes = self.end(old, next.as_ref()).await;
            change.merge(Change { batch: removes, ..Change::default() });
        }
        if let Some(member) = self.members.get_mut(cluster) {
            member.current = next;
            change.verdicts.extend(member.remote.verdict(cluster, None));
        }
        tracing::info!(target: "kube", "cluster {cluster}: complete");
        // before anybody is told: who hears of it may look
        self.show();
        self.hand_on(change).await;
    }

    /// Ends an instance, with all it told until then handed on. What is to be removed, but for what `next` has.
    async fn end(&mut self, mut old: Instance, next: Option<&Instance>) -> Batch {
        old.halt().await;
        let mut late = Vec::new();
        while let Ok(news) = self.news.try_recv() {
            self.put_off.push_back(news);
        }
        let number = old.number();
        for news in std::mem::take(&mut self.put_off) {
            if news.instance == number {
                late.extend(old.hear(news.what));
            } else {
                self.put_off.push_back(news);
            }
        }
        for change in late {
            self.hand_on(change).await;
        }
        if old.is_complete() { old.withdraw(next) } else { Batch::default() }
    }

    /// Secrets name these clusters now.
    async fn name(&mut self, remotes: Remotes) {
        self.members_known = true;
        let gone: Vec<Arc<str>> =
            self.members.keys().filter(|id| !remotes.contains_key(*id)).cloned().collect();
        for cluster in gone {
            self.leave(&cluster).await;
        }
        for (cluster, remote) in remotes {
            let known = self.members.get(&cluster);
            if known.is_none_or(|member| member.remote != remote) {
                self.counters.secret(if known.is_some() { "update" } else { "add" });
                self.join(cluster, remote).await;
            }
        }
        self.show();
    }

    /// Begins to read another cluster, or to read it with other credentials.
    async fn join(&mut self, cluster: Arc<str>, remote: Remote) {
        let client = match remote::client(&remote.kubeconfig, &self.options.insecure, self.options.pace).await
        {
            Ok(client) => client,
            Err(error) => {
                tracing::error!(target: "kube", "{remote}: cluster {cluster} cannot be read: {error}");
                let kept = self.members.get(&cluster).is_some_and(|member| member.current.is_some());
                let verdicts: Vec<_> =
                    remote.verdict(&cluster, Some((error.to_string(), kept))).into_iter().collect();
                // the one before goes on; the Secret is looked at again when it says something else
                if let Some(member) = self.members.get_mut(&cluster) {
                    member.remote = remote;
                }
                self.hand_on(Change { verdicts, ..Change::default() }).await;
                return;
            }
        };
        self.number += 1;
        tracing::info!(target: "kube", "cluster {cluster} of {remote}: reading");
        let (tell, reading) = (self.tell.clone(), self.options.reading());
        let instance = Instance::begin(self.number, cluster.clone(), Role::Remote, client, reading, tell);
        let deadline = Instant::now() + self.options.remote_timeout;
        let current = self.members.remove(&cluster).and_then(|member| member.current);
        let member = Member { remote, current, next: Some(instance), deadline, timed_out: false };
        self.members.insert(cluster, member);
    }

    /// A cluster is not named any more: everything of it goes.
    async fn leave(&mut self, cluster: &Arc<str>) {
        let Some(member) = self.members.remove(cluster) else { return };
        self.counters.secret("delete");
        tracing::info!(target: "kube", "cluster {cluster} of {}: left", member.remote);
        self.show();
        let gone = member.remote.verdict(cluster, None);
        let gone = gone.map(|verdict| Verdict { ruling: Ruling::Gone, ..verdict });
        self.hand_on(Change { verdicts: gone.into_iter().collect(), ..Change::default() }).await;
        if let Some(current) = member.current {
            let batch = self.end(current, None).await;
            self.hand_on(Change { batch, ..Change::default() }).await;
        }
        self.counters.forget(cluster);
    }

    async fn give_up_waiting(&mut self) {
        let now = Instant::now();
        let mut verdicts = Vec::new();
        for (cluster, member) in self.members.iter_mut().filter(|(_, m)| m.is_awaited() && m.deadline <= now)
        {
            member.timed_out = true;
            self.counters.timeout();
            tracing::warn!(target: "kube", "cluster {cluster} of {}: not complete after {:?}; it is added when it is", member.remote, self.options.remote_timeout);
            let text = format!("not read within {:?}; it is added when it is", self.options.remote_timeout);
            verdicts.extend(member.remote.verdict(cluster, Some((text, member.current.is_some()))));
        }
        self.show();
        self.hand_on(Change { verdicts, ..Change::default() }).await;
    }

    /// Hands a change on, or keeps it until the start is complete.
    async fn hand_on(&mut self, mut change: Change) {
        let refused =
            self.members.values().filter_map(|member| member.current.as_ref()).map(Instance::refused);
        change.refused = Some(refused.sum::<usize>() + self.own.refused());
        match &mut self.first {
            Some(first) => first.merge(change),
            None => drop(self.changes.send(change).await),
        }
    }

    /// Once nothing is awaited any more, what was gathered is told as one.
    async fn finish_start(&mut self) {
        let complete =
            self.own.is_complete() && self.members_known && !self.members.values().any(Member::is_awaited);
        if complete && let Some(mut first) = self.first.take() {
            first.edits.clear();
            let _ = self.changes.send(first).await;
        }
    }

    /// Shows others what clusters there are.
    fn show(&self) {
        let state = |member: &Member| match (member.is_complete(), member.timed_out) {
            (true, _) => State::Synced,
            (false, true) => State::Timeout,
            (false, false) => State::Syncing,
        };
        let of = |(id, member): (&Arc<str>, &Member)| {
            let instance = member.current.as_ref().or(member.next.as_ref());
            Other {
                status: Status { id: id.clone(), secret: member.remote.secret.clone(), state: state(member) },
                number: instance.map_or(0, Instance::number),
                client: instance.map(|instance| instance.client().clone()),
            }
        };
        for (id, member) in &self.members {
            self.counters.state(id, state(member));
        }
        self.counters.members(self.members.len());
        self.directory.set(self.members.iter().map(of));
    }
}
