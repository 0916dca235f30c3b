//! A whole mesh on this machine: control plane, agents, Envoys, programs, names; started, watched, taken down.

mod agents;
pub mod allocate;
pub mod children;
pub mod control;
pub mod credentials;
mod document;
pub mod edges;
pub mod enter;
pub mod events;
pub mod export;
pub mod folder;
pub mod generated;
pub mod holders;
pub mod hosts;
pub mod join;
pub mod kept;
pub mod local;
pub mod meshfile;
pub mod observe;
pub mod paths;
pub mod record;
mod refusals;
mod sample;
mod serve;
mod stages;
mod start;
mod traffic;
pub mod view;

pub use document::{ControlPlane, Document, Edge, Proxy, Stage};

use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::args::{Up, UpFormat};
use control::Request;
use paths::Paths;
use record::Record;

/// How long `down` waits for the mesh to end by itself.
const DOWN_WITHIN: Duration = Duration::from_secs(20);

/// The running mesh of this user, if there is one.
#[must_use]
pub fn running_document() -> Option<Document> {
    let record = Record::read(&Paths::from_env().ok()?)?;
    record.supervisor.lives().then_some(record.document)
}

/// `istioctl up`.
///
/// # Errors
/// If the mesh cannot be started; everything that was started is stopped again.
pub async fn run(args: Up) -> anyhow::Result<ExitCode> {
    if args.isolate {
        bail!("--isolate is not available yet: workloads share this machine's network; leave it out");
    }
    let paths = Paths::from_env()?;
    if args.detach && !args.foreground_child {
        return detach(&args, &paths).await;
    }
    if args.foreground_child {
        // a session of its own: no terminal, no Ctrl-C meant for others
        let _ = nix::unistd::setsid();
    }
    let mut stages = stages::Stages::new(args.output == UpFormat::Json || args.foreground_child);
    let local = start::start(&args, &paths, &mut stages).await?;
    serve::serve(local, &args, &paths, stages).await
}

/// Starts the mesh in a session of its own and waits until it is ready.
async fn detach(args: &Up, paths: &Paths) -> anyhow::Result<ExitCode> {
    start::make_room(paths)?;
    let log = paths.logs().join("up.log");
    let out = std::fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.args(["up", "--foreground-child"]);
    command.arg(format!("--gateway-port={}", args.gateway_port));
    command.arg(format!("--gateway-bind={}", args.gateway_bind));
    command.arg(format!("--readiness-timeout={}", args.readiness_timeout));
    command.args(args.traffic.map(|rate| format!("--traffic={rate}")));
    command.args(args.envoy.as_ref().map(|path| format!("--envoy={}", path.display())));
    command.args(args.http_proxy.then_some("--http-proxy"));
    command.args(&args.folder);
    command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
    let mut child = command.spawn()?;
    let deadline = Instant::now() + Duration::from_secs(args.readiness_timeout.saturating_add(120));
    let record = loop {
        if let Some(status) = child.try_wait()? {
            bail!("the mesh did not start ({status}):\n{}", children::tail(&log, 30));
        }
        let record = Record::read(paths).filter(|record| record.supervisor.pid == child.id());
        if let Some(record) = record.filter(|record| record.ready) {
            break record;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            bail!("the mesh was not ready in time; its output is in {}", log.display());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    match args.output {
        UpFormat::Json => println!("{}", serde_json::to_string_pretty(&record.document)?),
        UpFormat::Text => {
            let mut shown = stages::Stages::new(false);
            record.document.stages.iter().for_each(|stage| shown.show(stage));
            println!("{}", view::edges(&record.document.edges).trim_end());
            println!("It runs on; `istioctl down` stops it, `istioctl ps` looks at it.");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `istioctl down`.
///
/// # Errors
/// If the state directory cannot be found.
pub async fn down() -> anyhow::Result<()> {
    let paths = Paths::from_env()?;
    let Some(record) = Record::read(&paths) else {
        let _ = record::clear(&paths, None);
        println!("no mesh is running here");
        return Ok(());
    };
    let ended = if record.supervisor.lives() {
        let _ = control::ask(&record.control, &Request::Down).await;
        let deadline = Instant::now() + DOWN_WITHIN;
        while record.supervisor.lives() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        record.processes.len()
    } else {
        0
    };
    let mut all = record.clone();
    if record.supervisor.lives() {
        // it does not answer: it goes first, or it would mourn its children
        all.processes.insert(0, record.supervisor);
    }
    let left = record::clear(&paths, Some(&all));
    sample::remove_if_unedited(&paths);
    record::remove_if_empty(&paths.state);
    println!("stopped {} processes", ended.max(left));
    if paths.sample().exists() {
        println!("your edited objects are still in {}", paths.sample().display());
    }
    Ok(())
}
