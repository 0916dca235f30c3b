//! Runs every scenario through a subject, compares, and adds up; one crash costs one scenario.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, thread};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::compare::{TYPES, differences, named};
use crate::scenario::Scenario;

#[cfg(test)]
mod tests;

/// What is asked for the resources of a scenario.
pub(crate) type Subject<'a> = dyn Fn(&Scenario) -> Result<BTreeMap<String, Value>> + Sync + 'a;

/// Generated resources against golden ones.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tally {
    /// The same.
    pub(crate) equal: usize,
    /// There on both sides, not the same.
    pub(crate) differ: usize,
    /// Only in the golden file.
    pub(crate) missing: usize,
    /// Only generated.
    pub(crate) extra: usize,
}

impl Tally {
    /// All of them.
    pub(crate) fn total(&self) -> usize {
        self.equal + self.differ + self.missing + self.extra
    }

    /// Share of equal ones; 1 when there are none at all.
    #[expect(clippy::cast_precision_loss, reason = "counts of a few thousand")]
    pub(crate) fn score(&self) -> f64 {
        if self.total() == 0 { 1.0 } else { self.equal as f64 / self.total() as f64 }
    }

    fn add(&mut self, other: Tally) {
        self.equal += other.equal;
        self.differ += other.differ;
        self.missing += other.missing;
        self.extra += other.extra;
    }

    /// As an object of counts and the score.
    pub(crate) fn to_json(self) -> Value {
        json!({"equal": self.equal, "differ": self.differ, "missing": self.missing, "extra": self.extra, "score": self.score()})
    }
}

/// A field that differs somewhere.
#[derive(Clone)]
pub(crate) struct FieldPath {
    /// `<type>: <field path>`.
    pub(crate) path: String,
    /// In how many resources.
    pub(crate) count: usize,
    /// `<scenario>/<proxy> <resource>: golden ... actual ...` of the first.
    pub(crate) example: String,
}

/// The sums over all scenarios.
#[derive(Default)]
pub(crate) struct Report {
    /// By resource type.
    pub(crate) types: BTreeMap<String, Tally>,
    /// Filter chains and virtual hosts on their own; not part of the score.
    pub(crate) detail: BTreeMap<String, Tally>,
    /// By group of scenarios.
    pub(crate) groups: BTreeMap<String, Tally>,
    /// By scenario.
    pub(crate) scenarios: BTreeMap<String, Tally>,
    /// Fields that differ, most frequent first.
    pub(crate) paths: Vec<FieldPath>,
    /// Scenarios that gave nothing, and why.
    pub(crate) failures: BTreeMap<String, String>,
}

impl Report {
    /// All resources.
    pub(crate) fn total(&self) -> Tally {
        let mut total = Tally::default();
        self.types.values().for_each(|tally| total.add(*tally));
        total
    }

    /// Scenarios in which everything is equal.
    pub(crate) fn perfect(&self) -> usize {
        self.scenarios.values().filter(|tally| tally.equal == tally.total()).count()
    }

    fn add(&mut self, one: Outcome, group: &str, id: String) {
        for (kind, tally) in one.tallies {
            if kind == "filterChains" || kind == "virtualHosts" {
                self.detail.entry(kind.to_owned()).or_default().add(tally);
                continue;
            }
            self.types.entry(kind.to_owned()).or_default().add(tally);
            self.groups.entry(group.to_owned()).or_default().add(tally);
            self.scenarios.entry(id.clone()).or_default().add(tally);
        }
        for (path, example) in one.paths {
            match self.paths.iter_mut().find(|known| known.path == path) {
                Some(known) => known.count += 1,
                None => self.paths.push(FieldPath { path, count: 1, example }),
            }
        }
        if let Some(failure) = one.failure {
            self.failures.insert(id, failure);
        }
    }
}

/// One scenario's result.
#[derive(Default)]
struct Outcome {
    tallies: BTreeMap<&'static str, Tally>,
    /// Once per resource that differs there, with an example.
    paths: Vec<(String, String)>,
    failure: Option<String>,
}

/// Runs all scenarios on all cores. With `dump`, what was generated is written below it as `<group>/<scenario>/<proxy>.json`.
///
/// # Errors
/// Only when `dump` cannot be written: whatever a subject does is part of the report.
pub(crate) fn run(scenarios: &[Scenario], subject: &Subject<'_>, dump: Option<&Path>) -> Result<Report> {
    let next = AtomicUsize::new(0);
    let outcomes: Mutex<BTreeMap<usize, Result<Outcome>>> = Mutex::default();
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| -> Result<()> {
        for _ in 0..workers {
            // Unoptimised builds recurse deep on nested messages.
            thread::Builder::new().stack_size(32 << 20).spawn_scoped(scope, || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(scenario) = scenarios.get(index) else { return };
                    let outcome = run_one(scenario, subject, dump);
                    if let Ok(mut outcomes) = outcomes.lock() {
                        outcomes.insert(index, outcome);
                    }
                }
            })?;
        }
        Ok(())
    })?;
    let mut report = Report::default();
    for (index, outcome) in outcomes.into_inner().unwrap_or_default() {
        report.add(outcome?, &scenarios[index].group, scenarios[index].id());
    }
    report.paths.sort_by_key(|path| std::cmp::Reverse(path.count));
    Ok(report)
}

fn run_one(scenario: &Scenario, subject: &Subject<'_>, dump: Option<&Path>) -> Result<Outcome> {
    let (actual, failure) = match catch_unwind(AssertUnwindSafe(|| subject(scenario))) {
        Ok(Ok(actual)) => (actual, None),
        Ok(Err(error)) => (BTreeMap::new(), Some(format!("{error:#}"))),
        Err(panic) => (BTreeMap::new(), Some(format!("panic: {}", message(panic.as_ref())))),
    };
    if let Some(dump) = dump {
        let folder = dump.join(&scenario.group).join(&scenario.name);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        for (proxy, document) in &actual {
            let path = folder.join(format!("{proxy}.json"));
            fs::write(&path, serde_json::to_vec(document)?).with_context(|| path.display().to_string())?;
        }
    }
    let mut outcome = Outcome { failure, ..Outcome::default() };
    for (proxy, golden) in &scenario.golden {
        let nothing = Value::Null;
        compare(
            golden,
            actual.get(proxy).unwrap_or(&nothing),
            &format!("{}/{proxy}", scenario.id()),
            &mut outcome,
        );
    }
    Ok(outcome)
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}

fn compare(golden: &Value, actual: &Value, proxy: &str, outcome: &mut Outcome) {
    let kinds = TYPES.map(|(kind, _)| kind).into_iter().chain([
        "nameTable",
        "secrets",
        "filterChains",
        "virtualHosts",
    ]);
    for kind in kinds {
        let (golden, actual) = (named(golden, kind), named(actual, kind));
        for name in golden.keys().chain(actual.keys()).collect::<BTreeSet<_>>() {
            let tally = outcome.tallies.entry(kind).or_default();
            let (golden, actual) = match (golden.get(name), actual.get(name)) {
                (Some(golden), Some(actual)) => (golden, actual),
                (Some(_), None) => {
                    tally.missing += 1;
                    continue;
                }
                (None, _) => {
                    tally.extra += 1;
                    continue;
                }
            };
            let differences = differences(golden, actual);
            if differences.is_empty() {
                tally.equal += 1;
                continue;
            }
            tally.differ += 1;
            if kind == "filterChains" || kind == "virtualHosts" {
                continue;
            }
            let once: BTreeMap<String, String> = differences
                .iter()
                .map(|one| {
                    let (golden, actual) = (short(one.golden), short(one.actual));
                    (
                        format!("{kind}: {}", one.path),
                        format!("{proxy} {name}: golden {golden} actual {actual}"),
                    )
                })
                .collect();
            outcome.paths.extend(once);
        }
    }
}

fn short(value: Option<&Value>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string().chars().take(70).collect())
}
