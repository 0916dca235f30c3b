//! One program beside a test: started, watched, ended for certain.

use std::fs::{self, File};
use std::io;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Error, Result, anyhow};

/// The end of a log that goes into a message.
const TAIL: usize = 20;

/// A running program. Dropped, it is killed and waited for, so that its ports and files are free again.
#[derive(Debug)]
pub struct Program {
    name: String,
    log: PathBuf,
    child: Mutex<Child>,
}

impl Program {
    /// Starts it, with what it prints going into a file.
    ///
    /// # Errors
    /// When the file cannot be made or the program cannot be started.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self> {
        Self::start_by(command, log, Command::spawn)
    }

    /// The same where `spawn` has its own way to start it.
    pub(crate) fn start_by(
        command: &mut Command,
        log: &Path,
        spawn: impl FnOnce(&mut Command) -> io::Result<Child>,
    ) -> Result<Self> {
        let program = PathBuf::from(command.get_program());
        let name = program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let out = File::create(log).with_context(|| log.display().to_string())?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let child = spawn(command).with_context(|| program.display().to_string())?;
        Ok(Self { name, log: log.to_owned(), child: Mutex::new(child) })
    }

    /// Its process, which from now on nobody here ends.
    pub(crate) fn leave(self) -> u32 {
        let program = ManuallyDrop::new(self);
        let child = program.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.id()
    }

    /// Why it no longer runs, if so.
    #[must_use]
    pub fn ended(&self) -> Option<Error> {
        let status = self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait();
        match status {
            Ok(None) => None,
            Ok(Some(status)) => Some(anyhow!("{} ended with {status}\n{}", self.name, self.tail())),
            Err(error) => Some(anyhow!("{}: {error}", self.name)),
        }
    }

    /// The last lines that it logged.
    #[must_use]
    pub fn tail(&self) -> String {
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
