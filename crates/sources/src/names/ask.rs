//! One question to name servers.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use process::name_servers::{Forwarder, Transport};
use tokio::sync::Semaphore;

use super::Options;

/// What addresses are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    V4,
    V6,
}

/// What was answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) addresses: Vec<IpAddr>,
    /// How long this is good; `None` if it does not say.
    pub(super) good: Option<Duration>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("it is not a name of DNS: {0}")]
    Name(String),
    #[error("none of the name servers {0:?} answers")]
    Nobody(Vec<SocketAddr>),
}

/// Asks name servers.
#[derive(Debug)]
pub(super) struct Resolver {
    pub(super) options: Options,
    /// For those who ask at a time.
    pub(super) room: Semaphore,
}

impl Resolver {
    /// The addresses of a host: what the first server says that has any, else what the last one says. A server that does not
    /// answer, or says that it cannot, is none.
    pub(super) async fn ask(&self, host: &str, family: Family) -> Result<Answer, Error> {
        let question = question(host, family)?;
        let bytes = question.to_vec().map_err(|error| Error::Name(error.to_string()))?;
        let _room = self.room.acquire().await;
        let mut said = None;
        for server in &self.options.servers {
            let Some(message) = self.ask_one(*server, &question, &bytes).await else { continue };
            let found = message.metadata.response_code == ResponseCode::NoError;
            said = Some(message);
            if found {
                break;
            }
        }
        said.as_ref().map(answer).ok_or_else(|| Error::Nobody(self.options.servers.clone()))
    }

    async fn ask_one(&self, server: SocketAddr, question: &Message, bytes: &[u8]) -> Option<Message> {
        let server = Forwarder::new(vec![server], false, self.options.patience);
        let over = async |transport| {
            let message = Message::from_vec(&server.ask(bytes, transport, 0).await?).ok()?;
            let is_ours = message.queries == question.queries
                && message.metadata.message_type == MessageType::Response
                && message.metadata.response_code != ResponseCode::ServFail;
            is_ours.then_some(message)
        };
        let message = over(Transport::Udp).await?;
        if message.metadata.truncation {
            return Some(over(Transport::Tcp).await.unwrap_or(message));
        }
        Some(message)
    }
}

fn question(host: &str, family: Family) -> Result<Message, Error> {
    let mut name = Name::from_ascii(host).map_err(|error| Error::Name(error.to_string()))?;
    name.set_fqdn(true);
    let record_type = match family {
        Family::V4 => RecordType::A,
        Family::V6 => RecordType::AAAA,
    };
    // keyed by random numbers of the process: nobody elsewhere can guess it
    let id = RandomState::new().build_hasher().finish() as u16;
    let mut question = Message::new(id, MessageType::Query, OpCode::Query);
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(name, record_type));
    Ok(question)
}

fn answer(message: &Message) -> Answer {
    let address = |record: &Record| match &record.data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    };
    let all = message.answers.iter().chain(&message.authorities).chain(&message.additionals);
    let good = all.map(|record| record.ttl).min().map(|seconds| Duration::from_secs(seconds.into()));
    Answer { addresses: message.answers.iter().filter_map(address).collect(), good }
}
