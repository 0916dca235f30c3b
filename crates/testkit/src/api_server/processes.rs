//! One program of an API server: started, watched, ended for certain.

use std::fs::{self, File};
use std::mem::ManuallyDrop;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Error, Result, anyhow};

/// The end of a log that goes into a message.
const TAIL: usize = 20;

/// Where the programs listen, all on loopback.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) etcd: u16,
    pub(super) peer: u16,
    pub(super) server: u16,
}

impl Ports {
    /// Three that are free now.
    pub(super) fn free() -> Result<Self> {
        let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a free port");
        // held together, so that no two are one
        let (etcd, peer, server) = (bind()?, bind()?, bind()?);
        let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
        Ok(Self { etcd: port(&etcd)?, peer: port(&peer)?, server: port(&server)? })
    }
}

/// Whether what interrupts this process interrupts the program, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    Ours,
    Own,
}

/// A running program. Dropped, it is killed and waited for, so that its ports and files are free again.
#[derive(Debug)]
pub(super) struct Program {
    name: String,
    log: PathBuf,
    child: Mutex<Child>,
}

impl Program {
    pub(super) fn start(program: &Path, log: &Path, flags: &[String], group: Group) -> Result<Self> {
        let name = program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let out = File::create(log).with_context(|| log.display().to_string())?;
        let mut command = Command::new(program);
        if group == Group::Own {
            command.process_group(0);
        }
        let child = command
            .args(flags)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| program.display().to_string())?;
        Ok(Self { name, log: log.to_owned(), child: Mutex::new(child) })
    }

    /// Its process, which from now on nobody here ends.
    pub(super) fn leave(self) -> u32 {
        let program = ManuallyDrop::new(self);
        let child = program.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.id()
    }

    /// Why it no longer runs, if so.
    pub(super) fn ended(&self) -> Option<Error> {
        let status = self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait();
        match status {
            Ok(None) => None,
            Ok(Some(status)) => Some(anyhow!("{} ended with {status}\n{}", self.name, self.tail())),
            Err(error) => Some(anyhow!("{}: {error}", self.name)),
        }
    }

    /// The last lines that it logged.
    pub(super) fn tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        format!("{}:\n{}\n", self.name, lines[lines.len().saturating_sub(TAIL)..].join("\n"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        // it may be gone already
        let _ = child.kill();
        let _ = child.wait();
    }
}
