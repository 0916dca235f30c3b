//! The last step before Envoy: a process of this same program that ties its life to the agent's and becomes Envoy.
//!
//! Only a child can ask to be killed with its parent, and only between fork and exec. Rust allows no code there without
//! `unsafe`, so the agent starts itself once more, and that process executes Envoy in its own place.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Pid, Uid, getppid, setgid, setgroups, setuid};

/// The hidden subcommand under which the agent starts itself.
pub const LAUNCH_SUBCOMMAND: &str = "launch-envoy";

/// What the launching process is told.
#[derive(Clone, Debug, clap::Args)]
pub struct LaunchArgs {
    /// Process id of the agent.
    #[arg(long)]
    pub parent: i32,
    /// User and group to become.
    #[arg(long)]
    pub run_as: Option<u32>,
    /// Envoy's binary.
    #[arg(long)]
    pub binary: PathBuf,
    /// Envoy's arguments.
    #[arg(last = true, allow_hyphen_values = true)]
    pub args: Vec<String>,
}

/// Becomes Envoy; comes back only with the reason why not.
#[must_use]
pub fn launch(args: &LaunchArgs) -> std::io::Error {
    if let Some(id) = args.run_as {
        // Before the tie: a change of credentials undoes it.
        let changed =
            setgroups(&[]).and_then(|()| setgid(Gid::from_raw(id))).and_then(|()| setuid(Uid::from_raw(id)));
        if let Err(error) = changed {
            return error.into();
        }
    }
    if let Err(error) = set_pdeathsig(Signal::SIGKILL) {
        return error.into();
    }
    if getppid() != Pid::from_raw(args.parent) {
        return std::io::Error::other("the agent is gone already");
    }
    Command::new(&args.binary).args(&args.args).exec()
}
