//! The running mesh's loop: watch, show, let processes in and out, until it is told to stop.

use std::collections::VecDeque;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::control::{self, Answer, Incoming, Request};
use super::edges::Edges;
use super::events::{Event, tell};
use super::local::Local;
use super::observe::{self, Observation, Targets};
use super::paths::Paths;
use super::refusals::Refusals;
use super::stages::Stages;
use super::{folder, record, sample, traffic, view};
use crate::args::{Up, UpFormat};

/// How long readiness waits for the first edges, with traffic on.
const EDGES_WITHIN: Duration = Duration::from_secs(8);

/// What the user sees.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Face {
    /// The live view.
    Screen,
    /// A line per event.
    Lines,
}

struct Serving<'a> {
    local: Local,
    stages: Stages,
    face: Face,
    edges: Edges,
    events: VecDeque<String>,
    refusals: Refusals,
    announced: bool,
    edges_before: usize,
    since: Instant,
    fingerprint: Vec<(std::path::PathBuf, Option<std::time::SystemTime>)>,
    targets: watch::Sender<Targets>,
    following: Following,
    json: bool,
    paths: &'a Paths,
}

/// The task that follows the control plane's events.
struct Following {
    debug: String,
    to: mpsc::Sender<Vec<Event>>,
    task: JoinHandle<()>,
}

impl Following {
    fn start(debug: String, to: mpsc::Sender<Vec<Event>>) -> Self {
        let task = tokio::spawn(observe::follow(debug.clone(), to.clone()));
        Self { debug, to, task }
    }

    /// The control plane counts its events from one again.
    fn begin_again(&mut self) {
        self.task.abort();
        self.task = tokio::spawn(observe::follow(self.debug.clone(), self.to.clone()));
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves until Ctrl-C, SIGTERM or `down`; then stops everything and removes its files. What dies meanwhile is started
/// again in this same loop, so that a stop and a start never cross.
pub(super) async fn serve(
    local: Local,
    args: &Up,
    paths: &Paths,
    stages: Stages,
) -> anyhow::Result<ExitCode> {
    let (to_us, mut incoming) = mpsc::channel(16);
    let socket = control::listen(&paths.control, to_us)?;
    let url = format!("{}{}", local.gateway_url(), local.plan.file.traffic.path);
    let rate = local.plan.file.traffic.rate;
    let sending = traffic::start(url, rate);
    let (to_observer, targets) = watch::channel(Targets::default());
    let (to_us, mut observations) = mpsc::channel(1);
    let observing = tokio::spawn(observe::observe(targets, to_us));
    let (to_us, mut events) = mpsc::channel(64);
    let following = Following::start(local.debug_url(), to_us);

    let json = args.output == UpFormat::Json;
    let on_screen = !json && !args.foreground_child && std::io::stdout().is_terminal();
    let mut serving = Serving {
        fingerprint: folder::fingerprint(&local.plan.folder_path),
        local,
        stages,
        face: if on_screen { Face::Screen } else { Face::Lines },
        edges: Edges::default(),
        events: VecDeque::new(),
        refusals: Refusals::default(),
        announced: false,
        edges_before: 0,
        since: Instant::now(),
        targets: to_observer,
        following,
        json,
        paths,
    };
    serving.aim();
    let mut signals = Signals::new()?;
    let mut look = tokio::time::interval(Duration::from_millis(250));
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let outcome = loop {
        tokio::select! {
            () = signals.any() => break Ok(()),
            Some(observation) = observations.recv() => serving.observed(&observation, rate > 0.0),
            Some(batch) = events.recv() => serving.told(&batch),
            Some(message) = incoming.recv() => {
                if serving.hear(message).await {
                    break Ok(());
                }
            }
            _ = look.tick() => {
                if let Err(error) = serving.look() {
                    break Err(error);
                }
            }
        }
    };
    for task in [Some(socket), sending, Some(observing)].into_iter().flatten() {
        task.abort();
    }
    serving.stop().await;
    outcome.map(|()| ExitCode::SUCCESS)
}

struct Signals(Signal, Signal, Signal);

impl Signals {
    fn new() -> std::io::Result<Self> {
        let of = |kind| signal(kind);
        Ok(Self(of(SignalKind::interrupt())?, of(SignalKind::terminate())?, of(SignalKind::hangup())?))
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
            _ = self.2.recv() => {}
        }
    }
}

impl Serving<'_> {
    fn aim(&self) {
        let proxies = self.local.proxies().cloned().collect();
        let _ = self.targets.send(Targets { debug: self.local.debug_url(), proxies });
    }

    fn observed(&mut self, observation: &Observation, wants_edges: bool) {
        self.edges.update(&observation.counted, Instant::now());
        self.local.edges = self.edges.current().to_vec();
        for proxy in self.local.proxies_mut() {
            let Some(seen) = observation.proxies.get(&proxy.id) else { continue };
            proxy.ready = seen.is_ready;
            proxy.certificate_expires.clone_from(&seen.certificate_expires);
            if !seen.version.is_empty() {
                proxy.version.clone_from(&seen.version);
                proxy.acked_seconds_ago = seen.acked_seconds_ago;
            }
        }
        for line in self.local.welcome(observation, Instant::now()) {
            self.note(&line);
        }
        for line in self.refusals.update(observation) {
            self.note(&line);
        }
        let edges_seen = !wants_edges || self.has_settled() || self.since.elapsed() > EDGES_WITHIN;
        if !self.announced && edges_seen {
            self.announce();
        }
        let _ = self.local.remember();
        self.draw();
    }

    /// Whether every workload has been called, the called ones have told how, and no new edge came since the last round.
    fn has_settled(&mut self) -> bool {
        let edges = &self.local.edges;
        let quiet = edges.len() == self.edges_before;
        self.edges_before = edges.len();
        let called = |name: &str| edges.iter().any(|e| e.destination == name && e.mutual_tls.is_some());
        quiet && !edges.is_empty() && self.local.inhabitants.values().all(|i| called(&i.workload.name))
    }

    fn announce(&mut self) {
        self.announced = true;
        if self.local.plan.file.traffic.rate > 0.0 {
            let secured = self.local.edges.iter().filter(|edge| edge.mutual_tls == Some(true)).count();
            let rate = self.local.plan.file.traffic.rate;
            self.stages.done(
                "traffic",
                format!("{rate} req/s, {} edges, {secured} with mutual TLS", self.local.edges.len()),
            );
        }
        self.local.stages = self.stages.all();
        self.local.ready = true;
        if self.json {
            let document = serde_json::to_string_pretty(&self.local.document()).unwrap_or_default();
            println!("{document}");
            let _ = std::io::stdout().flush();
            return;
        }
        let folder = self.local.plan.folder_path.display().to_string();
        self.stages.say(&format!("\nEdit the objects in {folder}: every change is told here."));
        self.stages.say("Look: `istioctl ps`, `istioctl pc route NAME`. Join: `istioctl run --name NAME --port PORT -- COMMAND`.");
        self.stages.say("Ctrl-C (or `istioctl down`) stops everything.\n");
        if self.face != Face::Lines {
            print!("{}", view::OPEN);
        }
    }

    fn told(&mut self, batch: &[Event]) {
        for line in tell(batch) {
            self.note(&line);
        }
        self.draw();
    }

    /// One line of news: on the screen, or by itself.
    fn note(&mut self, line: &str) {
        let time = jiff::Zoned::now().strftime("%H:%M:%S").to_string();
        let line = format!("{time} {line}");
        if self.face == Face::Lines || !self.announced {
            self.stages.say(&line);
        }
        self.events.push_back(line);
        while self.events.len() > view::KEPT {
            self.events.pop_front();
        }
    }

    fn draw(&self) {
        if self.face == Face::Screen && self.announced {
            let size = terminal_size::terminal_size().map_or((160, 50), |(w, h)| (w.0.into(), h.0.into()));
            let screen = view::screen(&self.local.document(), &self.events, size, jiff::Timestamp::now());
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(screen.as_bytes());
            let _ = out.flush();
        }
    }

    /// True if the mesh shall stop.
    async fn hear(&mut self, message: Incoming) -> bool {
        match message {
            Incoming::Asked(Request::Down, answer) => {
                let _ = answer.send(Answer::default());
                return true;
            }
            Incoming::Asked(Request::Join(join), answer) => {
                let reply = match self.local.join(&join) {
                    Ok(reply) => {
                        self.note(&format!("{}.{} joined", join.name, join.namespace));
                        reply
                    }
                    Err(error) => Answer { error: format!("{error:#}"), ..Answer::default() },
                };
                let _ = answer.send(reply);
            }
            Incoming::Left(id) => {
                for running in self.local.leave(&id) {
                    running.stop().await;
                }
                let _ = std::fs::remove_dir_all(self.local.plan.paths.agent(&id));
                self.note(&format!("{id} left"));
            }
        }
        self.aim();
        let _ = self.local.remember();
        false
    }

    /// Processes that ended, files that changed.
    fn look(&mut self) -> anyhow::Result<()> {
        let revived = self.local.revive(Instant::now());
        if revived.control_plane {
            self.following.begin_again();
        }
        if revived.is_news() {
            self.aim();
            let _ = self.local.remember();
        }
        revived.lines.iter().for_each(|line| self.note(line));
        let fingerprint = folder::fingerprint(&self.local.plan.folder_path);
        if fingerprint != self.fingerprint {
            self.fingerprint = fingerprint;
            self.local.folder_changed()?;
        }
        Ok(())
    }

    async fn stop(self) {
        if self.announced && self.face != Face::Lines {
            print!("{}", view::CLOSE);
            let _ = std::io::stdout().flush();
        }
        self.stages.say("stopping");
        let instance = self.local.plan.starter.instance.clone();
        self.local.stop().await;
        // whatever a program has left behind carries the mesh's mark
        record::kill_all(&record::marked(&instance));
        let _ = record::clear(self.paths, None);
        sample::remove_if_unedited(self.paths);
        record::remove_if_empty(&self.paths.state);
    }
}
