//! The intake: the one task that owns the mesh. Changes come in, are gathered while they come fast, and are committed.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mesh::{Mesh, World};
use process::metrics::Metrics;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use sources::names::Names;
use sources::{Change, Edit, What};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::ca::TrustDomain;
use crate::catalog::MeshCatalog;
use crate::events::Events;
use crate::objects::Objects;
use crate::reports::Reports;
use crate::traces::Committed;

mod debounce;
#[cfg(test)]
mod tests;

pub use debounce::Debounce;

/// What the intake counts, under upstream's names.
#[derive(Debug, Clone)]
pub struct Counters {
    services: Gauge,
    virtual_services: Gauge,
    rejected: Gauge,
    /// Of API servers, and of files and mesh configuration; their sum is shown.
    refused: [Gauge; 2],
    debounce_time: Histogram,
    commit_time: Histogram,
    inbound: Family<[(&'static str, &'static str); 1], Counter>,
    triggers: Family<[(&'static str, &'static str); 1], Counter>,
    registry_events: Family<[(&'static str, &'static str); 2], Counter>,
    config_events: Family<[(&'static str, &'static str); 2], Counter>,
}

impl Counters {
    /// Registers them.
    #[must_use]
    pub fn register(metrics: &Metrics) -> Self {
        let times = || Histogram::new([0.01, 0.1, 0.5, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0]);
        Self {
            services: metrics.register("pilot_services", "Services known.", Gauge::default()),
            virtual_services: metrics.register(
                "pilot_virt_services",
                "Virtual services known.",
                Gauge::default(),
            ),
            rejected: metrics.register(
                "pilot_total_rejected_configs",
                "Objects and documents that are refused now.",
                Gauge::default(),
            ),
            refused: <[Gauge; 2]>::default(),
            debounce_time: metrics.register(
                "pilot_debounce_time",
                "Seconds from a change to its commit.",
                times(),
            ),
            commit_time: metrics.register(
                "pilot_pushcontext_init_seconds",
                "Seconds to commit a batch of changes.",
                times(),
            ),
            inbound: metrics.register(
                "pilot_inbound_updates",
                "Changes received, by type.",
                Family::default(),
            ),
            triggers: metrics.register(
                "pilot_push_triggers",
                "Reasons for pushes, by type.",
                Family::default(),
            ),
            registry_events: metrics.register(
                "pilot_k8s_reg_events",
                "Objects of Kubernetes that came, changed or went.",
                Family::default(),
            ),
            config_events: metrics.register(
                "pilot_k8s_cfg_events",
                "Objects of configuration that came, changed or went.",
                Family::default(),
            ),
        }
    }

    /// As pilot/pkg/serviceregistry/kube/controller/controller.go and pilot/pkg/config/kube/crdclient: incrementEvent.
    fn count_event(&self, edit: &Edit) {
        let event = match edit.what {
            What::Added => "add",
            What::Changed => "update",
            What::Removed => "delete",
        };
        let kind = edit.object.kind;
        let (family, of) = match kind {
            config::Kind::Service => (&self.registry_events, "Services"),
            config::Kind::EndpointSlice => (&self.registry_events, "EndpointSlice"),
            config::Kind::Pod => (&self.registry_events, "Pods"),
            config::Kind::Node => (&self.registry_events, "Nodes"),
            _ if kind.is_configuration() => (&self.config_events, kind.name()),
            _ => return,
        };
        family.get_or_create(&[("type", of), ("event", event)]).inc();
    }

    fn refused(&self, change: &Change) {
        for (of, now) in self.refused.iter().zip([change.refused, change.refused_documents]) {
            if let Some(now) = now {
                of.set(i64::try_from(now).unwrap_or(i64::MAX));
            }
        }
        self.rejected.set(self.refused.iter().map(Gauge::get).fold(0, i64::saturating_add));
    }

    fn count(&self, change: &Change) {
        self.refused(change);
        let (mut endpoints, mut services, mut configs) = (0, 0, 0);
        for edit in &change.edits {
            self.count_event(edit);
            match edit.object.kind {
                config::Kind::EndpointSlice | config::Kind::Endpoints | config::Kind::Pod => endpoints += 1,
                config::Kind::Service => services += 1,
                _ => configs += 1,
            }
        }
        for (inbound, trigger, count) in
            [("eds", "endpoint", endpoints), ("svc", "service", services), ("config", "config", configs)]
        {
            if count > 0 {
                self.inbound.get_or_create(&[("type", inbound)]).inc_by(count);
                self.triggers.get_or_create(&[("type", trigger)]).inc();
            }
        }
        if change.batch.settings.is_some() {
            self.triggers.get_or_create(&[("type", "global")]).inc();
        }
    }
}

/// Whether a person or their tools did that: what a cluster does with pods all day is not worth a line each.
fn is_a_persons(edit: &Edit) -> bool {
    let object = &edit.object;
    object.kind.is_configuration() || object.kind == config::Kind::Service || object.origin.at.line != 0
}

/// The owner of the mesh.
pub struct Intake {
    mesh: Mesh,
    catalog: Arc<MeshCatalog>,
    events: Arc<Events>,
    objects: Arc<Objects>,
    trust_domain: TrustDomain,
    counters: Counters,
    reports: Option<Reports>,
    /// Told which hosts of gateways have to be resolved.
    hosts: Option<watch::Sender<Names>>,
}

impl Intake {
    /// Owns `mesh`, whose world must be the one `catalog` was made with. `trust_domain` shows what the mesh configuration
    /// says of it.
    #[must_use]
    pub fn new(
        mesh: Mesh,
        catalog: Arc<MeshCatalog>,
        events: Arc<Events>,
        objects: Arc<Objects>,
        trust_domain: TrustDomain,
        counters: Counters,
    ) -> Self {
        Self { mesh, catalog, events, objects, trust_domain, counters, reports: None, hosts: None }
    }

    /// With the writers of objects told what became of these.
    #[must_use]
    pub fn reporting(mut self, reports: Option<Reports>) -> Self {
        self.reports = reports;
        self
    }

    /// With `hosts` told of those that gateways between networks are known by, whenever they are others.
    #[must_use]
    pub fn naming(mut self, hosts: watch::Sender<Names>) -> Self {
        self.hosts = Some(hosts);
        self
    }

    fn name_hosts(&self, world: &World) {
        let Some(hosts) = &self.hosts else { return };
        let now: Names = world.networks.iter().flat_map(|(_, row)| row.hosts().cloned()).collect();
        hosts.send_if_modified(|known| {
            let differ = *known != now;
            *known = now;
            differ
        });
    }

    /// Tells people and counters of a change as it arrives.
    fn announce(&self, change: &Change) {
        for problem in &change.problems {
            match problem.severity {
                config::Severity::Error => tracing::error!(target: "model", "{problem}"),
                config::Severity::Warning => tracing::warn!(target: "model", "{problem}"),
                config::Severity::Info => tracing::debug!(target: "model", "{problem}"),
            }
            self.events.problem(problem);
        }
        for edit in &change.edits {
            if is_a_persons(edit) {
                tracing::info!(target: "model", "{} {}", edit.what.word(), edit.object);
                self.events.edited(edit);
            } else {
                tracing::debug!(target: "model", "{} {}", edit.what.word(), edit.object);
            }
        }
        self.counters.count(change);
    }

    /// Commits a change and lets everybody know.
    pub fn commit(&mut self, change: Change) {
        self.commit_after(Duration::ZERO, change);
    }

    /// Commits a change whose first part came this long ago.
    fn commit_after(&mut self, waited: Duration, mut change: Change) {
        let verdicts = std::mem::take(&mut change.verdicts);
        if !change.batch.is_empty() {
            self.commit_batch(waited, change);
        }
        if let Some(reports) = &self.reports {
            reports.take(&verdicts);
        }
    }

    fn commit_batch(&mut self, waited: Duration, change: Change) {
        let (begin, began) = (std::time::Instant::now(), SystemTime::now());
        self.objects.note(&change.batch);
        if let Some(settings) = &change.batch.settings {
            self.trust_domain.set(&settings.mesh.trust_domain);
        }
        let story = self.mesh.commit(change.batch);
        for panicked in &story.panics {
            tracing::error!(target: "model", "{} {}: {}", panicked.stage, panicked.key, panicked.message);
        }
        for conflict in &story.conflicts {
            tracing::warn!(target: "model", "{} {}: {} is kept, not {:?}", conflict.table, conflict.key, conflict.kept, conflict.refused);
        }
        let world = self.mesh.world();
        self.counters.services.set(i64::try_from(world.services.len()).unwrap_or(i64::MAX));
        self.counters.virtual_services.set(i64::try_from(world.virtual_services.len()).unwrap_or(i64::MAX));
        self.name_hosts(&world);
        let rows = story.len();
        let tracer = self.catalog.tracer().filter(|_| rows > 0);
        if let Some(tracer) = tracer {
            tracer.begin(story.revision.0);
        }
        let woken = self.catalog.publish(&story, world);
        if let Some(tracer) = tracer {
            let edits = change.edits.iter().map(|edit| format!("{} {}", edit.what.word(), edit.object));
            let received = began.checked_sub(waited).unwrap_or(began);
            tracer.committed(&Committed { received, began, edits: edits.collect(), story: &story, woken });
        }
        let took = begin.elapsed();
        self.counters.commit_time.observe(took.as_secs_f64());
        let text = format!(
            "revision {}: {rows} rows changed, {woken} classes of proxies to look at, {took:.1?}",
            story.revision
        );
        if rows == 0 {
            // an API server tells much that changes nothing: locks, heartbeats
            tracing::debug!(target: "ads", "{text}");
        } else {
            tracing::info!(target: "ads", "{text}");
        }
    }

    /// Takes changes in until no source is left. The first of a quiet moment is committed at once.
    pub async fn run(mut self, mut changes: mpsc::Receiver<Change>, mut debounce: Debounce) {
        let start = Instant::now();
        let mut pending: Option<Change> = None;
        loop {
            let due = debounce.due();
            let arrived = tokio::select! {
                biased;
                arrived = changes.recv() => Some(arrived),
                () = sleep_until(start + due.unwrap_or(Duration::MAX / 4)), if due.is_some() => None,
            };
            match arrived {
                Some(Some(change)) => {
                    self.announce(&change);
                    debounce.arrived(start.elapsed());
                    match &mut pending {
                        Some(earlier) => earlier.merge(change),
                        None => pending = Some(change),
                    }
                    if debounce.due().is_some_and(|due| due > start.elapsed()) {
                        continue;
                    }
                }
                Some(None) => break,
                None => {}
            }
            let waited = debounce.taken(start.elapsed());
            self.counters.debounce_time.observe(waited.as_secs_f64());
            self.commit_after(waited, pending.take().unwrap_or_default());
        }
        self.commit(pending.unwrap_or_default());
    }

    /// What was read before anybody is served: told and committed at once.
    pub fn begin(&mut self, change: Change) {
        for problem in &change.problems {
            self.events.problem(problem);
        }
        let quiet = Change { edits: Vec::new(), ..change };
        self.announce_start(&quiet);
        self.commit(quiet);
    }

    fn announce_start(&self, change: &Change) {
        for problem in change.problems.iter().filter(|p| p.severity != config::Severity::Info) {
            if problem.is_error() {
                tracing::error!(target: "model", "{problem}");
            } else {
                tracing::warn!(target: "model", "{problem}");
            }
        }
        self.counters.refused(change);
        let objects = change.batch.puts.len();
        tracing::info!(target: "model", "{objects} objects in {} files", change.files);
    }
}
