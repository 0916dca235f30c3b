//! Everything a change must pass, in one command: the same here and on the server.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::workspace::{self, Workspace};
use crate::{finish, progress, tidy};

/// Checks licences, bans and sources. Advisories are not asked for: their database is fetched from a git host, and
/// a change must not fail because of what was published today.
const DENY: &str = "0.20.2";

/// Programs that link the whole product are built where everything is.
const FEATURES: [&str; 2] = ["--features", "xtask/agent,xtask/cluster"];

/// What the steps share.
struct Run {
    workspace: Workspace,
    /// Lines of test programs that say what came of them.
    test_lines: Vec<String>,
}

type Step = (&'static str, fn(&mut Run) -> Result<()>);

/// In the order of cost, but tests last: their verdict is what is read first at the end of a log.
const STEPS: [Step; 10] = [
    ("fmt", fmt),
    ("tidy", |_| tidy::run()),
    ("deny", deny),
    ("alone", alone),
    ("clippy", clippy),
    ("doc", doc),
    ("conformance", conformance),
    ("envtest", |_| api_server().map(drop)),
    ("pods", pods),
    ("tests", tests),
];

/// Runs all steps, or one. Every step runs even if one before it failed.
pub(crate) fn run(only: Option<&str>) -> Result<()> {
    let names = STEPS.map(|(name, _)| name);
    if let Some(only) = only
        && !names.contains(&only)
    {
        bail!("no step {only:?}; there are {}", names.join(", "));
    }
    let mut run = Run { workspace: Workspace::load(&workspace::root()?)?, test_lines: Vec::new() };
    let mut out = io::stdout();
    let mut results: Vec<(&str, Duration, Result<()>)> = Vec::new();
    for (name, step) in STEPS.into_iter().filter(|(name, _)| only.is_none_or(|only| only == *name)) {
        writeln!(out, "\n==> {name}")?;
        let start = Instant::now();
        let result = step(&mut run);
        if let Err(error) = &result {
            writeln!(out, "==> {name} FAILED: {error:#}")?;
        }
        results.push((name, start.elapsed(), result));
    }
    writeln!(out, "\n==> summary")?;
    for line in &run.test_lines {
        writeln!(out, "{line}")?;
    }
    for (name, time, result) in &results {
        let verdict = if result.is_ok() { "ok" } else { "FAILED" };
        writeln!(out, "{name:12} {verdict:6} {:7.1} s", time.as_secs_f64())?;
    }
    let failed: Vec<&str> =
        results.iter().filter(|(_, _, result)| result.is_err()).map(|(name, _, _)| *name).collect();
    if failed.is_empty() { Ok(()) } else { bail!("failed: {}", failed.join(", ")) }
}

fn cargo(run: &Run) -> Command {
    let mut cargo = workspace::cargo(&run.workspace.root);
    cargo.stdin(Stdio::null());
    cargo
}

fn fmt(run: &mut Run) -> Result<()> {
    finish(cargo(run).args(["fmt", "--all", "--check"]))
}

fn clippy(run: &mut Run) -> Result<()> {
    finish(
        cargo(run)
            .args(["clippy", "--workspace", "--all-targets"])
            .args(FEATURES)
            .args(["--", "-D", "warnings"]),
    )
}

/// Each crate on its own: features that only another crate switches on do not hide a missing one.
fn alone(run: &mut Run) -> Result<()> {
    for package in &run.workspace.packages {
        finish(cargo(run).args(["check", "--quiet", "-p", &package.name]))
            .with_context(|| format!("{} alone", package.name))?;
    }
    Ok(())
}

fn doc(run: &mut Run) -> Result<()> {
    finish(cargo(run).args(["doc", "--quiet", "--no-deps", "--workspace"]).env("RUSTDOCFLAGS", "-D warnings"))
}

/// Unit, integration and documentation tests; what each program came to is kept for the end of the log.
fn tests(run: &mut Run) -> Result<()> {
    // The stories start these as programs; what lies there from an earlier change is not what is tested.
    finish(cargo(run).args(["build", "-p", "pilot-discovery", "-p", "pilot-agent", "-p", "istioctl"]))?;
    let mut child = cargo(run)
        .args(["test", "--workspace", "--no-fail-fast"])
        .args(FEATURES)
        .stdout(Stdio::piped())
        .spawn()
        .context("cargo test")?;
    let stdout = child.stdout.take().context("cargo test has no output")?;
    let mut out = io::stdout();
    for line in BufReader::new(stdout).lines() {
        let line = line.context("cargo test")?;
        writeln!(out, "{line}")?;
        let failed = line.starts_with("test ") && line.ends_with("FAILED");
        if failed || line.starts_with("test result:") && !line.contains(" 0 passed; 0 failed") {
            run.test_lines.push(line);
        }
    }
    let status = child.wait()?;
    if status.success() { Ok(()) } else { bail!("cargo test ended with {status}") }
}

fn deny(run: &mut Run) -> Result<()> {
    let program = cargo_deny(run)?;
    let root = &run.workspace.root;
    finish(
        Command::new(program)
            .current_dir(root)
            .args(["--workspace", "check", "bans", "licenses", "sources"])
            .stdin(Stdio::null()),
    )
}

/// The pinned `cargo-deny`, built into the cache when it is not there.
fn cargo_deny(run: &Run) -> Result<PathBuf> {
    let tools = envoy::Places::from_environment(None).cache.join("tools");
    let program = tools.join("bin/cargo-deny");
    if says(&program, DENY) {
        return Ok(program);
    }
    writeln!(io::stdout(), "building cargo-deny {DENY} into {}", tools.display())?;
    fs::create_dir_all(&tools).with_context(|| tools.display().to_string())?;
    finish(
        cargo(run)
            .args(["install", "--quiet", "--locked", "cargo-deny", "--version", DENY, "--force", "--root"])
            .arg(&tools)
            .env("CARGO_TARGET_DIR", tools.join("target")),
    )?;
    // Half a gigabyte that nobody needs again; a leftover only costs room.
    let _ = fs::remove_dir_all(tools.join("target"));
    Ok(program)
}

fn says(program: &Path, version: &str) -> bool {
    let output = Command::new(program).arg("--version").output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim().ends_with(version))
}

/// The API server of the tests, built into the cache when it is not there.
pub(crate) fn api_server() -> Result<envtest::Assets> {
    Ok(envtest::find_or_build(&envtest::Places::from_environment(), &mut progress)?)
}

/// Programs that pods of tests need, and the packages that bring them.
const POD_PROGRAMS: [(&str, &str); 2] = [("ip", "iproute2"), ("iptables-restore", "iptables")];

/// What pods of tests need of the machine: installed where that is possible.
fn pods(_: &mut Run) -> Result<()> {
    let missing = || {
        let path = env::var_os("PATH").unwrap_or_default();
        POD_PROGRAMS.into_iter().filter(move |(program, _)| envoy::on_path(&path, program).is_none())
    };
    let packages: Vec<&str> = missing().map(|(_, package)| package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        finish(command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()))
    };
    let install = [&["install", "--yes", "--no-install-recommends"], packages.as_slice()].concat();
    // a list of packages may be missing or old
    let installed = apt(&install).or_else(|_| apt(&["update"]).and_then(|()| apt(&install)));
    if missing().next().is_some() {
        let why = installed.err().map(|error| format!(": {error:#}")).unwrap_or_default();
        bail!("tests run pods, for which this machine needs the packages {}{why}", packages.join(" and "));
    }
    Ok(())
}

/// Upstream's test data, where it stands beside the checkout (or where `$MELTEMI_CONFORMANCE_DATA` says).
fn conformance(run: &mut Run) -> Result<()> {
    let named = env::var_os("MELTEMI_CONFORMANCE_DATA").map(PathBuf::from);
    let data = named.unwrap_or_else(|| run.workspace.root.join("../shared"));
    if !data.join("conformance").is_dir() && !data.join("xds-parity").is_dir() {
        writeln!(
            io::stdout(),
            "no conformance data at {}: nothing to hold against the floors",
            data.display()
        )?;
        return Ok(());
    }
    crate::conformance(&["--data".to_owned(), data.display().to_string()])
}
