//! Flags of the commands that ask a control plane, here or in a cluster.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::{ProxyStatus, Version};
use crate::proxy_config::Format;

/// Flags of every command: which cluster, as whom, which namespaces.
#[derive(Debug, Args, Clone, Default)]
pub struct Global {
    /// Kubernetes namespace of unqualified names
    #[arg(short = 'n', long, global = true, default_value = "")]
    pub namespace: String,
    /// Namespace of the control plane
    #[arg(
        short = 'i',
        long = "istioNamespace",
        global = true,
        default_value = "istio-system",
        value_name = "NAMESPACE"
    )]
    pub istio_namespace: String,
    /// Kubernetes configuration file [default: $KUBECONFIG, ~/.kube/config, or the pod's own]
    #[arg(short = 'c', long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Kubernetes configuration context
    #[arg(long, global = true)]
    pub context: Option<String>,
    /// Username to impersonate for the operation
    #[arg(long = "as", global = true, hide = true, value_name = "USER")]
    pub as_user: Option<String>,
    /// Group to impersonate for the operation; may be repeated
    #[arg(long = "as-group", global = true, hide = true, value_name = "GROUP")]
    pub as_groups: Vec<String>,
    /// UID to impersonate for the operation
    #[arg(long = "as-uid", global = true, hide = true, value_name = "UID")]
    pub as_uid: Option<String>,
    /// How long an answer of the Kubernetes API may take, as a duration such as 15s
    #[arg(
        long = "kubeclient-timeout",
        global = true,
        hide = true,
        default_value = "15s",
        value_name = "TIME",
        value_parser = duration
    )]
    pub kube_timeout: Duration,
}

impl Global {
    /// Whether a cluster is meant, whatever runs on this machine.
    #[must_use]
    pub fn names_a_cluster(&self) -> bool {
        self.kubeconfig.is_some() || self.context.is_some()
    }
}

/// A duration as Go's flags take it.
fn duration(text: &str) -> Result<Duration, String> {
    let wanted = process::env::go_duration(text).filter(|duration| !duration.is_zero());
    wanted.ok_or_else(|| "want a duration above zero such as 30s".to_owned())
}

/// Which control plane is asked.
#[derive(Debug, Args, Clone, Default)]
pub struct Plane {
    /// host:port of a control plane's debug endpoints (its monitoring or HTTP address); without it, the mesh of `up`, else
    /// the pods of the cluster
    #[arg(long, value_name = "ADDRESS")]
    pub xds_address: Option<String>,
}

/// Which instances of the control plane are asked.
#[derive(Debug, Args, Clone)]
pub struct Central {
    /// One by its address.
    #[command(flatten)]
    pub plane: Plane,
    /// Control plane revision [default: the one tagged `default`]
    #[arg(short, long)]
    pub revision: Option<String>,
    /// Istiod pod label selector
    #[arg(long, value_name = "SELECTOR", default_value = "app=istiod", conflicts_with = "xds_address")]
    pub xds_label: String,
    /// The duration to wait before failing
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub timeout: Duration,
}

/// `istioctl remote-clusters`.
#[derive(Debug, Args)]
pub struct RemoteClusters {
    /// Which control planes.
    #[command(flatten)]
    pub central: Central,
}

/// `istioctl experimental`.
#[derive(Debug, Args)]
pub struct Experimental {
    /// Which command.
    #[command(subcommand)]
    pub command: Experiment,
}

/// The experimental commands.
#[derive(Debug, Subcommand)]
pub enum Experiment {
    /// Retrieves the debug information of istio
    InternalDebug(InternalDebug),
    /// Create a secret with credentials to allow Istio to access remote Kubernetes apiservers
    CreateRemoteSecret(RemoteSecret),
    /// Show what each proxy was sent and acknowledged
    #[command(visible_alias = "ps")]
    ProxyStatus(ProxyStatus),
    /// Print the versions of istioctl, the control plane and the proxies
    Version(Version),
}

/// `istioctl experimental internal-debug`.
#[derive(Debug, Args)]
pub struct InternalDebug {
    /// The debug page, with its query: syncz, edsz?proxyID=NAME, ...
    #[arg(required_unless_present = "list")]
    pub page: Option<String>,
    /// The proxy that the page is about, instead of a proxyID in the query
    #[arg(value_name = "[TYPE/]NAME[.NAMESPACE]")]
    pub proxy: Option<String>,
    /// List all supported debug types
    #[arg(short = 'L', long)]
    pub list: bool,
    /// Send the same request to all instances of Istiod
    #[arg(long)]
    pub all: bool,
    /// Which control planes.
    #[command(flatten)]
    pub central: Central,
}

/// `istioctl admin`.
#[derive(Debug, Args)]
pub struct Admin {
    /// Which command.
    #[command(subcommand)]
    pub command: Administration,
}

/// The commands of `admin`.
#[derive(Debug, Subcommand)]
pub enum Administration {
    /// Retrieve or update logging levels of istiod components
    #[command(visible_alias = "l")]
    Log(AdminLog),
}

/// `istioctl admin log`.
#[derive(Debug, Args)]
pub struct AdminLog {
    /// One pod of the control plane [default: the first that the selector finds]
    #[arg(value_name = "POD")]
    pub pod: Option<String>,
    /// Reset levels of all scopes to default value (info), and those of stack traces (none)
    #[arg(long)]
    pub reset: bool,
    /// Reset log levels to default value (info)
    #[arg(long)]
    pub log_reset: bool,
    /// Reset stack trace levels to default value (none)
    #[arg(long)]
    pub stack_trace_reset: bool,
    /// ControlZ port
    #[arg(long = "ctrlz_port", default_value_t = 9876, value_name = "PORT")]
    pub ctrlz_port: u16,
    /// Output levels to set, as `scope:level,...` with the levels none, error, warn, info, debug
    #[arg(long, conflicts_with_all = ["reset", "log_reset"], value_name = "LEVELS")]
    pub level: Option<String>,
    /// Stack trace levels to set, in the same form
    #[arg(long, conflicts_with_all = ["reset", "stack_trace_reset"], value_name = "LEVELS")]
    pub stack_trace_level: Option<String>,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
    /// Label selector of the control plane's pods
    #[arg(short = 'l', long, default_value = "app=istiod")]
    pub selector: String,
    /// Control plane revision [default: the one tagged `default`]
    #[arg(short, long)]
    pub revision: Option<String>,
    /// One by its address, whose host is asked at the ControlZ port.
    #[command(flatten)]
    pub plane: Plane,
}

/// `istioctl create-remote-secret`.
#[derive(Debug, Args, Clone)]
pub struct RemoteSecret {
    /// Create a secret with this service account's credentials [default: istio-reader-service-account; istiod if --type
    /// is config]
    #[arg(long, default_value = "", value_name = "NAME")]
    pub service_account: String,
    /// Create the service account needed for creating the remote secret if it doesn't exist
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub create_service_account: bool,
    /// Name of the local cluster whose credentials are stored in the secret [default: the UID of kube-system]
    #[arg(long, default_value = "")]
    pub name: String,
    /// The address and port of the Kubernetes API server [default: the one of the kubeconfig]
    #[arg(long, default_value = "", value_name = "URL")]
    pub server: String,
    /// The server name that should be validated when connecting to the API server
    #[arg(long, default_value = "", value_name = "NAME")]
    pub tls_server_name: String,
    /// The secret of the service account to use, if it has several
    #[arg(long, default_value = "", value_name = "NAME")]
    pub secret_name: String,
    /// Type of authentication to use
    #[arg(long, value_enum, default_value_t)]
    pub auth_type: AuthType,
    /// Authenticator plug-in name; needs --auth-type=plugin
    #[arg(long, default_value = "", value_name = "NAME")]
    pub auth_plugin_name: String,
    /// Authenticator plug-in configuration as key=value,...; needs --auth-type=plugin
    #[arg(long, value_delimiter = ',', value_name = "KEY=VALUE", value_parser = pair)]
    pub auth_plugin_config: Vec<(String, String)>,
    /// Type of the generated secret
    #[arg(long = "type", value_enum, default_value_t)]
    pub kind: SecretKind,
    /// Without effect: the objects of the service account are built in
    #[arg(short = 'd', long, hide = true, value_name = "PATH")]
    pub manifests: Option<String>,
}

/// How the holder of a remote secret authenticates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum AuthType {
    /// With the token of a service account.
    #[default]
    BearerToken,
    /// With a plug-in of its client.
    Plugin,
}

/// What a remote secret is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SecretKind {
    /// A control plane elsewhere reads this cluster.
    #[default]
    Remote,
    /// A control plane elsewhere has its configuration in this cluster.
    Config,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or_else(|| "want key=value".to_owned())?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}
