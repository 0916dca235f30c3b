//! The state-of-the-world variant: its own rules of asking, and the same content as delta.

use super::*;

fn ask(s: &mut Script, short: &str, names: &[&str]) -> Vec<String> {
    s.request(short, String::new(), None, Wish::Sotw { names: strings(names) });
    s.flow()
}

/// A request that answers the latest response, with these names.
fn re_ask(s: &mut Script, short: &str, names: &[&str]) -> Vec<Event> {
    let nonce = s.status(short).nonce_sent.map(|nonce| nonce.to_string()).unwrap_or_default();
    s.request(short, nonce, None, Wish::Sotw { names: strings(names) })
}

#[test]
fn clusters_and_listeners_are_listed_whole_others_only_as_far_as_they_changed() {
    let mut s = Script::sotw();
    s.set("CDS", &["a", "b"]).set("EDS", &["a", "b"]).set("LDS", &["l"]).set("RDS", &["80", "81"]);
    assert_eq!(ask(&mut s, "CDS", &[]), ["CDS +a +b"]);
    assert_eq!(ask(&mut s, "EDS", &["a", "b"]), ["EDS +a +b"]);
    assert_eq!(ask(&mut s, "LDS", &[]), ["LDS +l"]);
    assert_eq!(ask(&mut s, "RDS", &["80", "81"]), ["RDS +80", "RDS +81"]);
    s.set("CDS", &["a", "b=2"]).set("EDS", &["a=2", "b"]).set("LDS", &["l", "m"]).set("RDS", &["80", "81=2"]);
    assert_eq!(s.flow(), ["CDS +a +b", "EDS +a +b", "LDS +l +m", "RDS +81"]);
    s.session.on_change();
    assert_eq!(s.flow(), NOTHING);
}

#[test]
fn a_removed_cluster_is_listed_until_what_used_it_has_been_sent() {
    let mut s = Script::sotw();
    s.set("CDS", &["a", "b"]).set("LDS", &["l"]);
    ask(&mut s, "CDS", &[]);
    ask(&mut s, "LDS", &[]);
    s.set("CDS", &["a", "c"]).set("LDS", &["l=c"]);
    assert_eq!(s.flow(), ["CDS +a +c +b", "LDS +l", "CDS +a +c"]);
    s.set("LDS", &[]);
    assert_eq!(s.flow(), ["LDS"], "an empty list is how listeners are removed");
}

#[test]
fn a_removed_cluster_stays_listed_when_a_new_round_interrupts_its_own() {
    let mut s = Script::sotw();
    s.set("CDS", &["a", "b"]).set("LDS", &["l"]);
    ask(&mut s, "CDS", &[]);
    ask(&mut s, "LDS", &[]);
    s.set("CDS", &["a", "c"]).set("LDS", &["l=c"]);
    let first = s.session.next_response(&s.facts, SystemTime::UNIX_EPOCH);
    assert_eq!(first.as_ref().map(line), Some("CDS +a +c +b".to_owned()));
    s.set("CDS", &["a", "c", "d"]).set("EDS", &["a"]);
    // A new subscription begins another round at once.
    s.request("EDS", String::new(), None, Wish::Sotw { names: strings(&["a"]) });
    assert_eq!(s.flow(), ["CDS +a +c +d +b", "EDS +a", "LDS +l", "CDS +a +c +d"]);
}

#[test]
fn names_are_the_whole_subscription_each_time() {
    let mut s = Script::sotw();
    s.set("EDS", &["a", "b", "c"]);
    assert_eq!(ask(&mut s, "EDS", &["a"]), ["EDS +a"]);
    re_ask(&mut s, "EDS", &["a", "b"]);
    assert_eq!(s.flow(), ["EDS +b"], "what it has is not sent again");
    re_ask(&mut s, "EDS", &["b"]);
    assert_eq!(s.flow(), NOTHING);
    assert_eq!(s.set("EDS", &["a=2", "b=2", "c=2"]).flow(), ["EDS +b"]);
    re_ask(&mut s, "EDS", &[]);
    assert_eq!(s.set("EDS", &["b=3"]).flow(), NOTHING, "no names: unsubscribed");
    assert_eq!(ask(&mut s, "EDS", &["none"]), ["EDS"], "absence is answered with an empty list");
}

#[test]
fn an_empty_list_after_names_were_given_is_no_wildcard() {
    let mut s = Script::sotw();
    s.set("CDS", &["a", "b"]);
    assert_eq!(ask(&mut s, "CDS", &["a"]), ["CDS +a"]);
    re_ask(&mut s, "CDS", &["*"]);
    assert_eq!(s.flow(), ["CDS +a +b"]);
    re_ask(&mut s, "CDS", &[]);
    assert_eq!(s.set("CDS", &["a=2", "b"]).flow(), NOTHING);
}

#[test]
fn a_request_with_an_old_nonce_changes_nothing_and_an_unknown_one_is_counted() {
    let mut s = Script::sotw();
    s.set("EDS", &["a", "b"]);
    s.request("EDS", String::new(), None, Wish::Sotw { names: strings(&["a"]) });
    s.out();
    s.set("EDS", &["a=2", "b"]).out();
    let first = s.sent[0].nonce.to_string();
    let events = s.request("EDS", first.clone(), None, Wish::Sotw { names: strings(&["b"]) });
    assert!(matches!(events[..], [Event::Ack { .. }]), "it was in flight: {events:?}");
    assert_eq!(s.out(), NOTHING, "yet its names are overtaken");
    let events = s.request("EDS", first, None, Wish::Sotw { names: strings(&["b"]) });
    assert_eq!(events, [Event::Stale { type_url: TypeUrl::Endpoint }]);
}

#[test]
fn endpoints_asked_for_again_after_a_cluster_update_are_answered_once() {
    let mut s = Script::sotw();
    s.set("CDS", &["a", "b"]).set("EDS", &["a", "b"]);
    ask(&mut s, "CDS", &[]);
    ask(&mut s, "EDS", &["a", "b"]);
    re_ask(&mut s, "EDS", &["a", "b"]);
    assert_eq!(s.flow(), NOTHING);
    assert_eq!(s.set("CDS", &["a=2", "b"]).flow(), ["CDS +a +b", "EDS +a"]);
    re_ask(&mut s, "EDS", &["a", "b"]);
    assert_eq!(s.flow(), ["EDS +a"]);
    re_ask(&mut s, "EDS", &["a", "b"]);
    assert_eq!(s.flow(), NOTHING);
}

#[test]
fn a_reconnect_is_answered_in_full_though_it_brings_an_old_nonce() {
    let mut s = Script::sotw();
    s.set("CDS", &["a"]);
    ask(&mut s, "CDS", &[]);
    let mut s = s.reconnect();
    s.request("CDS", "old-stream-3".into(), None, Wish::Sotw { names: vec![] });
    assert_eq!(s.flow(), ["CDS +a"]);
}

#[test]
fn refused_endpoints_are_halved_and_a_refused_list_waits_for_a_change() {
    let mut s = Script::sotw();
    s.set("EDS", &["a", "b", "c"]).set("CDS", &["a", "b"]);
    s.request("EDS", String::new(), None, Wish::Sotw { names: strings(&["a", "b", "c"]) });
    assert_eq!(s.flow_refusing(&["b"]), ["EDS +a", "EDS +c"]);
    s.request("CDS", String::new(), None, Wish::Sotw { names: vec![] });
    assert_eq!(
        s.flow_refusing(&["b"]),
        ["EDS +a"],
        "the endpoints of the clusters, and of them the good one"
    );
    s.session.on_change();
    assert_eq!(s.flow(), NOTHING);
    assert_eq!(s.set("CDS", &["a", "b=2"]).flow(), ["CDS +a +b", "EDS +b"]);
}

#[test]
fn virtual_hosts_do_not_exist_in_this_variant() {
    let mut s = Script::sotw();
    s.set("RDS", &["80!"]).set("VHDS", &["80/a"]);
    assert_eq!(ask(&mut s, "RDS", &["80"]), ["RDS +80"]);
}
