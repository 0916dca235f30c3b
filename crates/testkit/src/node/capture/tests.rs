//! Who answers a call into and out of a pod whose proxy is a stand-in that says so.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};

use nix::unistd::{Gid, setfsgid};
use serde_json::Value;
use tokio::task::JoinSet;

use super::*;
use crate::ask::get_over;
use crate::node::{Network, echo};

/// A pod with a program and a stand-in for its proxy.
fn pod(network: &Network, servers: &mut JoinSet<Result<()>>) -> Sandbox {
    let sandbox = network.sandbox(network.pods(1).hosts().nth(1).unwrap()).unwrap();
    for (name, port) in [("outbound", OUTBOUND), ("inbound", INBOUND), ("health", 15021), ("program", 8080)] {
        servers.spawn(echo::serve(sandbox.listen(port).unwrap(), name.to_owned()));
    }
    capture(&sandbox).unwrap();
    sandbox
}

fn who(stream: io::Result<TcpStream>) -> String {
    let answer = get_over(stream.unwrap(), "anybody", "/", &[]).unwrap();
    serde_json::from_str::<Value>(&answer.body).unwrap()["pod"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_takes_what_comes_and_goes_but_not_its_own_calls() {
    let network = Network::claim().unwrap();
    let mut servers = JoinSet::new();
    let pod = pod(&network, &mut servers);
    let other = network.sandbox(network.pods(2).hosts().nth(1).unwrap()).unwrap();
    servers.spawn(echo::serve(other.listen(8080).unwrap(), "other".to_owned()));
    let at = SocketAddrV4::new;
    let (pod_at, other_at) = (pod.address(), other.address());
    let from_proxy = |to: SocketAddrV4| {
        pod.inside(|| {
            // of this thread alone, which ends with the call
            setfsgid(Gid::from_raw(PROXY_GROUP));
            TcpStream::connect(to)
        })
    };

    let service = at(Ipv4Addr::new(10, 96, 0, 1), 80);
    assert_eq!(who(pod.connect(service)), "outbound", "an address that nobody has");
    assert_eq!(who(pod.connect(at(other_at, 8080))), "outbound", "another pod");
    assert_eq!(who(pod.connect(at(pod_at, 8080))), "program", "itself");
    assert_eq!(who(pod.connect(at(Ipv4Addr::LOCALHOST, 8080))), "program");
    assert_eq!(who(from_proxy(at(other_at, 8080))), "other");
    assert_eq!(who(from_proxy(at(Ipv4Addr::LOCALHOST, 8080))), "program");
    assert_eq!(who(from_proxy(at(pod_at, 8080))), "inbound", "a call of the pod to itself by a Service");

    assert_eq!(who(other.connect(at(pod_at, 8080))), "inbound");
    assert_eq!(who(other.connect(at(pod_at, 9999))), "inbound", "whether or not somebody listens");
    assert_eq!(who(other.connect(at(pod_at, 15021))), "health");
    assert_eq!(who(TcpStream::connect(at(pod_at, 8080))), "inbound", "this machine is outside, too");
}
