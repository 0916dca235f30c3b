//! The sidecar of a pod that a test runs: files and environment as an injected pod has them, and the agent's process.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::net::SocketAddrV4;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, ContainerPort, Pod, ServiceAccount};
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::json;

use super::PATIENCE;
use super::capture::PROXY_GROUP;
use super::listing::{controller, place};
use super::network::Sandbox;
use crate::eventually;
use crate::program::Program;

/// The name in the control plane's certificate, which is dialled by address.
const ISTIOD_SAN: &str = "istiod.istio-system.svc";
/// For whom a workload's token is.
const AUDIENCE: &str = "istio-ca";
/// Where every namespace finds the mesh's root.
const ROOT: (&str, &str) = ("istio-ca-root-cert", "root-cert.pem");
/// Seconds; upstream's projected tokens have as many.
const TOKEN_LIFE: i64 = 43_200;

/// Which programs are the sidecar, and which mesh it joins.
#[derive(Debug, Clone)]
pub struct Sidecar {
    /// The `pilot-agent` to run.
    pub agent: PathBuf,
    /// The Envoy it starts.
    pub envoy: PathBuf,
    /// The control plane's port with TLS, at an address that a pod reaches ([`Network::host`](super::Network::host)).
    pub discovery: SocketAddrV4,
    /// The cluster's id.
    pub cluster: String,
    /// The mesh's trust domain.
    pub trust_domain: String,
    /// More variables, which go before those that an injected pod has.
    pub variables: BTreeMap<String, String>,
}

impl Sidecar {
    /// A sidecar of the cluster `Kubernetes` in the trust domain `cluster.local`.
    #[must_use]
    pub fn new(agent: &Path, envoy: &Path, discovery: SocketAddrV4) -> Self {
        Self {
            agent: agent.to_owned(),
            envoy: envoy.to_owned(),
            discovery,
            cluster: "Kubernetes".to_owned(),
            trust_domain: "cluster.local".to_owned(),
            variables: BTreeMap::new(),
        }
    }
}

/// What a pod is given to prove who it is, and whom to trust.
#[derive(Clone)]
pub struct Credentials {
    /// Its service account's token.
    pub token: String,
    /// The mesh's root certificates as PEM.
    pub root: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Credentials {
    /// What a kubelet mounts: a token bound to the pod, and the root that the control plane wrote into its namespace.
    pub(super) async fn of(client: &Client, pod: &Pod) -> Result<Self> {
        let (namespace, name) = place(&pod.metadata);
        let roots: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        let look = async || roots.get(ROOT.0).await.ok()?.data?.remove(ROOT.1);
        let what = format!("ConfigMap {namespace}/{} has {}", ROOT.0, ROOT.1);
        let root = eventually(&what, PATIENCE, look).await.map_err(|late| anyhow!(late))?;
        let account = account(pod);
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: Some(vec![AUDIENCE.to_owned()]),
                expiration_seconds: Some(TOKEN_LIFE),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: Some(name.to_owned()),
                    uid: pod.metadata.uid.clone(),
                }),
            }),
            ..TokenRequest::default()
        };
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
        let answer = accounts.create_token_request(account, &PostParams::default(), &request).await;
        let answer = answer.with_context(|| format!("a token of service account {namespace}/{account}"))?;
        let token =
            answer.status.and_then(|status| status.token).context("a TokenRequest without a token")?;
        Ok(Self { token, root })
    }
}

fn account(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref()).unwrap_or("default")
}

/// The ports of a pod's containers, the proxy's own left out.
pub(super) fn ports(pod: &Pod) -> impl Iterator<Item = &ContainerPort> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers.filter(|of| of.name != "istio-proxy").flat_map(|of| of.ports.iter().flatten())
}

/// Starts the agent of a pod inside; `folder` is its root.
pub(super) fn start(
    sandbox: &Sandbox,
    pod: &Pod,
    sidecar: &Sidecar,
    credentials: &Credentials,
    folder: &Path,
) -> Result<Program> {
    mount(pod, credentials, folder)?;
    let (namespace, _) = place(&pod.metadata);
    let mut command = Command::new(&sidecar.agent);
    command
        .args(["proxy", "sidecar", "--domain", &format!("{namespace}.svc.cluster.local"), "--baseDir"])
        .arg(folder)
        .current_dir(folder)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .envs(environment(sandbox, pod, sidecar))
        .envs(&sidecar.variables)
        .gid(PROXY_GROUP);
    Program::start_by(&mut command, &folder.join("agent.log"), |command| sandbox.spawn(command))
}

/// Writes what is mounted into an injected pod.
fn mount(pod: &Pod, credentials: &Credentials, folder: &Path) -> Result<()> {
    let lines = |of: &Option<BTreeMap<String, String>>| -> String {
        of.iter().flatten().map(|(key, value)| format!("{key}={}\n", json!(value))).collect()
    };
    let files = [
        ("var/run/secrets/tokens/istio-token", credentials.token.clone()),
        ("var/run/secrets/istio/root-cert.pem", credentials.root.clone()),
        ("etc/istio/pod/labels", lines(&pod.metadata.labels)),
        ("etc/istio/pod/annotations", lines(&pod.metadata.annotations)),
    ];
    for (path, text) in files {
        let path = folder.join(path);
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// As manifests/charts/istio-control/istio-discovery/files/injection-template.yaml. The control plane has no name here,
/// so it is dialled by address and known by its certificate; its address as a CA is the same, if nothing else is said.
fn environment(sandbox: &Sandbox, pod: &Pod, sidecar: &Sidecar) -> BTreeMap<&'static str, String> {
    let (namespace, name) = place(&pod.metadata);
    let status = pod.status.as_ref();
    let spec = pod.spec.as_ref();
    let host = status.and_then(|status| status.host_ip.clone()).unwrap_or_default();
    let containers: Vec<&str> = spec
        .iter()
        .flat_map(|spec| &spec.containers)
        .map(|container| container.name.as_str())
        .filter(|container| *container != "istio-proxy")
        .collect();
    let ports: Vec<&ContainerPort> = ports(pod).collect();
    let workload = workload(pod);
    let proxy_config = json!({
        "discoveryAddress": sidecar.discovery.to_string(),
        "binaryPath": sidecar.envoy,
        "concurrency": 1,
        "terminationDrainDuration": "0.2s",
    });
    BTreeMap::from([
        ("PILOT_CERT_PROVIDER", "istiod".to_owned()),
        ("ISTIOD_SAN", ISTIOD_SAN.to_owned()),
        ("POD_NAME", name.to_owned()),
        ("POD_NAMESPACE", namespace.to_owned()),
        ("INSTANCE_IP", sandbox.address().to_string()),
        ("SERVICE_ACCOUNT", account(pod).to_owned()),
        ("HOST_IP", host),
        ("PROXY_CONFIG", proxy_config.to_string()),
        ("ISTIO_META_POD_PORTS", json!(ports).to_string()),
        ("ISTIO_META_APP_CONTAINERS", containers.join(",")),
        ("ISTIO_META_CLUSTER_ID", sidecar.cluster.clone()),
        ("ISTIO_META_NODE_NAME", spec.and_then(|spec| spec.node_name.clone()).unwrap_or_default()),
        ("ISTIO_META_INTERCEPTION_MODE", "REDIRECT".to_owned()),
        ("ISTIO_META_WORKLOAD_NAME", workload.to_owned()),
        (
            "ISTIO_META_OWNER",
            format!("kubernetes://apis/apps/v1/namespaces/{namespace}/deployments/{workload}"),
        ),
        ("ISTIO_META_MESH_ID", sidecar.trust_domain.clone()),
        ("TRUST_DOMAIN", sidecar.trust_domain.clone()),
    ])
}

/// The Deployment of a pod, by the name of its ReplicaSet; its own name if it has none.
fn workload(pod: &Pod) -> &str {
    let owner = controller(&pod.metadata, "ReplicaSet").and_then(|owner| owner.name.rsplit_once('-'));
    owner.map_or(place(&pod.metadata).1, |(deployment, _)| deployment)
}
