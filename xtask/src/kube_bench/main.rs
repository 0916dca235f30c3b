//! A control plane in a cluster under load, beside another one in the same run or beside what istiod took once.

mod contender;
mod figures;
mod load;
mod store;
mod table;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use loadgen::istiod::Size;

use contender::{Contender, Running};
use figures::{EVENTS, Figure, Records, Side};
use load::{Load, Target};
use store::Store;

/// After a start, so long until memory is looked at.
const SETTLED: Duration = Duration::from_secs(15);

/// Starts control planes against a real API server with a mesh of running pods, and says what each takes: to start, to hold
/// it, to sign certificates, to configure proxies that all come at once, and to follow edits.
///
/// Switches of the control planes are taken from the environment.
#[derive(Parser)]
#[command(name = "cargo xtask bench --kube")]
struct Arguments {
    /// This mode, which `cargo xtask bench` chose
    #[arg(long, hide = true)]
    kube: bool,
    /// The program of another control plane with istiod's flags, to be measured in the same run, in turn
    #[arg(long)]
    against: Option<PathBuf>,
    /// How often each is measured
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=100))]
    repeats: u16,
    /// How large a mesh
    #[arg(long, value_enum, default_value_t = Size::M)]
    mesh: Size,
    /// Only these parts (starting is always one)
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Part>,
    /// Also write the table here
    #[arg(long)]
    out: Option<PathBuf>,
    /// Write every value here, a line of JSON each
    #[arg(long)]
    json: Option<PathBuf>,
    /// Keep logs here
    #[arg(long)]
    keep: Option<PathBuf>,
    /// The program to measure
    #[arg(long)]
    program: PathBuf,
    /// The load, built
    #[arg(long, hide = true)]
    load: PathBuf,
    /// The folder of its sources
    #[arg(long, hide = true)]
    load_sources: PathBuf,
}

/// What is measured together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// From exec until ready, and memory without a proxy
    Start,
    /// Certificates for ten seconds
    Csr,
    /// All proxies at once over TLS with tokens, and memory a minute later
    Connect,
    /// Connecting, then edits of every kind
    Events,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when stderr is gone.
            let _ = writeln!(io::stderr(), "bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whoever waits minutes for a table is told how far it is. A lost line of it is no reason to stop.
fn progress(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn run(arguments: &Arguments) -> Result<()> {
    let lines: Box<dyn Write> = match &arguments.json {
        Some(path) => Box::new(File::create(path).with_context(|| path.display().to_string())?),
        None => Box::new(io::sink()),
    };
    let mut records = Records::new(lines);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(measure(arguments, &mut records))?;
    let text = table::markdown(&records, arguments.mesh, arguments.against.is_some());
    io::stdout().write_all(text.as_bytes())?;
    if let Some(path) = &arguments.out {
        fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

async fn measure(arguments: &Arguments, records: &mut Records) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let work = std::path::absolute(arguments.keep.as_deref().unwrap_or_else(|| folder.path()))?;
    fs::create_dir_all(&work).with_context(|| work.display().to_string())?;
    let contenders = contenders(arguments)?;
    let load = Load {
        program: std::path::absolute(&arguments.load)?,
        sources: arguments.load_sources.clone(),
        size: arguments.mesh,
        log: work.join("load.log"),
    };
    let cache = envoy::Places::from_environment(None).cache;
    let mut bench =
        Bench { store: Store::open(&load, &cache).await?, load, work: &work, only: &arguments.only };
    for round in 1..=usize::from(arguments.repeats) {
        for contender in &contenders {
            progress(&format!("round {round}: {}", contender.side.name()));
            bench.round(contender, round, records).await?;
        }
    }
    Ok(())
}

fn contenders(arguments: &Arguments) -> Result<Vec<Contender>> {
    let programs = [(Side::Ours, Some(&arguments.program)), (Side::Theirs, arguments.against.as_ref())];
    let known = programs.into_iter().filter_map(|(side, program)| Some((side, program?)));
    known
        .map(|(side, program)| {
            let program = fs::canonicalize(program).with_context(|| program.display().to_string())?;
            Ok(Contender { side, program })
        })
        .collect()
}

struct Bench<'a> {
    store: Store,
    load: Load,
    work: &'a Path,
    only: &'a [Part],
}

impl Bench<'_> {
    fn has(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// Measures one of them, on a store that nobody has touched, in two processes: what one was asked for is not in the memory
    /// of the other.
    async fn round(&mut self, contender: &Contender, round: usize, records: &mut Records) -> Result<()> {
        let side = contender.side;
        self.store.restore().await?;
        let running = self.start(contender, round, records).await?;
        if self.has(Part::Csr) {
            let root = self.root().await?;
            let line = self.load.sign(&self.target(&running, &root)).await?;
            self.note(side, round, &line, records)?;
        }
        running.process.stop();
        if self.has(Part::Connect) || self.has(Part::Events) {
            let running = self.start(contender, round, records).await?;
            let root = self.root().await?;
            let events = if self.has(Part::Events) { &EVENTS[..] } else { &[] };
            for line in self.load.connect(&self.target(&running, &root), events).await? {
                self.note(side, round, &line, records)?;
            }
            running.process.stop();
        }
        Ok(())
    }

    async fn start(&self, contender: &Contender, round: usize, records: &mut Records) -> Result<Running> {
        let running = contender.start(&self.store, self.work)?;
        let process = &running.process;
        tokio::time::sleep(SETTLED).await;
        let values = [
            (Figure::Start, process.start.as_secs_f64()),
            (Figure::StartCpu, process.start_cpu.as_secs_f64()),
            (Figure::Alone, process.rss()),
        ];
        for (figure, value) in values {
            records.push(contender.side, round, figure, value)?;
        }
        progress(&format!(
            "  ready after {:.2?} and {:.2?} of CPU; then {:.1} MB, {:.1} of them its own",
            process.start,
            process.start_cpu,
            process.rss(),
            process.anonymous(),
        ));
        Ok(running)
    }

    async fn root(&self) -> Result<PathBuf> {
        let path = self.work.join("root.pem");
        fs::write(&path, self.store.root().await?).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    fn target<'a>(&'a self, running: &Running, root: &'a Path) -> Target<'a> {
        Target { address: running.address, root, pid: running.process.pid(), cluster: &self.store.flags }
    }

    fn note(&self, side: Side, round: usize, line: &serde_json::Value, records: &mut Records) -> Result<()> {
        for (figure, value) in load::figures(line, self.load.size.sidecars()) {
            records.push(side, round, figure, value)?;
        }
        Ok(())
    }
}
