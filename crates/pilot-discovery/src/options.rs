//! What the control plane was told to do: flags and environment, read once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use config::{Problem, Severity, Switches};
use process::env::{Vars, go_duration};
use sources::kubernetes::{Pace, RENEWAL};
use sources::names;

use crate::args::Args;
use crate::ca::authenticate::token_review::{self, Rules};
use crate::ca::serving::{Files, Policy};
use crate::secret_access;

/// Everything a control plane is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// `--configDir`.
    pub folder: Option<PathBuf>,
    /// `--generatedConfigDir`: objects that a program keeps for a user.
    pub generated: Option<PathBuf>,
    /// `--meshConfig`.
    pub mesh_config: Option<PathBuf>,
    /// `--networksConfig`.
    pub networks_config: Option<PathBuf>,
    /// Whether there is an API server to read: not with a folder of configuration, unless one is named.
    pub kubernetes: bool,
    /// `--kubeconfig`; `None` for that of the pod or of the user.
    pub kubeconfig: Option<PathBuf>,
    /// `--clusterRegistriesNamespace`, else the control plane's.
    pub registries_namespace: String,
    /// `--cniNamespace`.
    pub cni_namespace: String,
    /// `--domain`.
    pub domain: String,
    /// `--clusterID`, else `CLUSTER_ID`.
    pub cluster: String,
    /// `--clusterAliases`: what else clusters are called.
    pub cluster_aliases: BTreeMap<String, String>,
    /// `--namespace`, else `POD_NAMESPACE`.
    pub namespace: String,
    /// `--httpAddr`; empty for none.
    pub http: String,
    /// `--monitoringAddr`; empty to serve it on the port of `http`.
    pub monitoring: String,
    /// `--grpcAddr`: `host:port`, `unix:///path`, or empty for none.
    pub grpc: String,
    /// `--secureGRPCAddr`; empty for none.
    pub secure_grpc: String,
    /// `--tlsCertFile`, `--tlsKeyFile` and `--caCertFile`, if all are given.
    pub certificate: Option<Files>,
    /// `--tls-cipher-suites`, `--tls-min-version`, `COMPLIANCE_POLICY`.
    pub tls: Policy,
    /// `--kubernetesApiQPS` and `--kubernetesApiBurst`.
    pub pace: Pace,
    /// Whether this runs in a pod of Kubernetes, as `KUBERNETES_SERVICE_HOST` tells.
    pub in_cluster: bool,
    /// `--shutdownDuration`.
    pub shutdown: Duration,
    /// `--keepaliveInterval` and `--keepaliveTimeout`.
    pub keepalive: (Duration, Duration),
    /// `--keepaliveMaxServerConnectionAge`; `None` for no limit.
    pub max_age: Option<Duration>,
    /// `POD_NAME`: who answers.
    pub pod: String,
    /// Where a self-signed root is kept (`MELTEMI_CA_DIR`).
    pub own_ca: PathBuf,
    /// `MELTEMI_VHDS`: virtual hosts as resources of their own, for Envoys that can take them; on unless `false`.
    pub virtual_hosts: bool,
    /// `PILOT_XDS_SEND_TIMEOUT`; `None` for no limit.
    pub send_timeout: Option<Duration>,
    /// `--profile`: profiling pages.
    pub profile: bool,
    /// How often a cluster is asked again whether an account may list Secrets.
    pub secret_access_pace: Duration,
    /// An API server that has not said by then whether it believes a token is taken for one that is away.
    pub review_limit: Duration,
    /// After this long a watch of an API server is begun anew.
    pub watch_renewal: Duration,
    /// Who is asked for the addresses of gateways between networks that are named by a host; `None` for nobody
    /// (`RESOLVE_HOSTNAME_GATEWAYS`).
    pub hosts: Option<names::Options>,
    /// All switches of the environment.
    pub switches: Switches,
}

impl Options {
    /// What tells this instance from others that write into the same clusters.
    #[must_use]
    pub fn instance(&self) -> String {
        // outside of pods two replicas would have one name
        match self.switches.pod_name.as_str() {
            "" => format!("{}-{}", self.pod, std::process::id()),
            pod => pod.to_owned(),
        }
    }

    /// Reads flags and environment; what is wrong with the environment is told and its default used.
    ///
    /// # Errors
    /// A flag whose value is not of its kind.
    pub fn read(args: &Args, vars: &Vars) -> Result<(Self, Vec<Problem>), String> {
        let pairs = vars.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let (switches, mut problems) = Switches::from_pairs(pairs);
        let path = |name: &str| Some(PathBuf::from(args.value(name))).filter(|p| !p.as_os_str().is_empty());
        let duration = |name: &str| {
            let text = args.value(name);
            go_duration(text)
                .ok_or_else(|| format!("invalid argument {text:?} for --{name}: want a duration such as 10s"))
        };
        let or = |given: &str, fallback: &str| {
            if given.is_empty() { fallback.to_owned() } else { given.to_owned() }
        };
        let max_age = match args.value("keepaliveMaxServerConnectionAge") {
            // upstream's default, "infinity", as a number of nanoseconds
            "" | "2562047h47m16.854775807s" => None,
            _ => Some(duration("keepaliveMaxServerConnectionAge")?),
        };
        // the environment speaks where the flag does not (as pkg/keepalive: `DefaultOption`)
        let pings = |name: &str, fallback: config::Duration| match fallback.to_std() {
            Some(fallback) if !args.is_given(name) => Ok(fallback),
            _ => duration(name),
        };
        let namespace = or(args.value("namespace"), &switches.pod_namespace);
        let (folder, kubeconfig) = (path("configDir"), path("kubeconfig"));
        let registries = args.value("registries").split(',').any(|name| name.trim() == "Kubernetes");
        let (certificate, told) = certificate_of(["tlsCertFile", "tlsKeyFile", "caCertFile"].map(path));
        problems.extend(told);
        let (tls, told) = Policy::new(
            args.value("tls-cipher-suites"),
            args.value("tls-min-version"),
            &switches.compliance_policy,
        )?;
        problems.extend(told.into_iter().map(|text| Problem::new(Severity::Warning, "TLS", text)));
        let unless_off = |name: &str| vars.read::<bool>(name).ok().flatten().unwrap_or(true);
        let options = Self {
            kubernetes: registries && (folder.is_none() || kubeconfig.is_some()),
            folder,
            kubeconfig,
            registries_namespace: or(args.value("clusterRegistriesNamespace"), &namespace),
            generated: path("generatedConfigDir"),
            mesh_config: path("meshConfig"),
            networks_config: path("networksConfig"),
            cni_namespace: args.value("cniNamespace").to_owned(),
            domain: args.value("domain").to_owned(),
            cluster: or(args.value("clusterID"), &switches.cluster_id),
            cluster_aliases: Rules::aliases(args.value("clusterAliases"))
                .map_err(|item| format!("invalid argument {item:?} for --clusterAliases: want alias=id"))?,
            namespace,
            http: args.value("httpAddr").to_owned(),
            monitoring: args.value("monitoringAddr").to_owned(),
            grpc: args.value("grpcAddr").to_owned(),
            secure_grpc: args.value("secureGRPCAddr").to_owned(),
            certificate,
            tls,
            pace: pace_of(args)?,
            in_cluster: vars.get("KUBERNETES_SERVICE_HOST").is_some_and(|host| !host.is_empty()),
            shutdown: duration("shutdownDuration")?,
            keepalive: (
                pings("keepaliveInterval", switches.grpc_keepalive_interval)?,
                pings("keepaliveTimeout", switches.grpc_keepalive_timeout)?,
            ),
            max_age,
            pod: or(&switches.pod_name, "istiod"),
            own_ca: vars.get("MELTEMI_CA_DIR").unwrap_or("./var/istio-ca").into(),
            virtual_hosts: unless_off("MELTEMI_VHDS"),
            send_timeout: vars
                .read::<Duration>("PILOT_XDS_SEND_TIMEOUT")
                .ok()
                .flatten()
                .filter(|timeout| !timeout.is_zero()),
            profile: args.is_on("profile"),
            secret_access_pace: secret_access::PACE,
            review_limit: token_review::LIMIT,
            watch_renewal: RENEWAL,
            hosts: switches.resolve_hostname_gateways.then(names::Options::of_machine),
            switches,
        };
        Ok((options, problems))
    }
}

/// Our own certificate, and what is wrong with how it is given: file, key and roots.
fn certificate_of(given: [Option<PathBuf>; 3]) -> (Option<Files>, Option<Problem>) {
    let some = given.iter().any(Option::is_some);
    match given {
        [Some(cert), Some(key), Some(roots)] => (Some(Files { cert, key, roots }), None),
        _ => {
            let text = "--tlsCertFile, --tlsKeyFile and --caCertFile have an effect only together";
            (None, some.then(|| Problem::new(Severity::Warning, "flags", text.to_owned())))
        }
    }
}

/// How fast API servers are asked.
fn pace_of(args: &Args) -> Result<Pace, String> {
    let number = |name: &str, want: &str| {
        let text = args.value(name);
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        number.ok_or_else(|| format!("invalid argument {text:?} for --{name}: want {want}"))
    };
    let per_second = number("kubernetesApiQPS", "a number of requests per second, such as 80")?;
    let burst =
        number("kubernetesApiBurst", "a number of requests, such as 160")?.clamp(1.0, f64::from(u32::MAX));
    Ok(Pace { per_second, burst: burst as u32 })
}
