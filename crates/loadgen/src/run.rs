//! The run: a server on a folder, sidecars, then one event after the other, each until it has played out.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use loadgen::istiod::{Event, Size};
use loadgen::sample::Sample;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::mesh::{Mesh, replace};
use crate::seen::{Amount, Seen, TYPES};
use crate::server::Server;
use crate::sidecar::Sidecar;

/// What is measured, and how often.
pub(crate) struct Plan {
    pub(crate) size: Size,
    pub(crate) mesh: Mesh,
    pub(crate) sidecars: usize,
    /// Empty for everything.
    pub(crate) only: Vec<Event>,
    pub(crate) repeat: Option<usize>,
    pub(crate) program: PathBuf,
    pub(crate) keep: Option<PathBuf>,
}

/// In the order they happen; what was added is deleted.
const EVENTS: [Event; 10] = [
    Event::Idle,
    Event::Eds,
    Event::Ap,
    Event::VsTouch,
    Event::Vs,
    Event::Dr,
    Event::Add,
    Event::Delete,
    Event::Mesh,
    Event::Churn,
];

/// What an event, repeated, came to.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) event: Event,
    /// CPU of the server, in ms per event (idle: thousandths of a core).
    pub(crate) cpu: Sample,
    /// MB of gRPC payload per event.
    pub(crate) megabytes: Sample,
    pub(crate) touched: Sample,
    /// Milliseconds from before the edit (churn: after the last edit) to the last acknowledgement, over sidecars and events.
    pub(crate) acks: Sample,
    /// The slowest sidecar of each event.
    pub(crate) last_acks: Sample,
    /// Of the last event, by type.
    pub(crate) amounts: [Amount; TYPES.len()],
    /// MB, after it and at most.
    pub(crate) memory: (f64, f64),
}

/// All sidecars connecting at once.
pub(crate) struct Storm {
    /// Seconds until each was complete.
    pub(crate) complete: Sample,
    pub(crate) cpu: Duration,
    pub(crate) broken: u64,
    pub(crate) amounts: [Amount; TYPES.len()],
    pub(crate) memory: (f64, f64),
}

/// The server from its start until it was ready.
pub(crate) struct Start {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    pub(crate) rss: f64,
}

/// Everything that was measured.
pub(crate) struct Report {
    pub(crate) size: Size,
    pub(crate) sidecars: usize,
    pub(crate) start: Start,
    pub(crate) storm: Storm,
    pub(crate) outcomes: Vec<Outcome>,
    /// CPU seconds of the load itself.
    pub(crate) own_cpu: Duration,
}

/// Measures what the plan says.
///
/// # Errors
/// When the server does not start, ends, or never completes its sidecars.
pub(crate) async fn run(plan: &Plan) -> Result<Report> {
    let folder = tempfile::tempdir()?;
    let work = std::path::absolute(plan.keep.as_deref().unwrap_or_else(|| folder.path()))?;
    let objects = work.join("objects");
    fs::create_dir_all(&objects).with_context(|| objects.display().to_string())?;
    plan.mesh.write(&objects)?;
    let server = Server::start(&plan.program, &objects, &work)?;
    let process = &server.process;
    progress(&format!(
        "{} as process {}, ready after {:.2?}",
        plan.program.display(),
        process.pid(),
        process.start
    ));
    let start = Start { wall: process.start, cpu: process.start_cpu, rss: process.rss() };
    let mut bench =
        Bench { plan, objects: &objects, server: &server, seen: Seen::new(plan.sidecars), churned: 0 };
    let storm = bench.connect().await?;
    let mut outcomes = Vec::new();
    for event in EVENTS {
        if plan.only.is_empty() || plan.only.contains(&event) {
            outcomes.push(bench.repeat(event).await?);
        }
    }
    let own = nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID.now().map(Into::into);
    let own_cpu = own.unwrap_or_default();
    Ok(Report { size: plan.size, sidecars: plan.sidecars, start, storm, outcomes, own_cpu })
}

#[expect(clippy::print_stderr, reason = "whoever waits minutes for a table is told how far it is")]
fn progress(line: &str) {
    eprintln!("{line}");
}

struct Bench<'a> {
    plan: &'a Plan,
    objects: &'a Path,
    server: &'a Server,
    seen: Arc<Seen>,
    churned: usize,
}

impl Bench<'_> {
    async fn connect(&self) -> Result<Storm> {
        self.server.process.reset_peak();
        let (since, cpu) = (self.seen.now(), self.server.process.cpu());
        for index in 0..self.plan.sidecars {
            let server = format!("http://{}", self.server.discovery);
            let node = self.plan.mesh.node(index);
            tokio::spawn(Sidecar { index, server, node, seen: Arc::clone(&self.seen) }.run());
        }
        while !self.seen.all_complete() {
            if self.seen.now() - since > Duration::from_secs(600) {
                let done = self.seen.completions(since).len();
                bail!("after ten minutes {done} of {} sidecars are complete", self.plan.sidecars);
            }
            sleep(Duration::from_millis(5)).await;
        }
        let cpu = self.server.process.cpu() - cpu;
        self.quiet(self.seen.now(), Duration::from_secs(2)).await;
        let mut complete = Sample::default();
        complete.extend(self.seen.completions(since).into_iter().map(|ms| ms / 1e3));
        progress(&format!("connected: {:.1} s, {:.2} s of CPU", complete.max(), cpu.as_secs_f64()));
        Ok(Storm {
            complete,
            cpu,
            broken: self.seen.broken.load(Relaxed),
            amounts: self.seen.amounts(),
            memory: (self.server.process.rss(), self.server.process.peak()),
        })
    }

    async fn repeat(&mut self, event: Event) -> Result<Outcome> {
        let mut outcome = Outcome {
            event,
            cpu: Sample::default(),
            megabytes: Sample::default(),
            touched: Sample::default(),
            acks: Sample::default(),
            last_acks: Sample::default(),
            amounts: [Amount::default(); TYPES.len()],
            memory: (0.0, 0.0),
        };
        self.server.process.reset_peak();
        let times = match event {
            Event::Idle | Event::Churn => 1,
            Event::Eds => self.plan.repeat.unwrap_or(30),
            _ => self.plan.repeat.unwrap_or(5),
        };
        for number in 0..times {
            self.once(event, number, &mut outcome).await?;
        }
        outcome.memory = (self.server.process.rss(), self.server.process.peak());
        progress(&format!("{event:?}: {:.1} ms of CPU", outcome.cpu.median()));
        Ok(outcome)
    }

    async fn once(&mut self, event: Event, number: usize, outcome: &mut Outcome) -> Result<()> {
        self.seen.reset();
        let (mut since, cpu) = (self.seen.now(), self.server.process.cpu());
        let mut per = 1.0;
        match event {
            Event::Idle => {
                sleep(Duration::from_secs(20)).await;
                per = 20.0;
            }
            Event::Churn => {
                per = f64::from(self.churn(100, 15).await?);
                // what is of interest is how far behind the last edit the server is
                since = self.seen.now();
            }
            _ => self.edit(event, number)?,
        }
        // A large mesh is worked on for a while before the first message leaves.
        let quiet = if event == Event::Eds { 700 } else { 3000 };
        self.quiet(self.seen.now(), Duration::from_millis(quiet)).await;
        outcome.cpu.push((self.server.process.cpu() - cpu).as_secs_f64() * 1e3 / per);
        outcome.amounts = self.seen.amounts();
        let bytes: u64 = outcome.amounts.iter().map(|amount| amount.bytes).sum();
        outcome.megabytes.push(bytes as f64 / 1e6 / per);
        let acks = self.seen.acks(since);
        outcome.touched.push(acks.len() as f64);
        if let Some(last) = acks.iter().copied().max_by(f64::total_cmp) {
            outcome.last_acks.push(last);
        }
        outcome.acks.extend(acks);
        Ok(())
    }

    /// Until nobody received anything for so long.
    async fn quiet(&self, since: Duration, quiet: Duration) {
        while self.seen.now() - self.seen.last().max(since) < quiet {
            sleep(Duration::from_millis(5)).await;
        }
    }

    fn edit(&self, event: Event, number: usize) -> Result<()> {
        let (mesh, objects) = (&self.plan.mesh, self.objects);
        let namespace = number % mesh.namespaces;
        let flip = number.is_multiple_of(2);
        // one that no rule is about
        let service = (mesh.services / 2 + number / 2 * 7) % mesh.services;
        let added = mesh.services + 5_001 + number;
        let rule = |kind| Mesh::rule_file(objects, kind, namespace);
        match event {
            Event::Idle | Event::Churn => {}
            Event::Mesh => replace(&Mesh::mesh_file(objects), &Mesh::mesh_config(flip))?,
            Event::VsTouch => replace(&rule("vs"), &mesh.virtual_service(namespace, 10, number + 1))?,
            Event::Vs => replace(&rule("vs"), &mesh.virtual_service(namespace, 20 + number, 0))?,
            Event::Dr => replace(&rule("dr"), &mesh.destination_rule(namespace, 200 + number))?,
            Event::Ap => replace(&rule("ap"), &mesh.authorization_policy(namespace, number + 1))?,
            Event::Eds => {
                let slice = mesh.slice(service, mesh.endpoints, flip.then_some(0));
                replace(&Mesh::slice_file(objects, service), &slice)?;
            }
            Event::Add => {
                let text = [mesh.service(added, 0), mesh.slice(added, 1, None)].join("---\n");
                replace(&Mesh::service_file(objects, added), &text)?;
            }
            Event::Delete => {
                let file = Mesh::service_file(objects, added);
                if !file.exists() {
                    bail!("`delete` deletes what `add` added: ask for both");
                }
                fs::remove_file(file)?;
            }
        }
        Ok(())
    }

    /// Edits at a rate whether or not the server keeps up: the last endpoint of one service after the other.
    async fn churn(&mut self, rate: u32, seconds: u32) -> Result<u32> {
        let mesh = &self.plan.mesh;
        let mut tick = interval(Duration::from_secs(1) / rate);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for _ in 0..rate * seconds {
            tick.tick().await;
            let service = self.churned * 7 % mesh.services;
            let out = (self.churned / mesh.services).is_multiple_of(2).then_some(mesh.endpoints - 1);
            self.churned += 1;
            replace(&Mesh::slice_file(self.objects, service), &mesh.slice(service, mesh.endpoints, out))?;
        }
        Ok(rate * seconds)
    }
}
