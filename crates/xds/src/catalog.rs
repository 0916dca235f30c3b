//! The door behind which a mesh hides: what a server of resources must be able to answer.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proto::envoy::config::core::v3::Node;
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;

use crate::edition::{Edition, Resource};
use crate::request::{Request, Resources, Variant};
use crate::type_url::TypeUrl;

/// What serves resources. Implemented by the program, over its generator; called by the server from its async
/// workers, never while a lock is held. Only admission may wait for somebody outside the process.
pub trait Catalog: Send + Sync + 'static {
    /// What the catalog remembers of an admitted client; cheap to clone.
    type Client: Clone + Send + Sync + 'static;

    /// Decides about a new connection, at its first request. Authentication and authorization happen here, so others
    /// may have to be asked. The server bounds how many of these are under way and how long each may take; one that is
    /// dropped before it is done must leave nothing behind.
    ///
    /// # Errors
    /// A refusal ends the stream with its code and text.
    fn admit(&self, node: &Node, peer: &Peer) -> impl Future<Output = Result<Self::Client, Refusal>> + Send;

    /// A later request carried a node again. Envoy does this only when the node changed at run time.
    fn node_changed(&self, _client: &Self::Client, _node: &Node) {}

    /// The newest edition of a type for this client; may be built on this call. `None`: the type is not served, and
    /// is answered as if there were nothing of it.
    fn edition(&self, client: &Self::Client, type_url: &TypeUrl) -> Option<Arc<Edition>>;

    /// Whether names that the edition does not have are to be looked up, at each change again.
    fn on_demand(&self, _client: &Self::Client, _type_url: &TypeUrl) -> bool {
        false
    }

    /// A subscribed name that the edition does not have; asked only for on-demand types.
    fn lookup(&self, _client: &Self::Client, _type_url: &TypeUrl, _name: &str) -> Option<Resource> {
        None
    }

    /// A request that is not a subscription (health reports, debug questions) is taken out of the stream here.
    fn intercept(&self, _client: &Self::Client, _request: &Request) -> Intercept {
        Intercept::Pass
    }

    /// Changes whenever something of this client's class may differ. Looked at before editions are asked for, so a
    /// tick must come after the new edition can be had.
    fn watch(&self, client: &Self::Client) -> watch::Receiver<u64>;

    /// Told of everything that happens on the client's connection. Must be quick.
    fn observe(&self, _client: &Self::Client, _event: Observation<'_>) {}
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Intercept {
    /// It is a subscription, an ACK or a NACK: the server handles it.
    Pass,
    /// The catalog has dealt with it; nothing is answered.
    Drop,
    /// Answer once with these resources; nothing is remembered of it.
    Answer(Resources),
    /// The stream ends with this: whoever asks may not, or asks for what makes no sense.
    Refuse(Refusal),
}

/// Why a client is not served.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The gRPC status code the stream ends with.
    pub code: tonic::Code,
    /// What was wrong and what to do, for the client's log.
    pub message: String,
}

impl Refusal {
    /// A refusal.
    #[must_use]
    pub fn new(code: tonic::Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// The other end of a connection, as far as the transport knows it.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// The variant of the protocol it speaks on this stream; virtual hosts as resources exist in delta only.
    pub variant: Variant,
    /// Its network address; `None` on unix sockets and in memory.
    pub address: Option<SocketAddr>,
    /// The verified client certificate chain, leaf first; empty if none was presented.
    pub certificates: Arc<[CertificateDer<'static>]>,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Who is behind a unix socket.
    pub unix: Option<UnixCredentials>,
    /// The `authorization` header's bearer token.
    pub token: Option<Token>,
    /// The `authority` the client asked for.
    pub authority: Option<String>,
    /// The request headers, for catalogs that trust some (`x-forwarded-client-cert`, `clusterid`).
    pub headers: http::HeaderMap,
}

/// Who is behind a unix socket, as the kernel says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnixCredentials {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Process id, if the system knows it.
    pub pid: Option<i32>,
}

/// A bearer token. Not shown by `Debug`, overwritten when the last clone goes.
#[derive(Clone)]
pub struct Token(Arc<Secret>);

struct Secret(Vec<u8>);

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        std::hint::black_box(&self.0);
    }
}

impl Token {
    /// Keeps a token.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self(Arc::new(Secret(token.as_bytes().to_vec())))
    }

    /// The token, for whoever verifies it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        std::str::from_utf8(&self.0.0).unwrap_or_default()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// Something that happened on one connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Observation<'a> {
    /// The client was admitted.
    Connected {
        /// The connection's id, `<node id>-<number>`.
        connection: &'a str,
        /// When.
        at: SystemTime,
    },
    /// A request was understood.
    Request {
        /// What was asked.
        request: &'a Request,
    },
    /// A response is on its way.
    Sent {
        /// Its type.
        type_url: &'a TypeUrl,
        /// The resources in it.
        resources: &'a Resources,
        /// The names it declares gone.
        removed: &'a [Arc<str>],
        /// Its size on the wire.
        bytes: usize,
        /// Its nonce.
        nonce: &'a str,
        /// The revision of the edition it was made from.
        revision: u64,
    },
    /// The client accepted a response.
    Ack {
        /// Its type.
        type_url: &'a TypeUrl,
        /// Its nonce.
        nonce: &'a str,
        /// The revision it was made from.
        revision: u64,
    },
    /// The client refused a response.
    Nack {
        /// Its type.
        type_url: &'a TypeUrl,
        /// Its nonce.
        nonce: &'a str,
        /// The revision it was made from.
        revision: u64,
        /// The names that were in it.
        names: &'a [Arc<str>],
        /// The client's words.
        message: &'a str,
    },
    /// The client has everything of this revision that it subscribed to.
    Converged {
        /// The newest revision among what was sent.
        revision: u64,
        /// How long it took since the change was noticed.
        took: Duration,
    },
    /// The connection is gone.
    Disconnected,
}
