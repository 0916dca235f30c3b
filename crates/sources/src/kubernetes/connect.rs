//! How the own cluster is reached: a kubeconfig, or what a pod is given.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use kube::client::retry::RetryPolicy;
use kube::client::{Body, ClientBuilder, ConfigExt as _};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::TcpStream;
use tower::retry::RetryLayer;
use tower::{ServiceBuilder, ServiceExt as _};

use super::pace::Pace;

/// A connection over which nothing comes for so long while something is awaited is dead: API servers end a watch before that.
const SILENCE: Duration = Duration::from_secs(150);
/// What a connection reads and writes at once, in bytes: as much as a record of TLS has. There is a connection for each
/// watch, and each keeps what it once needed.
const BUFFER: usize = 16 << 10;
/// What is read from the network at once, in bytes, if so much is there.
const READ: usize = 16 << 10;
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
    /// This is no pod, or one without a service account.
    #[error(
        "LOCAL_CLUSTER_SECRET_WATCHER has Secrets read in the cluster this runs in, but this is not a pod with a service account \
         ({0}): run it in one, or set LOCAL_CLUSTER_SECRET_WATCHER=false to have Secrets of the configuring cluster read"
    )]
    NoPod(String),
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

/// A client of the cluster this runs in as a pod, whatever cluster configures the mesh. It keeps to `pace`. Nothing is sent
/// yet.
///
/// # Errors
/// This is no pod.
pub fn connect_locally(pace: Pace) -> Result<Client, Error> {
    let config = Config::incluster().map_err(|e| Error::NoPod(e.to_string()))?;
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
    let mut sockets = HttpConnector::new();
    sockets.enforce_http(false);
    // a question goes out at once: held back until the end of the handshake is acknowledged, it waits for 40 ms
    sockets.set_nodelay(true);
    let sockets = sockets.map_response(|socket| TokioIo::new(Socket::new(socket.into_inner())));
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(sockets)?);
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

/// A socket that is read from in large pieces: TLS asks for 4 kB at a time, and a start reads a hundred megabytes.
struct Socket(BufReader<TcpStream>);

impl Socket {
    fn new(socket: TcpStream) -> Self {
        Self(BufReader::with_capacity(READ, socket))
    }
}

impl Connection for Socket {
    fn connected(&self) -> Connected {
        self.0.get_ref().connected()
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context, into: &mut ReadBuf) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
