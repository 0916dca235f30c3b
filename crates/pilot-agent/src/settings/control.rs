//! The control plane and the CA: where they are, who they must be, what proves who this is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::control_plane::{ControlPlane, Roots, Tls};
use crate::environment::Environment;
use crate::proxy_config::ProxyConfig;
use crate::sds::{FilePaths, IssueOptions, KeyKind};

const TOKEN: &str = "./var/run/secrets/tokens/istio-token";
const MESH_ROOT: &str = "./var/run/secrets/istio/root-cert.pem";
const CERTS: &str = "./etc/certs";
const MOUNTED_IDENTITY: &str = "./var/run/secrets/workload-spiffe-credentials";
const SYSTEM: &str = "SYSTEM";

/// Identity and trust of this proxy.
#[derive(Clone, Debug)]
pub struct SecuritySettings {
    /// The mesh's trust domain.
    pub trust_domain: String,
    /// What is asked of the CA.
    pub issue: IssueOptions,
    /// Whether the CA is asked at all: not when certificates are mounted or served by somebody else.
    pub asks_ca: bool,
    /// Files that come before the CA's certificate.
    pub files: FilePaths,
    discovery_address: String,
    discovery_tls: Option<Tls>,
    ca_address: String,
    ca_tls: Option<Tls>,
    cluster_id: String,
    xds_headers: Vec<(String, String)>,
    ca_headers: Vec<(String, String)>,
}

impl SecuritySettings {
    /// Gathers, as pilot/cmd/pilot-agent/options/security.go and pkg/istio-agent/agent.go: FindRootCAForXDS.
    pub(super) fn gather(
        env: &Environment,
        config: &ProxyConfig,
        external_sds: bool,
    ) -> anyhow::Result<Self> {
        let provisioned = env.get("PROV_CERT").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let mut mounted = env.flag("FILE_MOUNTED_CERTS", false);
        anyhow::ensure!(
            !(mounted && provisioned.is_some()),
            "invalid options: PROV_CERT and FILE_MOUNTED_CERTS are mutually exclusive"
        );
        let output = env.get("OUTPUT_CERTS").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let mut files = file_paths(Path::new(CERTS), output.clone());
        let identity = file_paths(Path::new(MOUNTED_IDENTITY), output.clone());
        if identity.chain.is_file() && identity.key.is_file() && identity.roots.is_file() {
            tracing::info!("workload certificate files detected, the CA is not asked");
            files = identity;
            mounted = true;
        }
        let client_of = |dir: &PathBuf| (dir.join("cert-chain.pem"), dir.join("key.pem"));
        let metadata = |key: &str| config.entry("proxyMetadata", key).map(PathBuf::from);
        let provisioned_client = provisioned.as_ref().map(client_of);
        let xds_client = match &provisioned_client {
            Some(client) => Some(client.clone()),
            None if mounted => {
                metadata("ISTIO_META_TLS_CLIENT_CERT_CHAIN").zip(metadata("ISTIO_META_TLS_CLIENT_KEY"))
            }
            None => None,
        };
        let root_in_certs = PathBuf::from(CERTS).join("root-cert.pem");
        let default_root = || match &provisioned {
            Some(dir) => dir.join("root-cert.pem"),
            None => PathBuf::from(MESH_ROOT),
        };
        let roots = |variable: &str, otherwise: PathBuf| match env.get(variable).unwrap_or_default() {
            SYSTEM => Roots::System,
            "" => Roots::File(otherwise),
            path => Roots::File(path.into()),
        };
        let xds_default = if root_in_certs.is_file() && output.as_deref() != Some(CERTS.as_ref()) {
            root_in_certs.clone()
        } else if mounted && provisioned.is_none() {
            metadata("ISTIO_META_TLS_CLIENT_ROOT_CERT").unwrap_or_else(default_root)
        } else {
            default_root()
        };
        let ca_default =
            if env.get("PILOT_CERT_PROVIDER") == Some("custom") { root_in_certs } else { default_root() };

        let discovery_address = config.text("discoveryAddress").to_owned();
        let san = env.get("ISTIOD_SAN").filter(|san| !san.is_empty()).map(str::to_owned);
        let own_ca = env.get("CA_ADDR").filter(|address| !address.is_empty());
        let ca_address = own_ca.unwrap_or(&discovery_address).to_owned();
        let plain_xds =
            config.text("controlPlaneAuthPolicy") == "NONE" || discovery_address.starts_with("unix:");
        let plain_ca = ca_address.ends_with(":15010") || ca_address.starts_with("unix:");
        let discovery_tls = (!plain_xds).then(|| Tls {
            roots: roots("XDS_ROOT_CA", xds_default),
            client: xds_client,
            server_name: san.clone(),
        });
        let ca_tls = (!plain_ca).then(|| Tls {
            roots: roots("CA_ROOT_CA", ca_default),
            client: provisioned_client,
            server_name: san.filter(|_| own_ca.is_none()),
        });
        let headers = |prefix: &str| {
            env.with_prefix(prefix).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        let trust_domain = env.text("TRUST_DOMAIN", "cluster.local");
        Ok(Self {
            issue: issue_options(env, &trust_domain, output)?,
            trust_domain,
            asks_ca: !mounted && !external_sds,
            files,
            discovery_address,
            discovery_tls,
            ca_address,
            ca_tls,
            cluster_id: env.text("ISTIO_META_CLUSTER_ID", ""),
            xds_headers: headers("XDS_HEADER_"),
            ca_headers: headers("CA_HEADER_"),
        })
    }

    fn with_cluster(&self, headers: &[(String, String)]) -> Vec<(String, String)> {
        let cluster =
            (!self.cluster_id.is_empty()).then(|| ("clusterid".to_owned(), self.cluster_id.clone()));
        cluster.into_iter().chain(headers.iter().cloned()).collect()
    }

    /// The control plane.
    #[must_use]
    pub fn discovery(&self) -> ControlPlane {
        let headers = self.with_cluster(&self.xds_headers);
        ControlPlane::new(&self.discovery_address, self.discovery_tls.clone(), Some(TOKEN.into()), headers)
    }

    /// The CA.
    #[must_use]
    pub fn ca(&self) -> ControlPlane {
        let headers = self.with_cluster(&self.ca_headers);
        ControlPlane::new(&self.ca_address, self.ca_tls.clone(), Some(TOKEN.into()), headers)
    }

    /// The file of the control plane's root; empty when it is not a file.
    #[must_use]
    pub fn xds_root_path(&self) -> String {
        match self.discovery_tls.as_ref().map(|tls| &tls.roots) {
            Some(Roots::File(path)) => path.display().to_string(),
            _ => String::new(),
        }
    }
}

fn file_paths(dir: &Path, output: Option<PathBuf>) -> FilePaths {
    FilePaths {
        chain: dir.join("cert-chain.pem"),
        key: dir.join("key.pem"),
        roots: dir.join("root-cert.pem"),
        output,
        system_roots: process::roots::system(),
    }
}

fn issue_options(
    env: &Environment,
    trust_domain: &str,
    output: Option<PathBuf>,
) -> anyhow::Result<IssueOptions> {
    let key = match (
        env.get("ECC_SIGNATURE_ALGORITHM").unwrap_or_default(),
        env.get("ECC_CURVE").unwrap_or_default(),
    ) {
        ("", _) => KeyKind::Rsa(env.count("WORKLOAD_RSA_KEY_SIZE", 2048)),
        ("ECDSA", "P384") => KeyKind::P384,
        ("ECDSA", "" | "P256") => KeyKind::P256,
        (algorithm, curve) => anyhow::bail!(
            "ECC_SIGNATURE_ALGORITHM={algorithm} ECC_CURVE={curve}: want ECDSA with P256 or P384"
        ),
    };
    let namespace = env.text("POD_NAMESPACE", "");
    let account = env.text("SERVICE_ACCOUNT", "");
    Ok(IssueOptions {
        identity: format!("spiffe://{trust_domain}/ns/{namespace}/sa/{account}"),
        key,
        ttl: env.duration("SECRET_TTL", Duration::from_secs(24 * 3600)),
        signer: env.text("ISTIO_META_CERT_SIGNER", ""),
        claims: vec![
            ("WorkloadName", env.text("ISTIO_META_WORKLOAD_NAME", "")),
            ("ClusterID", env.text("ISTIO_META_CLUSTER_ID", "")),
        ],
        grace: env.ratio("SECRET_GRACE_PERIOD_RATIO", 0.5),
        grace_jitter: env.ratio("SECRET_GRACE_PERIOD_RATIO_JITTER", 0.01),
        output,
    })
}
