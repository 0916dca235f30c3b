//! One HTTP request over a fresh connection: Envoy's admin interface, scrapes, probes of the application.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};

/// The longest answer that is read whole.
const LARGEST_TEXT: usize = 4 << 20;

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The server could not be reached.
    #[error("cannot connect to {target}: {source}")]
    Connect {
        /// `host:port`
        target: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The exchange broke.
    #[error(transparent)]
    Exchange(#[from] hyper::Error),
    /// The request cannot be written down.
    #[error(transparent)]
    Request(#[from] http::Error),
    /// It took too long.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The answer could not be read.
    #[error("cannot read the answer: {0}")]
    Body(String),
}

/// Where a request goes.
#[derive(Clone, Debug)]
pub struct Target {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The address the connection comes from, if it matters.
    pub from: Option<IpAddr>,
    /// Over TLS; nobody's certificate is verified, as kubelet's probes do.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

impl Target {
    /// Plain HTTP to `host:port`.
    #[must_use]
    pub fn plain(host: &str, port: u16) -> Self {
        Self { host: host.to_owned(), port, from: None, tls: None }
    }

    /// `host:port`, with brackets where they belong.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Opens a TCP connection.
    ///
    /// # Errors
    /// When nobody listens there or the name is unknown.
    pub async fn connect(&self) -> Result<TcpStream, HttpError> {
        let failed = |source| HttpError::Connect { target: self.authority(), source };
        let addresses = tokio::net::lookup_host((self.host.as_str(), self.port)).await.map_err(failed)?;
        let mut last = std::io::Error::other("the name has no address");
        for address in addresses {
            match connect_from(address, self.from).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(failed(last))
    }
}

async fn connect_from(address: SocketAddr, from: Option<IpAddr>) -> std::io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(from) = from.filter(|from| from.is_ipv4() == address.is_ipv4()) {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    socket.connect(address).await
}

/// Sends a request without a body and gives the answer as soon as its head is there. A missing `Host` is filled in.
///
/// # Errors
/// When the server cannot be reached or breaks the exchange off.
pub async fn send(
    target: &Target,
    mut request: Request<Empty<Bytes>>,
) -> Result<Response<Incoming>, HttpError> {
    if !request.headers().contains_key(http::header::HOST)
        && let Ok(host) = target.authority().parse()
    {
        request.headers_mut().insert(http::header::HOST, host);
    }
    let stream = target.connect().await?;
    let Some(config) = &target.tls else { return over_http1(stream, request).await };
    let failed = |source| HttpError::Connect { target: target.authority(), source };
    let name = rustls_pki_types::ServerName::try_from(target.host.clone())
        .map_err(|error| failed(std::io::Error::other(error)))?;
    let stream =
        tokio_rustls::TlsConnector::from(Arc::clone(config)).connect(name, stream).await.map_err(failed)?;
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        return over_http2(target, stream, request).await;
    }
    over_http1(stream, request).await
}

async fn over_http1<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>, HttpError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}

async fn over_http2<S>(
    target: &Target,
    stream: S,
    mut request: Request<Empty<Bytes>>,
) -> Result<Response<Incoming>, HttpError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let host = request.headers_mut().remove(http::header::HOST);
    let authority =
        host.and_then(|host| host.to_str().ok().map(str::to_owned)).unwrap_or_else(|| target.authority());
    let path = request.uri().path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    *request.uri_mut() =
        http::Uri::builder().scheme("https").authority(authority).path_and_query(path).build()?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}

/// Sends `method` to `path` and reads the whole answer: its status and its text.
///
/// # Errors
/// As [`send`], when the answer is longer than 4 MiB, or when all of it is not there after `patience`.
pub async fn text(
    target: &Target,
    method: http::Method,
    path: &str,
    patience: Duration,
) -> Result<(http::StatusCode, String), HttpError> {
    let exchange = async {
        let request = Request::builder().method(method).uri(path).body(Empty::new())?;
        let response = send(target, request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST_TEXT).collect().await;
        let body = body.map_err(|error| HttpError::Body(error.to_string()))?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    tokio::time::timeout(patience, exchange).await.unwrap_or(Err(HttpError::Timeout(patience)))
}
