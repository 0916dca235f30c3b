//! The mesh's processes: started in groups of their own, tied to the supervisor's life, output in a file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::Signal;
use tokio::process::{Child, Command};

use super::record::{MARK, Process, signal_group};

/// How long a process may take to end before it is killed.
const PATIENCE: Duration = Duration::from_secs(8);

/// What is to be started.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// For messages and the log's name.
    pub name: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Working directory.
    pub directory: PathBuf,
    /// Variables added to the supervisor's.
    pub env: BTreeMap<String, String>,
    /// Variables taken away.
    pub without: Vec<&'static str>,
    /// The private /etc/hosts.
    pub hosts: Option<PathBuf>,
}

/// A started process.
#[derive(Debug)]
pub struct Running {
    /// As in [`Program`].
    pub name: String,
    /// Its identity; also its process group.
    pub process: Process,
    /// Where its output goes.
    pub log: PathBuf,
    child: Child,
}

/// Starts programs for one mesh.
#[derive(Clone, Debug)]
pub struct Starter {
    /// istioctl itself, which every child passes through (see enter.rs).
    pub own: PathBuf,
    /// Value of the mark in the children's environment.
    pub instance: String,
    /// The directory of logs.
    pub logs: PathBuf,
}

impl Starter {
    /// Starts a program; `again` keeps the output of the life before.
    ///
    /// # Errors
    /// If the log cannot be made or the process cannot be started.
    pub fn start(&self, program: &Program, again: bool) -> anyhow::Result<Running> {
        let log = self.logs.join(format!("{}.log", program.name));
        let mut options = fs::OpenOptions::new();
        options.create(true).append(true);
        if !again {
            let _ = fs::remove_file(&log);
        }
        let out = options.open(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(&self.own);
        command.arg("enter").arg("--parent").arg(std::process::id().to_string());
        if let Some(hosts) = &program.hosts {
            command.arg("--hosts").arg(hosts);
        }
        command.arg("--").args(&program.command).current_dir(&program.directory);
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        for name in &program.without {
            command.env_remove(name);
        }
        command.envs(&program.env).env(MARK, &self.instance).process_group(0);
        let child = spawn(&mut command).with_context(|| format!("cannot start {}", program.name))?;
        let pid = child.id().context("the process ended at once")?;
        let process = Process::of(pid).unwrap_or(Process { pid, start: 0 });
        Ok(Running { name: program.name.clone(), process, log, child })
    }
}

/// Spawns, waiting a moment for whoever still writes the file: a build, or a process that is just being started
/// and has the writer's files until it becomes its program.
fn spawn(command: &mut Command) -> std::io::Result<Child> {
    let mut trials = 10;
    loop {
        match command.spawn() {
            Err(e) if e.kind() == std::io::ErrorKind::ExecutableFileBusy && trials > 0 => {
                trials -= 1;
                std::thread::sleep(Duration::from_millis(10));
            }
            result => return result,
        }
    }
}

impl Running {
    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Ends what is left of its group after its own death, so that nobody holds the ports of its next life.
    pub fn clear_away(&self) {
        signal_group(self.process.pid, Signal::SIGKILL);
    }

    /// Asks it to end, waits, and kills what is left of its group.
    pub async fn stop(mut self) {
        signal_group(self.process.pid, Signal::SIGTERM);
        let _ = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        signal_group(self.process.pid, Signal::SIGKILL);
        let _ = self.child.wait().await;
    }

    /// The last line of its output; empty if it has said nothing.
    #[must_use]
    pub fn last_words(&self) -> String {
        self.log_tail(1).trim().to_owned()
    }

    /// The end of its output, for messages.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        tail(&self.log, lines)
    }
}

/// The last lines of a file, indented.
#[must_use]
pub fn tail(path: &Path, lines: usize) -> String {
    let text = fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    all[all.len().saturating_sub(lines)..].iter().map(|line| format!("    {line}\n")).collect()
}
