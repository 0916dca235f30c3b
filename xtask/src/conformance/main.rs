//! conformance - runs upstream's test data through the product and holds the results against their floors.
//! In: a folder with `conformance/` and `xds-parity/`. Out: passed/total per suite, generated JSON to look at.
//! Here: loading, asking, comparing, counting.
//! Never here: behaviour of the product; a case is never special-cased.
//! Start reading at: parity.rs

#[cfg(feature = "agent")]
mod bootstrap;
#[cfg(feature = "cluster")]
mod cluster;
mod compare;
mod corpus;
mod echo;
mod floors;
#[cfg(feature = "istioctl")]
mod istioctl;
mod parity;
mod scenario;
mod subject;
mod subscribe;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use anyhow::{Context, Result, bail};
use clap::Parser;
use serde_json::{Value, json};

use floors::Floors;
use parity::{Report, Subject, Tally};
use scenario::Scenario;

/// Runs the conformance suites.
#[derive(Parser)]
#[command(name = "cargo xtask conformance")]
struct Arguments {
    /// Folder with `conformance/` and `xds-parity/` [default: ../shared beside the workspace]
    #[arg(long)]
    data: Option<PathBuf>,
    /// Only suites whose name starts with this, such as `xds-parity` or `bootstrap`
    #[arg(long)]
    suite: Option<String>,
    /// Only parity scenarios whose `<group>/<name>` contains this; floors are then not checked
    #[arg(long, default_value = "")]
    only: String,
    /// Write everything that was counted to this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// Fields that differ most: how many to print
    #[arg(long, default_value_t = 15)]
    top: usize,
    /// Compare the files of this folder (`<group>/<scenario>/<proxy>.json`) instead of generating; checks no floors
    #[arg(long)]
    actual: Option<PathBuf>,
    /// Write the objects of each scenario to API servers and read them from there; checks no floors
    #[arg(long)]
    kube: bool,
    /// Raise the floors to what passes now
    #[arg(long)]
    update: bool,
    /// Failed cases: print them all
    #[arg(long)]
    failures: bool,
}

/// Passed and total of a suite.
type Counts = (usize, usize);

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "conformance: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask stands in the workspace")?;
    let data = arguments.data.clone().unwrap_or_else(|| root.join("../shared"));
    if !data.join("xds-parity").is_dir() && !data.join("conformance").is_dir() {
        bail!("{} holds neither xds-parity/ nor conformance/; name the folder with --data", data.display());
    }
    let mut out = io::stdout().lock();
    let mut suites: BTreeMap<String, Counts> = BTreeMap::new();
    let mut document = serde_json::Map::new();

    #[cfg(feature = "cluster")]
    let clusters = cluster::Clusters::new()?;
    let product: &Subject<'_> = match &arguments.actual {
        Some(folder) => &|scenario| read_actual(folder, scenario),
        #[cfg(feature = "cluster")]
        None if arguments.kube => &|scenario| clusters.generate(scenario),
        None => &subject::generate,
    };
    for (name, subject) in [("proto-json", &echo::generate as &Subject<'_>), ("xds-parity", product)] {
        if !wanted(arguments, name) || !data.join("xds-parity").is_dir() {
            continue;
        }
        let scenarios = scenario::load_all(&data.join("xds-parity"), &arguments.only)?;
        let generated = name == "xds-parity" && arguments.actual.is_none();
        let dump = if generated { Some(target_dir()?.join("parity")) } else { None };
        let report = parity::run(&scenarios, subject, dump.as_deref())?;
        print_report(&mut out, name, &report, arguments)?;
        suites.extend(parity_counts(name, &report));
        document.insert(name.to_owned(), report_json(&report, arguments.top));
        if let Some(dump) = dump {
            writeln!(out, "generated: {}", dump.display())?;
        }
    }
    if data.join("conformance").is_dir() {
        for corpus in corpus::load_all(&data.join("conformance"))? {
            if wanted(arguments, &corpus.name) {
                let passed = run_corpus(&mut out, &data.join("conformance"), &corpus, arguments.failures)?;
                suites.insert(corpus.name.clone(), (passed, corpus.total()));
            }
        }
    }
    finish(&mut out, arguments, root, &suites, document)
}

/// What somebody else generated; a proxy without a file received nothing.
fn read_actual(folder: &Path, scenario: &Scenario) -> Result<BTreeMap<String, Value>> {
    let mut out = BTreeMap::new();
    for proxy in scenario.golden.keys() {
        let path = folder.join(scenario.id()).join(format!("{proxy}.json"));
        if path.exists() {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            out.insert(
                proxy.clone(),
                serde_json::from_str(&text).with_context(|| path.display().to_string())?,
            );
        }
    }
    Ok(out)
}

fn run_corpus(out: &mut impl Write, folder: &Path, corpus: &corpus::Corpus, all: bool) -> Result<usize> {
    let Some(runner) = corpus.runner() else { return Ok(0) };
    let cases = runner(folder).map_err(anyhow::Error::msg)?;
    let failed: Vec<_> =
        cases.iter().filter_map(|(name, result)| Some((name, result.as_ref().err()?))).collect();
    let shown = if all { failed.len() } else { 5 };
    for (name, why) in failed.iter().take(shown) {
        writeln!(out, "{}: {name}: {why}", corpus.name)?;
    }
    Ok(cases.len() - failed.len())
}

/// Prints the suites against their floors; false when one is below.
fn finish(
    out: &mut impl Write,
    arguments: &Arguments,
    root: &Path,
    suites: &BTreeMap<String, Counts>,
    mut document: serde_json::Map<String, Value>,
) -> Result<bool> {
    let mut floors = Floors::load(&root.join("conformance.toml"))?;
    let whole = arguments.only.is_empty() && arguments.actual.is_none() && !arguments.kube;
    let mut fine = true;
    writeln!(out, "\n{:34} {:>7} {:>7} {:>7}", "suite", "passed", "total", "floor")?;
    for (suite, (passed, total)) in suites {
        let floor = floors.of(suite);
        let below = whole && *passed < floor;
        fine &= !below;
        let mark = if below { "  BELOW ITS FLOOR" } else { "" };
        writeln!(out, "{suite:34} {passed:7} {total:7} {floor:7}{mark}")?;
    }
    if let Some(path) = &arguments.json {
        let counts = |(passed, total): &Counts| json!({"passed": passed, "total": total});
        let suites = suites.iter().map(|(suite, both)| (suite.clone(), counts(both))).collect();
        document.insert("suites".to_owned(), Value::Object(suites));
        fs::write(path, serde_json::to_vec_pretty(&document)?).with_context(|| path.display().to_string())?;
    }
    if arguments.update && whole {
        floors.raise(suites.iter().map(|(suite, (passed, _))| (suite.clone(), *passed)))?;
    }
    Ok(fine)
}

fn wanted(arguments: &Arguments, suite: &str) -> bool {
    arguments.suite.as_ref().is_none_or(|prefix| suite.starts_with(prefix.as_str()))
}

/// The folder that cargo builds into: this program stands in `<target>/<profile>/`.
fn target_dir() -> Result<PathBuf> {
    let program = env::current_exe()?;
    program.ancestors().nth(2).map(Path::to_owned).context("the program stands in a target folder")
}

fn parity_counts(name: &str, report: &Report) -> BTreeMap<String, Counts> {
    let total = report.total();
    let mut out = BTreeMap::from([(name.to_owned(), (total.equal, total.total()))]);
    if name == "xds-parity" {
        out.insert(format!("{name}/perfect-scenarios"), (report.perfect(), report.scenarios.len()));
        for (kind, tally) in &report.types {
            out.insert(format!("{name}/{kind}"), (tally.equal, tally.total()));
        }
    }
    out
}

fn print_report(out: &mut impl Write, name: &str, report: &Report, arguments: &Arguments) -> Result<()> {
    let total = report.total();
    if total.equal == total.total() {
        return Ok(());
    }
    print_table(out, &format!("{name}: type"), &report.types)?;
    print_table(out, "inside listeners and routes (not scored)", &report.detail)?;
    print_table(out, "group", &report.groups)?;
    writeln!(
        out,
        "\n{name}: score {:.4} ({}/{}); perfect scenarios {}/{}",
        total.score(),
        total.equal,
        total.total(),
        report.perfect(),
        report.scenarios.len()
    )?;
    let shown = if arguments.failures { report.failures.len() } else { 5 };
    for (scenario, why) in report.failures.iter().take(shown) {
        writeln!(out, "FAILED {scenario}: {why}")?;
    }
    if report.failures.len() > shown {
        writeln!(out, "FAILED: {} more (--failures shows all)", report.failures.len() - shown)?;
    }
    for path in report.paths.iter().take(arguments.top) {
        writeln!(out, "{:6} {}\n         e.g. {}", path.count, path.path, path.example)?;
    }
    Ok(())
}

fn print_table(out: &mut impl Write, title: &str, rows: &BTreeMap<String, Tally>) -> Result<()> {
    writeln!(
        out,
        "\n{title:42} {:>7} {:>7} {:>7} {:>7} {:>7}",
        "score", "equal", "differ", "missing", "extra"
    )?;
    for (name, row) in rows {
        let Tally { equal, differ, missing, extra } = row;
        writeln!(out, "{name:42} {:7.4} {equal:7} {differ:7} {missing:7} {extra:7}", row.score())?;
    }
    Ok(())
}

fn report_json(report: &Report, top: usize) -> Value {
    let map = |rows: &BTreeMap<String, Tally>| -> Value {
        rows.iter().map(|(name, row)| (name.clone(), row.to_json())).collect::<serde_json::Map<_, _>>().into()
    };
    let paths = report.paths.iter().take(top.max(100));
    json!({
        "total": report.total().to_json(),
        "perfect_scenarios": report.perfect(),
        "scenario_count": report.scenarios.len(),
        "types": map(&report.types),
        "detail": map(&report.detail),
        "groups": map(&report.groups),
        "scenarios": map(&report.scenarios),
        "failures": report.failures,
        "paths": paths.map(|path| json!([path.path, path.count, path.example])).collect::<Vec<_>>(),
    })
}
