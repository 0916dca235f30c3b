//! `conformance.toml`: how many cases of a suite passed at least; results may rise, never fall.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

#[cfg(test)]
mod tests;

const HEADER: &str = "\
# Cases of each conformance suite that must pass. A run below a floor fails;
# `cargo xtask conformance --update` raises floors to what passes now and never lowers one.

[floors]
";

/// The file and what it says.
pub(crate) struct Floors {
    path: PathBuf,
    by_suite: BTreeMap<String, usize>,
}

impl Floors {
    /// Reads the file; none means no floors.
    ///
    /// # Errors
    /// When the file is there and is not understood.
    pub(crate) fn load(path: &Path) -> Result<Floors> {
        let mut by_suite = BTreeMap::new();
        if path.exists() {
            let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
            let document: toml::Table = text.parse().with_context(|| path.display().to_string())?;
            for (suite, floor) in document.get("floors").and_then(toml::Value::as_table).into_iter().flatten()
            {
                let floor = floor.as_integer().and_then(|floor| usize::try_from(floor).ok());
                let floor = floor
                    .with_context(|| format!("{}: floor of {suite:?} is not a count", path.display()))?;
                by_suite.insert(suite.clone(), floor);
            }
        }
        Ok(Floors { path: path.to_owned(), by_suite })
    }

    /// The floor of a suite; 0 when none is set.
    pub(crate) fn of(&self, suite: &str) -> usize {
        self.by_suite.get(suite).copied().unwrap_or(0)
    }

    /// Raises floors to `passed` and writes the file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn raise(&mut self, passed: impl Iterator<Item = (String, usize)>) -> Result<()> {
        for (suite, passed) in passed {
            let floor = self.by_suite.entry(suite).or_default();
            *floor = passed.max(*floor);
        }
        let mut text = HEADER.to_owned();
        for (suite, floor) in &self.by_suite {
            text.push_str(&format!("{suite:?} = {floor}\n"));
        }
        fs::write(&self.path, text).with_context(|| self.path.display().to_string())
    }
}
