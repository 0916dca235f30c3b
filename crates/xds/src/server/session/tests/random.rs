//! Random editions, subscriptions and answers: a model client ends with exactly what it subscribed to.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const TYPES: [&str; 5] = ["CDS", "EDS", "LDS", "RDS", "NDS"];
const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

#[derive(Debug, Clone)]
enum Move {
    Set(usize, Vec<(usize, u8)>),
    Subscribe(usize, usize),
    Unsubscribe(usize, usize),
    Reconnect,
    /// Deliver so many responses to the client.
    Deliver(usize),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let edition = prop::collection::vec((0..NAMES.len(), 0u8..3), 0..5);
    let one = prop_oneof![
        4 => (0..TYPES.len(), edition).prop_map(|(t, r)| Move::Set(t, r)),
        2 => (0..TYPES.len(), 0..NAMES.len()).prop_map(|(t, n)| Move::Subscribe(t, n)),
        1 => (0..TYPES.len(), 0..NAMES.len()).prop_map(|(t, n)| Move::Unsubscribe(t, n)),
        1 => Just(Move::Reconnect),
        4 => (1usize..4).prop_map(Move::Deliver),
    ];
    prop::collection::vec(one, 1..60)
}

/// A client that does what it is told, and notices what it need not have been told.
#[derive(Default)]
struct Client {
    held: BTreeMap<&'static str, BTreeMap<String, u64>>,
    names: BTreeMap<&'static str, BTreeSet<String>>,
    /// Names it asked for since they were last answered: a repetition is then right.
    asked: BTreeSet<(&'static str, String)>,
    /// Clusters sent since their endpoints were: these follow.
    warming: BTreeSet<String>,
}

fn wildcard(short: &str) -> bool {
    TypeUrl::from_short(short).implicit_wildcard()
}

impl Client {
    fn open(&mut self, s: &mut Script) {
        for short in TYPES {
            let names: Vec<String> = self.names.entry(short).or_default().iter().cloned().collect();
            let held = self.held.entry(short).or_default().clone();
            let wish = match s.session.variant() {
                Variant::Delta => Wish::Delta {
                    subscribe: names,
                    unsubscribe: vec![],
                    claims: held.into_iter().map(|(n, v)| (n, crate::edition::wire_version(v))).collect(),
                },
                Variant::Sotw => {
                    self.held.insert(short, BTreeMap::new());
                    Wish::Sotw { names }
                }
            };
            s.request(short, String::new(), None, wish);
        }
    }

    fn subscribe(&mut self, s: &mut Script, short: &'static str, name: &str) {
        if wildcard(short) {
            return;
        }
        self.names.entry(short).or_default().insert(name.to_owned());
        self.asked.insert((short, name.to_owned()));
        self.tell(s, short, &[name], &[]);
    }

    fn unsubscribe(&mut self, s: &mut Script, short: &'static str, name: &str) {
        if wildcard(short) || !self.names.entry(short).or_default().remove(name) {
            return;
        }
        self.held.entry(short).or_default().remove(name);
        self.tell(s, short, &[], &[name]);
    }

    fn tell(&mut self, s: &mut Script, short: &'static str, add: &[&str], take: &[&str]) {
        match s.session.variant() {
            Variant::Delta => {
                s.ask(short, add, take);
            }
            Variant::Sotw => {
                let names = self.names[short].iter().cloned().collect();
                let nonce = s.status(short).nonce_sent.map(|n| n.to_string()).unwrap_or_default();
                if nonce.is_empty() {
                    self.held.insert(short, BTreeMap::new());
                }
                s.request(short, nonce, None, Wish::Sotw { names });
            }
        }
    }

    fn apply(&mut self, response: &Response) {
        let short = TYPES.into_iter().find(|t| *t == response.type_url.short()).unwrap();
        let subscribed = self.names.entry(short).or_default().clone();
        let held = self.held.entry(short).or_default();
        let whole = response.variant == Variant::Sotw && wildcard(short);
        let before = held.clone();
        if whole {
            held.clear();
        }
        for resource in response.resources.iter() {
            let name = resource.name.to_string();
            if !wildcard(short) && !subscribed.contains(&name) {
                continue;
            }
            if short == "CDS" {
                self.warming.insert(name.clone());
            }
            let asked = self.asked.remove(&(short, name.clone()));
            let warmed = short == "EDS" && self.warming.remove(&name);
            let news = before.get(&name) != Some(&resource.version);
            assert!(
                news || asked || warmed || whole || response.variant == Variant::Sotw,
                "{short} {name} was sent again unchanged and unasked"
            );
            held.insert(name, resource.version);
        }
        for name in &response.removed {
            held.remove(&**name);
        }
    }

    /// What it should hold is what it holds. State of the world cannot say "gone" for names.
    fn check(&self, facts: &Facts, variant: Variant) {
        for short in TYPES {
            let empty = Edition::empty();
            let edition = facts.editions.get(&TypeUrl::from_short(short)).unwrap_or(&empty);
            let due: BTreeMap<String, u64> = edition
                .iter()
                .filter(|r| wildcard(short) || self.names[short].contains(&*r.name))
                .map(|r| (r.name.to_string(), r.version))
                .collect();
            let mut held = self.held[short].clone();
            if variant == Variant::Sotw && !wildcard(short) {
                held.retain(|name, _| edition.get(name).is_some());
            }
            assert_eq!(held, due, "{short}");
        }
    }
}

fn play(variant: Variant, moves: Vec<Move>) -> Client {
    let mut s = Script::new(variant);
    let mut client = Client::default();
    for (short, names) in [("EDS", ["a", "b"]), ("RDS", ["a", "c"])] {
        client.names.insert(short, strings(&names).into_iter().collect());
    }
    client.open(&mut s);
    for step in moves {
        match step {
            Move::Set(short, resources) => {
                let texts: Vec<_> =
                    resources.iter().map(|(n, v)| format!("{}={}{v}", NAMES[*n], NAMES[*n])).collect();
                let texts: Vec<_> = texts.iter().map(String::as_str).collect();
                s.set(TYPES[short], &texts);
            }
            Move::Subscribe(short, name) => client.subscribe(&mut s, TYPES[short], NAMES[name]),
            Move::Unsubscribe(short, name) => client.unsubscribe(&mut s, TYPES[short], NAMES[name]),
            Move::Reconnect => {
                s = s.reconnect();
                client.asked.clear();
                client.warming.clear();
                client.open(&mut s);
            }
            Move::Deliver(count) => deliver(&mut s, &mut client, count),
        }
    }
    deliver(&mut s, &mut client, usize::MAX);
    client.check(&s.facts, variant);
    client
}

fn deliver(s: &mut Script, client: &mut Client, count: usize) {
    for _ in 0..count {
        let Some(response) = s.session.next_response(&s.facts, SystemTime::UNIX_EPOCH) else { return };
        client.apply(&response);
        s.answer(&response, None);
    }
}

/// Refuses whole responses that have a resource with content ending in `0`, as Envoy does when one is invalid.
fn play_refusing(variant: Variant, moves: Vec<Move>) {
    let mut s = Script::new(variant);
    let mut client = Client::default();
    for (short, names) in [("EDS", ["a", "b"]), ("RDS", ["a", "c"])] {
        client.names.insert(short, strings(&names).into_iter().collect());
    }
    client.open(&mut s);
    let deliver = |s: &mut Script, client: &mut Client, count: usize| {
        // Answers lag behind, so that several responses are in flight.
        let mut late = Vec::new();
        for turn in 0..count {
            let Some(response) = s.session.next_response(&s.facts, SystemTime::UNIX_EPOCH) else {
                if late.is_empty() {
                    return;
                }
                for (response, error) in late.drain(..) {
                    s.answer(&response, error);
                }
                continue;
            };
            assert!(turn < 10_000, "the session never stops talking");
            let bad = response.resources.iter().any(|r| r.body.clone().ends_with(b"0"));
            if !bad {
                client.warming.clear();
                client
                    .asked
                    .extend(response.resources.iter().flat_map(|r| TYPES.map(|t| (t, r.name.to_string()))));
                client.apply(&response);
            }
            late.push((response, bad.then_some("bad")));
        }
        for (response, error) in late {
            s.answer(&response, error);
        }
    };
    for step in moves {
        match step {
            Move::Set(short, resources) => {
                let texts: Vec<_> =
                    resources.iter().map(|(n, v)| format!("{}={}{v}", NAMES[*n], NAMES[*n])).collect();
                let texts: Vec<_> = texts.iter().map(String::as_str).collect();
                s.set(TYPES[short], &texts);
            }
            Move::Subscribe(short, name) => client.subscribe(&mut s, TYPES[short], NAMES[name]),
            Move::Unsubscribe(short, name) => client.unsubscribe(&mut s, TYPES[short], NAMES[name]),
            Move::Reconnect => {
                s = s.reconnect();
                client.open(&mut s);
            }
            Move::Deliver(count) => deliver(&mut s, &mut client, count),
        }
    }
    deliver(&mut s, &mut client, usize::MAX);
    for short in TYPES {
        let empty = Edition::empty();
        let edition = s.facts.editions.get(&TypeUrl::from_short(short)).unwrap_or(&empty);
        for name in client.held[short].keys() {
            assert!(edition.get(name).is_some(), "{short} {name} is gone, yet held");
        }
        let good = edition.iter().filter(|r| !r.body.clone().ends_with(b"0"));
        for due in good.filter(|r| wildcard(short) || client.names[short].contains(&*r.name)) {
            assert_eq!(client.held[short].get(&*due.name), Some(&due.version), "{short} {}", due.name);
        }
        for refused in s.status(short).refused {
            assert!(edition.get(&refused).is_some_and(|r| r.body.clone().ends_with(b"0")), "{refused}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_client_ends_with_exactly_what_it_subscribed_to_and_is_sent_nothing_twice(moves in moves()) {
        play(Variant::Delta, moves);
    }

    #[test]
    fn whatever_is_refused_every_good_resource_gets_in(moves in moves()) {
        play_refusing(Variant::Delta, moves);
    }

    #[test]
    fn state_of_the_world_ends_where_delta_does(moves in moves()) {
        let delta = play(Variant::Delta, moves.clone());
        let sotw = play(Variant::Sotw, moves);
        for short in ["CDS", "LDS", "NDS"] {
            prop_assert_eq!(&delta.held[short], &sotw.held[short]);
        }
    }
}
