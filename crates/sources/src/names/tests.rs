//! Hosts asked of a name server on loopback.

use std::net::Ipv4Addr;

use testkit::name_server::{NameServer, Says};
use tokio::net::UdpSocket;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

fn addresses(addresses: &[&str]) -> Vec<IpAddr> {
    addresses.iter().map(|address| address.parse().unwrap()).collect()
}

fn says(of: &[&str], seconds: u32) -> Option<Says> {
    Some(Says::Addresses(addresses(of), seconds))
}

fn names(names: &[&str]) -> Names {
    names.iter().map(|name| Arc::from(*name)).collect()
}

fn host(name: &str, of: &[&str]) -> (Arc<str>, Option<Vec<IpAddr>>) {
    (name.into(), Some(addresses(of)))
}

fn options(servers: &[SocketAddr]) -> Options {
    let pauses = Policy {
        initial: Duration::from_millis(20),
        max: Duration::from_millis(40),
        factor: 1.0,
        attempts: None,
    };
    let good = (Duration::from_millis(20), Duration::from_secs(3600));
    Options { servers: servers.to_vec(), patience: PATIENCE, good, pauses }
}

/// Hosts that are followed, and what is told of them.
struct Following {
    wanted: watch::Sender<Names>,
    told: mpsc::Receiver<Change>,
    _task: JoinSet<()>,
}

impl Following {
    /// After a start, with what that found.
    async fn of(server: &NameServer, names: Names) -> (Self, Vec<(Arc<str>, Option<Vec<IpAddr>>)>) {
        let mut hosts = Hosts::new(options(&[server.address()]));
        let mut found = hosts.begin(&names, PATIENCE).await.batch.hosts;
        found.sort();
        let (wanted, now) = watch::channel(names);
        let (changes, told) = mpsc::channel(1);
        let mut task = JoinSet::new();
        task.spawn(hosts.follow(now, changes));
        (Self { wanted, told, _task: task }, found)
    }

    async fn next(&mut self) -> Vec<(Arc<str>, Option<Vec<IpAddr>>)> {
        let change = tokio::time::timeout(PATIENCE, self.told.recv()).await;
        change.expect("nothing is told").unwrap().batch.hosts
    }
}

async fn until(what: &str, so: impl Fn() -> bool) {
    testkit::eventually(what, PATIENCE, async || so().then_some(())).await.unwrap();
}

#[tokio::test]
async fn a_host_has_addresses_of_both_families_and_others_when_these_have_ended() {
    let server = NameServer::start().await.unwrap();
    server.set("gw.example", false, says(&["203.0.113.9", "203.0.113.10"], 0));
    server.set("gw.example", true, says(&["2001:db8::1"], 3600));
    let (mut following, found) = Following::of(&server, names(&["gw.example", "none.example"])).await;
    let sorted = ["2001:db8::1", "203.0.113.10", "203.0.113.9"];
    assert_eq!(found, [host("gw.example", &sorted), host("none.example", &[])]);

    server.set("gw.example", false, says(&["203.0.113.7"], 0));
    assert_eq!(following.next().await, [host("gw.example", &["2001:db8::1", "203.0.113.7"])]);
    // no such name is an answer
    server.set("gw.example", true, None);
    assert_eq!(following.next().await, [host("gw.example", &["203.0.113.7"])]);

    server.set("late.example", false, says(&["203.0.113.8"], 3600));
    following.wanted.send_replace(names(&["late.example"]));
    assert_eq!(following.next().await, [("gw.example".into(), None), ("none.example".into(), None)]);
    assert_eq!(following.next().await, [host("late.example", &["203.0.113.8"])]);
}

#[tokio::test]
async fn a_host_keeps_its_addresses_while_nobody_answers_for_it() {
    let server = NameServer::start().await.unwrap();
    server.set("gw.example", false, says(&["203.0.113.9"], 0));
    server.set("gw.example", true, says(&["2001:db8::1"], 0));
    let (mut following, _) = Following::of(&server, names(&["gw.example"])).await;
    // of one family nothing is known, of the other something new
    server.set("gw.example", false, Some(Says::Failure));
    server.set("gw.example", true, says(&["2001:db8::2"], 0));
    assert_eq!(following.next().await, [host("gw.example", &["2001:db8::2", "203.0.113.9"])]);
    server.set("gw.example", true, Some(Says::Failure));
    let before = server.asked("gw.example", true);
    until("it is asked again and again", || server.asked("gw.example", true) >= before + 3).await;
    server.set("gw.example", false, says(&["203.0.113.10"], 0));
    assert_eq!(following.next().await, [host("gw.example", &["2001:db8::2", "203.0.113.10"])]);
}

#[tokio::test]
async fn an_answer_is_good_for_as_long_as_it_says() {
    let server = NameServer::start().await.unwrap();
    for (name, seconds) in [("long.example", u32::MAX), ("short.example", 0)] {
        server.set(name, false, says(&["203.0.113.1"], seconds));
        server.set(name, true, says(&["2001:db8::1"], 7200));
    }
    let _following = Following::of(&server, names(&["long.example", "short.example"])).await;
    until("the short one is asked again", || server.asked("short.example", false) > 3).await;
    assert_eq!(server.asked("long.example", false), 1);
}

#[tokio::test]
async fn addresses_that_have_no_room_in_a_datagram_come_over_a_stream() {
    let server = NameServer::start().await.unwrap();
    server.narrow();
    server.set("gw.example", false, says(&["203.0.113.1"], 60));
    let (_, found) = Following::of(&server, names(&["gw.example"])).await;
    assert_eq!(found, [host("gw.example", &["203.0.113.1"])]);
}

#[tokio::test]
async fn the_next_server_is_asked_when_one_cannot_say() {
    let (lame, server) = tokio::join!(NameServer::start(), NameServer::start());
    let (lame, server) = (lame.unwrap(), server.unwrap());
    lame.set("gw.example", false, Some(Says::Failure));
    server.set("gw.example", false, says(&["203.0.113.1"], 60));
    let mut hosts = Hosts::new(options(&[lame.address(), server.address()]));
    let found = hosts.begin(&names(&["gw.example"]), PATIENCE).await.batch.hosts;
    assert_eq!(found, [host("gw.example", &["203.0.113.1"])]);
    assert_eq!(lame.asked("gw.example", false), 1);
}

#[tokio::test]
async fn the_start_does_not_wait_for_name_servers_that_are_silent() {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut hosts = Hosts::new(options(&[silent.local_addr().unwrap()]));
    assert!(hosts.begin(&names(&["gw.example"]), Duration::from_millis(50)).await.is_empty());
}
