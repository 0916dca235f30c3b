//! Numbers of several repetitions, and what is said of them.

#[cfg(test)]
mod tests;

/// A sample, in the order it was taken.
#[derive(Debug, Default, Clone)]
pub struct Sample(Vec<f64>);

impl Sample {
    /// One more.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// More.
    pub fn extend(&mut self, values: impl IntoIterator<Item = f64>) {
        self.0.extend(values);
    }

    /// Whether nothing was measured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The smallest value that at least this share (0 to 1) of the sample does not exceed; 0 for an empty sample.
    #[must_use]
    pub fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (sorted.len() as f64 * share).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// The middle one; 0 for an empty sample.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The smallest; 0 for an empty sample.
    #[must_use]
    pub fn min(&self) -> f64 {
        self.quantile(0.0)
    }

    /// The largest; 0 for an empty sample.
    #[must_use]
    pub fn max(&self) -> f64 {
        self.quantile(1.0)
    }

    /// Its middle, and between what it lies.
    #[must_use]
    pub fn spread(&self) -> String {
        format!("{} ({}-{})", number(self.median()), number(self.min()), number(self.max()))
    }
}

/// With as many digits as mean something.
#[must_use]
pub fn number(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        v if v.abs() < 1.0 => format!("{v:.3}"),
        v if v.abs() < 10.0 => format!("{v:.2}"),
        v if v.abs() < 100.0 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

/// How many times less the one takes than the other; a dash where one of them took nothing.
#[must_use]
pub fn ratio(ours: f64, theirs: f64) -> String {
    if theirs == 0.0 || ours == 0.0 {
        return "-".to_owned();
    }
    format!("{}x", number(theirs / ours))
}
