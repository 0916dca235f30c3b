//! Subscriptions on delta streams: wildcards, names, changes, order, reconnects, warming.

use super::*;

#[test]
fn the_first_wildcard_request_is_answered_even_with_nothing() {
    let mut s = Script::delta();
    assert_eq!(s.ask("LDS", &[], &[]).flow(), ["LDS"]);
    assert_eq!(s.set("LDS", &["a"]).flow(), ["LDS +a"]);
    assert_eq!(s.set("LDS", &[]).flow(), ["LDS -a"], "an emptied listener set is told");
}

#[test]
fn an_agent_is_not_told_that_there_is_nothing_for_it() {
    for mut s in [Script::delta(), Script::sotw()] {
        let variant = s.session.variant();
        let ask = |s: &mut Script, short: &str| match variant {
            Variant::Delta => drop(s.ask(short, &[], &[])),
            Variant::Sotw => drop(s.request(short, String::new(), None, Wish::Sotw { names: vec![] })),
        };
        ask(&mut s, "LDS");
        ask(&mut s, "NDS");
        ask(&mut s, "PCDS");
        assert_eq!(
            s.flow(),
            ["LDS"],
            "{variant:?}: Envoy waits for an answer, the agent would not acknowledge it"
        );
        assert_eq!(s.set("PCDS", &["roots"]).flow(), ["PCDS +roots"], "{variant:?}");
    }
}

#[test]
fn a_first_request_without_names_means_nothing_for_types_asked_for_by_name() {
    let mut s = Script::delta();
    s.set("EDS", &["a"]).set("RDS", &["80"]).set("ECDS", &["x"]).set("NDS", &["names"]);
    s.ask("EDS", &[], &[]).ask("RDS", &[], &[]).ask("ECDS", &[], &[]).ask("NDS", &[], &[]);
    assert_eq!(s.flow(), ["NDS +names"]);
}

#[test]
fn an_explicit_star_is_a_wildcard_until_it_is_taken_back() {
    let mut s = Script::delta();
    s.set("EDS", &["a", "b"]);
    assert_eq!(s.ask("EDS", &["*"], &[]).flow(), ["EDS +a +b"]);
    assert_eq!(s.set("EDS", &["a", "b=2"]).flow(), ["EDS +b"]);
    s.ask("EDS", &["a"], &["*"]);
    assert_eq!(s.flow(), ["EDS +a"], "the new name is answered");
    assert_eq!(s.set("EDS", &["a=2", "b=3"]).flow(), ["EDS +a"]);
    s.ask("EDS", &["*"], &[]);
    assert_eq!(s.flow(), ["EDS +b"], "what it kept by name it need not be sent again");
}

#[test]
fn a_star_subscribed_and_unsubscribed_at_once_begins_with_nothing() {
    let mut s = Script::delta();
    s.set("WDS", &["a", "b"]);
    assert_eq!(s.ask("WDS", &["*"], &["*"]).flow(), NOTHING);
    assert_eq!(s.ask("WDS", &["b"], &[]).flow(), ["WDS +b"]);
}

#[test]
fn only_what_changed_is_sent_and_equal_editions_send_nothing() {
    let mut s = Script::delta();
    s.set("CDS", &["a", "b", "c"]).ask("CDS", &[], &[]);
    assert_eq!(s.flow(), ["CDS +a +b +c"]);
    assert_eq!(s.set("CDS", &["a", "b", "c"]).flow(), NOTHING);
    assert_eq!(s.set("CDS", &["a", "b=2", "d"]).flow(), ["CDS +b +d", "CDS -c"]);
}

#[test]
fn changes_that_come_while_the_client_is_busy_are_merged() {
    let mut s = Script::delta();
    s.set("CDS", &["a"]).ask("CDS", &[], &[]).flow();
    s.set("CDS", &["a=2"]).set("CDS", &["a=3", "b"]).set("CDS", &["a=3"]);
    assert_eq!(s.flow(), ["CDS +a"]);
    s.set("CDS", &["a=9"]).set("CDS", &["a=3"]);
    assert_eq!(s.flow(), NOTHING, "there and back again is no change");
}

#[test]
fn types_go_out_in_order_and_what_was_used_is_removed_after_what_used_it() {
    let mut s = Script::delta();
    for short in ["SDS", "RDS", "LDS", "EDS", "CDS"] {
        s.set(short, &["old", "kept"]);
        s.ask(short, if ["CDS", "LDS"].contains(&short) { &[] } else { &["old", "kept", "new"] }, &[]);
    }
    s.flow();
    for short in ["SDS", "RDS", "LDS", "EDS", "CDS"] {
        s.set(short, &["kept=2", "new"]);
    }
    assert_eq!(
        s.flow(),
        [
            "CDS +kept +new",
            "EDS +kept +new",
            "LDS +kept +new -old",
            "RDS +kept",
            "RDS +new",
            "RDS -old",
            "SDS +kept +new",
            "CDS -old",
            "EDS -old",
            "SDS -old"
        ]
    );
}

#[test]
fn a_round_is_finished_before_the_next_one_begins_so_that_no_type_overtakes_another() {
    let mut s = Script::delta();
    s.set("CDS", &["a"]).set("LDS", &["l"]).ask("CDS", &[], &[]).ask("LDS", &[], &[]).flow();
    s.set("CDS", &["a", "b"]).set("LDS", &["l=b"]);
    let first = s.session.next_response(&s.facts, SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(line(&first), "CDS +b");
    s.set("CDS", &["a", "b", "c"]).set("LDS", &["l=c"]);
    let second = s.session.next_response(&s.facts, SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(
        second.resources.iter().next().unwrap().body.clone(),
        "b",
        "a listener whose cluster has been sent, not the newest"
    );
    assert_eq!(s.flow(), ["CDS +c", "LDS +l"]);
}

#[test]
fn a_name_subscribed_again_is_always_answered() {
    let mut s = Script::delta();
    s.set("EDS", &["a"]);
    assert_eq!(s.ask("EDS", &["a"], &[]).flow(), ["EDS +a"]);
    assert_eq!(s.ask("EDS", &["a"], &[]).flow(), ["EDS +a"], "without letting go in between");
    assert_eq!(s.ask("EDS", &[], &["a"]).flow(), NOTHING);
    assert_eq!(s.set("EDS", &["a=2"]).flow(), NOTHING);
    assert_eq!(s.ask("EDS", &["a"], &[]).flow(), ["EDS +a"]);
    assert_eq!(s.ask("EDS", &["none"], &[]).flow(), ["EDS -none"], "absence is an answer");
    assert_eq!(s.set("EDS", &["a=2", "none"]).flow(), ["EDS +none"]);
}

#[test]
fn a_name_let_go_under_a_wildcard_is_answered_with_what_is_true() {
    let mut s = Script::delta();
    s.set("CDS", &["a", "b"]).ask("CDS", &["*", "a"], &[]).flow();
    assert_eq!(s.ask("CDS", &[], &["a"]).flow(), ["CDS +a"]);
    assert_eq!(s.ask("CDS", &[], &["zzz"]).flow(), ["CDS -zzz"]);
}

#[test]
fn a_reconnect_gets_only_differences() {
    let mut s = Script::delta();
    s.set("CDS", &["same", "new=2", "more"]).set("EDS", &["same", "new=2"]);
    s.ask_holding("EDS", &["same", "new", "gone"], &[], &["same", "new=1", "gone"]);
    assert_eq!(s.flow(), ["EDS +new", "EDS -gone"]);
    s.ask_holding("CDS", &[], &[], &["same", "new=1", "gone"]);
    assert_eq!(s.flow(), ["CDS +new +more", "EDS +new", "CDS -gone"]);
}

#[test]
fn a_reconnect_with_everything_still_true_gets_empty_answers_only() {
    let mut s = Script::delta();
    s.set("CDS", &["a"]).set("EDS", &["a"]).set("LDS", &["l"]).set("RDS", &["80"]);
    s.ask_holding("CDS", &[], &[], &["a"]).ask_holding("EDS", &["a"], &[], &["a"]);
    s.ask_holding("LDS", &[], &[], &["l"]).ask_holding("RDS", &["80"], &[], &["80"]);
    assert_eq!(s.flow(), ["CDS", "EDS", "LDS", "RDS"]);
}

#[test]
fn versions_of_another_server_are_not_taken_for_ours() {
    let mut s = Script::delta();
    s.set("EDS", &["a"]);
    let claims = vec![("a".into(), "2026-01-01T00:00:00Z/7".into()), ("gone".into(), "1".into())];
    let wish = Wish::Delta { subscribe: strings(&["a", "gone"]), unsubscribe: vec![], claims };
    s.request("EDS", String::new(), None, wish);
    assert_eq!(s.flow(), ["EDS +a", "EDS -gone"]);
}

#[test]
fn endpoints_follow_a_cluster_that_is_sent_again_and_only_that() {
    let mut s = Script::delta();
    s.set("CDS", &["a", "b"]).set("EDS", &["a", "b"]);
    s.ask("CDS", &[], &[]);
    assert_eq!(s.flow(), ["CDS +a +b"]);
    assert_eq!(s.ask("EDS", &["a", "b"], &[]).flow(), ["EDS +a +b"]);
    assert_eq!(s.set("CDS", &["a=2", "b"]).flow(), ["CDS +a", "EDS +a"]);
    assert_eq!(s.set("EDS", &["a", "b=2"]).flow(), ["EDS +b"], "endpoints alone need no cluster");
}

#[test]
fn endpoints_follow_clusters_that_a_reconnect_changed_after_they_were_answered() {
    // Envoy may ask for endpoints first, is told all is well, then gets a changed cluster and never asks again.
    let mut s = Script::delta();
    s.set("CDS", &["a=2"]).set("EDS", &["a"]);
    assert_eq!(s.ask_holding("EDS", &["a"], &[], &["a"]).flow(), ["EDS"]);
    assert_eq!(s.ask_holding("CDS", &[], &[], &["a=1"]).flow(), ["CDS +a", "EDS +a"]);
}

#[test]
fn extension_configurations_are_never_removed() {
    let mut s = Script::delta();
    s.set("ECDS", &["wasm", "lua"]);
    assert_eq!(s.ask("ECDS", &["wasm", "lua"], &[]).flow(), ["ECDS +wasm +lua"]);
    assert_eq!(s.set("ECDS", &["lua=2"]).flow(), ["ECDS +lua"]);
    assert_eq!(s.set("ECDS", &[]).flow(), NOTHING);
}

#[test]
fn names_outside_of_the_edition_are_looked_up_at_each_change() {
    let mut s = Script::delta();
    s.set("SDS", &["default"]);
    s.facts.on_demand.insert("kubernetes://x".into(), resource("kubernetes://x=1"));
    s.ask("SDS", &["default", "kubernetes://x", "kubernetes://y"], &[]);
    assert_eq!(s.flow(), ["SDS +default +kubernetes://x -kubernetes://y"]);
    s.session.on_change();
    assert_eq!(s.flow(), NOTHING);
    s.facts.on_demand.insert("kubernetes://x".into(), resource("kubernetes://x=2"));
    s.facts.on_demand.insert("kubernetes://y".into(), resource("kubernetes://y=1"));
    s.session.on_change();
    assert_eq!(s.flow(), ["SDS +kubernetes://x +kubernetes://y"]);
    s.facts.on_demand.remove("kubernetes://x");
    s.session.on_change();
    assert_eq!(s.flow(), ["SDS -kubernetes://x"]);
    s.set("SDS", &["default", "kubernetes://y=1"]);
    assert_eq!(s.flow(), NOTHING, "found in another place, it is the same resource");
}

#[test]
fn route_configurations_travel_alone() {
    let mut s = Script::delta();
    s.set("RDS", &["80", "9080", "other"]);
    assert_eq!(s.ask("RDS", &["80", "9080", "none"], &[]).flow(), ["RDS +80", "RDS +9080", "RDS -none"]);
}

#[test]
fn a_type_that_is_not_served_is_answered_as_empty() {
    let mut s = Script::delta();
    assert_eq!(s.ask("type.example/Unknown", &["a"], &[]).flow(), ["type.example/Unknown -a"]);
    assert_eq!(s.ask("BDS", &[], &[]).flow(), ["BDS"]);
}
