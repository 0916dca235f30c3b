//! pilot-agent - the program: parses the command line and hands over to the library.
//! In: arguments, environment. Out: an exit code, which is Envoy's where Envoy ended by itself.
//! Here: the log, the runtime, the choice of the command.
//! Never here: what a command does.
//! Start reading at: wiring.rs

use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::Parser;
use pilot_agent::args::{Cli, Command, LogFlags, ProxyFlags, without_unknown_flags};
use pilot_agent::environment::Environment;
use pilot_agent::settings::Settings;
use pilot_agent::{commands, envoy, wiring};
use process::log::Scope;

const SCOPES: [Scope; 6] = [
    Scope { name: "xdsproxy", description: "XDS Proxy in Istio Agent" },
    Scope { name: "sds", description: "SDS server of the agent" },
    Scope { name: "cache", description: "certificates and their rotation" },
    Scope { name: "dns", description: "Istio DNS proxy" },
    Scope { name: "probes", description: "Status of forwarded application probes" },
    Scope { name: "healthcheck", description: "Health Checks performed by Istio-Agent" },
];

// The allocator is the system's: an arena of its own cost more memory than all that the agent keeps in it.
fn main() -> ExitCode {
    let started = Instant::now();
    let (args, dropped) = without_unknown_flags(std::env::args_os().collect());
    let cli = Cli::parse_from(args);
    match dispatch(cli, &dropped, started) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(cli: Cli, dropped: &[String], started: Instant) -> anyhow::Result<u8> {
    match cli.command {
        Command::LaunchEnvoy(args) => {
            let error = envoy::launch(&args);
            Err(error).with_context(|| format!("cannot become {}", args.binary.display()))
        }
        Command::Version(flags) => {
            commands::version(&flags, &mut stdout()).context("cannot write the version")?;
            Ok(0)
        }
        Command::Request(flags) => {
            // Nothing but the answer may be on standard output.
            runtime()?.block_on(commands::request(&flags, &mut stdout()))?;
            Ok(0)
        }
        Command::Wait(flags) => {
            start_log(&cli.log)?;
            runtime()?.block_on(commands::wait(&flags))?;
            Ok(0)
        }
        Command::Proxy(flags) => proxy(*flags, &cli.log, dropped, started),
    }
}

fn proxy(mut flags: ProxyFlags, log: &LogFlags, dropped: &[String], started: Instant) -> anyhow::Result<u8> {
    let launcher = std::env::current_exe().context("cannot find this program")?;
    if let Some(dir) = &flags.base_dir {
        // What is named on the command line is named from where the user stands.
        for path in [flags.binary_path.as_mut(), flags.template_file.as_mut()].into_iter().flatten() {
            *path = std::path::absolute(&*path)?;
        }
        std::fs::create_dir_all(dir)
            .and_then(|()| std::env::set_current_dir(dir))
            .with_context(|| format!("--baseDir {}", dir.display()))?;
    }
    start_log(log)?;
    for flag in dropped {
        tracing::warn!("unknown flag {flag} left out");
    }
    let settings = Settings::gather(&flags, Environment::of_process(), log.as_json)?;
    tracing::info!("Proxy role {}", settings.place.node_id());
    tracing::info!("Effective config: {}", settings.proxy_config.to_value());
    runtime()?.block_on(wiring::run(settings, Some(launcher), started))
}

fn start_log(flags: &LogFlags) -> anyhow::Result<()> {
    let options = process::log::Options {
        output_level: flags.output_level.clone(),
        as_json: flags.as_json,
        targets: flags.target.clone(),
        ..process::log::Options::default()
    };
    process::log::init(&options, &SCOPES)?;
    Ok(())
}

/// One thread: the agent moves bytes and waits. Key generation and file scans go to threads of their own.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .thread_keep_alive(std::time::Duration::from_secs(1))
        .build()
        .context("cannot start the runtime")
}
