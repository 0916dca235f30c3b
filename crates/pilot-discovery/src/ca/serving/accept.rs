//! Accepting TLS connections, as tonic wants them: a stream of connections that know their peer's certificates.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tonic::transport::server::Connected;

use super::Tls;

/// The scope of the log lines.
const SCOPE: &str = "serverca";
/// A peer that has not finished its handshake by then is dropped.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes under way at once; more wait in the kernel's queue.
const HANDSHAKES: usize = 256;
/// A pause after the system refused to accept (out of file descriptors), so as not to spin.
const PAUSE: Duration = Duration::from_millis(50);

/// What a listener knows of a connection; found in the extensions of each of its requests. Plaintext listeners of ours
/// may attach one without certificates.
#[derive(Debug, Clone, Default)]
pub struct ConnectionInfo {
    /// The peer's verified certificates, its own first; empty if it gave none.
    pub certs: Arc<[CertificateDer<'static>]>,
    /// Where it comes from.
    pub address: Option<SocketAddr>,
}

/// An accepted connection.
#[derive(Debug)]
pub struct Connection {
    stream: TlsStream<TcpStream>,
    info: ConnectionInfo,
}

impl Connection {
    /// What is known of the peer.
    #[must_use]
    pub fn info(&self) -> &ConnectionInfo {
        &self.info
    }
}

impl Connected for Connection {
    type ConnectInfo = ConnectionInfo;

    fn connect_info(&self) -> ConnectionInfo {
        self.info.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl Tls {
    /// Makes the handshake with one peer, by the present configuration. An error if it takes too long.
    pub async fn accept(&self, tcp: TcpStream) -> io::Result<Connection> {
        let address = tcp.peer_addr().ok();
        tcp.set_nodelay(true)?;
        let handshake = TlsAcceptor::from(self.config()).accept(tcp);
        let stream = tokio::time::timeout(HANDSHAKE, handshake)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long"))??;
        let certs = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec().into();
        Ok(Connection { stream, info: ConnectionInfo { certs, address } })
    }

    /// Accepts on `listener` until the stream is dropped; for `serve_with_incoming`. A peer that fails its handshake, or
    /// dawdles, harms nobody but itself.
    #[must_use]
    pub fn incoming(self: &Arc<Self>, listener: TcpListener) -> Incoming {
        let (ready, connections) = mpsc::channel(16);
        let accepting = tokio::spawn(accept_all(self.clone(), listener, ready));
        Incoming { connections, accepting }
    }
}

async fn accept_all(tls: Arc<Tls>, listener: TcpListener, ready: mpsc::Sender<io::Result<Connection>>) {
    let permits = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        // The semaphore is never closed.
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let tcp = match listener.accept().await {
            Ok((tcp, _)) => tcp,
            Err(error) => {
                tracing::warn!(target: SCOPE, "cannot accept a connection: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (tls, ready) = (tls.clone(), ready.clone());
        tokio::spawn(async move {
            let address = tcp.peer_addr().ok();
            match tls.accept(tcp).await {
                // An error means that the server is gone.
                Ok(connection) => drop(ready.send(Ok(connection)).await),
                Err(error) => {
                    tracing::debug!(target: SCOPE, client = ?address, "TLS handshake failed: {error}");
                }
            }
            drop(permit);
        });
    }
}

/// A stream of accepted connections; dropping it closes the listener.
#[derive(Debug)]
pub struct Incoming {
    connections: mpsc::Receiver<io::Result<Connection>>,
    accepting: JoinHandle<()>,
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.connections.poll_recv(cx)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
