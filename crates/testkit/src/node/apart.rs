//! A whole test in a network of its own: what it starts listens there, and nobody outside can reach it.

use std::panic::resume_unwind;
use std::thread;

use anyhow::{Context as _, Result, bail};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::geteuid;

use super::network::ip;

/// Does `work` on a thread in a new network namespace whose loopback is up. Threads and processes that it starts are there
/// too; the namespace ends with the last of them. Panics if `work` does.
///
/// # Errors
/// When this is not root, or the namespace cannot be made.
pub fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    if !geteuid().is_root() {
        bail!("only root can make network namespaces: run these tests as root");
    }
    let within = || {
        unshare(CloneFlags::CLONE_NEWNET).context("a network namespace")?;
        ip(&["link", "set", "lo", "up"])?;
        Ok(work())
    };
    thread::spawn(within).join().unwrap_or_else(|panic| resume_unwind(panic))
}
