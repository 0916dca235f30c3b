//! istioctl - the command line: a mesh on this machine (`up`), and Istio's views of any mesh.
//! In: arguments, YAML folders, clusters, Envoy's admin ports, the control plane's pages. Out: tables, JSON, processes.
//! Here: `up`, `run`, `down`, `export`, the sample bookinfo, what looks at proxies and control planes, remote secrets.
//! Never here: what a mesh means (`mesh`), how it becomes xDS (`generate`), writes to a cluster (`controllers`).
//! Start reading at: args.rs, then up.rs
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks on stdout and stderr")]

pub mod admin;
pub mod args;
pub mod bookinfo;
pub mod cluster;
pub mod commands;
pub mod fetch;
pub mod internal_debug;
pub mod plane;
pub mod print;
pub mod proxy_config;
pub mod proxy_status;
pub mod remote_clusters;
pub mod remote_secret;
pub mod up;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Admin, Administration, Command, Experiment, Experimental, Root};

/// Exit code of wrong usage, as sysexits and Istio have it.
const USAGE: u8 = 64;

/// Runs the program: arguments to exit code.
#[must_use]
pub fn main() -> ExitCode {
    let root = match Root::try_parse() {
        Ok(root) => root,
        Err(error) => {
            let failed = error.use_stderr()
                && error.kind() != clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
            let _ = error.print();
            return if failed { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    // before any thread exists: entering a namespace and exec are for single-threaded processes
    if let Command::Enter(enter) = &root.command {
        return up::enter::run(enter);
    }
    // one thread: children die with the thread that started them (PDEATHSIG), so that thread is the main one
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("Error: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(root)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a command whose outcome is what it prints, and returns that.
///
/// # Errors
/// As the command, and for a command that is about processes of this machine.
pub async fn look(root: Root) -> anyhow::Result<String> {
    match root.command {
        Command::Version(args) => commands::version(&args, &root.global).await,
        Command::ProxyStatus(args) => commands::proxy_status(&args, &root.global).await,
        Command::ProxyConfig(args) => commands::proxy_config(args.section, &root.global).await,
        Command::RemoteClusters(args) => remote_clusters::run(&args, &root.global).await,
        Command::Admin(Admin { command: Administration::Log(args) }) => admin::log(&args, &root.global).await,
        Command::CreateRemoteSecret(args) => remote_secret::run(&args, &root.global).await,
        Command::Experimental(Experimental { command }) => match command {
            Experiment::InternalDebug(args) => internal_debug::run(&args, &root.global).await,
            Experiment::CreateRemoteSecret(args) => remote_secret::run(&args, &root.global).await,
            Experiment::ProxyStatus(args) => commands::proxy_status(&args, &root.global).await,
            Experiment::Version(args) => commands::version(&args, &root.global).await,
        },
        _ => anyhow::bail!("this command starts or stops processes"),
    }
}

async fn run(root: Root) -> anyhow::Result<ExitCode> {
    match root.command {
        Command::Up(args) => return up::run(args).await,
        Command::Down => up::down().await?,
        Command::Run(args) => return up::join::run(&args, &root.global.namespace).await,
        Command::Export(args) => up::export::run(args.folder.as_deref())?,
        Command::Bookinfo(args) => bookinfo::serve(args.service, args.port, &args.version).await?,
        Command::Enter(_) => {}
        _ => print!("{}", look(root).await?),
    }
    Ok(ExitCode::SUCCESS)
}
