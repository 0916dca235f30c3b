//! The suites of `conformance/`: JSON files with cases, and the runners of those that the product can answer.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

#[cfg(test)]
mod tests;

/// One JSON file of cases.
pub(crate) struct Corpus {
    /// File name without `.json`.
    pub(crate) name: String,
    /// The whole file.
    pub(crate) document: Value,
}

/// What came of one case: its name, and why it failed.
pub(crate) type Case = (String, Result<(), String>);

/// Runs every case of a corpus, given the folder of all of them. An error is about the data, not about a case.
pub(crate) type Runner = fn(&Path) -> Result<Vec<Case>, String>;

/// Runners by corpus. Each is a module of its own beside this one; a corpus without one counts as 0 passed.
const RUNNERS: &[(&str, Runner)] = &[
    #[cfg(feature = "agent")]
    ("bootstrap", crate::bootstrap::run),
    #[cfg(feature = "istioctl")]
    ("istioctl", crate::istioctl::run),
];

/// Lists of a corpus that hold cases.
const LISTS: [&str; 6] =
    ["cases", "sidecar_route_cases", "helm_cases", "invalid_examples", "ingress_class_table", "tests"];

impl Corpus {
    /// The runner, if there is one.
    pub(crate) fn runner(&self) -> Option<Runner> {
        RUNNERS.iter().find(|(name, _)| *name == self.name).map(|(_, runner)| *runner)
    }

    /// How many cases the file has.
    pub(crate) fn total(&self) -> usize {
        let count = |holder: &Value| -> usize {
            LISTS.iter().filter_map(|list| holder.get(list)?.as_array()).map(Vec::len).sum()
        };
        let suites = self.document["suites"].as_array();
        count(&self.document) + suites.into_iter().flatten().map(count).sum::<usize>()
    }
}

/// Every corpus of the folder, by name.
///
/// # Errors
/// When a file cannot be read or is not JSON.
pub(crate) fn load_all(folder: &Path) -> Result<Vec<Corpus>> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".json")) else {
            continue;
        };
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let document = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        out.push(Corpus { name: name.to_owned(), document });
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(out)
}
