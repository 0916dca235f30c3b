//! A Kubernetes cluster as istioctl reaches it: by a kubeconfig, and its pods through the API server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt as _};

use crate::args::Global;
use crate::fetch;

/// The label that says which revision of the control plane something belongs to.
const REVISION: &str = "istio.io/rev";
/// The webhook configuration whose revision is the default one.
const DEFAULT_TAG: &str = "istio-revision-tag-default";
/// Where istiod is asked unless its command line says otherwise.
const MONITORING: u16 = 15014;

/// A cluster.
#[derive(Clone)]
pub struct Cluster {
    /// The client, with the rights of the caller.
    pub client: Client,
    /// URL of the API server, as the kubeconfig has it.
    pub server: String,
    /// The namespace that the kubeconfig's context names.
    pub namespace: Option<String>,
}

/// A running pod of the control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Istiod {
    /// Its name.
    pub pod: String,
    /// Its namespace.
    pub namespace: String,
    /// The revision it serves; empty if it does not say.
    pub revision: String,
    /// Whose version `version` prints: `pilot`.
    pub component: String,
    /// Its port for metrics and debug pages.
    pub monitoring: u16,
}

impl Cluster {
    /// The cluster that the flags mean: `--kubeconfig`, else `$KUBECONFIG`, else `~/.kube/config`, else the one this
    /// process runs in (as pkg/kube: `BuildClientConfig`). `None` if there is none of them.
    ///
    /// # Errors
    /// A configuration that cannot be read or used.
    pub async fn find(flags: &Global) -> anyhow::Result<Option<Self>> {
        let (mut config, server, namespace) = match kubeconfig(flags)? {
            Some(kubeconfig) => of_kubeconfig(kubeconfig, flags).await?,
            None if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() => {
                let config = Config::incluster().context("the cluster this runs in")?;
                let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
                (config, server, None)
            }
            None => return Ok(None),
        };
        config.connect_timeout = Some(flags.kube_timeout);
        config.read_timeout = Some(flags.kube_timeout);
        impersonate(&mut config, flags)?;
        let client = Client::try_from(config).context("the kubeconfig cannot be used")?;
        Ok(Some(Self { client, server, namespace }))
    }

    /// As [`Cluster::find`], where there must be one.
    ///
    /// # Errors
    /// There is none, or its configuration cannot be used.
    pub async fn connect(flags: &Global) -> anyhow::Result<Self> {
        match Self::find(flags).await? {
            Some(cluster) => Ok(cluster),
            None => {
                bail!("no cluster is configured: name a kubeconfig with --kubeconfig FILE or $KUBECONFIG")
            }
        }
    }

    /// The revision that is meant where none is named (as istioctl/pkg/cli: `RevisionOrDefault`).
    pub async fn default_revision(&self) -> String {
        let webhooks: Api<MutatingWebhookConfiguration> = Api::all(self.client.clone());
        // who may not look gets the usual answer
        let tag = webhooks.get_opt(DEFAULT_TAG).await.ok().flatten();
        tag.and_then(|tag| tag.labels().get(REVISION).cloned()).unwrap_or_else(|| "default".to_owned())
    }

    /// The running pods of the control plane of a revision; sorted by name.
    ///
    /// # Errors
    /// The API server refuses, or there are none.
    pub async fn istiods(
        &self,
        namespace: &str,
        selector: &str,
        revision: Option<&str>,
    ) -> anyhow::Result<Vec<Istiod>> {
        let revision = match revision {
            Some(revision) => revision.to_owned(),
            None => self.default_revision().await,
        };
        let comma = if selector.is_empty() { "" } else { "," };
        let selector = format!("{selector}{comma}{REVISION}={revision}");
        let wanted = ListParams::default().labels(&selector).fields("status.phase=Running");
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let mut found: Vec<Istiod> =
            pods.list(&wanted).await.context("unable to retrieve Pods")?.iter().map(istiod).collect();
        found.sort_by(|a, b| a.pod.cmp(&b.pod));
        if found.is_empty() {
            bail!(
                "no running Istio pods in {namespace:?} with the labels {selector}: name another namespace with \
                 --istioNamespace, or another revision with --revision"
            );
        }
        Ok(found)
    }

    /// The pod that `[type/]name` means: itself, or the first running one of a workload or Service (as
    /// istioctl/pkg/util/handlers: `InferPodInfoFromTypedResource`).
    ///
    /// # Errors
    /// There is no such thing, or it has no running pod.
    pub async fn pod_of(&self, name: &str, namespace: &str) -> anyhow::Result<String> {
        let Some((kind, name)) = name.split_once('/') else { return Ok(name.to_owned()) };
        let client = || self.client.clone();
        let selector = match kind {
            "po" | "pod" | "pods" => return Ok(name.to_owned()),
            "deploy" | "deployment" | "deployments" => {
                let found = Api::<Deployment>::namespaced(client(), namespace).get(name).await?;
                found.spec.map(|spec| labels(&spec.selector))
            }
            "ds" | "daemonset" | "daemonsets" => {
                let found = Api::<DaemonSet>::namespaced(client(), namespace).get(name).await?;
                found.spec.map(|spec| labels(&spec.selector))
            }
            "rs" | "replicaset" | "replicasets" => {
                let found = Api::<ReplicaSet>::namespaced(client(), namespace).get(name).await?;
                found.spec.map(|spec| labels(&spec.selector))
            }
            "sts" | "statefulset" | "statefulsets" => {
                let found = Api::<StatefulSet>::namespaced(client(), namespace).get(name).await?;
                found.spec.map(|spec| labels(&spec.selector))
            }
            "svc" | "service" | "services" => {
                let found = Api::<Service>::namespaced(client(), namespace).get(name).await?;
                let selector = found.spec.and_then(|spec| spec.selector);
                selector
                    .map(|selector| LabelSelector { match_labels: Some(selector), match_expressions: None })
                    .map(|selector| labels(&selector))
            }
            kind => bail!(
                "{kind:?} is no type that has pods: want pod, deployment, daemonset, replicaset, statefulset or service"
            ),
        };
        let selector = selector.filter(|selector| !selector.is_empty());
        let selector = selector.with_context(|| format!("{kind}/{name} selects no pods"))?;
        let wanted = ListParams::default().labels(&selector).fields("status.phase=Running");
        let pods = Api::<Pod>::namespaced(client(), namespace).list(&wanted).await?;
        let first = pods.iter().map(kube::ResourceExt::name_any).min();
        first.with_context(|| format!("no running pods of {kind}/{name} in namespace {namespace:?}"))
    }

    /// One HTTP request to a port of a pod, through the API server: status and body of any answer.
    ///
    /// # Errors
    /// What went wrong, in words.
    pub async fn request(
        &self,
        (pod, namespace, port): (&str, &str, u16),
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), String> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let mut forwarded = pods.portforward(pod, &[port]).await.map_err(|error| error.to_string())?;
        let (Some(stream), Some(refused)) = (forwarded.take_stream(port), forwarded.take_error(port)) else {
            return Err("the port is not forwarded".to_owned());
        };
        let refusal = async {
            match refused.await {
                Some(reason) => reason,
                // the channel closes with the connection, whose end is told by the exchange
                None => std::future::pending().await,
            }
        };
        tokio::pin!(refusal);
        tokio::select! {
            reason = &mut refusal => Err(reason),
            answer = fetch::over(stream, method, path, body) => match answer {
                Ok(answer) => Ok(answer),
                // a port that is refused is closed too, just after the reason was told
                Err(end) => Err(tokio::time::timeout(Duration::ZERO, refusal).await.unwrap_or(end)),
            },
        }
    }
}

/// The kubeconfig that the flags and the environment name; `None` if there is no such file and nobody asked for one.
fn kubeconfig(flags: &Global) -> anyhow::Result<Option<Kubeconfig>> {
    if let Some(file) = &flags.kubeconfig {
        let read = Kubeconfig::read_from(file);
        return Ok(Some(read.with_context(|| format!("cannot read the kubeconfig {}", file.display()))?));
    }
    if let Some(read) = Kubeconfig::from_env().context("cannot read the kubeconfig of $KUBECONFIG")? {
        return Ok(Some(read));
    }
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let file = home.join(".kube/config");
    if !file.exists() {
        if let Some(context) = &flags.context {
            bail!(
                "there is no kubeconfig that could have the context {context:?}: name one with --kubeconfig FILE"
            );
        }
        return Ok(None);
    }
    let read = Kubeconfig::read_from(&file);
    Ok(Some(read.with_context(|| format!("cannot read the kubeconfig {}", file.display()))?))
}

async fn of_kubeconfig(
    kubeconfig: Kubeconfig,
    flags: &Global,
) -> anyhow::Result<(Config, String, Option<String>)> {
    let name = flags.context.clone().or_else(|| kubeconfig.current_context.clone());
    let context = kubeconfig.contexts.iter().find(|named| Some(&named.name) == name.as_ref());
    let context = context.and_then(|named| named.context.clone());
    let cluster = context.as_ref().and_then(|context| {
        kubeconfig.clusters.iter().find(|named| named.name == context.cluster)?.cluster.clone()
    });
    let server = cluster.and_then(|cluster| cluster.server).unwrap_or_default();
    let namespace = context.and_then(|context| context.namespace).filter(|namespace| !namespace.is_empty());
    let options = KubeConfigOptions { context: flags.context.clone(), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    Ok((config.context("the kubeconfig cannot be used")?, server, namespace))
}

fn impersonate(config: &mut Config, flags: &Global) -> anyhow::Result<()> {
    if flags.as_user.is_none() {
        if flags.as_uid.is_some() || !flags.as_groups.is_empty() {
            bail!("--as-group and --as-uid need --as, the user to impersonate");
        }
        return Ok(());
    }
    for value in flags.as_user.iter().chain(&flags.as_uid).chain(&flags.as_groups) {
        HeaderValue::from_str(value).with_context(|| format!("{value:?} is no name of a user or group"))?;
    }
    config.auth_info.impersonate.clone_from(&flags.as_user);
    config.auth_info.impersonate_uid.clone_from(&flags.as_uid);
    config.auth_info.impersonate_groups = Some(flags.as_groups.clone()).filter(|groups| !groups.is_empty());
    Ok(())
}

fn istiod(pod: &Pod) -> Istiod {
    let label = |name: &str| pod.labels().get(name).cloned();
    Istiod {
        pod: pod.name_any(),
        namespace: pod.namespace().unwrap_or_default(),
        revision: label(REVISION).unwrap_or_default(),
        component: label("istio").unwrap_or_else(|| "pilot".to_owned()),
        monitoring: monitoring(pod).unwrap_or(MONITORING),
    }
}

/// The port of `--monitoringAddr` (as pkg/kube: `FindIstiodMonitoringPort`).
fn monitoring(pod: &Pod) -> Option<u16> {
    let containers = &pod.spec.as_ref()?.containers;
    let words = containers
        .iter()
        .filter(|container| container.name == "discovery")
        .flat_map(|container| [&container.command, &container.args])
        .flatten()
        .flatten();
    let mut words = words.map(String::as_str);
    while let Some(word) = words.next() {
        let Some(rest) = word.strip_prefix("--monitoringAddr") else { continue };
        let address = rest.strip_prefix('=').or_else(|| words.next()).unwrap_or_default();
        return address.rsplit_once(':')?.1.parse().ok();
    }
    None
}

/// A selector in the form of a query; empty if it selects by nothing, or by what a query cannot say.
fn labels(selector: &LabelSelector) -> String {
    if selector.match_expressions.as_ref().is_some_and(|list| !list.is_empty()) {
        return kube::core::Selector::try_from(selector.clone())
            .map_or_else(|_| String::new(), |s| s.to_string());
    }
    let pairs = selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}={value}"));
    pairs.collect::<Vec<_>>().join(",")
}

/// Shared by everything that asks the same cluster.
pub type Shared = Arc<Cluster>;

#[cfg(test)]
mod tests;
