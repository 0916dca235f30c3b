//! The load: a program of its own, which knows no control plane but by its ports, and prints a line of JSON per phase.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use loadgen::istiod::{Event, Size};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::figures::Figure;

/// What the mesh's services are spread over, whatever its size.
const NAMESPACES: usize = 50;

/// `xdsload`, as it was built, and where it came from.
pub(crate) struct Load {
    /// The program.
    pub(crate) program: PathBuf,
    /// The folder of its sources, with bodies of requests.
    pub(crate) sources: PathBuf,
    /// Of the mesh.
    pub(crate) size: Size,
    /// Where what it complains about goes.
    pub(crate) log: PathBuf,
}

/// Whom the load meets.
pub(crate) struct Target<'a> {
    /// Where the control plane speaks TLS.
    pub(crate) address: std::net::SocketAddr,
    /// A file with its root.
    pub(crate) root: &'a std::path::Path,
    /// Its process.
    pub(crate) pid: u32,
    /// The flags that name the API server.
    pub(crate) cluster: &'a [String],
}

impl Target<'_> {
    fn flags(&self) -> Vec<String> {
        let mut flags = vec![
            format!("--addr={}", self.address),
            format!("--ca={}", self.root.display()),
            format!("--pid={}", self.pid),
        ];
        flags.extend_from_slice(self.cluster);
        flags
    }
}

impl Load {
    /// The flags that say how large the mesh is.
    fn mesh(&self) -> [String; 3] {
        [
            format!("--services={}", self.size.services()),
            "--endpoints=10".to_owned(),
            format!("--namespaces={NAMESPACES}"),
        ]
    }

    /// Writes the mesh into an API server.
    ///
    /// # Errors
    /// See [`Load::run`].
    pub(crate) async fn set_up(&self, cluster: &[String]) -> Result<()> {
        let mut flags = vec!["setup".to_owned()];
        flags.extend(self.mesh());
        flags.extend_from_slice(cluster);
        self.run(flags, Duration::from_secs(1200)).await.map(drop)
    }

    /// Has certificates signed for ten seconds over eight connections.
    ///
    /// # Errors
    /// See [`Load::run`]; and when a request failed.
    pub(crate) async fn sign(&self, target: &Target<'_>) -> Result<Value> {
        let mut flags = vec!["csr".to_owned(), "--connections=8".to_owned(), "--seconds=10".to_owned()];
        flags.push(format!("--csr={}", self.sources.join("bodies/rsa.csr").display()));
        flags.extend(target.flags());
        let line = self.run(flags, Duration::from_secs(120)).await?.pop().unwrap_or_default();
        if line["done"].as_u64().unwrap_or_default() == 0 {
            bail!("no certificate was signed: {line}");
        }
        Ok(line)
    }

    /// Connects all sidecars over TLS with tokens, waits a minute, and makes `events`.
    ///
    /// # Errors
    /// See [`Load::run`]; and when not all sidecars became complete.
    pub(crate) async fn connect(&self, target: &Target<'_>, events: &[Event]) -> Result<Vec<Value>> {
        let phases: Vec<&str> = events.iter().filter_map(|event| phase(*event)).collect();
        let script = [&["connect", "idle 60"], phases.as_slice()].concat().join("; ");
        let mut flags = vec!["ads".to_owned(), "--jwt".to_owned(), format!("--script={script}")];
        flags.push(format!("--proxies={}", self.size.sidecars()));
        flags.extend(self.mesh());
        flags.extend(target.flags());
        let lines = self.run(flags, Duration::from_secs(3600)).await?;
        match lines.first() {
            Some(first) if first["complete"] == true => Ok(lines),
            first => bail!("not all proxies have their configuration: {}", first.unwrap_or(&Value::Null)),
        }
    }

    /// Runs it to its end. The lines that it printed.
    ///
    /// # Errors
    /// When it cannot be started, fails, takes too long or prints what is no JSON.
    async fn run(&self, flags: Vec<String>, limit: Duration) -> Result<Vec<Value>> {
        let command = flags.join(" ");
        let log = File::options().create(true).append(true).open(&self.log);
        let mut child = Command::new(&self.program)
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.with_context(|| self.log.display().to_string())?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| self.program.display().to_string())?;
        let stdout = child.stdout.take().context("the load has no output")?;
        let whole = async {
            let mut lines = Vec::new();
            let mut text = BufReader::new(stdout).lines();
            while let Some(line) = text.next_line().await? {
                crate::progress(&format!("  {line}"));
                lines.push(serde_json::from_str(&line).with_context(|| format!("the load said {line:?}"))?);
            }
            let status = child.wait().await?;
            if !status.success() {
                bail!("xdsload {command} ended with {status}; see {}", self.log.display());
            }
            Ok(lines)
        };
        tokio::time::timeout(limit, whole)
            .await
            .with_context(|| format!("xdsload {command} took longer than {limit:?}"))?
    }
}

/// The phase in which an event happens; adding and deleting are one.
fn phase(event: Event) -> Option<&'static str> {
    match event {
        Event::Eds => Some("eds 30 200"),
        Event::Ap => Some("ap 5"),
        Event::VsTouch => Some("vs-touch 5"),
        Event::Vs => Some("vs 5"),
        Event::Dr => Some("dr 5"),
        Event::Add => Some("service 3"),
        Event::Mesh => Some("mesh 3"),
        Event::Churn => Some("churn 100 10"),
        Event::Idle | Event::Delete => None,
    }
}

/// What the line of a phase says of figures.
pub(crate) fn figures(line: &Value, proxies: usize) -> Vec<(Figure, f64)> {
    const MIB: f64 = 1.048_576;
    let mut out = Vec::new();
    let mut take = |figure, value: &Value, factor: f64| {
        out.extend(value.as_f64().map(|value| (figure, value * factor)));
    };
    let kind = line["phase"].as_str().unwrap_or_default().split(' ').next().unwrap_or_default();
    let event = match kind {
        "csr" => {
            take(Figure::Signed, &line["per_second"], 1.0);
            take(Figure::SigningCpu, &line["sut"]["cpu_ms_per_request"], 1.0);
            return out;
        }
        "connect" => {
            take(Figure::Storm, &line["cpu_s_until_ready"], 1.0);
            take(Figure::StormWall, &line["ready_ms"]["max"], 1e-3);
            take(Figure::StormPeak, &line["sut"]["peak_rss_mib"], MIB);
            return out;
        }
        "idle" => {
            take(Figure::Connected, &line["sut"]["rss_mib"], MIB);
            take(Figure::Idle, &line["mcores"], 1.0);
            return out;
        }
        "churn" => {
            let per_edit = proxies as f64 * 1e-3;
            take(Figure::Event(Event::Churn), &line["cpu_us_per_event_and_proxy"], per_edit);
            return out;
        }
        "eds" => Event::Eds,
        "ap" => Event::Ap,
        "vs-touch" => Event::VsTouch,
        "vs" => Event::Vs,
        "dr" => Event::Dr,
        "service" => Event::Add,
        "mesh" => Event::Mesh,
        _ => return out,
    };
    let undone = (event == Event::Add).then_some((Event::Delete, &line["delete"]));
    for (event, line) in [(event, line)].into_iter().chain(undone) {
        take(Figure::Event(event), &line["cpu_ms"]["p50"], 1.0);
        take(Figure::LastAck(event), &line["last_ack_ms"]["p50"], 1.0);
    }
    out
}
