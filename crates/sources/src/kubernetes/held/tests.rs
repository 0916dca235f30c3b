//! What events change, taken together.

use serde_json::json;

use super::*;

fn held() -> Held {
    Held::new(Kind::Service, "v1", &"one".into(), "")
}

fn service(name: &str, port: u16) -> Raw {
    let metadata = json!({"name": name, "namespace": "shop", "resourceVersion": port.to_string()});
    serde_json::from_value(json!({"metadata": metadata, "spec": {"ports": [{"port": port}]}})).unwrap()
}

/// What is put and what is removed, by name, of events that come together.
fn told(held: &mut Held, events: impl IntoIterator<Item = Event<Raw>>) -> (Vec<String>, Vec<String>) {
    let mut change = Change::default();
    for event in events {
        held.hear(event, &mut change);
    }
    let puts = change.batch.puts.iter().map(|(_, object)| object.meta.name.to_string()).collect();
    (puts, change.batch.removes.iter().map(|(_, key)| key.name.to_string()).collect())
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn of_what_comes_and_goes_within_one_look_the_last_word_counts() {
    let mut held = held();
    let come_and_go = [Event::Apply(service("a", 1)), Event::Delete(service("a", 1))];
    // a batch is applied removals first: the put must not stand in it
    assert_eq!(told(&mut held, come_and_go), (names(&[]), names(&["a"])));
    assert_eq!(told(&mut held, [Event::Apply(service("a", 2))]), (names(&["a"]), names(&[])));
    let go_and_come = [Event::Delete(service("a", 2)), Event::Apply(service("a", 3))];
    assert_eq!(told(&mut held, go_and_come), (names(&["a"]), names(&[])));
}

#[test]
fn a_list_removes_what_it_does_not_have_and_tells_nothing_that_is_known() {
    let mut held = held();
    let list = |services: Vec<Raw>| {
        let items = services.into_iter().map(Event::InitApply);
        [Event::Init].into_iter().chain(items).chain([Event::InitDone]).collect::<Vec<_>>()
    };
    let all = list(vec![service("a", 1), service("b", 1)]);
    assert_eq!(told(&mut held, all), (names(&["a", "b"]), names(&[])));
    assert_eq!(told(&mut held, list(vec![service("b", 1)])), (names(&[]), names(&["a"])));
    // a list that breaks off says nothing about what it has not come to
    let half = [Event::Init, Event::Init, Event::InitApply(service("b", 1))];
    assert_eq!(told(&mut held, half), (names(&[]), names(&[])));
    assert_eq!(told(&mut held, [Event::InitDone]), (names(&[]), names(&[])));
}
