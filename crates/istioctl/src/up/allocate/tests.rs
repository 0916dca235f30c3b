//! Nothing is given twice, nothing that is held is given at all.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use super::{Allocator, Network};
use crate::up::folder::{Folder, Service};

fn services() -> Vec<Service> {
    let text = "kind: Service\nmetadata: {name: a}\nspec: {selector: {app: a}, ports: [{port: 80, name: http, targetPort: 9080}, {port: 8081, targetPort: web}]}\n";
    Folder::from_documents(&[("s.yaml", text)]).services()
}

fn everything(_: SocketAddr) -> bool {
    true
}

fn unclaimed(_: SocketAddr) -> std::io::Result<Option<TcpListener>> {
    Ok(None)
}

#[test]
fn every_workload_has_its_own_addresses_and_ports() {
    let services = services();
    let selecting: Vec<&Service> = services.iter().collect();
    let mut allocator = Allocator::with(everything, unclaimed).unwrap();
    let one = allocator.workload(&selecting, &BTreeMap::new(), &services).unwrap();
    let two = allocator.workload(&selecting, &BTreeMap::new(), &services).unwrap();
    assert_eq!((one.inbound, one.egress), (Ipv4Addr::new(127, 64, 0, 1), Ipv4Addr::new(127, 65, 0, 1)));
    assert_ne!(one.inbound, two.inbound);
    let mut apps: Vec<u16> = one.ports.iter().chain(&two.ports).map(|p| p.app).collect();
    apps.dedup();
    assert_eq!(apps, [18100, 18101, 18102, 18103]);
    assert_eq!(one.ports[0].listener, 9080);
    assert!(!one.ports[0].is_moved());
    assert!(one.ports[1].is_moved(), "a named target port has a number only here");
}

#[test]
fn a_program_that_keeps_the_target_port_moves_the_listener() {
    let services = services();
    let selecting: Vec<&Service> = services.iter().collect();
    let mut allocator = Allocator::with(everything, unclaimed).unwrap();
    let place = allocator.workload(&selecting, &BTreeMap::from([(9080, 9080)]), &services).unwrap();
    assert_eq!((place.ports[0].app, place.ports[0].listener), (9080, 18000));
    let place = allocator.workload(&selecting, &BTreeMap::from([(9080, 3000)]), &services).unwrap();
    assert_eq!((place.ports[0].app, place.ports[0].listener), (3000, 9080));
}

#[test]
fn a_network_in_use_is_passed_over() {
    fn second_only(address: SocketAddr) -> bool {
        let SocketAddr::V4(address) = address else { return false };
        address.ip().octets()[1] != 64
    }
    assert_eq!(Allocator::with(second_only, unclaimed).unwrap().network, Network(1));
}

#[test]
fn two_meshes_that_start_at_once_get_a_network_each() {
    let one = Allocator::new().unwrap();
    let two = Allocator::new().unwrap();
    assert_ne!(one.network, two.network);
    let claimed = |mesh: &Allocator| (mesh.network.inbound(super::CLAIM_INDEX), super::ADMIN);
    assert!(TcpListener::bind(claimed(&one)).is_err() && TcpListener::bind(claimed(&two)).is_err());
}

#[test]
fn a_service_port_held_everywhere_is_an_error_that_names_the_holder() {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let text = format!("kind: Service\nmetadata: {{name: a}}\nspec: {{ports: [{{port: {port}}}]}}\n");
    let services = Folder::from_documents(&[("s.yaml", &text)]).services();
    let mut allocator = Allocator::new().unwrap();
    let error = allocator.workload(&[], &BTreeMap::new(), &services).unwrap_err().to_string();
    assert!(
        error.contains("Service a.default") && error.contains(&format!("pid {}", std::process::id())),
        "{error}"
    );
}

#[test]
fn a_held_port_is_not_given() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let held = listener.local_addr().unwrap().port();
    let mut allocator = Allocator::new().unwrap();
    let first = allocator.port(held, "x").unwrap();
    assert!(first > held);
    assert!(allocator.port(held, "x").unwrap() > first);
}

#[test]
fn any_port_is_a_free_one_and_never_zero() {
    let mut allocator = Allocator::new().unwrap();
    let (one, two) = (allocator.port(0, "x").unwrap(), allocator.port(0, "x").unwrap());
    assert!(one >= 1024 && two >= 1024 && one != two, "{one} {two}");
    assert!(TcpListener::bind(("127.0.0.1", one)).is_ok());
}

#[test]
fn a_port_that_any_program_keeps_is_no_listeners() {
    let services = services();
    let selecting: Vec<&Service> = services.iter().collect();
    let mut allocator = Allocator::with(everything, unclaimed).unwrap();
    allocator.keep([9080]);
    let place = allocator.workload(&selecting, &BTreeMap::new(), &services).unwrap();
    assert_eq!(place.ports[0].listener, 18000, "another workload's program has 9080 on all addresses");
}
