//! `istioctl run`: one's own process becomes a workload of the running mesh for as long as it lives.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sys::signal::Signal;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use super::control::{Answer, Join, Request, ask};
use super::paths::Paths;
use crate::args::Run;
use crate::fetch::Fetcher;

/// How long the new proxy may take to have its configuration.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Joins, runs the command, leaves; the command's exit code is the outcome.
///
/// # Errors
/// If no mesh runs, it refuses the workload, or the command cannot be started.
pub async fn run(args: &Run, namespace: &str) -> anyhow::Result<ExitCode> {
    let paths = Paths::from_env()?;
    let join = Join {
        name: args.name.clone(),
        namespace: if namespace.is_empty() { "default".to_owned() } else { namespace.to_owned() },
        service_account: args.service_account.clone().unwrap_or_else(|| args.name.clone()),
        labels: labels(args)?,
        port: args.port,
    };
    let control = super::record::Record::read(&paths).map_or(paths.control, |record| record.control);
    let asked = ask(&control, &Request::Join(join)).await;
    // the connection is the membership: it is held until the command has ended
    let (answer, _membership) = asked.context("no mesh is running here; start one with `istioctl up`")?;
    if !answer.error.is_empty() {
        bail!("{}", answer.error);
    }
    for note in &answer.notes {
        eprintln!("{}: {note}", args.name);
    }
    wait_for_proxy(&answer).await?;
    run_command(args, &answer).await
}

fn labels(args: &Run) -> anyhow::Result<std::collections::BTreeMap<String, String>> {
    let mut labels = std::collections::BTreeMap::from([("version".to_owned(), args.version.clone())]);
    for label in &args.labels {
        let (key, value) =
            label.split_once('=').with_context(|| format!("--label {label} is not key=value"))?;
        labels.insert(key.to_owned(), value.to_owned());
    }
    Ok(labels)
}

/// A program must not start before its proxy can carry its first request.
async fn wait_for_proxy(answer: &Answer) -> anyhow::Result<()> {
    let fetcher = Fetcher::new(Duration::from_secs(2));
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        match fetcher.get(&answer.ready).await {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => {
                bail!("the proxy was not ready within {} s: {error}", READY_WITHIN.as_secs())
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn run_command(args: &Run, answer: &Answer) -> anyhow::Result<ExitCode> {
    let own = std::env::current_exe()?;
    let mut command = Command::new(own);
    command.arg("enter").arg("--parent").arg(std::process::id().to_string());
    if let Some(hosts) = &answer.hosts {
        command.arg("--hosts").arg(hosts);
        // a proxy variable would lead around the private names
        for name in ["http_proxy", "HTTP_PROXY"] {
            command.env_remove(name);
        }
    }
    let mut env = answer.env.clone();
    env.remove("HOSTNAME");
    let mut child =
        command.arg("--").args(&args.command).envs(env).spawn().context("cannot start the command")?;
    let (mut interrupted, mut terminated) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            // a terminal has sent Ctrl-C to the command, too; here it only must not end the membership first
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {
                if let Some(pid) = child.id() {
                    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(pid)?), Signal::SIGTERM);
                }
            }
        }
    };
    let code = status
        .code()
        .unwrap_or_else(|| 128 + std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or(1));
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}
