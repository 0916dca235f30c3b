//! Connections to serve: TCP, TLS, unix sockets, or anything a test makes, with what the transport knows of the peer.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use crate::catalog::UnixCredentials;

/// What the transport knows of a peer; handlers find it among a request's extensions.
#[derive(Debug, Clone, Default)]
pub struct Transport {
    /// The peer's network address.
    pub address: Option<SocketAddr>,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// The client certificate chain that the TLS acceptor verified, leaf first.
    pub certificates: Arc<[CertificateDer<'static>]>,
    /// Who is behind a unix socket.
    pub unix: Option<UnixCredentials>,
}

trait Duplex: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

/// An accepted connection.
pub struct Io {
    inner: Pin<Box<dyn Duplex>>,
    transport: Transport,
}

impl Io {
    /// A connection of any kind.
    pub fn new(io: impl AsyncRead + AsyncWrite + Send + 'static, transport: Transport) -> Self {
        Self { inner: Box::pin(io), transport }
    }

    /// A plain TCP connection.
    #[must_use]
    pub fn tcp(stream: TcpStream) -> Self {
        // Without it small responses wait for ACKs; a socket that cannot be set is about to fail anyway.
        let _ = stream.set_nodelay(true);
        let address = stream.peer_addr().ok();
        Self::new(stream, Transport { address, ..Transport::default() })
    }

    /// A connection over a unix socket.
    #[must_use]
    pub fn unix(stream: UnixStream) -> Self {
        let unix = stream.peer_cred().ok().map(|peer| UnixCredentials {
            uid: peer.uid(),
            gid: peer.gid(),
            pid: peer.pid(),
        });
        Self::new(stream, Transport { unix, ..Transport::default() })
    }

    /// A TLS connection, after the handshake.
    ///
    /// # Errors
    /// The handshake failed.
    pub async fn tls(stream: TcpStream, acceptor: &TlsAcceptor) -> io::Result<Self> {
        let _ = stream.set_nodelay(true);
        let address = stream.peer_addr().ok();
        let stream = acceptor.accept(stream).await?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let certificates = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
        Ok(Self::new(stream, Transport { address, tls: true, certificates, unix: None }))
    }
}

impl std::fmt::Debug for Io {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Io").field("transport", &self.transport).finish_non_exhaustive()
    }
}

impl Connected for Io {
    type ConnectInfo = Transport;

    fn connect_info(&self) -> Transport {
        self.transport.clone()
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.inner.as_mut().poll_read(cx, buf)
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.inner.as_mut().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.inner.as_mut().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.as_mut().poll_shutdown(cx)
    }
}

/// Handshakes going on at once; more wait in the listener's backlog.
const HANDSHAKES: usize = 512;

/// A client that has not shaken hands by then is let go.
const HANDSHAKE_TIME: Duration = Duration::from_secs(15);

/// After a failed accept (too many open files) the next is tried this much later.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The TCP connections of a listener. Ends when dropped.
pub fn tcp(listener: TcpListener) -> impl Stream<Item = io::Result<Io>> + Send {
    futures_util::stream::unfold(listener, |listener| async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return Some((Ok(Io::tcp(stream)), listener)),
                Err(error) => accept_failed(&error).await,
            }
        }
    })
}

/// The connections of a unix listener. Ends when dropped.
pub fn unix(listener: UnixListener) -> impl Stream<Item = io::Result<Io>> + Send {
    futures_util::stream::unfold(listener, |listener| async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return Some((Ok(Io::unix(stream)), listener)),
                Err(error) => accept_failed(&error).await,
            }
        }
    })
}

/// The TLS connections of a listener; handshakes do not wait for each other. Whether a client certificate is asked
/// for or required is the acceptor's; it must offer `h2` by ALPN. Ends when dropped.
pub fn tls(listener: TcpListener, acceptor: TlsAcceptor) -> impl Stream<Item = io::Result<Io>> + Send {
    let (tx, rx) = mpsc::channel(16);
    tokio::spawn(async move {
        let slots = Arc::new(Semaphore::new(HANDSHAKES));
        loop {
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            let stream = tokio::select! {
                () = tx.closed() => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        accept_failed(&error).await;
                        continue;
                    }
                },
            };
            let (tx, acceptor) = (tx.clone(), acceptor.clone());
            tokio::spawn(async move {
                let address = stream.peer_addr().ok();
                match tokio::time::timeout(HANDSHAKE_TIME, Io::tls(stream, &acceptor)).await {
                    // A closed channel means that the server is going down.
                    Ok(Ok(io)) => drop(tx.send(Ok(io)).await),
                    Ok(Err(error)) => {
                        tracing::debug!(target: "ads", ?address, %error, "TLS handshake failed");
                    }
                    Err(_) => tracing::debug!(target: "ads", ?address, "TLS handshake timed out"),
                }
                drop(slot);
            });
        }
    });
    ReceiverStream::new(rx)
}

async fn accept_failed(error: &io::Error) {
    tracing::warn!(target: "ads", %error, "cannot accept a connection, trying again");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}
