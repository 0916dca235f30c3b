//! The command line, with the flags of Istio's agent.

use std::collections::HashMap;
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::envoy::LaunchArgs;

/// Runs in the sidecar or gateway container and bootstraps Envoy.
#[derive(Clone, Debug, Parser)]
#[command(name = "pilot-agent", version, disable_version_flag = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Flags of the log, for every command.
    #[command(flatten)]
    pub log: LogFlags,
}

/// The subcommands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Start Envoy and serve it
    Proxy(Box<ProxyFlags>),
    /// Makes an HTTP request to the Envoy admin API
    Request(RequestFlags),
    /// Waits until the Envoy proxy is ready
    Wait(WaitFlags),
    /// Prints out build version information
    Version(VersionFlags),
    /// Becomes Envoy; started by the agent itself
    #[command(hide = true)]
    LaunchEnvoy(LaunchArgs),
}

/// Which Envoy the binary is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum EnvoyKind {
    /// Look into the binary
    #[default]
    Auto,
    /// Istio's own proxy
    Istio,
    /// A stock Envoy
    Stock,
}

/// Flags of `proxy`.
#[derive(Clone, Debug, Args)]
pub struct ProxyFlags {
    /// sidecar, router or waypoint
    #[arg(default_value = "sidecar", value_parser = ["sidecar", "router", "waypoint"])]
    pub node_type: String,
    /// DNS domain suffix. If not provided uses ${POD_NAMESPACE}.svc.cluster.local
    #[arg(long, default_value = "")]
    pub domain: String,
    /// File name for Istio mesh configuration
    #[arg(long = "meshConfig", default_value = "./etc/istio/config/mesh")]
    pub mesh_config: PathBuf,
    /// Port of the security token service; accepted and told, nothing is served there any more
    #[arg(long = "stsPort", default_value_t = 0)]
    pub sts_port: u16,
    /// Token provider specific plugin name; ignored
    #[arg(long = "tokenManagerPlugin", default_value = "")]
    pub token_manager_plugin: String,
    /// Service cluster
    #[arg(long = "serviceCluster", default_value = "istio-proxy")]
    pub service_cluster: String,
    /// The log level used to start the Envoy proxy, such as 'info,misc:error,upstream:debug'
    #[arg(long = "proxyLogLevel", default_value = "warning")]
    pub proxy_log_level: String,
    /// The component log level used to start the Envoy proxy. Deprecated, use proxyLogLevel instead
    #[arg(long = "proxyComponentLogLevel", default_value = "")]
    pub proxy_component_log_level: String,
    /// Number of worker threads to run; prefer ProxyConfig
    #[arg(long, default_value_t = 0)]
    pub concurrency: u32,
    /// Bootstrap to use instead of the generated one
    #[arg(long = "templateFile")]
    pub template_file: Option<PathBuf>,
    /// The log path for outlier detection
    #[arg(long = "outlierLogPath", default_value = "")]
    pub outlier_log_path: String,
    /// Accepted for compatibility; there is no profiling interface
    #[arg(long, num_args = 0..=1, default_value_t = true, default_missing_value = "true", hide = true)]
    pub profiling: bool,
    /// Folder that stands for the container's working directory: every relative path starts here, sockets too
    #[arg(long = "baseDir", env = "ISTIO_AGENT_BASE_DIR")]
    pub base_dir: Option<PathBuf>,
    /// The one address that the agent and Envoy's own listeners (15000, 15020, 15021, 15053, 15090) are bound to
    #[arg(long = "bindAddress", env = "ISTIO_AGENT_BIND_ADDRESS")]
    pub bind_address: Option<IpAddr>,
    /// Envoy's binary, instead of the one in ProxyConfig
    #[arg(long = "binaryPath", env = "ISTIO_AGENT_ENVOY_BINARY")]
    pub binary_path: Option<PathBuf>,
    /// Which Envoy it is
    #[arg(long = "envoyBuild", env = "ISTIO_AGENT_ENVOY_BUILD", value_enum, default_value_t)]
    pub envoy_build: EnvoyKind,
}

/// Flags of the log.
#[derive(Clone, Debug, Args)]
pub struct LogFlags {
    /// Comma-separated minimum level per scope, e.g. default:info,xdsproxy:debug
    #[arg(long = "log_output_level", global = true, default_value = "")]
    pub output_level: String,
    /// Whether to format output as JSON
    #[arg(long = "log_as_json", global = true, num_args = 0..=1, default_value_t = false, default_missing_value = "true")]
    pub as_json: bool,
    /// Where to log: stdout, stderr or paths
    #[arg(long = "log_target", global = true)]
    pub target: Vec<String>,
}

/// Flags of `request`.
#[derive(Clone, Debug, Args)]
pub struct RequestFlags {
    /// GET or POST
    pub method: String,
    /// Path on the admin interface
    pub path: String,
    /// Body; sent with nothing in it when absent
    pub body: Option<String>,
    /// The local port to ask
    #[arg(long = "debug-port", default_value_t = 15000)]
    pub debug_port: u16,
    /// The address to ask
    #[arg(long = "bindAddress", env = "ISTIO_AGENT_BIND_ADDRESS")]
    pub bind_address: Option<IpAddr>,
}

/// Flags of `wait`.
#[derive(Clone, Debug, Args)]
pub struct WaitFlags {
    /// Maximum number of seconds to wait for Envoy to be ready
    #[arg(long = "timeoutSeconds", default_value_t = 60)]
    pub timeout_seconds: u64,
    /// Number of milliseconds to wait for response
    #[arg(long = "requestTimeoutMillis", default_value_t = 500)]
    pub request_timeout_millis: u64,
    /// Number of milliseconds to wait between attempts
    #[arg(long = "periodMillis", default_value_t = 500)]
    pub period_millis: u64,
    /// URL to use in requests
    #[arg(long, default_value = "http://localhost:15021/healthz/ready")]
    pub url: String,
}

/// Flags of `version`.
#[derive(Clone, Debug, Args)]
pub struct VersionFlags {
    /// Only the version
    #[arg(short, long)]
    pub short: bool,
    /// yaml or json
    #[arg(short, long, value_parser = ["yaml", "json"])]
    pub output: Option<String>,
}

/// Takes flags out of the arguments of `proxy` that nobody knows, as Istio's agent does: pods are injected by other
/// versions. Gives what was taken.
#[must_use]
pub fn without_unknown_flags(args: Vec<OsString>) -> (Vec<OsString>, Vec<String>) {
    if args.get(1).is_none_or(|command| command != "proxy") {
        return (args, Vec::new());
    }
    let mut known: HashMap<String, bool> = HashMap::from([("help".to_owned(), false)]);
    let mut cli = Cli::command();
    cli.build();
    for flag in cli.find_subcommand("proxy").into_iter().flat_map(clap::Command::get_arguments) {
        if let Some(name) = flag.get_long() {
            let needs_value = flag.get_num_args().is_none_or(|range| range.min_values() > 0);
            known.insert(name.to_owned(), needs_value);
        }
    }
    let (mut kept, mut dropped) = (Vec::new(), Vec::new());
    let mut rest = args.into_iter().peekable();
    while let Some(arg) = rest.next() {
        let text = arg.to_string_lossy().into_owned();
        let Some((name, with_value)) = text
            .strip_prefix("--")
            .filter(|flag| !flag.is_empty())
            .map(|flag| flag.split_once('=').map_or((flag, false), |(name, _)| (name, true)))
        else {
            kept.push(arg);
            continue;
        };
        match known.get(name) {
            Some(needs_value) => {
                kept.push(arg);
                if *needs_value && !with_value {
                    kept.extend(rest.next());
                }
            }
            None => {
                dropped.push(text.clone());
                // Its value goes with it.
                if !with_value {
                    let _ = rest.next_if(|next| !next.to_string_lossy().starts_with('-'));
                }
            }
        }
    }
    (kept, dropped)
}

#[cfg(test)]
mod tests;
