//! Questions for others: handed on to the machine's name servers as they came, over the same transport.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// How a question came, and goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One datagram each way.
    Udp,
    /// A stream with length prefixes.
    Tcp,
}

/// The name servers of the machine.
#[derive(Clone, Debug)]
pub struct Forwarder {
    servers: Vec<SocketAddr>,
    parallel: bool,
    patience: Duration,
}

impl Forwarder {
    /// `parallel` asks all servers at once and takes the first answer; otherwise one after another, each for at most
    /// `patience`.
    #[must_use]
    pub fn new(servers: Vec<SocketAddr>, parallel: bool, patience: Duration) -> Self {
        Self { servers, parallel, patience }
    }

    /// The first answer to `question`, or `None` when no server gave one. `start` chooses which server is asked first.
    pub async fn ask(&self, question: &[u8], transport: Transport, start: usize) -> Option<Vec<u8>> {
        let count = self.servers.len();
        let order = (0..count).map(|index| self.servers[(index + start) % count]);
        if self.parallel {
            let mut all: FuturesUnordered<_> =
                order.map(|server| self.ask_one(question, transport, server)).collect();
            while let Some(answer) = all.next().await {
                if answer.is_some() {
                    return answer;
                }
            }
            return None;
        }
        for server in order {
            let answer = self.ask_one(question, transport, server).await;
            if answer.is_some() {
                return answer;
            }
        }
        None
    }

    async fn ask_one(&self, question: &[u8], transport: Transport, server: SocketAddr) -> Option<Vec<u8>> {
        let exchange = async {
            match transport {
                Transport::Udp => over_udp(question, server).await,
                Transport::Tcp => over_tcp(question, server).await,
            }
        };
        match timeout(self.patience, exchange).await {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(error)) => {
                tracing::info!(target: "dns", %server, "upstream failure: {error}");
                None
            }
            Err(_) => {
                tracing::info!(target: "dns", %server, "upstream failure: no answer within {:?}", self.patience);
                None
            }
        }
    }
}

async fn over_udp(question: &[u8], server: SocketAddr) -> std::io::Result<Vec<u8>> {
    let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // An answer to somebody else's question, or a forged one, does not end the wait.
        if length >= 12 && buffer[..2] == question[..2] {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn over_tcp(question: &[u8], server: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(std::io::Error::other)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(question);
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}
