//! What is remembered of a running mesh, so that other commands find it and a crashed one can be cleared away.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::document::Document;
use super::paths::Paths;

/// The variable that marks every process of a mesh; its value is the mesh's instance.
pub const MARK: &str = "MELTEMI_UP";

/// A process that cannot be mistaken: process ids are reused, start times with them are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Process id; of children also their process group.
    pub pid: u32,
    /// Start time in clock ticks since boot, from /proc/PID/stat.
    pub start: u64,
}

impl Process {
    /// The living process of this id.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        start_time(pid).map(|start| Self { pid, start })
    }

    /// Whether it still lives (a zombie does not).
    #[must_use]
    pub fn lives(&self) -> bool {
        start_time(self.pid) == Some(self.start)
    }

    fn id(self) -> Option<Pid> {
        i32::try_from(self.pid).ok().filter(|pid| *pid > 1).map(Pid::from_raw)
    }
}

/// Field 22 of /proc/PID/stat; nothing if there is no such process or it is a zombie.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // the name stands in parentheses and may hold anything
    let rest = stat.rsplit_once(')')?.1;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    if state == "Z" || state == "X" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// The record in the state directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Value of [`MARK`] in every process of the mesh.
    pub instance: String,
    /// The `up` itself.
    pub supervisor: Process,
    /// Its children.
    pub processes: Vec<Process>,
    /// The socket on which it listens; whoever asks may have another runtime directory in the environment.
    pub control: std::path::PathBuf,
    /// Whether the mesh was ready once.
    pub ready: bool,
    /// What commands want to know.
    pub document: Document,
}

impl Record {
    /// The record of the state directory; nothing if there is none or it cannot be read.
    #[must_use]
    pub fn read(paths: &Paths) -> Option<Self> {
        serde_json::from_slice(&fs::read(paths.record()).ok()?).ok()
    }

    /// Writes the record, at once.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, paths: &Paths) -> io::Result<()> {
        let draft = paths.record().with_extension("draft");
        fs::File::create(&draft)?.write_all(&serde_json::to_vec_pretty(self)?)?;
        fs::rename(draft, paths.record())
    }
}

/// Ends what a mesh whose supervisor is gone has left: processes, socket, files. Says what it ended.
#[must_use]
pub fn clear(paths: &Paths, record: Option<&Record>) -> usize {
    let mut ended = 0;
    if let Some(record) = record {
        let recorded: Vec<Process> = record.processes.iter().copied().filter(Process::lives).collect();
        ended += end(&recorded);
        // grandchildren, whatever became of their parents: their environment says whose they are
        ended += end(&marked(&record.instance));
    }
    for control in record.map(|record| &record.control).into_iter().chain([&paths.control]) {
        let _ = fs::remove_file(control);
        let _ = control.parent().map(fs::remove_dir);
    }
    let _ = fs::remove_dir_all(&paths.run);
    ended
}

/// Living processes of this user whose environment holds the mesh's mark.
#[must_use]
pub fn marked(instance: &str) -> Vec<Process> {
    let wanted = format!("{MARK}={instance}");
    let me = std::process::id();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        if pid != me && environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes()) {
            found.extend(Process::of(pid));
        }
    }
    found
}

/// SIGTERM, two seconds, SIGKILL, and until they are gone. Returns how many there were.
fn end(processes: &[Process]) -> usize {
    processes.iter().for_each(|process| signal_process(*process, Signal::SIGTERM));
    await_end(processes);
    kill_all(processes);
    processes.len()
}

/// Kills processes, each if it still is the one that is meant, and waits until they are gone: a killed process lives on
/// until the kernel comes to it.
pub fn kill_all(processes: &[Process]) {
    processes.iter().for_each(|process| signal_process(*process, Signal::SIGKILL));
    await_end(processes);
}

/// Waits until none of them lives, for two seconds at most.
fn await_end(processes: &[Process]) {
    let deadline = Instant::now() + Duration::from_secs(2);
    while processes.iter().any(Process::lives) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal_process(process: Process, signal: Signal) {
    if let Some(pid) = process.id().filter(|_| process.lives()) {
        let _ = kill(pid, signal);
    }
}

/// Sends a signal to a child's whole process group; a group that is gone is fine.
pub fn signal_group(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().filter(|pid| *pid > 1) {
        match killpg(Pid::from_raw(pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => eprintln!("cannot signal process group {pid}: {error}"),
        }
    }
}

/// Removes a directory if it is empty.
pub fn remove_if_empty(path: &Path) {
    let _ = fs::remove_dir(path);
}

#[cfg(test)]
mod tests;
