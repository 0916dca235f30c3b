//! Answers: ACKs, NACKs, and nonces that mean nothing any more.

use super::*;

#[test]
fn an_ack_is_recorded_with_its_nonce_and_revision() {
    let mut s = Script::delta();
    s.set("CDS", &["a"]).ask("CDS", &[], &[]).out();
    let before = s.status("CDS");
    assert_eq!((before.nonce_acked, before.unanswered), (None, 1));
    let response = s.sent.remove(0);
    let events = s.answer(&response, None);
    let (nonce, revision) = (response.nonce.clone(), 1);
    assert_eq!(events, [Event::Ack { type_url: TypeUrl::Cluster, nonce, revision }]);
    let after = s.status("CDS");
    assert_eq!(after.nonce_acked, after.nonce_sent);
    assert!(s.session.all_answered());
}

#[test]
fn a_nack_is_recorded_with_the_clients_words_and_not_answered() {
    let mut s = Script::delta();
    s.set("LDS", &["l"]).ask("LDS", &[], &[]).out();
    let response = s.sent.remove(0);
    let events = s.answer(&response, Some("no such filter"));
    assert!(matches!(&events[..], [Event::Nack { message, names, .. }]
        if message == "no such filter" && names[..] == [Arc::from("l")]));
    assert_eq!(s.flow(), NOTHING, "the same bytes are not sent in a loop");
    s.session.on_change();
    assert_eq!(s.flow(), NOTHING, "nor when something else changed");
    let status = s.status("LDS");
    assert_eq!(status.last_error.as_deref(), Some("no such filter"));
    assert_eq!(status.refused, [Arc::from("l")]);
    assert_eq!(s.set("LDS", &["l=2"]).flow(), ["LDS +l"], "a change is");
    let status = s.status("LDS");
    assert_eq!((status.last_error, status.refused.len()), (None, 0));
}

#[test]
fn a_refused_resource_is_still_removed_since_its_old_version_may_live_on() {
    let mut s = Script::delta();
    s.set("CDS", &["a"]).ask("CDS", &[], &[]).flow();
    s.set("CDS", &["a=bad"]);
    assert_eq!(s.flow_refusing(&["a"]), NOTHING);
    assert_eq!(s.set("CDS", &[]).flow(), ["CDS -a"]);
}

#[test]
fn one_bad_resource_of_many_is_found_by_halving_and_the_others_get_in() {
    let names: Vec<String> = (0..64).map(|n| format!("c{n:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for short in ["CDS", "EDS", "LDS", "SDS"] {
        let mut s = Script::delta();
        s.set(short, &names);
        s.ask(short, if short == "CDS" || short == "LDS" { &[] } else { &names }, &[]);
        let accepted = s.flow_refusing(&["c17"]);
        let got: usize = accepted.iter().map(|line| line.matches('+').count()).sum();
        assert_eq!(got, 63, "{short}: {accepted:?}");
        assert!(accepted.len() <= 6, "{short}: found in log2 steps: {accepted:?}");
        assert_eq!(s.status(short).refused, [Arc::from("c17")]);
        assert_eq!(s.status(short).last_error.as_deref(), Some("bad resource"));
    }
}

#[test]
fn a_second_try_leaves_out_what_has_changed_meanwhile() {
    let mut s = Script::delta();
    s.set("CDS", &["a", "b"]).ask("CDS", &[], &[]).out();
    s.set("CDS", &["a", "b=2"]);
    let first = s.sent.remove(0);
    s.answer(&first, Some("bad"));
    assert_eq!(s.flow(), ["CDS +b", "CDS +a"], "the new version, and the half that is still due");
}

#[test]
fn a_bad_route_configuration_does_not_take_a_good_one_down() {
    let mut s = Script::delta();
    s.set("RDS", &["80", "9080"]).ask("RDS", &["80", "9080"], &[]);
    assert_eq!(s.flow_refusing(&["9080"]), ["RDS +80"]);
    let status = s.status("RDS");
    assert_eq!(status.last_error.as_deref(), Some("bad resource"), "a later ACK of another does not hide it");
}

#[test]
fn a_nonce_that_is_not_in_flight_is_stale_and_counted() {
    let mut s = Script::delta();
    s.set("EDS", &["a", "b"]).ask("EDS", &["a"], &[]).flow();
    let empty = Wish::Delta { subscribe: vec![], unsubscribe: vec![], claims: vec![] };
    let events = s.request("EDS", "nobody's".into(), None, empty);
    assert_eq!(events, [Event::Stale { type_url: TypeUrl::Endpoint }]);
    assert_eq!(s.flow(), NOTHING);
}

#[test]
fn a_delta_subscription_counts_whatever_nonce_comes_with_it() {
    // A delta client says each change once, possibly in the answer to a response that is not the last.
    let mut s = Script::delta();
    s.set("EDS", &["a", "b"]).ask("EDS", &["a"], &[]).out();
    s.set("EDS", &["a=2", "b"]).out();
    let first = s.sent[0].nonce.to_string();
    let wish = Wish::Delta { subscribe: strings(&["b"]), unsubscribe: vec![], claims: vec![] };
    assert!(matches!(s.request("EDS", first, None, wish)[..], [Event::Ack { .. }]));
    assert_eq!(s.out(), ["EDS +b"]);
}

#[test]
fn a_client_that_never_answers_costs_a_bounded_amount() {
    let mut s = Script::delta();
    s.ask("CDS", &[], &[]);
    for n in 0..MAX_FLIGHTS + 100 {
        s.set("CDS", &[&format!("a={n}")]).out();
        s.sent.clear();
    }
    assert_eq!(s.status("CDS").unanswered, MAX_FLIGHTS);
}
