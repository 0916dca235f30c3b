//! How the own cluster is reached: a kubeconfig, or what a pod is given.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::retry::RetryPolicy;
use kube::client::{Body, ClientBuilder, ConfigExt as _};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tower::ServiceBuilder;
use tower::retry::RetryLayer;

use super::pace::Pace;

/// A connection over which nothing comes for so long while something is awaited is dead: API servers end a watch before that.
const SILENCE: Duration = Duration::from_secs(150);
/// What a connection reads and writes at once, in bytes: as much as a record of TLS has. There is a connection for each
/// watch, and each keeps what it once needed.
const BUFFER: usize = 16 << 10;
/// A connection for which there was nothing to do for so long is closed: a start has some at once.
const IDLE: Duration = Duration::from_secs(15);

/// Why there is no way to the API server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file named by a flag.
    #[error("--kubeconfig {}: {reason}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Nothing was named and nothing is there.
    #[error(
        "no Kubernetes API server is known ({0}): name one with --kubeconfig FILE or $KUBECONFIG, run in a pod with a service \
         account, or serve a folder of YAML with --configDir DIR"
    )]
    Nowhere(String),
    /// No client can be made.
    #[error("cannot talk to the Kubernetes API server: {0}")]
    Client(#[source] kube::Error),
}

/// A client: of the kubeconfig `file` if one is named, else of the pod this runs in, else of `$KUBECONFIG` or
/// `~/.kube/config` (as pkg/kube/util.go: BuildClientConfig). It keeps to `pace`. Nothing is sent yet.
///
/// # Errors
/// What is missing, and what to do.
pub async fn connect(file: Option<&Path>, pace: Pace) -> Result<Client, Error> {
    let config = match file {
        Some(path) => {
            let wrong = |reason: String| Error::File { path: path.to_owned(), reason };
            let kubeconfig = Kubeconfig::read_from(path).map_err(|e| wrong(e.to_string()))?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|e| wrong(e.to_string()))?
        }
        None => Config::infer().await.map_err(|e| Error::Nowhere(e.to_string()))?,
    };
    client(config, pace).map_err(Error::Client)
}

/// A client that keeps to a pace, and whose connections are given up when they are dead, which nobody may ever say: a host
/// that is gone, a firewall that has forgotten them. Nothing is sent yet.
pub(super) fn client(mut config: Config, pace: Pace) -> Result<Client, kube::Error> {
    config.read_timeout = Some(SILENCE);
    // what goes through a proxy or has certificates made by a program is left to kube, with buffers of any size
    if config.proxy_url.is_some() || config.auth_info.exec.is_some() {
        return Ok(ClientBuilder::try_from(config)?.with_layer(&pace).build());
    }
    let mut connector = TimeoutConnector::new(config.rustls_https_connector()?);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    connector.set_reset_reader_on_write(config.reset_reader_on_write);
    let connections: legacy::Client<_, Body> = legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .http1_max_buf_size(BUFFER)
        .build(connector);
    let retry = config.default_retry.then(|| RetryLayer::new(RetryPolicy::server_retry()));
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(retry)
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(tower::BoxError::from)
        .service(connections);
    Ok(ClientBuilder::new(service, config.default_namespace.clone()).with_layer(&pace).build())
}
