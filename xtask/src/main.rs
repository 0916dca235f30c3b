//! xtask - the project's automation: the same commands on every machine.
//! In: the workspace. Out: a verdict on it, or files and programs made from it.
//! Here: ci, tidy, map, conformance, bench, simulate, envoy, envtest, cluster, up.
//! Never here: anything the product needs at run time.
//! Start reading at: ci.rs

mod bench;
mod ci;
mod map;
mod simulate;
mod tidy;
mod workspace;

use std::io::{self, Write};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

use workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Automation of this workspace")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything a change must pass
    Ci {
        /// Only this step, such as `tidy` or `tests`
        #[arg(long)]
        only: Option<String>,
    },
    /// Rules of the architecture and the style that a machine can check
    Tidy,
    /// Writes what is generated from declarations: `docs/reference`
    Codegen {
        /// Write nothing; fail when a file is out of date
        #[arg(long)]
        check: bool,
    },
    /// Writes the crates' cards into ARCHITECTURE.md
    Map {
        /// Write nothing; fail when the file is out of date
        #[arg(long)]
        check: bool,
    },
    /// Upstream's test data against the product (`--help` after it says more)
    #[command(disable_help_flag = true)]
    Conformance {
        /// Passed on
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// What the control plane takes for a mesh of a hundred or a thousand services (`--help` after it says more)
    #[command(disable_help_flag = true)]
    Bench {
        /// Passed on
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Random edits and faults against the control plane on a virtual clock; a failing seed prints its steps
    Simulate {
        /// How many seeds
        #[arg(long, default_value_t = 1)]
        seeds: u64,
        /// The first one
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Finds Envoy, or installs it into the cache, and prints its path
    Envoy {
        /// Take this binary
        #[arg(long)]
        envoy: Option<std::path::PathBuf>,
    },
    /// Finds etcd and kube-apiserver for the tests, or builds them into the cache, and prints their paths
    Envtest,
    /// Starts or stops a Kubernetes API server on this machine (`--help` after it says more)
    #[command(disable_help_flag = true)]
    Cluster {
        /// Passed on
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Builds the programs and starts a mesh on this machine (`istioctl up`)
    #[command(disable_help_flag = true)]
    Up {
        /// Passed on
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when stderr is gone.
            let _ = writeln!(io::stderr(), "xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Ci { only } => ci::run(only.as_deref()),
        Task::Tidy => tidy::run(),
        Task::Codegen { check } => codegen(check),
        Task::Map { check } => map::run(check),
        Task::Conformance { rest } => conformance(&rest),
        Task::Bench { rest } => bench::run(&rest),
        Task::Simulate { seeds, seed } => simulate::run(seeds, seed),
        Task::Envoy { envoy } => print_envoy(envoy),
        Task::Envtest => print_envtest(),
        Task::Cluster { rest } => cluster(&rest),
        Task::Up { rest } => up(&rest),
    }
}

/// The pages are compared in a test, which writes them when it is told to.
fn codegen(check: bool) -> Result<()> {
    let root = workspace::root()?;
    let mut cargo = workspace::cargo(&root);
    cargo.args(["test", "--quiet", "--package", "pilot-discovery", "--lib", "reference::tests"]);
    finish(if check { &mut cargo } else { cargo.env("UPDATE_EXPECT", "1") })
}

/// The runner links the whole product, so it is a program of its own.
fn conformance(rest: &[String]) -> Result<()> {
    let by_api_server = rest.iter().any(|word| word == "--kube");
    program("conformance", if by_api_server { "cluster,agent,istioctl" } else { "agent,istioctl" }, rest)
}

/// A program of this package that is built only when it is asked for.
fn program(name: &str, features: &str, rest: &[String]) -> Result<()> {
    let root = workspace::root()?;
    let mut cargo = workspace::cargo(&root);
    cargo.args(["run", "--quiet", "--package", "xtask", "--features", features, "--bin", name, "--"]);
    finish(cargo.args(rest))
}

/// The tests' API server, which has to be there first.
fn cluster(rest: &[String]) -> Result<()> {
    ci::api_server()?;
    program("cluster", "cluster", rest)
}

fn print_envoy(named: Option<std::path::PathBuf>) -> Result<()> {
    let places = envoy::Places::from_environment(named);
    let envoy = envoy::find_or_install(&places, &mut progress)?;
    writeln!(io::stdout(), "{}", envoy.path.display())?;
    Ok(())
}

/// Says what takes long. A lost line of it is no reason to stop.
fn progress(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn print_envtest() -> Result<()> {
    let assets = ci::api_server()?;
    writeln!(io::stdout(), "{}\n{}", assets.etcd.display(), assets.kube_apiserver.display())?;
    Ok(())
}

fn up(rest: &[String]) -> Result<()> {
    let root = workspace::root()?;
    let workspace = Workspace::load(&root)?;
    let mut build = workspace::cargo(&root);
    finish(build.args([
        "build",
        "--release",
        "-p",
        "istioctl",
        "-p",
        "pilot-discovery",
        "-p",
        "pilot-agent",
    ]))?;
    finish(Command::new(workspace.target.join("release/istioctl")).arg("up").args(rest))
}

/// Runs to the end; an exit code other than 0 is an error.
fn finish(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("cannot run {program}"))?;
    if !status.success() {
        bail!("{program} ended with {status}");
    }
    Ok(())
}
