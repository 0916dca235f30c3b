//! Every command and flag of istioctl, as clap reads them.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::proxy_config::Format;

mod control_plane;

pub use control_plane::{
    Admin, AdminLog, Administration, AuthType, Central, Experiment, Experimental, Global, InternalDebug,
    Plane, RemoteClusters, RemoteSecret, SecretKind,
};

/// Service mesh on this machine and in clusters: the command line of Meltemi, with the words of Istio's.
#[derive(Debug, Parser)]
#[command(
    name = "istioctl",
    version,
    disable_version_flag = true,
    arg_required_else_help = true,
    max_term_width = 110
)]
pub struct Root {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What every command understands.
    #[command(flatten)]
    pub global: Global,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a whole mesh on this machine: control plane, one Envoy per workload, a gateway; no root, no cluster
    Up(Up),
    /// Stop the mesh that `up` started and leave nothing behind
    Down,
    /// Run a process of your own inside the running mesh; it leaves the mesh when it ends
    Run(Run),
    /// Print the folder's objects as a cluster can take them; what was left out is said on stderr
    Export(Export),
    /// Print the versions of istioctl, the control plane and the proxies
    Version(Version),
    /// Show what each proxy was sent and acknowledged
    #[command(visible_alias = "ps")]
    ProxyStatus(ProxyStatus),
    /// A group of commands used to retrieve information about a proxy's configuration
    #[command(visible_alias = "pc", arg_required_else_help = true)]
    ProxyConfig(ProxyConfig),
    /// Lists the remote clusters each istiod instance is connected to
    RemoteClusters(RemoteClusters),
    /// Create a secret with credentials to allow Istio to access remote Kubernetes apiservers
    CreateRemoteSecret(RemoteSecret),
    /// Manage control plane (istiod) configuration
    #[command(visible_alias = "istiod", arg_required_else_help = true)]
    Admin(Admin),
    /// Experimental commands that may be modified or deprecated
    #[command(visible_aliases = ["x", "exp"], arg_required_else_help = true)]
    Experimental(Experimental),
    /// One service of the sample application
    #[command(hide = true)]
    Bookinfo(Bookinfo),
    /// Bind a process to its parent's life and, with --hosts, give it a private /etc/hosts; then exec it
    #[command(hide = true)]
    Enter(Enter),
}

/// Output of `up`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum UpFormat {
    /// Stages, then a live view.
    #[default]
    Text,
    /// One JSON document once the mesh is ready.
    Json,
}

/// The schema of mesh.yaml, for `istioctl up --help`.
const MESH_YAML: &str = "\
mesh.yaml says which local commands are which workloads:

  apiVersion: meltemi.dev/v1
  kind: Mesh
  traffic: {path: /productpage, rate: 5}   # optional: requests per second through the gateway
  meshConfig: {}                           # optional: Istio's MeshConfig
  workloads:
  - name: reviews-v1                       # a Deployment of this name in the folder gives the defaults of the next two
    serviceAccount: bookinfo-reviews       # its identity; default: `default`
    labels: {app: reviews, version: v1}    # what Services select; default: app: <name>
    namespace: default
    command: [./reviews, --color, red]     # or one line for a shell; absent: you start it yourself
    cwd: reviews                           # relative to the folder
    env: {STAR_COLOR: red}
    ports: {9080: 3000}                    # Service targetPort: port the program listens on;
                                           #   absent: it gets a free one in $PORT";

/// `istioctl up`.
#[derive(Debug, Args, Clone)]
#[command(after_long_help = MESH_YAML)]
pub struct Up {
    /// Folder with YAML objects and a mesh.yaml that says which commands are which workloads; without it, bookinfo
    pub folder: Option<PathBuf>,
    /// Requests per second sent through the gateway; 0 for none [default: what mesh.yaml says; bookinfo: 5]
    #[arg(long, value_name = "RPS")]
    pub traffic: Option<f64>,
    /// Return as soon as the mesh is ready and leave it running
    #[arg(long)]
    pub detach: bool,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    pub output: UpFormat,
    /// First port tried for the gateway; 0: any free one
    #[arg(long, default_value_t = 18080, value_name = "PORT")]
    pub gateway_port: u16,
    /// Where the gateway listens; 0.0.0.0 opens the mesh to every network of this machine
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    pub gateway_bind: Ipv4Addr,
    /// Give up if the mesh is not ready after this many seconds
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub readiness_timeout: u64,
    /// Let programs find services by http_proxy instead of a private /etc/hosts
    #[arg(long)]
    pub http_proxy: bool,
    /// The Envoy binary [default: $MELTEMI_ENVOY, PATH, the cache, or an installation into the cache]
    #[arg(long, value_name = "FILE")]
    pub envoy: Option<PathBuf>,
    /// Network namespaces per workload (not available yet)
    #[arg(long)]
    pub isolate: bool,
    /// The detached half of `up --detach`
    #[arg(long, hide = true)]
    pub foreground_child: bool,
}

/// `istioctl run`.
#[derive(Debug, Args, Clone)]
pub struct Run {
    /// The workload's name
    #[arg(long)]
    pub name: String,
    /// The port your process listens on; without it, it gets one in $PORT
    #[arg(long)]
    pub port: Option<u16>,
    /// Version label
    #[arg(long, default_value = "v1")]
    pub version: String,
    /// Service account, which is the workload's identity [default: the name]
    #[arg(long)]
    pub service_account: Option<String>,
    /// More labels, as key=value
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub labels: Vec<String>,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    pub command: Vec<String>,
}

/// `istioctl export`.
#[derive(Debug, Args)]
pub struct Export {
    /// The folder; without it, the one of the running mesh
    pub folder: Option<PathBuf>,
}

/// `istioctl version`.
#[derive(Debug, Args)]
pub struct Version {
    /// Use --short=false for full build information
    #[arg(short, long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub short: bool,
    /// Use --remote=false to leave out the control plane
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub remote: bool,
    /// One of 'yaml' or 'json'
    #[arg(short, long)]
    pub output: Option<VersionFormat>,
    /// Which control planes.
    #[command(flatten)]
    pub central: Central,
}

/// Output of `version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum VersionFormat {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// `istioctl proxy-status`.
#[derive(Debug, Args)]
pub struct ProxyStatus {
    /// One proxy, to compare with the control plane; without it, all are listed
    #[arg(value_name = "[TYPE/]NAME[.NAMESPACE]")]
    pub proxy: Option<String>,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    pub output: crate::proxy_status::Format,
    /// Envoy config dump JSON file to compare with, instead of the proxy's own
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Admin port of the proxy, if istioctl did not start it (on 127.0.0.1)
    #[arg(long, value_name = "PORT")]
    pub proxy_admin_port: Option<u16>,
    /// 1: a column for every type
    #[arg(short = 'v', long, default_value_t = 0, num_args = 0..=1, default_missing_value = "1")]
    pub verbosity: u8,
    /// Which control planes.
    #[command(flatten)]
    pub central: Central,
}

/// `istioctl proxy-config`.
#[derive(Debug, Args)]
pub struct ProxyConfig {
    /// Which part.
    #[command(subcommand)]
    pub section: Section,
}

/// The proxy, or the file, that a `proxy-config` command shows.
#[derive(Debug, Args, Clone)]
pub struct Target {
    /// The proxy, or its pod
    #[arg(value_name = "[TYPE/]NAME[.NAMESPACE]")]
    pub proxy: Option<String>,
    /// Envoy config dump JSON file; - for standard input
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Output format: one of json|yaml|short
    #[arg(short, long, value_enum)]
    pub output: Option<Format>,
    /// Admin port of the proxy, if istioctl did not start it (on 127.0.0.1)
    #[arg(long, value_name = "PORT")]
    pub proxy_admin_port: Option<u16>,
    /// Which control plane.
    #[command(flatten)]
    pub plane: Plane,
}

/// Filters of clusters.
#[derive(Debug, Args, Clone)]
pub struct ClusterFlags {
    /// Filter clusters by substring of Service FQDN field
    #[arg(long, default_value = "")]
    pub fqdn: String,
    /// Filter clusters by Direction field
    #[arg(long, default_value = "")]
    pub direction: String,
    /// Filter clusters by substring of Subset field
    #[arg(long, default_value = "")]
    pub subset: String,
}

/// Filters of listeners.
#[derive(Debug, Args, Clone)]
pub struct ListenerFlags {
    /// Filter by address field
    #[arg(long, default_value = "")]
    pub address: String,
    /// Filter by type field: HTTP, TCP, HTTP+TCP
    #[arg(long = "type", default_value = "")]
    pub kind: String,
}

/// Rows per chain or route, or one per resource.
#[derive(Debug, Args, Clone)]
pub struct Verbose {
    /// Output more information
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub verbose: bool,
}

/// The parts of a proxy's configuration.
#[derive(Debug, Subcommand)]
pub enum Section {
    /// Clusters
    #[command(visible_aliases = ["clusters", "c"])]
    Cluster {
        /// Whose.
        #[command(flatten)]
        target: Target,
        /// Which.
        #[command(flatten)]
        filter: ClusterFlags,
        /// Filter clusters by Port field
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
    /// Listeners
    #[command(visible_aliases = ["listeners", "l"])]
    Listener {
        /// Whose.
        #[command(flatten)]
        target: Target,
        /// Which.
        #[command(flatten)]
        filter: ListenerFlags,
        /// Filter listeners by Port field
        #[arg(long, default_value_t = 0)]
        port: u16,
        /// How much.
        #[command(flatten)]
        verbose: Verbose,
    },
    /// Routes
    #[command(visible_aliases = ["routes", "r"])]
    Route {
        /// Whose.
        #[command(flatten)]
        target: Target,
        /// Filter by route name field
        #[arg(long, default_value = "")]
        name: String,
        /// How much.
        #[command(flatten)]
        verbose: Verbose,
    },
    /// Endpoints, with their health as Envoy sees it
    #[command(visible_aliases = ["endpoints", "ep"])]
    Endpoint(Endpoints),
    /// Endpoints, as the configuration dump has them
    #[command(hide = true)]
    Eds(Endpoints),
    /// Certificates and trust bundles
    #[command(visible_aliases = ["secrets", "s"])]
    Secret {
        /// Whose.
        #[command(flatten)]
        target: Target,
    },
    /// Extensions discovered one by one
    Ecds {
        /// Whose.
        #[command(flatten)]
        target: Target,
    },
    /// What the proxy was started with
    #[command(visible_alias = "b")]
    Bootstrap {
        /// Whose.
        #[command(flatten)]
        target: Target,
    },
    /// Everything
    #[command(visible_alias = "a")]
    All {
        /// Whose.
        #[command(flatten)]
        target: Target,
        /// Clusters.
        #[command(flatten)]
        clusters: ClusterFlags,
        /// Listeners.
        #[command(flatten)]
        listeners: ListenerFlags,
        /// Filter clusters and listeners by Port field
        #[arg(long, default_value_t = 0)]
        port: u16,
        /// Filter routes by route name field
        #[arg(long, default_value = "")]
        name: String,
        /// How much.
        #[command(flatten)]
        verbose: Verbose,
        /// Print summary with headers
        #[arg(long)]
        with_headers: bool,
    },
    /// Show or change the proxy's log levels
    #[command(visible_alias = "o")]
    Log {
        /// Whose.
        #[command(flatten)]
        target: Target,
        /// `level`, or `logger:level` separated by commas
        #[arg(long)]
        level: Option<String>,
        /// Reset levels to default value (warning)
        #[arg(short, long)]
        reset: bool,
    },
}

/// `proxy-config endpoint` and `eds`.
#[derive(Debug, Args, Clone)]
pub struct Endpoints {
    /// Whose.
    #[command(flatten)]
    pub target: Target,
    /// Filter endpoints by address field
    #[arg(long, default_value = "")]
    pub address: String,
    /// Filter endpoints by Port field
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Filter endpoints by cluster name field
    #[arg(long, default_value = "")]
    pub cluster: String,
    /// Filter endpoints by status field
    #[arg(long, default_value = "")]
    pub status: String,
}

/// `istioctl bookinfo SERVICE`.
#[derive(Debug, Args)]
pub struct Bookinfo {
    /// Which service
    #[arg(value_enum)]
    pub service: crate::bookinfo::Service,
    /// Where it listens on 127.0.0.1
    #[arg(long, env = "PORT", default_value_t = 9080)]
    pub port: u16,
    /// Of reviews: v1 shows no stars, v2 black ones, v3 red ones
    #[arg(long, env = "SERVICE_VERSION", default_value = "v1")]
    pub version: String,
}

/// `istioctl enter`.
#[derive(Debug, Args)]
pub struct Enter {
    /// Bind this file over /etc/hosts
    #[arg(long)]
    pub hosts: Option<PathBuf>,
    /// Process id of the parent whose death ends the process
    #[arg(long)]
    pub parent: Option<i32>,
    /// Only try whether a private /etc/hosts can be given
    #[arg(long)]
    pub probe: bool,
    /// The command and its arguments
    #[arg(last = true)]
    pub command: Vec<String>,
}
