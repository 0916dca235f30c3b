//! Questions over real sockets: ours, others', and those before the first name table.

use std::net::Ipv4Addr;

use hickory_proto::op::{MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use proto::istio::networking::nds::v1::name_table::NameInfo;

use super::*;

fn question(name: &str, record_type: RecordType) -> Message {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), record_type));
    message
}

fn names(host: &str, ips: &[String]) -> NameTable {
    let mut table = NameTable::default();
    table.table.insert(host.to_owned(), NameInfo { ips: ips.to_vec(), ..NameInfo::default() });
    table
}

fn resolver(servers: Vec<SocketAddr>, early: bool) -> Arc<Resolver> {
    Arc::new(Resolver::new(ResolverOptions {
        naming: Naming::new("ns", "ns.svc.cluster.local", &["ns.svc.cluster.local".to_owned()]),
        forwarder: Forwarder::new(servers, false, Duration::from_secs(30)),
        forward_before_names: early,
    }))
}

async fn ask(server: SocketAddr, message: &Message) -> Message {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    socket.send_to(&message.to_vec().unwrap(), server).await.unwrap();
    let mut buffer = [0; 4096];
    let (length, _) =
        tokio::time::timeout(Duration::from_secs(60), socket.recv_from(&mut buffer)).await.unwrap().unwrap();
    Message::from_vec(&buffer[..length]).unwrap()
}

async fn start(resolver: &Arc<Resolver>) -> DnsServer {
    DnsServer::start(&[(Ipv4Addr::LOCALHOST, 0).into()], resolver).await.unwrap()
}

#[tokio::test]
async fn a_mesh_name_is_answered_and_its_addresses_take_turns() {
    let resolver = resolver(vec![], false);
    let server = start(&resolver).await;
    resolver.update(names("a.test", &["10.0.0.1".to_owned(), "10.0.0.2".to_owned()]));
    let mut firsts = Vec::new();
    for _ in 0..2 {
        let answer = ask(server.addresses()[0], &question("A.test.", RecordType::A)).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
        assert!(answer.metadata.authoritative && answer.metadata.recursion_desired);
        assert_eq!(answer.answers.len(), 2);
        assert_eq!(answer.answers[0].ttl, 30);
        firsts.push(answer.answers[0].data.clone());
    }
    assert_ne!(firsts[0], firsts[1]);
    let none = ask(server.addresses()[0], &question("a.test.", RecordType::AAAA)).await;
    assert_eq!((none.metadata.response_code, none.answers.len()), (ResponseCode::NoError, 0));
}

#[tokio::test]
async fn a_search_name_is_answered_with_alias_and_addresses() {
    let resolver = resolver(vec![], false);
    let server = start(&resolver).await;
    resolver.update(names("a.test", &["10.0.0.1".to_owned()]));
    let answer = ask(server.addresses()[0], &question("a.test.ns.svc.cluster.local.", RecordType::A)).await;
    assert!(matches!(&answer.answers[0].data, RData::CNAME(target) if target.0.to_ascii() == "a.test."));
    assert_eq!(answer.answers[1].name.to_ascii(), "a.test.");
    assert_eq!(answer.answers.len(), 2);
}

#[tokio::test]
async fn other_names_are_handed_on_and_fail_when_nobody_answers() {
    let other = resolver(vec![], false);
    let upstream = start(&other).await;
    other.update(names("elsewhere.test", &["192.0.2.7".to_owned()]));
    let resolver = resolver(vec![upstream.addresses()[0]], false);
    let server = start(&resolver).await;
    resolver.update(names("a.test", &["10.0.0.1".to_owned()]));
    let answer = ask(server.addresses()[0], &question("elsewhere.test.", RecordType::A)).await;
    assert_eq!(answer.answers.len(), 1);
    let unknown = ask(server.addresses()[0], &question("unknown.test.", RecordType::A)).await;
    assert_eq!(unknown.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(resolver.counters.upstream_requests.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn before_the_first_name_table_questions_fail() {
    let resolver = resolver(vec![], false);
    let server = start(&resolver).await;
    assert!(!resolver.is_ready());
    let answer = ask(server.addresses()[0], &question("a.test.", RecordType::A)).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn a_long_answer_is_cut_for_datagrams_and_whole_over_tcp() {
    let resolver = resolver(vec![], false);
    let server = start(&resolver).await;
    let ips: Vec<String> = (0..200).map(|i| format!("10.0.1.{i}")).collect();
    resolver.update(names("many.test", &ips));
    let cut = ask(server.addresses()[0], &question("many.test.", RecordType::A)).await;
    assert!(cut.metadata.truncation && !cut.answers.is_empty() && cut.answers.len() < 40);
    let forwarder = Forwarder::new(vec![server.addresses()[0]], true, Duration::from_secs(60));
    let bytes = question("many.test.", RecordType::A).to_vec().unwrap();
    let whole = forwarder.ask(&bytes, Transport::Tcp, 0).await.unwrap();
    assert_eq!(Message::from_vec(&whole).unwrap().answers.len(), 200);
}
