//! The catalog: what the discovery service asks, answered by the generator over the present world.
//!
//! Proxies with equal properties are one class and share everything; classes that see the same share what depends on
//! that alone. An edition handed out twice is the same `Arc` both times, so the server compares it once for all.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use arc_swap::ArcSwap;
use controllers::registration::Connection;
use generate::plan::{EditionOf, OutboundOf};
use generate::{Class, Finding, Generator, Proxy, TypeName};
use mesh::World;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use proto::envoy::config::core::v3::Node;
use proto::google::protobuf::value;
use rustc_hash::{FxHashMap, FxHashSet};
use tables::{Revision, Snapshot as _, Story};
use tokio::sync::watch;
use xds::{
    Catalog, Edition, Intercept, Observation, Peer, Refusal, Request, Resources, Section, Sections, TypeUrl,
    Wish,
};

use crate::admission::{Admission, Verified};
use crate::events::{Event, Events, Kind};
use crate::registration::Registration;
use crate::secret_access::SecretAccess;
use crate::traces::{Sent, Tracer};

mod secret_errors;
#[cfg(test)]
pub(crate) mod tests;
mod trust_anchors;
mod withheld;

/// How often an edition is computed again because a commit came in between, before the proxy is told to ask again.
const TRIES: usize = 3;

/// A class that has connections.
struct Known {
    /// Changes when something of the class may differ.
    tick: watch::Sender<u64>,
    connections: usize,
    /// The editions it was given, by type.
    uses: FxHashMap<TypeName, EditionOf>,
    /// Types whose edition may differ from the one it was given last.
    due: FxHashSet<TypeName>,
}

/// An edition that proxies were given.
struct Given {
    digest: u64,
    edition: Arc<Edition>,
    findings: Vec<Arc<[Finding]>>,
}

#[derive(Default)]
struct Classes {
    known: FxHashMap<Class, Known>,
    /// Those whose answer was computed while a commit was under way.
    stale: FxHashSet<Class>,
    editions: FxHashMap<EditionOf, Given>,
    /// What editions share.
    sections: Sections<SectionKey>,
}

/// Names the server's form of a section: its digest, its type, and whether its resources are marked as those of a client
/// whose virtual hosts travel apart.
type SectionKey = (u64, TypeName, bool);

impl Classes {
    fn is_used(&self, key: &EditionOf) -> bool {
        self.known.values().any(|known| known.uses.get(&key.of) == Some(key))
    }

    /// The server's form of a section; one for all editions that have it.
    fn section(&mut self, key: &EditionOf, made: &generate::Section) -> Arc<Section> {
        let marked = key.of == TypeName::Route && key.proxy.capabilities.virtual_hosts;
        self.sections.get_or_make((made.digest(), key.of, marked), || {
            made.resources().iter().map(|r| resource(key, r)).collect()
        })
    }
}

struct Inner {
    generator: Generator,
    world: ArcSwap<World>,
    /// Odd while a commit is being published.
    publishing: AtomicU64,
    classes: Mutex<Classes>,
    /// When each of the last revisions was published, for the age of an ACK.
    published: Mutex<VecDeque<(Revision, Instant)>>,
    events: Arc<Events>,
    admission: Admission,
    virtual_hosts: bool,
    cluster_aliases: BTreeMap<String, Arc<str>>,
    questions: OnceLock<Weak<dyn Questions>>,
    registration: OnceLock<Registration>,
    /// Who says whose proxies are served Secrets; without a cluster, all proxies are.
    secrets: OnceLock<SecretAccess>,
    /// The roots that agents are told, where they are told any.
    anchors: OnceLock<ArcSwap<Edition>>,
    tracer: OnceLock<Tracer>,
    /// Secrets that were asked for in vain.
    secret_errors: OnceLock<Counter>,
}

/// Who answers what clients ask about the control plane itself, on the streams of the discovery service.
pub trait Questions: Send + Sync {
    /// The answer to a question of this type about these names, for who proved to be this; `None` for what is no
    /// question.
    fn answer(&self, who: &Verified, of: &TypeUrl, names: &[&str]) -> Option<Result<Resources, Refusal>>;
}

/// The catalog of a mesh.
pub struct MeshCatalog(Arc<Inner>);

/// An admitted proxy. Its class is forgotten when the last of its proxies is.
pub struct Member {
    inner: Arc<Inner>,
    /// The class.
    pub class: Class,
    /// The node id.
    pub id: Arc<str>,
    /// Who it proved to be.
    pub verified: Verified,
    /// Its registration, if it is a workload outside of Kubernetes; it ends with this.
    registered: Option<Connection>,
    /// What it may see of Secrets.
    secrets: withheld::Secrets,
    /// When it was admitted: what was published before is not a change to it.
    joined: Instant,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Member({})", self.id)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.inner.leave(&self.class);
    }
}

/// How the catalog behaves.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Virtual hosts as resources of their own, for Envoys that can (`MELTEMI_VHDS`).
    pub virtual_hosts: bool,
    /// Other names of clusters that proxies may say they are of, each with the id it stands for (`--clusterAliases`).
    pub cluster_aliases: BTreeMap<String, Arc<str>>,
}

impl Options {
    /// As the program was told.
    #[must_use]
    pub fn of(options: &crate::options::Options) -> Self {
        let aliases = options.cluster_aliases.iter();
        Self {
            virtual_hosts: options.virtual_hosts,
            cluster_aliases: aliases.map(|(alias, id)| (alias.clone(), id.as_str().into())).collect(),
        }
    }
}

impl MeshCatalog {
    /// Over `world`, the first of a mesh whose commits will all be told to [`MeshCatalog::publish`].
    #[must_use]
    pub fn new(world: Arc<World>, events: Arc<Events>, admission: Admission, options: Options) -> Self {
        Self(Arc::new(Inner {
            generator: Generator::new(false),
            world: ArcSwap::new(world),
            publishing: AtomicU64::new(0),
            classes: Mutex::default(),
            published: Mutex::default(),
            events,
            admission,
            virtual_hosts: options.virtual_hosts,
            cluster_aliases: options.cluster_aliases,
            questions: OnceLock::new(),
            registration: OnceLock::new(),
            secrets: OnceLock::new(),
            anchors: OnceLock::new(),
            tracer: OnceLock::new(),
            secret_errors: OnceLock::new(),
        }))
    }

    /// From now on pushes are parts of traces. The first one that is given stays.
    pub fn trace(&self, tracer: Tracer) {
        let _ = self.0.tracer.set(tracer);
    }

    /// Who traces, if anybody does.
    #[must_use]
    pub fn tracer(&self) -> Option<&Tracer> {
        self.0.tracer.get()
    }

    /// From now on this one answers questions, as long as it is there. The first one that is given stays.
    pub fn ask(&self, questions: &Arc<impl Questions + 'static>) {
        let questions: Arc<dyn Questions> = questions.clone();
        let _ = self.0.questions.set(Arc::downgrade(&questions));
    }

    /// From now on workloads outside of Kubernetes are registered when they connect. The first one that is given stays.
    pub fn register(&self, registration: Registration) {
        let _ = self.0.registration.set(registration);
    }

    /// The present world.
    #[must_use]
    pub fn world(&self) -> Arc<World> {
        self.0.world.load_full()
    }

    /// The generator, for statistics and debug pages.
    #[must_use]
    pub fn generator(&self) -> &Generator {
        &self.0.generator
    }

    /// Who may do what.
    #[must_use]
    pub fn admission(&self) -> &Admission {
        &self.0.admission
    }

    /// Makes a commit's world the present one and wakes the classes it may concern; how many those are. To be called
    /// with every commit, in order.
    pub fn publish(&self, story: &Story, world: Arc<World>) -> usize {
        self.0.publish(story, world)
    }

    /// What a class has of a type now.
    #[must_use]
    pub fn edition_of(&self, class: &Class, of: TypeName) -> Arc<Edition> {
        self.0.edition(class, of)
    }

    /// How many classes have connections, and how many editions are kept for them.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let classes = self.0.classes.lock();
        (classes.known.len(), classes.editions.len())
    }

    /// The resources that are kept for connected proxies: by type URL, by name and version, with their bytes.
    #[must_use]
    pub fn kept(&self) -> BTreeMap<&'static str, BTreeMap<(String, u64), usize>> {
        let editions: Vec<(TypeName, Arc<Edition>)> = {
            let classes = self.0.classes.lock();
            classes.editions.iter().map(|(key, given)| (key.of, given.edition.clone())).collect()
        };
        let mut kept: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (of, edition) in editions {
            let resources = edition.iter().map(|r| ((r.name.to_string(), r.version), r.body.len()));
            kept.entry(of.url()).or_default().extend(resources);
        }
        kept
    }

    /// What was found while something was built that connected proxies were given.
    #[must_use]
    pub fn findings(&self) -> Vec<(Class, Arc<[Finding]>)> {
        let classes = self.0.classes.lock();
        let mut out = Vec::new();
        for (class, known) in &classes.known {
            let used = [TypeName::Listener, TypeName::Route].map(|of| known.uses.get(&of));
            let given = used.into_iter().flatten().filter_map(|key| classes.editions.get(key));
            let findings = given.flat_map(|given| given.findings.iter().cloned());
            out.extend(findings.map(|findings| (class.clone(), findings)));
        }
        out
    }

    /// The class of a connected node.
    ///
    /// # Errors
    /// What is wrong with the node.
    pub fn class(&self, node: &Node, variant: xds::Variant) -> Result<Class, String> {
        self.class_of(node, variant).map(Arc::new)
    }

    /// The class of a node: what it says of itself, as far as this control plane makes use of it.
    fn class_of(&self, node: &Node, variant: xds::Variant) -> Result<Proxy, String> {
        let mut proxy = Proxy::from_node(node)?;
        let wanted = self.0.virtual_hosts && variant == xds::Variant::Delta && agent_keeps_hosts_back(node);
        proxy.capabilities.virtual_hosts &= wanted;
        // as pilot/pkg/xds/ads.go: initConnection
        if let Some(id) = self.0.cluster_aliases.get(&*proxy.cluster) {
            proxy.rename_cluster(id);
        }
        Ok(proxy)
    }
}

impl Inner {
    fn publish(&self, story: &Story, world: Arc<World>) -> usize {
        let revision = world.revision();
        self.publishing.fetch_add(1, Ordering::SeqCst);
        let flagged = self.generator.commit(story);
        self.world.store(world);
        self.publishing.fetch_add(1, Ordering::SeqCst);
        {
            let mut published = self.published.lock();
            published.push_back((revision, Instant::now()));
            if published.len() > 256 {
                published.pop_front();
            }
        }
        let editions: FxHashSet<&EditionOf> = flagged.of::<EditionOf>().collect();
        let forms: FxHashSet<&Class> = flagged.of::<OutboundOf>().map(|ask| &ask.0).collect();
        let mut classes = self.classes.lock();
        let stale = std::mem::take(&mut classes.stale);
        let mut woken = 0;
        for (class, known) in &mut classes.known {
            let all = forms.contains(class) || stale.contains(class);
            let due = known.uses.iter().filter(|(_, used)| all || editions.contains(used));
            let due: Vec<TypeName> = due.map(|(of, _)| *of).collect();
            let touched = all || !due.is_empty();
            known.due.extend(due);
            if touched {
                woken += 1;
                known.tick.send_modify(|tick| *tick += 1);
            }
        }
        woken
    }

    fn join(&self, class: Proxy) -> Class {
        let class = Arc::new(class);
        let mut classes = self.classes.lock();
        if let Some((known, _)) = classes.known.get_key_value(&class) {
            let known = known.clone();
            if let Some(entry) = classes.known.get_mut(&known) {
                entry.connections += 1;
            }
            return known;
        }
        let tick = watch::Sender::new(0);
        let entry = Known { tick, connections: 1, uses: FxHashMap::default(), due: FxHashSet::default() };
        classes.known.insert(class.clone(), entry);
        class
    }

    fn leave(&self, class: &Class) {
        let mut classes = self.classes.lock();
        let Some(known) = classes.known.get_mut(class) else { return };
        known.connections -= 1;
        if known.connections > 0 {
            return;
        }
        let Some(gone) = classes.known.remove(class) else { return };
        classes.stale.remove(class);
        // nothing that nobody uses any more is kept; what another class uses as well stays
        let unused: Vec<EditionOf> = gone.uses.into_values().filter(|key| !classes.is_used(key)).collect();
        for key in &unused {
            classes.editions.remove(key);
        }
        drop(classes);
        for key in &unused {
            self.generator.memos().forget(key);
        }
        self.generator.forget(class);
        self.generator.memos().forget(&OutboundOf(class.clone()));
    }

    /// The edition that a class was given last, if nothing was published since that may have changed it.
    fn undisputed(&self, class: &Class, of: TypeName) -> Option<Arc<Edition>> {
        let classes = self.classes.lock();
        if classes.stale.contains(class) {
            return None;
        }
        let known = classes.known.get(class).filter(|known| !known.due.contains(&of))?;
        classes.editions.get(known.uses.get(&of)?).map(|given| given.edition.clone())
    }

    fn edition(&self, class: &Class, of: TypeName) -> Arc<Edition> {
        if let Some(edition) = self.undisputed(class, of) {
            return edition;
        }
        for _ in 0..TRIES {
            let before = self.publishing.load(Ordering::SeqCst);
            let world = self.world.load_full();
            // a builder that panics must not take the connection, and with it every other type, away
            let built = catch_unwind(AssertUnwindSafe(|| {
                let key = self.generator.key(&world, class, of);
                let answer = self.generator.edition(&world, &key);
                (key, answer)
            }));
            let Ok((key, (built, digest, fresh))) = built else {
                tracing::error!(target: "ads", "{} of {} could not be built; what it has stays", of.url(), class.name);
                return self.kept(class, of);
            };
            let settled =
                || fresh && before.is_multiple_of(2) && self.publishing.load(Ordering::SeqCst) == before;
            let edition = self.keep(class, &key, digest, &built, world.revision(), settled);
            if settled() {
                return edition;
            }
            // a commit came in between: its publication wakes this class, unless it is over already
            self.classes.lock().stale.insert(class.clone());
            if !self.publishing.load(Ordering::SeqCst).is_multiple_of(2) {
                return edition;
            }
        }
        if let Some(known) = self.classes.lock().known.get(class) {
            known.tick.send_modify(|tick| *tick += 1);
        }
        self.kept(class, of)
    }

    /// The edition that a class was given last.
    fn kept(&self, class: &Class, of: TypeName) -> Arc<Edition> {
        let classes = self.classes.lock();
        let used = classes.known.get(class).and_then(|known| known.uses.get(&of));
        let kept = used.and_then(|key| classes.editions.get(key));
        kept.map_or_else(Edition::empty, |given| given.edition.clone())
    }

    /// The edition of a key as the server knows it: the one it has, if the digest is the same.
    fn keep(
        &self,
        class: &Class,
        key: &EditionOf,
        digest: u64,
        built: &generate::Edition,
        revision: Revision,
        settled: impl Fn() -> bool,
    ) -> Arc<Edition> {
        let mut classes = self.classes.lock();
        let kept = classes.editions.get(key).filter(|given| given.digest == digest);
        let kept = kept.map(|given| given.edition.clone());
        let edition = kept.unwrap_or_else(|| {
            let sections = built.sections.iter().map(|made| classes.section(key, made)).collect();
            Edition::of(revision.0, sections)
        });
        // a class without connections is a debug page's: nothing is remembered of it
        let Some(known) = classes.known.get_mut(class) else { return edition };
        // a publication that begins after this looks at what is used here
        if settled() {
            known.due.remove(&key.of);
        }
        let before = known.uses.insert(key.of, key.clone());
        let given = Given { digest, edition: edition.clone(), findings: built.findings.clone() };
        classes.editions.insert(key.clone(), given);
        if let Some(before) = before.filter(|before| before != key)
            && !classes.is_used(&before)
        {
            classes.editions.remove(&before);
            self.generator.memos().forget(&before);
        }
        edition
    }

    /// Milliseconds since a revision was published, if that was after `joined`.
    fn age(&self, revision: u64, joined: Instant) -> Option<f64> {
        let published = self.published.lock();
        let (_, at) = published.iter().rev().find(|(of, _)| of.0 == revision)?;
        (*at > joined).then(|| at.elapsed().as_secs_f64() * 1000.0)
    }
}

impl MeshCatalog {
    /// Answers a request that is a question about the control plane, and lets all others pass.
    fn question(&self, client: &Member, request: &Request) -> Intercept {
        if !matches!(request.type_url, TypeUrl::Other(_)) {
            return Intercept::Pass;
        }
        let Some(questions) = self.0.questions.get().and_then(Weak::upgrade) else { return Intercept::Pass };
        let names = match &request.wish {
            Wish::Delta { subscribe, .. } => subscribe,
            Wish::Sotw { names } => names,
        };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        match questions.answer(&client.verified, &request.type_url, &names) {
            None => Intercept::Pass,
            Some(Ok(resources)) => Intercept::Answer(resources),
            Some(Err(refusal)) => Intercept::Refuse(refusal),
        }
    }
}

/// Whether the proxy's agent asks only those control planes for virtual hosts that have them. Upstream's agents pass
/// everything on, and a proxy that had virtual hosts from here could not go back to an upstream control plane.
fn agent_keeps_hosts_back(node: &Node) -> bool {
    let said = node.metadata.as_ref().and_then(|m| m.fields.get("VIRTUAL_HOST_DISCOVERY"));
    matches!(said.and_then(|v| v.kind.as_ref()), Some(value::Kind::StringValue(text)) if text == "true")
}

fn resource(key: &EditionOf, made: &generate::Resource) -> xds::Resource {
    xds::Resource {
        name: made.name.clone(),
        version: made.version,
        body: made.body.clone(),
        vhds: key.of == TypeName::Route && generate::routes::travels_apart(&key.proxy, &made.name),
    }
}

/// The generator's name of a type that is served.
#[must_use]
pub fn type_name(type_url: &TypeUrl) -> Option<TypeName> {
    TypeName::from_url(type_url.as_str())
}

impl Catalog for MeshCatalog {
    type Client = Arc<Member>;

    async fn admit(&self, node: &Node, peer: &Peer) -> Result<Arc<Member>, Refusal> {
        // first what costs nobody anything
        let proxy = self
            .class_of(node, peer.variant)
            .map_err(|why| Refusal::new(tonic::Code::InvalidArgument, why))?;
        let verified = self.0.admission.of_peer(peer).await?;
        let identity = self.0.admission.check_identity(&verified, &proxy)?;
        let registered = match self.0.registration.get() {
            Some(registration) => registration.connect(node, &proxy, identity).await?,
            None => None,
        };
        let class = self.0.join(proxy);
        Ok(Arc::new(Member {
            inner: self.0.clone(),
            class,
            id: node.id.as_str().into(),
            verified,
            registered,
            secrets: withheld::Secrets::default(),
            joined: Instant::now(),
        }))
    }

    fn edition(&self, client: &Arc<Member>, type_url: &TypeUrl) -> Option<Arc<Edition>> {
        if *type_url == TypeUrl::ProxyConfig {
            return self.0.anchors.get().map(ArcSwap::load_full);
        }
        let of = type_name(type_url)?;
        if of == TypeName::VirtualHost && !client.class.capabilities.virtual_hosts {
            return None;
        }
        let edition = self.0.edition(&client.class, of);
        Some(if of == TypeName::Secret { self.0.permitted(client, edition) } else { edition })
    }

    fn intercept(&self, client: &Arc<Member>, request: &Request) -> Intercept {
        if request.type_url == TypeUrl::Secret {
            self.look_for_secrets(client, request);
        }
        if request.type_url != TypeUrl::HealthInformation {
            return self.question(client, request);
        }
        // a report, not a subscription
        let healthy = request.error.is_none();
        tracing::debug!(target: "ads", "{} reports that its workload is healthy: {healthy}", client.id);
        if let (Some(registration), Some(connection)) = (self.0.registration.get(), &client.registered) {
            registration.report(connection, request.error.as_ref());
        }
        Intercept::Drop
    }

    fn watch(&self, client: &Arc<Member>) -> watch::Receiver<u64> {
        let classes = self.0.classes.lock();
        match classes.known.get(&client.class) {
            Some(known) => known.tick.subscribe(),
            None => watch::Sender::new(0).subscribe(),
        }
    }

    fn observe(&self, client: &Arc<Member>, event: Observation<'_>) {
        let id = &client.id;
        // what was published before it joined is no change to it, and part of no trace
        let age = |revision| self.0.age(revision, client.joined);
        let tracer = |age: Option<f64>| self.0.tracer.get().filter(|_| age.is_some());
        let told = match event {
            Observation::Sent { type_url, resources, removed, bytes, revision, nonce } => {
                let short = type_url.short();
                let (resources, removed) = (resources.len(), removed.len());
                let what = format!("{resources} resources, {removed} removed");
                // endpoints come and go all the time
                if *type_url == TypeUrl::Endpoint {
                    tracing::debug!(target: "ads", "{short}: PUSH for node:{id} {what}, {bytes} bytes");
                } else {
                    tracing::info!(target: "ads", "{short}: PUSH for node:{id} {what}, {bytes} bytes");
                }
                let age = age(revision);
                if let Some(tracer) = tracer(age) {
                    tracer.sent(revision, &Sent { proxy: id, of: short, nonce, bytes, resources, removed });
                }
                Event::of_proxy(Kind::Push, id, type_url.as_str(), what, age)
            }
            Observation::Ack { type_url, revision, nonce } => {
                let age = age(revision);
                if let Some(tracer) = tracer(age) {
                    tracer.answered(revision, id, type_url.short(), nonce, None);
                }
                Event::of_proxy(Kind::Ack, id, type_url.as_str(), String::new(), age)
            }
            Observation::Nack { type_url, names, message, revision, nonce } => {
                tracing::warn!(target: "ads", "{}: {id} refused {names:?}: {message}", type_url.short());
                let age = age(revision);
                if let Some(tracer) = tracer(age) {
                    tracer.answered(revision, id, type_url.short(), nonce, Some(message));
                }
                Event::of_proxy(Kind::Nack, id, type_url.as_str(), message.to_owned(), age)
            }
            _ => return,
        };
        self.0.events.tell(told);
    }
}
