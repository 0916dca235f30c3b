//! Random route configurations and virtual hosts, against a model of how Envoy keeps them, traps included.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const ROUTES: [&str; 3] = ["80", "81", "82"];
const HOSTS: [&str; 3] = ["a", "b", "c"];

#[derive(Debug, Clone)]
enum Move {
    /// Which configurations there are, with a version each; version 0 is one that Envoy refuses.
    Routes(Vec<(usize, u8)>),
    Hosts(Vec<(usize, usize, u8)>),
    Subscribe(usize),
    Unsubscribe(usize),
    Reconnect,
    Deliver(usize),
    Answer,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let routes = prop::collection::vec((0..ROUTES.len(), 0u8..4), 0..4);
    let hosts = prop::collection::vec((0..ROUTES.len(), 0..HOSTS.len(), 0u8..4), 0..8);
    let one = prop_oneof![
        2 => routes.prop_map(Move::Routes),
        3 => hosts.prop_map(Move::Hosts),
        3 => (0..ROUTES.len()).prop_map(Move::Subscribe),
        1 => (0..ROUTES.len()).prop_map(Move::Unsubscribe),
        1 => Just(Move::Reconnect),
        4 => (1usize..4).prop_map(Move::Deliver),
        2 => Just(Move::Answer),
    ];
    prop::collection::vec(one, 1..60)
}

#[derive(Default)]
struct Envoy {
    subscribed: BTreeSet<String>,
    routes: BTreeMap<String, u64>,
    hosts: BTreeMap<String, BTreeMap<String, u64>>,
    /// What it will claim, which includes hosts that it dropped on arrival.
    claims: BTreeMap<String, u64>,
    late: Vec<(Response, Option<&'static str>)>,
    /// Configurations whose hosts may be sent twice, to be safe: something of them was refused.
    pardon: BTreeSet<String>,
}

fn bad(resource: &Resource) -> bool {
    resource.body.ends_with(b"0")
}

fn versions(of: &BTreeMap<String, u64>) -> Vec<(String, String)> {
    of.iter().map(|(name, version)| (name.clone(), crate::edition::wire_version(*version))).collect()
}

impl Envoy {
    fn open(&mut self, s: &mut Script) {
        self.late.clear();
        let subscribe = self.subscribed.iter().cloned().collect();
        let wish = Wish::Delta { subscribe, unsubscribe: vec![], claims: versions(&self.routes) };
        s.request("RDS", String::new(), None, wish);
        let wish = Wish::Delta { subscribe: vec![], unsubscribe: vec![], claims: versions(&self.claims) };
        s.request("VHDS", String::new(), None, wish);
    }

    fn apply(&mut self, response: Response) {
        let error = response.resources.iter().any(bad).then_some("bad");
        if error.is_some() && response.type_url == TypeUrl::Route {
            self.pardon.extend(response.resources.iter().map(|route| route.name.to_string()));
        } else if error.is_some() {
            // Until it hears of the refusal, the server cannot know that the client still has what was before.
            let names = response.resources.iter().map(|host| &host.name).chain(&response.removed);
            self.pardon.extend(names.map(|name| parent(name).to_owned()));
        } else if response.type_url == TypeUrl::Route {
            for route in response.resources.iter().filter(|r| self.subscribed.contains(&*r.name)) {
                self.routes.insert(route.name.to_string(), route.version);
                self.hosts.entry(route.name.to_string()).or_default();
            }
            for name in &response.removed {
                self.routes.remove(&**name);
                self.hosts.remove(&**name);
            }
        } else {
            for host in response.resources.iter() {
                let route = parent(&host.name);
                if let Some(hosts) = self.hosts.get_mut(route) {
                    let before = hosts.insert(host.name.to_string(), host.version);
                    let again = before == Some(host.version) && !self.pardon.contains(route);
                    assert!(!again, "{} was sent again unchanged", host.name);
                }
                self.claims.insert(host.name.to_string(), host.version);
            }
            for name in &response.removed {
                if let Some(hosts) = self.hosts.get_mut(parent(name)) {
                    hosts.remove(&**name);
                }
                self.claims.remove(&**name);
            }
        }
        self.late.push((response, error));
    }

    fn answer(&mut self, s: &mut Script) {
        for (response, error) in self.late.drain(..) {
            s.answer(&response, error);
        }
    }
}

fn parent(name: &str) -> &str {
    crate::edition::parent_of(name).unwrap()
}

fn step(s: &mut Script, envoy: &mut Envoy, step: Move) {
    match step {
        Move::Routes(routes) => {
            let texts: Vec<_> = routes.iter().map(|(r, v)| format!("{}!={v}", ROUTES[*r])).collect();
            s.set("RDS", &texts.iter().map(String::as_str).collect::<Vec<_>>());
        }
        Move::Hosts(hosts) => {
            let texts: Vec<_> =
                hosts.iter().map(|(r, h, v)| format!("{}/{}={v}", ROUTES[*r], HOSTS[*h])).collect();
            s.set("VHDS", &texts.iter().map(String::as_str).collect::<Vec<_>>());
        }
        Move::Subscribe(route) => {
            if envoy.subscribed.insert(ROUTES[route].into()) {
                s.ask("RDS", &[ROUTES[route]], &[]);
            }
        }
        Move::Unsubscribe(route) => {
            if envoy.subscribed.remove(ROUTES[route]) {
                envoy.routes.remove(ROUTES[route]);
                envoy.hosts.remove(ROUTES[route]);
                s.ask("RDS", &[], &[ROUTES[route]]);
            }
        }
        Move::Reconnect => {
            let facts = std::mem::take(&mut s.facts);
            *s = Script { facts, ..Script::delta() };
            envoy.open(s);
        }
        Move::Deliver(count) => {
            for _ in 0..count {
                let Some(response) = s.session.next_response(&s.facts, SystemTime::UNIX_EPOCH) else {
                    return;
                };
                envoy.apply(response);
            }
        }
        Move::Answer => envoy.answer(s),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_accepted_configuration_has_exactly_its_good_hosts(moves in moves()) {
        let (mut s, mut envoy) = (Script::delta(), Envoy::default());
        envoy.open(&mut s);
        for next in moves {
            step(&mut s, &mut envoy, next);
        }
        for turn in 0.. {
            prop_assert!(turn < 1000, "the session never stops talking");
            let before = envoy.late.len();
            step(&mut s, &mut envoy, Move::Deliver(1));
            if envoy.late.is_empty() {
                break;
            }
            if envoy.late.len() == before {
                envoy.answer(&mut s);
            }
        }
        let empty = Edition::empty();
        let routes = s.facts.editions.get(&TypeUrl::Route).unwrap_or(&empty);
        let hosts = s.facts.editions.get(&TypeUrl::VirtualHost).unwrap_or(&empty);
        for name in &envoy.subscribed {
            match routes.get(name) {
                Some(route) if !bad(route) => prop_assert_eq!(envoy.routes.get(name), Some(&route.version)),
                Some(_) => {}
                None => prop_assert!(!envoy.routes.contains_key(name)),
            }
            if !envoy.routes.contains_key(name) {
                continue;
            }
            let held = &envoy.hosts[name];
            for due in hosts.iter().filter(|host| parent(&host.name) == name && !bad(host)) {
                prop_assert_eq!(held.get(&*due.name), Some(&due.version), "{}", due.name);
            }
            for held in held.keys() {
                prop_assert!(hosts.get(held).is_some(), "{} is gone, yet served", held);
            }
        }
    }
}
