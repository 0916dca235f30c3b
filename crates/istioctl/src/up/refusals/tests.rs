//! What is new is told once.

use super::Refusals;
use crate::up::observe::{Observation, Seen};

fn observation(refused_connections: u64) -> Observation {
    let seen = Seen { refused_connections, ..Seen::default() };
    Observation { proxies: [("a.default".to_owned(), seen)].into(), ..Observation::default() }
}

#[test]
fn only_what_is_new_is_told_also_after_a_restart() {
    let mut refusals = Refusals::default();
    assert!(refusals.update(&observation(0)).is_empty());
    assert!(refusals.update(&observation(2))[0].starts_with("a.default refused 2 connections: "));
    assert!(refusals.update(&observation(2)).is_empty());
    assert!(refusals.update(&observation(1))[0].starts_with("a.default refused 1 connection: "));
}
