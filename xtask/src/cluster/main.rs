//! A Kubernetes API server on this machine, for a person: started, found again, stopped.
//!
//! It is the one of the tests, with its state in the cache: no nodes, no controllers, every kind of the mesh defined.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Parser, Subcommand};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::api_server::ApiServer;
use testkit::eventually;

/// How long a program may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(20);

#[derive(Parser)]
#[command(name = "cargo xtask cluster", about = "A Kubernetes API server on loopback, without nodes")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts one unless it runs, and prints the path of its kubeconfig
    Up {
        /// Which one: lower-case letters, digits and dashes
        #[arg(long, default_value = "kube", value_parser = name)]
        name: String,
    },
    /// Stops it; what was in it is gone
    Down {
        /// Which one
        #[arg(long, default_value = "kube", value_parser = name)]
        name: String,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when stderr is gone.
            let _ = writeln!(io::stderr(), "cluster: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match command {
        Command::Up { name } => runtime.block_on(up(&folder(&name))),
        Command::Down { name } => runtime.block_on(down(&folder(&name))),
    }
}

/// A name that is a folder's, and not a path.
fn name(text: &str) -> Result<String, String> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let good = (1..=63).contains(&text.len()) && text.bytes().all(fits);
    if good { Ok(text.to_owned()) } else { Err("want lower-case letters, digits and dashes".to_owned()) }
}

fn folder(name: &str) -> PathBuf {
    envoy::Places::from_environment(None).cache.join("clusters").join(name)
}

async fn up(folder: &Path) -> Result<()> {
    let kubeconfig = folder.join("kubeconfig");
    let running = pids(folder).into_iter().all(|pid| is_ours(pid, folder));
    if !kubeconfig.is_file() || !running {
        // what a crash or a restart of the machine left behind
        down(folder).await?;
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let server = ApiServer::start_in(folder).await?;
        let text = server.kubeconfig()?;
        let pids = server.leave().ok_or_else(|| anyhow!("the API server is gone"))?;
        fs::write(folder.join("pids"), format!("{}\n{}\n", pids.server, pids.etcd))?;
        // last: a folder with it is a whole one
        fs::write(&kubeconfig, text)?;
    }
    writeln!(io::stdout(), "{}", kubeconfig.display())?;
    Ok(())
}

async fn down(folder: &Path) -> Result<()> {
    for pid in pids(folder).into_iter().filter(|pid| is_ours(*pid, folder)) {
        // it may have ended since
        let _ = kill(pid, Signal::SIGTERM);
        let gone = async || (!is_ours(pid, folder)).then_some(());
        if eventually("it ends", GRACE, gone).await.is_err() {
            let _ = kill(pid, Signal::SIGKILL);
            eventually("it ends", GRACE, gone).await.map_err(|late| anyhow!("process {pid}: {late}"))?;
        }
    }
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            bail!("{}: {error}", folder.display());
        }
        _ => Ok(()),
    }
}

/// The server's, then the store's.
fn pids(folder: &Path) -> Vec<Pid> {
    let text = fs::read_to_string(folder.join("pids")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).map(Pid::from_raw).collect()
}

/// Whether a process works in the folder: numbers of processes are used again.
fn is_ours(pid: Pid, folder: &Path) -> bool {
    let flags = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let path = folder.as_os_str().as_encoded_bytes();
    !path.is_empty() && flags.windows(path.len()).any(|part| part == path)
}

#[cfg(test)]
mod tests;
