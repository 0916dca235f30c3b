//! That every kind of wrong push is told, and nothing else.

use proto::envoy::config::core::v3::{Address, SocketAddress, address::Address as Of};
use proto::envoy::config::endpoint::v3::{
    Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier,
};

use super::super::Edited;
use super::super::objects::addresses;
use super::*;
use crate::check::node;

const NAME: &str = "outbound|80||s0.shop.svc.cluster.local";

/// Endpoints that say the first number once and the second once.
fn endpoints(numbers: [u64; 2]) -> Bytes {
    let [one, two] = [addresses(numbers[0])[0], addresses(numbers[1])[1]];
    let endpoint = |ip: std::net::Ipv4Addr| {
        let socket = SocketAddress { address: ip.to_string(), ..SocketAddress::default() };
        let address = Some(Address { address: Some(Of::SocketAddress(socket)) });
        let endpoint = Endpoint { address, ..Endpoint::default() };
        LbEndpoint { host_identifier: Some(HostIdentifier::Endpoint(endpoint)), ..LbEndpoint::default() }
    };
    let lb_endpoints = [one, two].map(endpoint).to_vec();
    let group = LocalityLbEndpoints { lb_endpoints, ..LocalityLbEndpoints::default() };
    let assignment = ClusterLoadAssignment { endpoints: vec![group], ..ClusterLoadAssignment::default() };
    assignment.encode_to_vec().into()
}

/// A proxy, its judge, and one object that was edited three times.
struct Court {
    proxy: Scripted,
    seen: Seen,
    ledger: Ledger,
    object: Object,
}

impl Court {
    fn new() -> Self {
        let ledger = Ledger::default();
        let object = Object::all("shop", 1, Edited::Endpoints)[0];
        for number in 1..=3 {
            ledger.sending(object, number);
            ledger.stands(object, number);
        }
        let proxy = Scripted::tcp("127.0.0.1:1", node("sidecar", "10.0.0.1", "web", "shop", &[]));
        Self { proxy, seen: Seen::default(), ledger, object }
    }

    /// What is wrong when the proxy holds these endpoints.
    fn told(&mut self, numbers: Option<[u64; 2]>) -> Vec<String> {
        self.proxy.hold(&TypeUrl::Endpoint, NAME, numbers.map(endpoints));
        self.seen.look(&self.proxy, &self.ledger);
        std::mem::take(&mut self.seen.wrong)
    }
}

#[test]
fn what_was_written_in_the_order_it_was_written_is_right_and_what_is_left_out_may_come_later() {
    let mut court = Court::new();
    assert_eq!(court.told(None), [""; 0], "before the first");
    assert_eq!(court.seen.behind(&court.ledger).len(), 1);
    assert_eq!(court.told(Some([1, 1])), [""; 0]);
    assert_eq!(court.seen.behind(&court.ledger).len(), 1, "an update is missing");
    assert_eq!(court.told(Some([3, 3])), [""; 0]);
    assert_eq!(court.seen.behind(&court.ledger), [""; 0]);
    assert_eq!(court.seen.changes, 2);
}

#[test]
fn every_wrong_push_is_told() {
    let mut court = Court::new();
    assert!(court.told(Some([7, 7]))[0].contains("nobody wrote"));
    let mut court = Court::new();
    assert!(court.told(Some([2, 3]))[0].contains("[2, 3]"), "of two versions");
    let mut court = Court::new();
    assert_eq!(court.told(Some([3, 3])), [""; 0]);
    assert!(court.told(Some([2, 2]))[0].contains("went back"));
    assert!(court.told(None)[0].contains("has lost it"));
}

#[test]
fn a_restored_store_excuses_the_number_that_stands_again_and_no_other() {
    let mut court = Court::new();
    assert_eq!(court.told(Some([3, 3])), [""; 0]);
    court.ledger.lock().get_mut(&court.object).unwrap().restored = Some(1);
    assert!(court.told(Some([2, 2]))[0].contains("went back"));
    assert_eq!(court.told(Some([1, 1])), [""; 0]);
}

#[test]
fn a_new_connection_may_begin_behind_and_goes_back_no_more_than_another() {
    let mut court = Court::new();
    assert_eq!(court.told(Some([3, 3])), [""; 0]);
    court.proxy.lose();
    assert_eq!(court.told(Some([2, 2])), [""; 0], "of a replica that is behind");
    assert!(court.told(Some([1, 1]))[0].contains("went back"));
    court.proxy.lose();
    assert!(court.told(None)[0].contains("has lost it"), "that is no excuse for what stands");
}

#[test]
fn a_route_to_a_cluster_that_is_not_there_is_told() {
    use proto::envoy::config::route::v3::{
        Route, RouteAction, VirtualHost, route::Action, route_action::ClusterSpecifier,
    };
    let mut court = Court::new();
    let cluster_specifier = Some(ClusterSpecifier::Cluster("gone".to_owned()));
    let action = RouteAction { cluster_specifier, ..RouteAction::default() };
    let route = Route { action: Some(Action::Route(action)), ..Route::default() };
    let host = VirtualHost { routes: vec![route], ..VirtualHost::default() };
    let routes = RouteConfiguration { virtual_hosts: vec![host], ..RouteConfiguration::default() };
    court.proxy.hold(&TypeUrl::Route, "80", Some(routes.encode_to_vec().into()));
    assert!(court.told(None)[0].contains("mentions the cluster gone"));
}
