//! The last step before a child's own program: tied to its parent's life, given its private /etc/hosts, then exec.
//!
//! It is a program of its own because entering a user namespace needs a single-threaded process, and because
//! this way no code runs between fork and exec of the supervisor.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getgid, getppid, getuid};

use crate::args::Enter;

/// Exit code of a command that could not be started, as shells have it.
const NOT_STARTED: u8 = 127;

/// Runs `istioctl enter`; comes back only if something failed (or with `--probe`).
#[must_use]
pub fn run(args: &Enter) -> ExitCode {
    match enter(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("istioctl enter: {error:#}");
            ExitCode::from(NOT_STARTED)
        }
    }
}

fn enter(args: &Enter) -> anyhow::Result<()> {
    if let Some(hosts) = &args.hosts {
        private_hosts(hosts)?;
    }
    if args.probe {
        return Ok(());
    }
    // after the namespace: changing credentials may clear it
    if let Some(parent) = args.parent {
        prctl::set_pdeathsig(Signal::SIGTERM)?;
        anyhow::ensure!(getppid() == Pid::from_raw(parent), "the mesh has ended");
    }
    let Some((program, rest)) = args.command.split_first() else { anyhow::bail!("no command") };
    let error = Command::new(program).args(rest).exec();
    Err(anyhow::Error::new(error).context(format!("cannot start {program}")))
}

/// A user namespace in which this user keeps its ids, and a mount namespace with `hosts` over /etc/hosts.
/// One user namespace, not two: with a nested one no debugger could join later.
fn private_hosts(hosts: &Path) -> anyhow::Result<()> {
    let (uid, gid) = (getuid(), getgid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
    std::fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none)?;
    mount(Some(hosts), "/etc/hosts", none, MsFlags::MS_BIND, none)?;
    Ok(())
}
