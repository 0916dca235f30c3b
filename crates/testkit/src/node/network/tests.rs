//! What a claim of a network finds and leaves.

use super::*;

#[test]
fn what_a_killed_test_left_is_removed_with_its_processes() {
    let network = Network::claim().unwrap();
    let number = network.claim.number;
    let name = format!("{}99", prefix(number));
    ip(&["netns", "add", &name]).unwrap();
    let left = Sandbox { name: name.clone(), address: network.host(), network: network.clone() };
    let mut child = left.spawn(Command::new("sleep").arg("600")).unwrap();
    assert_eq!(ip(&["netns", "pids", &name]).unwrap().trim(), child.id().to_string());

    // what the next who claims the network begins with
    sweep(number).unwrap();
    assert!(!Path::new(NAMESPACES).join(&name).exists());
    assert!(!has_device(&bridge(number)));
    assert!(!child.wait().unwrap().success(), "killed");
}

#[test]
fn a_network_that_the_machine_has_routes_to_is_not_taken() {
    let routes = "default via 192.0.2.1 dev eth0\n10.65.0.0/24 dev eth1 scope link\n110.66.0.0/16 dev eth2\n";
    assert_eq!([0, 1, 2].map(|number| is_routed(routes, number)), [false, true, false]);
}
