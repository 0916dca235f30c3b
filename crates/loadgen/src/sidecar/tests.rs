//! Which names a sidecar asks for and leaves, against messages as a server writes them.

use super::*;

fn listener(name: &str, routes: &[&str]) -> Vec<u8> {
    let mut chains = BytesMut::new();
    for route in routes {
        let (mut rds, mut manager, mut any) = (BytesMut::new(), BytesMut::new(), BytesMut::new());
        wire::put(&mut rds, 2, route.as_bytes());
        wire::put(&mut manager, 3, &rds);
        wire::put(&mut any, 1, b"type.googleapis.com/x.HttpConnectionManager");
        wire::put(&mut any, 2, &manager);
        let (mut filter, mut chain) = (BytesMut::new(), BytesMut::new());
        wire::put(&mut filter, 4, &any);
        wire::put(&mut chain, 3, &filter);
        wire::put(&mut chains, 3, &chain);
    }
    let (mut any, mut resource) = (BytesMut::new(), BytesMut::new());
    wire::put(&mut any, 2, &chains);
    wire::put(&mut resource, 2, &any);
    wire::put(&mut resource, 3, name.as_bytes());
    resource.to_vec()
}

fn message(resources: &[Vec<u8>], removed: &[&str]) -> BytesMut {
    let mut out = BytesMut::new();
    for resource in resources {
        wire::put(&mut out, 2, resource);
    }
    for name in removed {
        wire::put(&mut out, 6, name.as_bytes());
    }
    out
}

/// Names asked for and left, sorted.
fn wishes(state: &mut State, resources: &[Vec<u8>], removed: &[&str]) -> (Vec<String>, Vec<String>) {
    let taken = state.take(LDS, &message(resources, removed));
    assert_eq!((taken.resources, taken.removed), (resources.len() as u64, removed.len() as u64));
    let sorted = |names: Vec<Arc<str>>| {
        let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
        names.sort();
        names
    };
    (sorted(taken.add), sorted(taken.drop))
}

fn names(of: &[&str]) -> Vec<String> {
    of.iter().map(ToString::to_string).collect()
}

#[test]
fn a_route_is_left_when_no_listener_names_it_any_more() {
    let mut state = State::default();
    let both = [listener("one", &["80"]), listener("two", &["80", "90"])];
    assert_eq!(wishes(&mut state, &both, &[]), (names(&["80", "90"]), vec![]));
    assert_eq!(wishes(&mut state, &[], &["two"]), (vec![], names(&["90"])));
    assert_eq!(wishes(&mut state, &[], &["one"]), (vec![], names(&["80"])));
    assert!(state.users[RDS].is_empty());
}

#[test]
fn a_listener_sent_again_asks_for_nothing_it_asked_for() {
    let mut state = State::default();
    let one = [listener("one", &["80"])];
    wishes(&mut state, &one, &[]);
    assert_eq!(wishes(&mut state, &one, &[]), (vec![], vec![]));
    assert_eq!(wishes(&mut state, &[listener("one", &["81"])], &[]), (names(&["81"]), names(&["80"])));
}

#[test]
fn a_name_that_moves_between_listeners_is_neither_left_nor_asked_for() {
    let mut state = State::default();
    wishes(&mut state, &[listener("one", &["80"]), listener("two", &["90"])], &[]);
    let swapped = [listener("one", &["90"]), listener("two", &["80"])];
    assert_eq!(wishes(&mut state, &swapped, &[]), (vec![], vec![]));
}
