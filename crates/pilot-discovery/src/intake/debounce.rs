//! When to commit what arrived: a change at a quiet moment at once, a burst as one.

use std::time::Duration;

/// Decides by the times at which changes arrive; it has no clock of its own.
#[derive(Debug, Clone)]
pub struct Debounce {
    /// A burst is over after this long without changes (`PILOT_DEBOUNCE_AFTER`).
    after: Duration,
    /// Nothing waits longer than this (`PILOT_DEBOUNCE_MAX`).
    max: Duration,
    last: Option<Duration>,
    /// When the first change arrived that has not been taken, and when it is due.
    waiting: Option<(Duration, Duration)>,
}

impl Debounce {
    /// With nothing waiting.
    #[must_use]
    pub fn new(after: Duration, max: Duration) -> Self {
        Self { after, max, last: None, waiting: None }
    }

    /// A change arrived.
    pub fn arrived(&mut self, now: Duration) {
        let quiet = self.last.is_none_or(|last| now.saturating_sub(last) >= self.after);
        let first = self.waiting.map_or(now, |(first, _)| first);
        let due = match self.waiting {
            None if quiet => now,
            _ => (now + self.after).min(first + self.max),
        };
        self.last = Some(now);
        self.waiting = Some((first, due));
    }

    /// When what waits is due; `None` if nothing waits.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        self.waiting.map(|(_, due)| due)
    }

    /// What waited was taken; how long its first change had waited.
    pub fn taken(&mut self, now: Duration) -> Duration {
        let waited = self.waiting.take().map(|(first, _)| now.saturating_sub(first));
        waited.unwrap_or_default()
    }
}
