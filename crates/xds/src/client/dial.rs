//! Ways to reach a server: plain TCP, TLS, a unix socket, or whatever the caller has.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tonic::transport::{Channel, Endpoint};

/// Why there is no connection.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct DialError(String);

/// Connects; the number counts attempts, so that several addresses can be tried in turn.
pub type Dial = Arc<dyn Fn(usize) -> BoxFuture<'static, Result<Channel, DialError>> + Send + Sync>;

/// A connection that takes longer is given up.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Over plain TCP to `host:port` addresses, one after the other.
#[must_use]
pub fn plain(addresses: Vec<String>) -> Dial {
    with(addresses, |address| async move {
        let stream = TcpStream::connect(&address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    })
}

/// Over TLS to `host:port` addresses, one after the other. `config` says whom to trust, which client certificate to
/// show (asked at each connection, so it may rotate) and must offer `h2`; `server_name` is what the certificate must
/// be for, instead of the address's host.
#[must_use]
pub fn tls(addresses: Vec<String>, config: Arc<ClientConfig>, server_name: Option<String>) -> Dial {
    let connector = TlsConnector::from(config);
    with(addresses, move |address| {
        let (connector, server_name) = (connector.clone(), server_name.clone());
        async move {
            let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
            let name = server_name.unwrap_or_else(|| host.trim_matches(['[', ']']).to_owned());
            let name = ServerName::try_from(name).map_err(io::Error::other)?;
            let stream = TcpStream::connect(&address).await?;
            stream.set_nodelay(true)?;
            connector.connect(name, stream).await
        }
    })
}

/// Over a unix socket.
#[must_use]
pub fn unix(path: PathBuf) -> Dial {
    with(vec!["localhost".to_owned()], move |_| {
        let path = path.clone();
        async move { UnixStream::connect(path).await }
    })
}

/// Over connections that `connect` makes to an address; the addresses are tried in turn.
pub fn with<C, F, IO>(addresses: Vec<String>, connect: C) -> Dial
where
    C: Fn(String) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = io::Result<IO>> + Send + 'static,
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let addresses = Arc::new(addresses);
    Arc::new(move |attempt| {
        let address = match addresses.len() {
            0 => None,
            many => addresses.get(attempt % many).cloned(),
        };
        let connect = connect.clone();
        Box::pin(async move {
            let address = address.ok_or_else(|| DialError("no address to connect to".to_owned()))?;
            let failed = |error: &dyn std::fmt::Display| DialError(format!("{address}: {error}"));
            let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|e| failed(&e))?;
            let endpoint = endpoint
                .connect_timeout(CONNECT_TIME)
                .http2_keep_alive_interval(Duration::from_secs(30))
                .keep_alive_timeout(Duration::from_secs(10))
                .initial_stream_window_size(4 << 20)
                .initial_connection_window_size(8 << 20);
            let target = address.clone();
            let connector = tower::service_fn(move |_: Uri| {
                let stream = connect(target.clone());
                async move { stream.await.map(TokioIo::new) }
            });
            endpoint.connect_with_connector(connector).await.map_err(|error| {
                let source = std::error::Error::source(&error);
                source.map_or_else(|| failed(&error), |source| failed(&source))
            })
        })
    })
}
