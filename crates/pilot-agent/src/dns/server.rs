//! The listeners of the DNS proxy and the way of one question through it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_proto::op::Message;
use proto::istio::networking::nds::v1::NameTable;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::answer;
use super::table::{LookupTable, Naming, spellings};
use process::name_servers::{Forwarder, Transport};

/// Questions under way at once; beyond that, datagrams wait in the socket.
const AT_ONCE: usize = 1024;
/// A TCP questioner that says nothing for this long is let go.
const IDLE: Duration = Duration::from_secs(10);

/// What the resolver needs to know besides the name table.
#[derive(Clone, Debug)]
pub struct ResolverOptions {
    /// The proxy's place among the names.
    pub naming: Naming,
    /// Who is asked about other names.
    pub forwarder: Forwarder,
    /// Hand questions on before the first name table; otherwise they fail until then.
    pub forward_before_names: bool,
}

struct Names {
    table: NameTable,
    lookup: Arc<LookupTable>,
}

/// Counters of the DNS proxy, in the names of Istio's metrics.
#[derive(Debug, Default)]
pub struct DnsCounters {
    /// `dns_requests_total`
    pub requests: AtomicU64,
    /// `dns_upstream_requests_total`
    pub upstream_requests: AtomicU64,
    /// `dns_upstream_failures_total`
    pub upstream_failures: AtomicU64,
}

/// Answers questions; shared by the listeners and fed by the xDS relay.
pub struct Resolver {
    options: ResolverOptions,
    names: Mutex<Option<Names>>,
    turn: AtomicUsize,
    /// What has been asked so far.
    pub counters: DnsCounters,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("counters", &self.counters).finish_non_exhaustive()
    }
}

impl Resolver {
    /// A resolver without names yet.
    #[must_use]
    pub fn new(options: ResolverOptions) -> Self {
        Self { options, names: Mutex::new(None), turn: AtomicUsize::new(0), counters: DnsCounters::default() }
    }

    /// Takes a new name table in place of the last.
    pub fn update(&self, table: NameTable) {
        let lookup = Arc::new(LookupTable::new(&table, &self.options.naming));
        tracing::debug!(target: "dns", names = lookup.len(), "updated lookup table");
        *self.lock() = Some(Names { table, lookup });
    }

    /// Whether a name table has arrived.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.lock().is_some()
    }

    /// The last name table with every spelling of its hosts; for `/debug/ndsz`.
    #[must_use]
    pub fn name_table(&self) -> Option<NameTable> {
        let names = self.lock();
        let mut table = names.as_ref()?.table.clone();
        drop(names);
        let mut more = Vec::new();
        for (host, info) in &table.table {
            for name in spellings(host, info, &self.options.naming) {
                if !table.table.contains_key(&name) {
                    let mut spelled = info.clone();
                    spelled.registry = "Kubernetes".to_owned();
                    spelled.shortname.clear();
                    spelled.namespace.clear();
                    more.push((name, spelled));
                }
            }
        }
        table.table.extend(more);
        Some(table)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Names>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to one question; `None` when the bytes are no question at all.
    pub async fn answer(&self, question: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let query = Message::from_vec(question).ok()?;
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        let limit = match transport {
            Transport::Udp => answer::datagram_limit(&query),
            Transport::Tcp => usize::from(u16::MAX),
        };
        let Some(asked) = query.queries.first() else {
            return answer::encode(answer::server_failure(&query), limit);
        };
        let lookup = self.lock().as_ref().map(|names| Arc::clone(&names.lookup));
        let Some(lookup) = lookup else {
            if self.options.forward_before_names {
                return self.hand_on(&query, question, transport, limit).await;
            }
            return answer::encode(answer::server_failure(&query), limit);
        };
        let name = asked.name().to_lowercase().to_ascii();
        let found = answer::family_of(asked.query_type()).and_then(|family| lookup.lookup(&name, family));
        match found {
            Some(found) => answer::encode(answer::found(&query, &found, self.next_turn()), limit),
            None => self.hand_on(&query, question, transport, limit).await,
        }
    }

    async fn hand_on(
        &self,
        query: &Message,
        question: &[u8],
        transport: Transport,
        limit: usize,
    ) -> Option<Vec<u8>> {
        self.counters.upstream_requests.fetch_add(1, Ordering::Relaxed);
        let answer = self.options.forwarder.ask(question, transport, self.next_turn()).await;
        if answer.is_none() {
            self.counters.upstream_failures.fetch_add(1, Ordering::Relaxed);
            return answer::encode(answer::server_failure(query), limit);
        }
        answer
    }

    fn next_turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }
}

/// The bound listeners; they serve while this lives.
pub struct DnsServer {
    tasks: JoinSet<()>,
    addresses: Vec<SocketAddr>,
}

impl DnsServer {
    /// Binds UDP and TCP on every address and serves. With port 0 the TCP listener takes the UDP socket's port.
    ///
    /// # Errors
    /// When an address cannot be bound.
    pub async fn start(addresses: &[SocketAddr], resolver: &Arc<Resolver>) -> std::io::Result<Self> {
        let mut out = Self { tasks: JoinSet::new(), addresses: Vec::new() };
        for address in addresses {
            let (udp, tcp) = bind(*address).await?;
            out.addresses.push(udp.local_addr()?);
            out.tasks.spawn(serve_udp(Arc::new(udp), Arc::clone(resolver)));
            out.tasks.spawn(serve_tcp(tcp, Arc::clone(resolver)));
        }
        Ok(out)
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

/// One port for both transports. A port that the system chose for one may be taken for the other; then it chooses again.
async fn bind(address: SocketAddr) -> std::io::Result<(UdpSocket, TcpListener)> {
    let mut attempts = if address.port() == 0 { 16 } else { 1 };
    loop {
        let udp = UdpSocket::bind(address).await?;
        attempts -= 1;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) if attempts == 0 => return Err(error),
            Err(_) => {}
        }
    }
}

async fn serve_udp(socket: Arc<UdpSocket>, resolver: Arc<Resolver>) {
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut buffer = vec![0; 4096];
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let (length, peer) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                // An unreachable questioner shows up here; the socket itself goes on.
                tracing::debug!(target: "dns", "receive failed: {error}");
                continue;
            }
        };
        let question = buffer[..length].to_vec();
        let (socket, resolver) = (Arc::clone(&socket), Arc::clone(&resolver));
        tokio::spawn(async move {
            if let Some(answer) = resolver.answer(&question, Transport::Udp).await {
                let _ = socket.send_to(&answer, peer).await;
            }
            drop(slot);
        });
    }
}

async fn serve_tcp(listener: TcpListener, resolver: Arc<Resolver>) {
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(target: "dns", "accept failed: {error}");
                tokio::time::sleep(Duration::from_millis(10)).await; // out of descriptors: do not spin
                continue;
            }
        };
        let resolver = Arc::clone(&resolver);
        tokio::spawn(async move {
            let _ = serve_stream(stream, &resolver).await;
            drop(slot);
        });
    }
}

async fn serve_stream(mut stream: TcpStream, resolver: &Resolver) -> std::io::Result<()> {
    loop {
        let read = async {
            let length = stream.read_u16().await?;
            let mut question = vec![0; usize::from(length)];
            stream.read_exact(&mut question).await?;
            std::io::Result::Ok(question)
        };
        let Ok(question) = tokio::time::timeout(IDLE, read).await else { return Ok(()) };
        let Some(answer) = resolver.answer(&question?, Transport::Tcp).await else { return Ok(()) };
        let length = u16::try_from(answer.len()).map_err(std::io::Error::other)?;
        let mut framed = length.to_be_bytes().to_vec();
        framed.extend_from_slice(&answer);
        stream.write_all(&framed).await?;
    }
}

#[cfg(test)]
mod tests;
