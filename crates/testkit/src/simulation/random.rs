//! Chance from a seed: the same seed gives the same choices on every machine.

/// A generator of choices (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The choices of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 if there is none.
    pub fn below(&mut self, end: usize) -> usize {
        // The remainder is below `end`, which is a usize.
        usize::try_from(self.any() % (end.max(1) as u64)).unwrap_or(0)
    }

    /// True in `of` out of 100 cases.
    pub fn percent(&mut self, of: u64) -> bool {
        self.any() % 100 < of
    }

    /// A time between the two, in milliseconds.
    pub fn time(&mut self, from: u64, to: u64) -> u64 {
        from + self.any() % (to - from + 1)
    }
}
