//! How much may be on its way to all clients together, and who is next.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

#[cfg(test)]
mod tests;

/// One permit is this many bytes.
const UNIT: usize = 1024;

/// The bytes that may be on their way to all clients of a server together. First come, first served.
#[derive(Debug, Clone)]
pub struct PushBudget {
    semaphore: Arc<Semaphore>,
    units: u32,
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub struct Permit {
    _units: Option<OwnedSemaphorePermit>,
}

impl PushBudget {
    /// A budget of so many bytes, at least one kibibyte.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).max(1);
        let units = units.min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
        Self { semaphore: Arc::new(Semaphore::new(units as usize)), units }
    }

    /// Waits for room for a response of so many bytes. One larger than the whole budget gets all of it.
    pub async fn acquire(&self, bytes: usize) -> Permit {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, self.units);
        // The semaphore is never closed.
        Permit { _units: self.semaphore.clone().acquire_many_owned(units).await.ok() }
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
