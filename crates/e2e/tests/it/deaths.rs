//! Sudden deaths: of the control plane, and of one Envoy. Traffic goes on.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use e2e::{Mesh, get};
use serde_json::Value;

use crate::stage::{
    alone, children, events, eventually, is_dead, parts, proxy, reviewer, signal, split, stat, syncz,
    write_reviews,
};
use crate::traffic::Traffic;

const SOON: Duration = Duration::from_secs(30);

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

/// A process of ours that ends with this.
struct Ours(Child);

impl Drop for Ours {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
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
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let mesh = Mesh::in_directory(directory.path());
    let document = mesh.up(&["--traffic", "0"]);
    let gateway = document["gateway"].as_str().unwrap();
    let plane = document["control_plane"]["pid"].as_u64().unwrap();
    let command = parts(&format!("/proc/{plane}/cmdline"));
    let variables = parts(&format!("/proc/{plane}/environ"));
    // it would end the mesh, which is its right; here somebody else brings the control plane back
    let halted = Halted::new(document["pid"].as_u64().unwrap());

    let traffic = Traffic::start(gateway);
    traffic.await_answers(40);
    let before: Vec<_> = document["proxies"].as_array().unwrap().iter().map(received).collect();
    assert!(before.iter().all(|counters| counters.len() > 5), "{before:?}");
    signal("-KILL", plane);
    eventually("it is dead", SOON, || is_dead(plane));
    traffic.await_answers(80);
    assert!(syncz(&document).is_empty(), "nobody is there");

    let again = Command::new(&command[0])
        .args(&command[1..])
        .env_clear()
        .envs(variables.iter().filter_map(|variable| variable.split_once('=')))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let again = Ours(again);
    eventually("all proxies are back", SOON, || syncz(&document).len() == 7);
    let everything = |proxy: &Value| {
        let resources = proxy["resources"].as_object();
        resources.is_some_and(|all| all.len() >= 4 && all.values().all(|one| one["sent"] == one["acked"]))
    };
    eventually("they have what they need", SOON, || {
        let all = syncz(&document);
        all.len() == 7 && all.iter().all(everything)
    });
    traffic.await_answers(40);
    for event in events(&document, 0).iter().filter(|event| event["kind"] == "push") {
        assert_eq!(event["message"], "0 resources, 0 removed", "sent although it has not changed: {event}");
    }
    let after: Vec<_> = document["proxies"].as_array().unwrap().iter().map(received).collect();
    assert_eq!(before, after, "no Envoy has noticed");

    write_reviews(&document, &split(&[("v3", 100)]));
    eventually("the one that came back takes edits", SOON, || {
        (0..15).all(|_| reviewer(gateway).is_ok_and(|name| name == "reviews-v3"))
    });
    let failed = traffic.stop();
    assert!(failed.is_empty(), "{} requests failed: {:?}", failed.len(), failed.first());
    drop(again);
    drop(halted);
}

#[test]
fn a_dead_envoy_takes_its_agent_along_is_reported_and_the_others_serve_on() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let mesh = Mesh::in_directory(directory.path());
    let document = mesh.up(&["--traffic", "0"]);
    let gateway = document["gateway"].as_str().unwrap();
    let victim = proxy(&document, "reviews-v2");
    let agent = victim["pid"].as_u64().unwrap();
    let envoys = children(agent);
    assert_eq!(envoys.len(), 1, "an agent has one Envoy");
    assert_eq!(stat(victim, "server.live"), Some(1));

    signal("-KILL", envoys[0]);
    eventually("the agent has ended", SOON, || is_dead(agent));
    let log = std::path::Path::new(document["logs"].as_str().unwrap()).join("up.log");
    eventually("the user is told", SOON, || {
        std::fs::read_to_string(&log)
            .is_ok_and(|log| log.contains("proxy-reviews-v2.default ended (exit status: 137)"))
    });
    eventually("the control plane knows", SOON, || {
        let all = syncz(&document);
        all.len() == 6 && all.iter().all(|proxy| proxy["proxy"] != "reviews-v2.default")
    });

    // a call that meets the dead one is tried elsewhere
    let mut answered = BTreeMap::new();
    for _ in 0..60 {
        *answered.entry(reviewer(gateway).unwrap()).or_insert(0) += 1;
    }
    let names: Vec<&str> = answered.keys().map(String::as_str).collect();
    assert_eq!(names, ["reviews-v1", "reviews-v3"], "{answered:?}");
    write_reviews(&document, &split(&[("v1", 100)]));
    eventually("edits reach the others", SOON, || {
        (0..15).all(|_| reviewer(gateway).is_ok_and(|name| name == "reviews-v1"))
    });
}
