//! Who is asked: a control plane by its address, the mesh that `up` started, or the control plane's pods in a cluster.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use bytes::Bytes;
use http::{Method, StatusCode};

use crate::args::{Central, Global, Plane};
use crate::cluster::{Cluster, Shared};
use crate::fetch::{FetchError, Fetcher, success};
use crate::up::Document;

/// A place that answers HTTP.
#[derive(Clone)]
pub enum Endpoint {
    /// `http://host:port`.
    Url(String),
    /// A port of a pod, reached through its cluster's API server.
    Pod {
        /// The cluster.
        cluster: Shared,
        /// The pod's name.
        pod: String,
        /// Its namespace.
        namespace: String,
        /// The port.
        port: u16,
    },
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url),
            Self::Pod { pod, namespace, port, .. } => write!(f, "port {port} of pod {pod}.{namespace}: "),
        }
    }
}

impl Endpoint {
    /// `GET path`; the body of a success.
    ///
    /// # Errors
    /// If nobody answers in time, or the answer is not a success.
    pub async fn get(&self, path: &str, timeout: Duration) -> Result<Bytes, FetchError> {
        let (status, body) = self.send(Method::GET, path, Bytes::new(), timeout).await?;
        success(&format!("{self}{path}"), status, body)
    }

    /// `POST path` without a body; the body of a success.
    ///
    /// # Errors
    /// As [`Endpoint::get`].
    pub async fn post(&self, path: &str, timeout: Duration) -> Result<Bytes, FetchError> {
        let (status, body) = self.send(Method::POST, path, Bytes::new(), timeout).await?;
        success(&format!("{self}{path}"), status, body)
    }

    /// Status and body of any answer.
    ///
    /// # Errors
    /// If nobody answers in time.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        timeout: Duration,
    ) -> Result<(StatusCode, Bytes), FetchError> {
        match self {
            Self::Url(base) => Fetcher::new(timeout).send(method, &format!("{base}{path}"), &[], body).await,
            Self::Pod { cluster, pod, namespace, port } => {
                let unreachable =
                    |reason: String| FetchError::Unreachable { url: format!("{self}{path}"), reason };
                let asked = cluster.request((pod, namespace, *port), method, path, body);
                match tokio::time::timeout(timeout, asked).await {
                    Ok(answer) => answer.map_err(unreachable),
                    Err(_) => Err(unreachable(format!("no answer within {timeout:?}"))),
                }
            }
        }
    }

    /// The same host at another port.
    #[must_use]
    pub fn at(&self, port: u16) -> Self {
        match self {
            Self::Url(base) => {
                let (host, _) =
                    base.rsplit_once(':').filter(|(host, _)| host.contains("://")).unwrap_or((base, ""));
                Self::Url(format!("{host}:{port}"))
            }
            Self::Pod { cluster, pod, namespace, .. } => {
                Self::Pod { cluster: cluster.clone(), pod: pod.clone(), namespace: namespace.clone(), port }
            }
        }
    }
}

/// One instance of a control plane.
#[derive(Clone)]
pub struct Instance {
    /// The name it goes by.
    pub id: String,
    /// Its revision; empty if unknown.
    pub revision: String,
    /// The component `version` prints it as.
    pub component: String,
    /// Its debug pages.
    pub endpoint: Endpoint,
}

/// The mesh that `up` runs on this machine, unless the flags mean a cluster.
#[must_use]
pub fn running(global: &Global) -> Option<Document> {
    if global.names_a_cluster() { None } else { crate::up::running_document() }
}

/// An address as a URL.
#[must_use]
pub fn base(address: &str) -> String {
    if address.contains("://") {
        address.trim_end_matches('/').to_owned()
    } else {
        format!("http://{address}")
    }
}

/// The cluster that is asked where no mesh runs on this machine.
///
/// # Errors
/// There is none, or its configuration cannot be used.
pub async fn cluster(global: &Global) -> anyhow::Result<Shared> {
    match Cluster::find(global).await? {
        Some(cluster) => Ok(Arc::new(cluster)),
        None => bail!(
            "no mesh is running here: start one with `istioctl up`, name a control plane with --xds-address HOST:PORT, \
             or a cluster with --kubeconfig FILE"
        ),
    }
}

/// The control plane that is named by its address or runs on this machine.
#[must_use]
pub fn nearby(global: &Global, plane: &Plane) -> Option<Instance> {
    let of = |id: String, base: String| Instance {
        id,
        revision: String::new(),
        component: "pilot".to_owned(),
        endpoint: Endpoint::Url(base),
    };
    if let Some(address) = &plane.xds_address {
        let url = base(address);
        let known = running(global).filter(|document| document.debug == url);
        let id = known.map_or_else(
            || url.trim_start_matches("http://").to_owned(),
            |document| document.control_plane.id,
        );
        return Some(of(id, url));
    }
    running(global).map(|document| of(document.control_plane.id, document.debug))
}

/// Every instance of the control plane that the flags mean: at least one.
///
/// # Errors
/// There is none, or the cluster cannot be asked.
pub async fn instances(global: &Global, central: &Central) -> anyhow::Result<Vec<Instance>> {
    if let Some(instance) = nearby(global, &central.plane) {
        return Ok(vec![instance]);
    }
    let cluster = cluster(global).await?;
    of_cluster(&cluster, global, &central.xds_label, central.revision.as_deref()).await
}

/// Every running pod of the control plane in a cluster: at least one.
///
/// # Errors
/// There is none, or the cluster cannot be asked.
pub async fn of_cluster(
    cluster: &Shared,
    global: &Global,
    selector: &str,
    revision: Option<&str>,
) -> anyhow::Result<Vec<Instance>> {
    let found = cluster.istiods(&global.istio_namespace, selector, revision).await?;
    let instance = |istiod: crate::cluster::Istiod| Instance {
        id: istiod.pod.clone(),
        revision: istiod.revision,
        component: istiod.component,
        endpoint: Endpoint::Pod {
            cluster: cluster.clone(),
            pod: istiod.pod,
            namespace: istiod.namespace,
            port: istiod.monitoring,
        },
    };
    Ok(found.into_iter().map(instance).collect())
}
