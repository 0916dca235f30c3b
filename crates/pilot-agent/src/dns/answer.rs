//! DNS messages made from what the table found, cut to what the questioner can take.

use std::net::IpAddr;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::table::{Family, Lookup};

/// Seconds an answer may be kept.
const TTL: u32 = 30;
/// What every UDP questioner can take.
const SMALLEST_UDP: usize = 512;

/// The family a question asks for; `None` for every other type.
pub(super) fn family_of(record_type: RecordType) -> Option<Family> {
    match record_type {
        RecordType::A => Some(Family::V4),
        RecordType::AAAA => Some(Family::V6),
        _ => None,
    }
}

fn reply_to(query: &Message, response_code: ResponseCode) -> Message {
    let mut reply = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
    reply.metadata.response_code = response_code;
    reply.metadata.recursion_desired = query.metadata.recursion_desired;
    reply.metadata.checking_disabled = query.metadata.checking_disabled;
    reply.queries.clone_from(&query.queries);
    reply
}

/// The answer that nothing could be found out.
pub(super) fn server_failure(query: &Message) -> Message {
    reply_to(query, ResponseCode::ServFail)
}

/// The answer with what was found. `rotate` starts the addresses elsewhere each time. The alias stands first, then the
/// addresses, owned by the alias' target or by the name that was asked for.
pub(super) fn found(query: &Message, lookup: &Lookup, rotate: usize) -> Message {
    let mut reply = reply_to(query, ResponseCode::NoError);
    reply.metadata.authoritative = true;
    let Some(question) = query.queries.first() else { return reply };
    if lookup.addresses.is_empty() {
        return reply;
    }
    let asked = question.name().to_lowercase();
    let mut owner = asked.clone();
    if let Some(target) = &lookup.alias_of
        && let Ok(target) = Name::from_ascii(target)
    {
        reply.answers.push(Record::from_rdata(asked, TTL, RData::CNAME(CNAME(target.clone()))));
        owner = target;
    }
    let count = lookup.addresses.len();
    for index in 0..count {
        let data = match lookup.addresses[(index + rotate) % count] {
            IpAddr::V4(ip) => RData::A(A(ip)),
            IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
        };
        reply.answers.push(Record::from_rdata(owner.clone(), TTL, data));
    }
    reply
}

/// What the questioner of a datagram can take.
pub(super) fn datagram_limit(query: &Message) -> usize {
    query.edns.as_ref().map_or(SMALLEST_UDP, |edns| usize::from(edns.max_payload()).max(SMALLEST_UDP))
}

/// The bytes of a message of at most `limit`; what does not fit is left out and the message says so.
pub(super) fn encode(mut message: Message, limit: usize) -> Option<Vec<u8>> {
    loop {
        let bytes = message.to_vec().ok()?;
        if bytes.len() <= limit || message.answers.is_empty() {
            return Some(bytes);
        }
        message.metadata.truncation = true;
        // Leave out in proportion first, so that this ends after a few rounds.
        let keep = message.answers.len() * limit / bytes.len();
        message.answers.truncate(keep.min(message.answers.len() - 1));
    }
}
