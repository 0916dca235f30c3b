//! Virtual hosts as resources: the rules found on a real Envoy, one by one.

use super::*;

fn with_hosts() -> Script {
    let mut s = Script::delta();
    s.set("RDS", &["80!", "9080!", "inline"]);
    s.set("VHDS", &["80/a", "80/b", "9080/m"]);
    s
}

#[test]
fn a_subscription_to_routes_is_the_subscription_to_their_hosts() {
    let mut s = with_hosts();
    s.ask("RDS", &["80"], &[]);
    assert_eq!(s.flow(), ["RDS +80", "VHDS +80/a +80/b"], "before the client has asked for any");
    assert_eq!(s.ask("VHDS", &[], &[]).flow(), NOTHING);
    s.ask("RDS", &["9080", "inline"], &[]);
    assert_eq!(s.flow(), ["RDS +9080", "RDS +inline", "VHDS +9080/m"], "no further request ever comes");
}

#[test]
fn one_edited_host_is_all_that_is_sent() {
    let mut s = with_hosts();
    s.ask("RDS", &["80", "9080"], &[]).flow();
    assert_eq!(s.set("VHDS", &["80/a", "80/b=2", "9080/m"]).flow(), ["VHDS +80/b"]);
    s.set("VHDS", &["80/a", "80/c", "9080/m=2", "unknown/x"]);
    assert_eq!(s.flow(), ["VHDS +80/c -80/b", "VHDS +9080/m"], "one configuration per response");
}

#[test]
fn a_configuration_without_hosts_releases_its_listener() {
    let mut s = with_hosts();
    s.set("VHDS", &[]);
    assert_eq!(s.ask("RDS", &["80"], &[]).flow(), ["RDS +80", "VHDS -80/.none"]);
    assert_eq!(s.set("VHDS", &["80/a"]).flow(), ["VHDS +80/a"]);
    assert_eq!(s.set("VHDS", &[]).flow(), ["VHDS -80/a"]);
}

#[test]
fn a_changed_configuration_keeps_its_hosts() {
    let mut s = with_hosts();
    s.ask("RDS", &["80"], &[]).flow();
    assert_eq!(s.set("RDS", &["80!=2", "9080!"]).flow(), ["RDS +80"]);
}

#[test]
fn a_configuration_given_up_takes_its_hosts_along_and_comes_back_with_all() {
    let mut s = with_hosts();
    s.ask("RDS", &["80", "9080"], &[]).flow();
    assert_eq!(s.ask("RDS", &[], &["80"]).flow(), ["VHDS -80/a -80/b"], "so that it does not claim them");
    assert_eq!(s.set("VHDS", &["80/a=2", "9080/m"]).flow(), NOTHING);
    assert_eq!(s.ask("RDS", &["80"], &[]).flow(), ["RDS +80", "VHDS +80/a"]);
    assert_eq!(s.set("RDS", &["9080!"]).flow(), ["VHDS -80/a", "RDS -80"]);
}

#[test]
fn a_reconnect_waits_for_the_claims_and_gets_the_difference() {
    let mut s = with_hosts();
    s.set("VHDS", &["80/a", "80/b=2", "80/new", "9080/m"]);
    s.ask_holding("RDS", &["80", "9080"], &[], &["80!"]);
    assert_eq!(s.flow(), ["RDS +9080", "VHDS +9080/m"], "the known one waits, the new one does not");
    s.ask_holding("VHDS", &[], &[], &["80/a", "80/b", "80/gone", "9080/m"]);
    assert_eq!(s.flow(), ["VHDS +80/b +80/new -80/gone"]);
}

#[test]
fn claims_that_come_before_the_routes_are_kept_for_them() {
    let mut s = with_hosts();
    s.ask_holding("VHDS", &[], &[], &["80/a", "80/b", "9080/m", "6666/q"]);
    assert_eq!(s.flow(), NOTHING);
    s.ask_holding("RDS", &["80", "9080"], &[], &["80!"]);
    assert_eq!(
        s.flow(),
        ["VHDS -6666/q -9080/m", "RDS +9080", "VHDS +9080/m"],
        "what it claims under a configuration it does not have was dropped on arrival"
    );
}

#[test]
fn hosts_wait_until_their_configuration_is_accepted() {
    let mut s = with_hosts();
    s.ask("RDS", &["80", "9080"], &[]);
    assert_eq!(s.out(), ["RDS +80", "RDS +9080"]);
    let (refused, accepted) = (s.sent.remove(0), s.sent.remove(0));
    s.answer(&refused, Some("bad route"));
    s.answer(&accepted, None);
    assert_eq!(s.flow(), ["VHDS +9080/m"]);
    assert_eq!(s.set("VHDS", &["80/a=2", "80/b", "9080/m"]).flow(), NOTHING, "nobody would keep them");
    s.set("RDS", &["80!=2", "9080!"]);
    assert_eq!(s.flow(), ["RDS +80", "VHDS +80/a +80/b"]);
}

#[test]
fn a_refused_update_of_an_accepted_configuration_does_not_cost_its_hosts() {
    let mut s = with_hosts();
    s.ask("RDS", &["80"], &[]).flow();
    s.set("RDS", &["80!=bad"]);
    assert_eq!(s.flow_refusing(&["80"]), NOTHING);
    assert_eq!(s.set("VHDS", &["80/a=2", "80/b"]).flow(), ["VHDS +80/a"]);
    assert_eq!(s.set("RDS", &["80!=good"]).flow(), ["RDS +80"]);
}

#[test]
fn one_bad_host_is_found_by_halving() {
    let mut s = with_hosts();
    s.set("VHDS", &["80/a", "80/b", "80/c", "80/d"]).ask("RDS", &["80"], &[]);
    let accepted = s.flow_refusing(&["80/c"]);
    assert_eq!(accepted, ["RDS +80", "VHDS +80/a +80/b", "VHDS +80/d"]);
    assert_eq!(s.status("VHDS").refused, [Arc::from("80/c")]);
    assert_eq!(s.set("VHDS", &["80/a", "80/b", "80/c=2", "80/d"]).flow(), ["VHDS +80/c"]);
    assert_eq!(s.status("VHDS").last_error, None);
}

#[test]
fn a_single_host_asked_for_by_name_is_answered() {
    let mut s = with_hosts();
    s.ask("RDS", &["80"], &[]).ask("VHDS", &[], &[]).flow();
    assert_eq!(s.ask("VHDS", &["80/a"], &[]).flow(), ["VHDS +80/a"]);
    assert_eq!(s.ask("VHDS", &["80/zzz"], &[]).flow(), ["VHDS -80/zzz"]);
    assert_eq!(s.ask("VHDS", &["1/x"], &[]).flow(), ["VHDS -1/x"]);
}

#[test]
fn a_single_host_asked_for_before_the_routes_are_known_is_not_declared_gone() {
    let mut s = with_hosts();
    s.ask("VHDS", &["80/b", "none/x"], &[]);
    assert_eq!(s.flow(), NOTHING, "nobody knows yet whether there are such");
    s.ask("RDS", &["80"], &[]);
    assert_eq!(s.flow(), ["VHDS -none/x", "RDS +80", "VHDS +80/a +80/b"]);
}

#[test]
fn without_marked_routes_nothing_is_sent() {
    let mut s = Script::delta();
    s.set("RDS", &["80"]).set("VHDS", &["80/a"]).ask("RDS", &["80"], &[]);
    assert_eq!(s.flow(), ["RDS +80"]);
}
