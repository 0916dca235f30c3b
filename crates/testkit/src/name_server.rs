//! A name server on loopback that says what a test wants.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{RData, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

/// What is asked for: a name without its last dot, and whether its IPv6 addresses are wanted.
type Question = (String, bool);

/// What the server says of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Says {
    /// These addresses, and for how many seconds they are good.
    Addresses(Vec<IpAddr>, u32),
    /// That it cannot say.
    Failure,
}

#[derive(Debug, Default)]
struct Zone {
    says: BTreeMap<Question, Says>,
    asked: BTreeMap<Question, usize>,
    narrow: bool,
}

/// The server, over UDP and TCP. It knows no name until it is told. Dropped, it is silent.
#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    _tasks: JoinSet<()>,
}

impl NameServer {
    /// Starts one.
    ///
    /// # Errors
    /// When there is no port that is free for both transports.
    pub async fn start() -> Result<Self> {
        let (udp, tcp) = sockets().await.context("a port for UDP and TCP")?;
        let (address, zone, mut tasks) = (udp.local_addr()?, Arc::<Mutex<Zone>>::default(), JoinSet::new());
        let over_udp = zone.clone();
        tasks.spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
                let Some(reply) = buffer.get(..length).and_then(|bytes| reply(&over_udp, bytes, true)) else {
                    continue;
                };
                let _ = udp.send_to(&reply, from).await;
            }
        });
        let over_tcp = zone.clone();
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                let exchange = async {
                    let mut question = vec![0; stream.read_u16().await?.into()];
                    stream.read_exact(&mut question).await?;
                    let reply = reply(&over_tcp, &question, false).unwrap_or_default();
                    stream.write_u16(u16::try_from(reply.len()).map_err(io::Error::other)?).await?;
                    stream.write_all(&reply).await
                };
                let _ = exchange.await;
            }
        });
        Ok(Self { address, zone, _tasks: tasks })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has it say something of a name, in one of the families; `None` if there is no such name.
    pub fn set(&self, name: &str, v6: bool, says: Option<Says>) {
        let key = (name.to_owned(), v6);
        let mut zone = locked(&self.zone);
        match says {
            Some(says) => drop(zone.says.insert(key, says)),
            None => drop(zone.says.remove(&key)),
        }
    }

    /// From now on datagrams have no room for addresses.
    pub fn narrow(&self) {
        locked(&self.zone).narrow = true;
    }

    /// How often it was asked.
    #[must_use]
    pub fn asked(&self, name: &str, v6: bool) -> usize {
        locked(&self.zone).asked.get(&(name.to_owned(), v6)).copied().unwrap_or_default()
    }
}

fn locked(zone: &Mutex<Zone>) -> MutexGuard<'_, Zone> {
    zone.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A socket for each transport at one port.
async fn sockets() -> io::Result<(UdpSocket, TcpListener)> {
    let mut last = io::Error::other("not tried");
    for _ in 0..100 {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn reply(zone: &Mutex<Zone>, question: &[u8], datagram: bool) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).ok()?;
    let query = question.queries.first()?;
    let key =
        (query.name().to_ascii().trim_end_matches('.').to_owned(), query.query_type() == RecordType::AAAA);
    let mut reply = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    reply.queries.clone_from(&question.queries);
    let mut zone = locked(zone);
    match zone.says.get(&key) {
        Some(Says::Addresses(..)) if datagram && zone.narrow => reply.metadata.truncation = true,
        Some(Says::Addresses(addresses, ttl)) => reply.answers.extend(addresses.iter().map(|address| {
            let data = match *address {
                IpAddr::V4(ip) => RData::A(A(ip)),
                IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
            };
            Record::from_rdata(query.name().clone(), *ttl, data)
        })),
        Some(Says::Failure) => reply.metadata.response_code = ResponseCode::ServFail,
        None => reply.metadata.response_code = ResponseCode::NXDomain,
    }
    *zone.asked.entry(key).or_default() += 1;
    reply.to_vec().ok()
}
