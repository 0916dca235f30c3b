//! Signals: the first request to stop is polite, the second is not.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

#[cfg(test)]
mod tests;

/// A request to stop, as the operating system delivered it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The first SIGTERM or SIGINT: finish what is under way, then end.
    Graceful(&'static str),
    /// Any later one: end at once.
    Hard(&'static str),
}

/// The process's SIGTERM and SIGINT, from installation on. Installed signals no longer end the process by themselves.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    seen: bool,
}

impl Signals {
    /// Takes over SIGTERM and SIGINT. Needs a running tokio runtime.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            seen: false,
        })
    }

    /// Waits for the next request to stop: `Graceful` the first time, `Hard` from then on. Cancel-safe.
    pub async fn next(&mut self) -> Stop {
        let name = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        };
        if std::mem::replace(&mut self.seen, true) { Stop::Hard(name) } else { Stop::Graceful(name) }
    }
}

/// A signal that a process can send itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Raised {
    /// SIGTERM: stop, as [`Signals`] has it.
    Terminate,
    /// SIGUSR1, which means nothing here: it is taken, and nothing happens.
    User1,
}

/// Sends this process a signal. One that means nothing does not end it: from the first time on it is taken care of, which
/// needs a running tokio runtime.
pub fn raise(raised: Raised) -> io::Result<()> {
    let which = match raised {
        Raised::Terminate => nix::sys::signal::SIGTERM,
        Raised::User1 => {
            // left to itself, the system ends the process; who listens for it stays installed for good
            drop(signal(SignalKind::user_defined1())?);
            nix::sys::signal::SIGUSR1
        }
    };
    nix::sys::signal::kill(nix::unistd::Pid::this(), which).map_err(io::Error::from)
}
