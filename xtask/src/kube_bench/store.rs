//! The API server with the mesh in it, as it was when it was written, for whoever is measured next.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use config::Kind;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::Api;
use kube::client::Body;
use testkit::api_server::{ADMIN, ApiServer};
use testkit::eventually;

use crate::load::Load;

/// What whoever starts will list: read once, so that nobody pays for the API server's own start.
const LISTS: [&str; 3] = ["/api/v1/pods", "/api/v1/services", "/apis/discovery.k8s.io/v1/endpointslices"];

/// A running API server and a copy of what is to be in it.
pub(crate) struct Store {
    server: ApiServer,
    copy: PathBuf,
    /// The flags by which the load finds the API server.
    pub(crate) flags: Vec<String>,
}

impl Store {
    /// Starts an API server. The mesh is written into it once, and a copy kept in `cache`.
    ///
    /// # Errors
    /// When there is no API server, the mesh cannot be written or the copy cannot be made.
    pub(crate) async fn open(load: &Load, cache: &Path) -> Result<Self> {
        let server = ApiServer::start().await?;
        let url = server.config().await?.cluster_url;
        let flags = vec![format!("--kube={url}"), format!("--kube-token={ADMIN}")];
        let copy = cache.join("bench").join(name(load)?);
        let mut store = Self { server, copy, flags };
        if !store.copy.is_dir() {
            store.prepare(load).await?;
        }
        Ok(store)
    }

    async fn prepare(&mut self, load: &Load) -> Result<()> {
        crate::progress("writing the mesh into the API server, once");
        load.set_up(&self.flags).await?;
        let unfinished = self.copy.with_extension(std::process::id().to_string());
        self.server.back_up_into(&unfinished).await?;
        // a folder of this name is a whole one
        fs::rename(&unfinished, &self.copy).with_context(|| self.copy.display().to_string())
    }

    /// Puts back the mesh as it was written, with nothing that anybody made of it since.
    ///
    /// # Errors
    /// When the API server does not come back, or does not have it.
    pub(crate) async fn restore(&mut self) -> Result<()> {
        self.server.restore(&self.copy).await?;
        let client = self.server.client().await?;
        for list in LISTS {
            let request = http::Request::get(format!("{list}?resourceVersion=0")).body(Vec::new())?;
            let text = client.request_text(request).await.context(list)?;
            anyhow::ensure!(text.contains("svc-0"), "{} has no mesh: remove it", self.copy.display());
        }
        for kind in Kind::ALL {
            for version in kind.versions() {
                warm(&client, &path(*kind, version)).await?;
            }
        }
        Ok(())
    }

    /// A kubeconfig of its administrator.
    ///
    /// # Errors
    /// See [`ApiServer::kubeconfig`].
    pub(crate) fn kubeconfig(&self) -> Result<String> {
        self.server.kubeconfig()
    }

    /// The root that a control plane made for itself, in PEM.
    ///
    /// # Errors
    /// When there is none within a while.
    pub(crate) async fn root(&self) -> Result<Vec<u8>> {
        let secrets: Api<Secret> = Api::namespaced(self.server.client().await?, "istio-system");
        eventually("the control plane stores its root", Duration::from_secs(60), async || {
            let secret = secrets.get("istio-ca-secret").await.ok()?;
            secret.data?.remove("ca-cert.pem").map(|root| root.0)
        })
        .await
        .map_err(|late| anyhow!("{late}"))
    }
}

/// Where the objects of a kind are.
fn path(kind: Kind, version: &str) -> String {
    match kind.group() {
        "" => format!("/api/{version}/{}", kind.plural()),
        group => format!("/apis/{group}/{version}/{}", kind.plural()),
    }
}

/// Waits until a kind can be watched: an API server refuses that for a second when it is asked for the first time.
async fn warm(client: &Client, path: &str) -> Result<()> {
    let watch = "watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=0";
    let answers = async || {
        let request =
            http::Request::get(format!("{path}?{watch}&timeoutSeconds=1")).body(Body::empty()).ok()?;
        let status = client.send(request).await.ok()?.status();
        // this one may not be served in this version
        (status.is_success() || status == http::StatusCode::NOT_FOUND).then_some(())
    };
    let what = format!("{path} can be watched");
    eventually(&what, Duration::from_secs(60), answers).await.map_err(|late| anyhow!("{late}"))
}

/// Of the copy: another one where what is written is another.
fn name(load: &Load) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    for file in ["mesh.rs", "kube.rs"] {
        let path = load.sources.join("src").join(file);
        fs::read(&path).with_context(|| path.display().to_string())?.hash(&mut hasher);
    }
    Kind::ALL.iter().for_each(|kind| (kind.plural(), kind.versions()).hash(&mut hasher));
    Ok(format!("{:?}-{:016x}", load.size, hasher.finish()))
}
