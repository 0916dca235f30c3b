//! Connections to the control plane and the CA: TLS with the mesh's root, a client certificate or a token, or plain.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::{Channel, Endpoint};

/// How long one attempt to connect may take, over all addresses of the name.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Name that a control plane's certificate has, for those who reach it through a forwarded local port.
const DEFAULT_SERVER_NAME: &str = "istiod.istio-system.svc";

/// Whose certificates are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// Those in this file; it is read again for each connection.
    File(PathBuf),
    /// Those of the operating system.
    System,
}

/// What is presented and expected over TLS. Files are read again for each connection, so rotation needs no restart.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Whose certificates are trusted.
    pub roots: Roots,
    /// Certificate chain and key of this client, where it has them.
    pub client: Option<(PathBuf, PathBuf)>,
    /// The name in the server's certificate when it is not the one that is dialled (`ISTIOD_SAN`).
    pub server_name: Option<String>,
}

/// A server of the control plane.
#[derive(Debug)]
pub struct ControlPlane {
    /// `host:port`, or `unix:PATH`.
    address: String,
    tls: Option<Tls>,
    /// File with the bearer token, read fresh for each call.
    token: Option<PathBuf>,
    /// Headers of every call.
    headers: Vec<(String, String)>,
    turn: AtomicUsize,
}

impl ControlPlane {
    /// The server at `address`. Without `tls` the connection is plain, and then the token is sent over a unix socket only.
    #[must_use]
    pub fn new(
        address: &str,
        tls: Option<Tls>,
        token: Option<PathBuf>,
        headers: Vec<(String, String)>,
    ) -> Self {
        Self { address: address.to_owned(), tls, token, headers, turn: AtomicUsize::new(0) }
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Connects. Addresses of a name take turns being tried first, so that after a failure another one is.
    ///
    /// # Errors
    /// When no address accepts within five seconds, or the certificates do not fit.
    pub async fn connect(self: &Arc<Self>) -> Result<Channel, tonic::transport::Error> {
        let authority = if self.address.starts_with("unix:") { "localhost" } else { self.address.as_str() };
        let endpoint = Endpoint::from_shared(format!("http://{authority}"))?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(10))
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(1 << 20);
        let server = Arc::clone(self);
        let connector = tower::service_fn(move |_: Uri| {
            let server = Arc::clone(&server);
            async move { Ok::<_, io::Error>(TokioIo::new(server.dial().await?)) }
        });
        endpoint.connect_with_connector(connector).await
    }

    /// Puts token and headers on a call.
    pub fn authorize(&self, metadata: &mut MetadataMap) {
        for (name, value) in &self.headers {
            match (
                tonic::metadata::MetadataKey::from_bytes(name.to_ascii_lowercase().as_bytes()),
                value.parse(),
            ) {
                (Ok(name), Ok(value)) => {
                    metadata.insert(name, value);
                }
                _ => tracing::warn!("header {name} cannot be sent, left out"),
            }
        }
        if self.tls.is_none() && !self.address.starts_with("unix:") {
            return;
        }
        let Some(path) = &self.token else { return };
        match std::fs::read_to_string(path) {
            Ok(token) => {
                if let Ok(mut bearer) = MetadataValue::try_from(format!("Bearer {}", token.trim())) {
                    bearer.set_sensitive(true);
                    metadata.insert("authorization", bearer);
                }
            }
            Err(error) => tracing::debug!("no token: {}: {error}", path.display()),
        }
    }

    async fn dial(&self) -> io::Result<Stream> {
        if let Some(path) = self.address.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return Ok(Stream::Unix(UnixStream::connect(path).await?));
        }
        let tls = self.tls.as_ref().map(client_config).transpose()?;
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host(&self.address).await?.collect();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut last = io::Error::other(format!("{} has no address", self.address));
        for index in 0..addresses.len() {
            let address = addresses[(first + index) % addresses.len()];
            match self.dial_one(address, tls.clone()).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn dial_one(&self, address: SocketAddr, tls: Option<Arc<ClientConfig>>) -> io::Result<Stream> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let Some(config) = tls else { return Ok(Stream::Plain(stream)) };
        let name = ServerName::try_from(self.server_name()).map_err(io::Error::other)?;
        let stream = tokio_rustls::TlsConnector::from(config).connect(name, stream).await?;
        Ok(Stream::Tls(Box::new(stream)))
    }

    fn server_name(&self) -> String {
        if let Some(name) = self.tls.as_ref().and_then(|tls| tls.server_name.clone()) {
            return name;
        }
        let host = self.address.rsplit_once(':').map_or(self.address.as_str(), |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host == "localhost" { DEFAULT_SERVER_NAME.to_owned() } else { host.to_owned() }
    }
}

fn named(path: &Path) -> impl Fn(String) -> io::Error + '_ {
    move |reason| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {reason}", path.display()))
}

fn client_config(tls: &Tls) -> io::Result<Arc<ClientConfig>> {
    let path = match &tls.roots {
        Roots::File(path) => path.clone(),
        Roots::System => {
            process::roots::system().ok_or_else(|| io::Error::other("the system has no trusted roots"))?
        }
    };
    let bad = named(&path);
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(&path).map_err(|error| bad(error.to_string()))?;
    // A bundle may hold certificates that rustls does not take; the others count.
    roots.add_parsable_certificates(certificates.filter_map(Result::ok));
    if roots.is_empty() {
        return Err(bad("no trusted root in it".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots);
    let mut config = match &tls.client {
        Some((chain, key)) if chain.is_file() && key.is_file() => {
            let bad = named(chain);
            let certificates = CertificateDer::pem_file_iter(chain)
                .and_then(Iterator::collect)
                .map_err(|error| bad(error.to_string()))?;
            let key_der = PrivateKeyDer::from_pem_file(key).map_err(|error| named(key)(error.to_string()))?;
            builder.with_client_auth_cert(certificates, key_der).map_err(|error| bad(error.to_string()))?
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// A connection of any of the three kinds.
enum Stream {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
    Unix(UnixStream),
}

macro_rules! each {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Plain($stream) => $call,
            Stream::Tls($stream) => $call,
            Stream::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
