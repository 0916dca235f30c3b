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
