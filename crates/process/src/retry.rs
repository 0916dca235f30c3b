//! Retry delays: exponential growth with full jitter, as an iterator of durations.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

#[cfg(test)]
mod tests;

/// The shape of a back-off. The n-th delay is drawn evenly from `0 ..= min(initial * factor^n, max)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// Ceiling of the first delay.
    pub initial: Duration,
    /// Ceiling of every delay.
    pub max: Duration,
    /// Growth of the ceiling from one delay to the next; values below 1 count as 1.
    pub factor: f64,
    /// Delays given before the iterator ends; `None` goes on for ever.
    pub attempts: Option<u32>,
}

impl Default for Policy {
    /// Half a second, growing by 1.5, up to a minute, without end: as upstream's pkg/backoff defaults.
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(500),
            max: Duration::from_secs(60),
            factor: 1.5,
            attempts: None,
        }
    }
}

impl Policy {
    /// The delays, with randomness of the process.
    #[must_use]
    pub fn delays(self) -> Delays<impl FnMut() -> f64> {
        let mut state = RandomState::new().build_hasher().finish();
        self.delays_with(move || split_mix(&mut state))
    }

    /// The delays, with the caller's randomness: `random` gives numbers in `0.0 ..= 1.0`; anything else is
    /// clamped into that range.
    pub fn delays_with<R: FnMut() -> f64>(self, random: R) -> Delays<R> {
        Delays { policy: self, ceiling: self.initial.min(self.max), given: 0, random }
    }
}

/// The delays of one sequence of attempts.
#[derive(Debug)]
pub struct Delays<R> {
    policy: Policy,
    ceiling: Duration,
    given: u32,
    random: R,
}

impl<R> Delays<R> {
    /// Starts again from the first delay, as after a success.
    pub fn reset(&mut self) {
        self.ceiling = self.policy.initial.min(self.policy.max);
        self.given = 0;
    }
}

impl<R: FnMut() -> f64> Iterator for Delays<R> {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.policy.attempts.is_some_and(|limit| self.given >= limit) {
            return None;
        }
        self.given = self.given.saturating_add(1);
        let drawn = (self.random)();
        let share = if drawn.is_nan() { 1.0 } else { drawn.clamp(0.0, 1.0) };
        // Rounding may end a nanosecond above the ceiling.
        let delay = self.ceiling.mul_f64(share).min(self.ceiling);
        let factor = if self.policy.factor >= 1.0 { self.policy.factor } else { 1.0 };
        let grown = self.ceiling.as_secs_f64() * factor;
        self.ceiling = Duration::try_from_secs_f64(grown).map_or(self.policy.max, |c| c.min(self.policy.max));
        Some(delay)
    }
}

/// SplitMix64: small, and good enough to spread clients out.
fn split_mix(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (z >> 11) as f64 / (1u64 << 53) as f64
}
