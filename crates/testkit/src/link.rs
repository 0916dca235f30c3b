//! A TCP link on loopback between a client and a server, which can be made to lag, to hang, to break and to forget.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Bytes that are read at once.
const CHUNK: usize = 16 << 10;
/// Chunks that may be on their way in one direction of a connection: who sends more waits, as with any network.
const ON_THE_WAY: usize = 4096;

/// What a link does with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rules {
    /// So much later does arrive what the server sends.
    lag: Duration,
    /// Nothing arrives on either side.
    hangs: bool,
    /// Connections of an earlier time than this are broken, or nothing arrives on them any more.
    era: u64,
    /// Which of the two.
    forgotten: bool,
}

impl Rules {
    /// Whether a connection of this era stands and passes nothing on.
    fn holds(&self, era: u64) -> bool {
        self.hangs || (self.forgotten && self.era != era)
    }
}

/// A link. Dropped, it breaks with all its connections.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    rules: watch::Sender<Rules>,
    open: Arc<AtomicUsize>,
    _accepting: JoinSet<()>,
}

/// A chunk of bytes, and when it was sent.
type Chunk = (Instant, Vec<u8>);

impl Link {
    /// A link to a server, at an address of its own.
    ///
    /// # Errors
    /// When there is no port for it.
    pub async fn to(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (rules, _) =
            watch::channel(Rules { lag: Duration::ZERO, hangs: false, era: 0, forgotten: false });
        let (mut accepting, open) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
        accepting.spawn(accept(listener, server, rules.clone(), open.clone()));
        Ok(Self { address, rules, open, _accepting: accepting })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on everything the server sends arrives so much later, also what is on its way.
    pub fn lag(&self, lag: Duration) {
        self.rules.send_modify(|rules| rules.lag = lag);
    }

    /// From now on nothing arrives. Connections are accepted and stand, as with a host that has stopped.
    pub fn hang(&self) {
        self.rules.send_modify(|rules| rules.hangs = true);
    }

    /// It works again. Connections of before are reset, as by a host that has started anew.
    pub fn resume(&self) {
        self.begin_era(false);
    }

    /// It works again for new connections. Nothing ever arrives on those of before, and nobody says so, as when a firewall
    /// has forgotten them.
    pub fn forget(&self) {
        self.begin_era(true);
    }

    fn begin_era(&self, forgotten: bool) {
        self.rules
            .send_modify(|rules| *rules = Rules { hangs: false, era: rules.era + 1, forgotten, ..*rules });
    }

    /// How many connections clients have.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    rules: watch::Sender<Rules>,
    open: Arc<AtomicUsize>,
) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (rules, open) = (rules.subscribe(), open.clone());
        open.fetch_add(1, Ordering::SeqCst);
        connections.spawn(async move {
            connection(client, server, rules).await;
            open.fetch_sub(1, Ordering::SeqCst);
        });
        while connections.try_join_next().is_some() {}
    }
}

/// One connection, until an end of it closes it or its era ends.
async fn connection(client: TcpStream, server: SocketAddr, mut rules: watch::Receiver<Rules>) {
    let era = rules.borrow().era;
    let mut eras = rules.clone();
    let work = async {
        if rules.wait_for(|rules| !rules.holds(era)).await.is_err() {
            return;
        }
        let Ok(server) = TcpStream::connect(server).await else { return };
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::select! {
            () = pass(from_client, to_server, era, rules.clone(), |_| Duration::ZERO) => {}
            () = pass(from_server, to_client, era, rules.clone(), |rules| rules.lag) => {}
        }
    };
    tokio::select! {
        () = work => {}
        _ = eras.wait_for(|rules| rules.era != era && !rules.forgotten) => {}
    }
}

/// Passes bytes on in one direction, in order, each as late as the rules of the moment say.
async fn pass(
    from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    era: u64,
    mut rules: watch::Receiver<Rules>,
    lag: impl Fn(&Rules) -> Duration,
) {
    let (sent, mut arriving) = mpsc::channel(ON_THE_WAY);
    let reading = read(from, sent);
    let writing = async {
        while let Some((at, bytes)) = arriving.recv().await {
            loop {
                let now = *rules.borrow_and_update();
                let due = at + lag(&now);
                let holds = now.holds(era);
                if !holds && due <= Instant::now() {
                    break;
                }
                tokio::select! {
                    changed = rules.changed() => if changed.is_err() { return },
                    () = sleep_until(due), if !holds => {}
                }
            }
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        // the other side has no more to say; it may still listen
        let _ = to.shutdown().await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = writing => {}
        () = reading => {}
    }
}

/// Reads until an error; the end of the bytes is told by dropping `sent`.
async fn read(mut from: OwnedReadHalf, sent: mpsc::Sender<Chunk>) {
    let mut sent = Some(sent);
    let mut buffer = vec![0; CHUNK];
    while let Some(to) = &sent {
        match from.read(&mut buffer).await {
            Ok(0) => sent = None,
            Ok(count) => {
                let bytes = buffer.get(..count).unwrap_or_default().to_vec();
                if to.send((Instant::now(), bytes)).await.is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
    std::future::pending::<()>().await;
}
