//! How much may be on its way to all clients together, and who is next.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

#[cfg(test)]
mod tests;

/// One permit is this many bytes.
const UNIT: usize = 1024;

/// What may be on its way to all clients of a server together, in bytes and in number. First come, first served.
#[derive(Debug, Clone)]
pub struct PushBudget {
    semaphore: Arc<Semaphore>,
    units: u32,
    /// How many; nothing where only bytes count.
    turns: Option<Arc<Semaphore>>,
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub struct Permit {
    _units: Option<OwnedSemaphorePermit>,
    _turn: Option<OwnedSemaphorePermit>,
}

impl PushBudget {
    /// A budget of so many bytes, at least one kibibyte, for so many responses at a time; 0 for any number.
    #[must_use]
    pub fn new(bytes: usize, responses: usize) -> Self {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).max(1);
        let units = units.min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
        let turns = (responses > 0).then(|| Arc::new(Semaphore::new(responses.min(Semaphore::MAX_PERMITS))));
        Self { semaphore: Arc::new(Semaphore::new(units as usize)), units, turns }
    }

    /// Waits for room for a response of so many bytes. One larger than the whole budget gets all of it.
    pub async fn acquire(&self, bytes: usize) -> Permit {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, self.units);
        // The semaphores are never closed. Who waits for bytes has its turn already, so no one holds bytes and waits.
        let turn = match &self.turns {
            Some(turns) => turns.clone().acquire_owned().await.ok(),
            None => None,
        };
        Permit { _units: self.semaphore.clone().acquire_many_owned(units).await.ok(), _turn: turn }
    }

    /// Bytes taken at the moment, in whole kibibytes.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        (self.units as usize - self.semaphore.available_permits()) * UNIT
    }

    /// The whole budget in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.units as usize * UNIT
    }
}
