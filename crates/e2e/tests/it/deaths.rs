//! Sudden deaths: of the control plane, of one Envoy, of a program. Traffic goes on, and what died comes back.

use std::collections::BTreeMap;
use std::process::Command;

use e2e::get;
use serde_json::Value;

use crate::stage::{
    Bookinfo, PATIENCE, children, events, eventually, is_dead, proxy, reviewer, signal, split, stat, syncz,
    write_reviews,
};
use crate::traffic::Traffic;

/// A process that stands still until this is dropped.
struct Halted(u64);

impl Halted {
    fn new(pid: u64) -> Self {
        signal("-STOP", pid);
        Self(pid)
    }
}

impl Drop for Halted {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-CONT", &self.0.to_string()]).status();
    }
}

/// What changes in an Envoy when resources are given to it.
fn received(proxy: &Value) -> BTreeMap<String, u64> {
    let url = format!("http://{}/stats", proxy["admin"].as_str().unwrap());
    let page = get(&url, &[]).map(|answer| answer.body).unwrap_or_default();
    let counts = |name: &str| {
        [
            "cluster_added",
            "cluster_modified",
            "cluster_removed",
            "listener_added",
            "listener_modified",
            "listener_removed",
            "config_reload",
            "ssl_context_update_by_sds",
            "membership_change",
        ]
        .iter()
        .any(|end| name.ends_with(end))
    };
    let lines = page.lines().filter_map(|line| line.split_once(": "));
    lines
        .filter(|(name, _)| counts(name))
        .filter_map(|(n, v)| Some((n.to_owned(), v.parse().ok()?)))
        .collect()
}

#[test]
fn the_control_plane_may_die_and_come_back_and_nothing_is_sent_twice() {
    let bookinfo = Bookinfo::quiet(&[]);
    let document = &bookinfo.document;
    let gateway = bookinfo.gateway();
    let plane = document["control_plane"]["pid"].as_u64().unwrap();
    // whoever brings it back stands still for a while, so that there is a while without it
    let halted = Halted::new(document["pid"].as_u64().unwrap());
    // what belongs to the start is not to be noticed after it
    bookinfo.await_synced();

    let traffic = Traffic::start(gateway);
    traffic.await_answers(40);
    let before: Vec<_> = document["proxies"].as_array().unwrap().iter().map(received).collect();
    assert!(before.iter().all(|counters| counters.len() > 5), "{before:?}");
    signal("-KILL", plane);
    eventually("it is dead", PATIENCE, || is_dead(plane));
    traffic.await_answers(80);
    assert!(syncz(document).is_empty(), "nobody is there");

    drop(halted);
    bookinfo.await_line("istiod-local ended (signal: 9 (SIGKILL))");
    bookinfo.await_synced();
    bookinfo.await_line("istiod-local is back after ");
    assert_ne!(bookinfo.now()["control_plane"]["pid"], plane, "others find the new one");
    traffic.await_answers(40);
    for event in events(document, 0).iter().filter(|event| event["kind"] == "push") {
        assert_eq!(event["message"], "0 resources, 0 removed", "sent although it has not changed: {event}");
    }
    let after: Vec<_> = document["proxies"].as_array().unwrap().iter().map(received).collect();
    assert_eq!(before, after, "no Envoy has noticed");

    write_reviews(document, &split(&[("v3", 100)]));
    eventually("the one that came back takes edits", PATIENCE, || {
        (0..15).all(|_| reviewer(gateway).is_ok_and(|name| name == "reviews-v3"))
    });
    bookinfo.await_line(" VirtualService/default/reviews (");
    let failed = traffic.stop();
    assert!(failed.is_empty(), "{} requests failed: {:?}", failed.len(), failed.first());
}

#[test]
fn a_dead_envoy_takes_its_agent_along_the_others_serve_on_and_it_comes_back() {
    let bookinfo = Bookinfo::quiet(&[]);
    let document = &bookinfo.document;
    let gateway = bookinfo.gateway();
    let victim = proxy(document, "reviews-v2");
    let agent = victim["pid"].as_u64().unwrap();
    let envoys = children(agent);
    assert_eq!(envoys.len(), 1, "an agent has one Envoy");
    assert_eq!(stat(victim, "server.live"), Some(1));

    let halted = Halted::new(document["pid"].as_u64().unwrap());
    signal("-KILL", envoys[0]);
    eventually("the agent has ended", PATIENCE, || is_dead(agent));
    eventually("the control plane knows", PATIENCE, || {
        let all = syncz(document);
        all.len() == 6 && all.iter().all(|proxy| proxy["proxy"] != "reviews-v2.default")
    });

    // a call that meets the dead one is tried elsewhere
    let mut answered = BTreeMap::new();
    for _ in 0..60 {
        *answered.entry(reviewer(gateway).unwrap()).or_insert(0) += 1;
    }
    let names: Vec<&str> = answered.keys().map(String::as_str).collect();
    assert_eq!(names, ["reviews-v1", "reviews-v3"], "{answered:?}");
    write_reviews(document, &split(&[("v1", 100)]));
    eventually("edits reach the others", PATIENCE, || {
        (0..15).all(|_| reviewer(gateway).is_ok_and(|name| name == "reviews-v1"))
    });

    drop(halted);
    bookinfo.await_line("proxy-reviews-v2.default ended (exit status: 137)");
    bookinfo.await_line("proxy-reviews-v2.default is back after ");
    eventually("the control plane knows it again", PATIENCE, || syncz(document).len() == 7);
    assert_eq!(stat(victim, "server.live"), Some(1), "an Envoy is at the old place");
    write_reviews(document, &split(&[("v2", 100)]));
    eventually("it serves again", PATIENCE, || {
        (0..15).all(|_| reviewer(gateway).is_ok_and(|name| name == "reviews-v2"))
    });
}

#[test]
fn a_program_that_dies_is_started_again_and_down_ends_what_keeps_dying() {
    let bookinfo = Bookinfo::quiet(&[]);
    let program = proxy(&bookinfo.document, "details-v1")["app_pid"].as_u64().unwrap();
    signal("-KILL", program);
    bookinfo.await_line("app-details-v1.default ended (signal: 9 (SIGKILL))");
    bookinfo.await_line("app-details-v1.default is back after ");
    let details = format!("{}/api/v1/products/0", bookinfo.gateway());
    eventually("it answers", PATIENCE, || get(&details, &[]).is_ok_and(|answer| answer.status == 200));

    // deaths that are still being mourned when the end comes
    let now = bookinfo.now();
    for workload in ["reviews-v1", "reviews-v2", "ratings-v1"] {
        let proxy = proxy(&now, workload);
        signal("-KILL", proxy["pid"].as_u64().unwrap());
        signal("-KILL", proxy["app_pid"].as_u64().unwrap());
    }
    signal("-KILL", now["control_plane"]["pid"].as_u64().unwrap());
    let down = bookinfo.mesh.istioctl(&["down"]).unwrap();
    assert!(down.status.success(), "{}", String::from_utf8_lossy(&down.stderr));
    let left = bookinfo.processes();
    assert!(left.is_empty(), "processes are left: {left:?}");
    assert!(!bookinfo.mesh.state().join("meltemi").exists(), "no file is left");
}
