//! pilot-discovery - the control plane as a program.
//! In: the command line. Out: an exit code.
//! Here: which command is meant.
//! Never here: what a command does.
//! Start reading at: start.rs

use std::process::ExitCode;

use pilot_discovery::args::Args;
use pilot_discovery::options::Options;
use pilot_discovery::{completion, ctrlz, request, start};
use process::env::Vars;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const USAGE: &str = "Usage:
  pilot-discovery discovery [flags]            serve xDS to every proxy
  pilot-discovery request METHOD PATH [BODY]   ask the control plane on this machine
  pilot-discovery version [--short] [-o json|yaml]
  pilot-discovery completion SHELL             a script for bash, zsh, fish or powershell

Flags of discovery, of those that do something without Kubernetes:
  --configDir DIR          watch a folder of YAML and JSON files
  --meshConfig FILE        mesh configuration (default ./etc/istio/config/mesh)
  --networksConfig FILE    networks of the mesh (default ./etc/istio/config/meshNetworks)
  --domain NAME            DNS domain (default cluster.local)
  --clusterID ID           the cluster's id (default Kubernetes)
  --grpcAddr ADDR          plaintext xDS, host:port or unix:///path; \"\" for the port of --httpAddr (default :15010)
  --secureGRPCAddr ADDR    xDS and certificates over TLS (default :15012)
  --httpAddr ADDR          readiness and debug pages (default :8080)
  --monitoringAddr ADDR    metrics, version, debug pages (default :15014)
  --shutdownDuration TIME  how long connections may last when stopping (default 10s)
  --log_output_level LIST  scope:level,... (default default:info)
  --log_as_json, --log_target PATH
  --ctrlz_port PORT        introspection and log levels at run time (default 9876)";

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the commands answer")]
fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(error) => {
            eprintln!("Error: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    let done = match words[..] {
        _ if args.is_on("help") => {
            println!("{USAGE}");
            Ok(())
        }
        ["discovery"] => {
            process::memory::decline_huge_pages();
            discovery(&args)
        }
        ["version"] => {
            start::version(args.is_on("short"), args.value("output")).map(|text| println!("{text}"))
        }
        ["completion", shell] => match completion::script(shell) {
            Some(script) => {
                print!("{script}");
                Ok(())
            }
            None => Err(format!(
                "no completion for {shell:?}; there is one for {}",
                completion::SHELLS.join(", ")
            )),
        },
        ["request", method, path, ref body @ ..] => {
            let port = args.value("monitoringAddr").rsplit(':').next().unwrap_or("15014");
            request::ask(&format!("127.0.0.1:{port}"), method, path, body.first().unwrap_or(&""))
                .map(|body| println!("{body}"))
        }
        [] => Err(USAGE.to_owned()),
        _ => Err(format!("unknown command {:?}\n\n{USAGE}", words.join(" "))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn discovery(args: &Args) -> Result<(), String> {
    let log = process::log::Options {
        output_level: args.value("log_output_level").to_owned(),
        as_json: args.is_on("log_as_json"),
        targets: vec![args.value("log_target").to_owned()],
        stack_trace_level: args.value("log_stacktrace_level").to_owned(),
        callers: args.value("log_caller").to_owned(),
    };
    let levels = process::log::init(&log, start::SCOPES).map_err(|error| error.to_string())?;
    for warning in &args.warnings {
        tracing::warn!("{warning}");
    }
    let (options, problems) = Options::read(args, &Vars::of_process())?;
    for problem in &problems {
        tracing::warn!("{problem}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(8)
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    let done = runtime.block_on(async {
        ctrlz::start(args.value("ctrlz_address"), args.value("ctrlz_port"), levels).await?;
        start::run(options).await
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    done.map_err(|error| error.to_string())
}
