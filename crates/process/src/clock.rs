//! Clocks: the one place where time enters, so that tests can turn the hands themselves.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

#[cfg(test)]
mod tests;

/// A source of time. `now` may jump (it is the wall clock), `monotonic` never goes back.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The wall clock.
    fn now(&self) -> SystemTime;
    /// Time since an arbitrary fixed moment (the creation of the clock); never decreases.
    fn monotonic(&self) -> Duration;
}

/// The operating system's clock.
#[derive(Debug, Clone)]
pub struct Real {
    start: Instant,
}

impl Real {
    /// A real clock whose `monotonic` starts at zero now.
    #[must_use]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for Real {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for Real {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock that moves only when told to. Clones share the same hands.
#[derive(Debug, Clone)]
pub struct Virtual {
    hands: Arc<Mutex<(SystemTime, Duration)>>,
}

impl Virtual {
    /// A virtual clock that shows `now`.
    #[must_use]
    pub fn new(now: SystemTime) -> Self {
        Self { hands: Arc::new(Mutex::new((now, Duration::ZERO))) }
    }

    /// Moves both hands forward by `by`.
    pub fn advance(&self, by: Duration) {
        let mut hands = self.hands.lock();
        hands.0 += by;
        hands.1 += by;
    }

    /// Sets the wall clock alone, as an administrator or NTP would; `monotonic` does not move.
    pub fn set(&self, now: SystemTime) {
        self.hands.lock().0 = now;
    }
}

impl Clock for Virtual {
    fn now(&self) -> SystemTime {
        self.hands.lock().0
    }

    fn monotonic(&self) -> Duration {
        self.hands.lock().1
    }
}
