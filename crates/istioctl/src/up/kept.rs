//! A process that the mesh keeps running: when it has died it is started again, later each time that it dies soon.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use process::retry::{Delays, Policy};

use super::children::Running;

/// From a quarter of a second, doubling, to a quarter of a minute, without end: whoever mends a program waits for it.
const AGAIN: Policy =
    Policy { initial: Duration::from_millis(250), max: Duration::from_secs(15), factor: 2.0, attempts: None };
/// What has run for this long has not died of its start; the next delay is the first again.
const SETTLED: Duration = Duration::from_secs(30);

/// One process of the mesh, alive or between two lives. Nothing happens by itself: the mesh's loop asks, so a stop
/// never races with a start.
#[derive(Debug)]
pub struct Kept {
    running: Option<Running>,
    since: Option<Instant>,
    /// When it is due to be started again.
    due: Option<Instant>,
    /// Since when it has been missed; nothing once it is back.
    missed_since: Option<Instant>,
    delays: Delays<fn() -> f64>,
}

/// A death that has just been noticed.
#[derive(Debug)]
pub struct Death {
    /// The process, for its name and output.
    pub of: Running,
    /// How it ended.
    pub status: ExitStatus,
    /// After how long it will be started again.
    pub again_in: Duration,
}

impl Default for Kept {
    fn default() -> Self {
        // alone on its machine it need not step aside for others: no jitter
        let delays = AGAIN.delays_with((|| 1.0) as fn() -> f64);
        Self { running: None, since: None, due: None, missed_since: None, delays }
    }
}

impl Kept {
    /// It runs.
    pub fn begin(&mut self, running: Running, now: Instant) {
        (self.running, self.since, self.due) = (Some(running), Some(now), None);
    }

    /// The living process, or one whose death nobody has noticed yet.
    #[must_use]
    pub fn running(&self) -> Option<&Running> {
        self.running.as_ref()
    }

    /// As [`Kept::running`], to be asked how it ended.
    pub fn running_mut(&mut self) -> Option<&mut Running> {
        self.running.as_mut()
    }

    /// The process, to be stopped; it is not started again.
    pub fn release(self) -> Option<Running> {
        self.running
    }

    /// Notices a death, once, and settles when the next life begins.
    pub fn mourn(&mut self, now: Instant) -> Option<Death> {
        let status = self.running.as_mut()?.ended()?;
        let of = self.running.take()?;
        if self.since.is_some_and(|since| now.duration_since(since) >= SETTLED) {
            self.delays.reset();
        }
        self.missed_since = self.missed_since.or(Some(now));
        Some(Death { of, status, again_in: self.postpone(now) })
    }

    /// Puts the next attempt off; says by how much.
    pub fn postpone(&mut self, now: Instant) -> Duration {
        let delay = self.delays.next().unwrap_or(AGAIN.max);
        self.due = Some(now + delay);
        delay
    }

    /// Whether it is time to start it again.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        self.running.is_none() && self.due.is_some_and(|due| due <= now)
    }

    /// Whether it has died, and has not been seen at work since.
    #[must_use]
    pub fn is_missed(&self) -> bool {
        self.missed_since.is_some()
    }

    /// Whether it runs again, since before that moment, and nobody has seen yet that it does its work.
    #[must_use]
    pub fn is_returning_before(&self, moment: Option<Instant>) -> bool {
        self.running.is_some() && self.is_missed() && self.since < moment
    }

    /// It does its work again; says how long it was missed.
    pub fn back(&mut self, now: Instant) -> Option<Duration> {
        self.missed_since.take().map(|since| now.duration_since(since))
    }
}

#[cfg(test)]
mod tests;
