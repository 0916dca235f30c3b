//! Deaths and returns in a mesh whose programs are scripts.

use std::time::{Duration, Instant};

use crate::up::local::Names;
use crate::up::local::tests::{script, settled};
use crate::up::observe::{Observation, Seen};

const SOON: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_dead_agent_is_told_started_again_and_welcomed_when_it_is_ready() {
    let directory = tempfile::tempdir().unwrap();
    let mut local = settled(directory.path(), Names::Hosts);
    let agent = directory.path().join("pilot-agent");
    script(&agent, "#!/bin/sh\necho out of order\nexit 4\n");
    local.start_agent("details-v1.default").unwrap();
    let deadline = Instant::now() + SOON;
    let lines = loop {
        let revived = local.revive(Instant::now());
        if !revived.lines.is_empty() {
            break revived.lines;
        }
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    };
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in ["proxy-details-v1.default ended (exit status: 4)", "again in 0.25 s", "out of order"] {
        assert!(lines[0].contains(part), "{part}: {lines:?}");
    }
    assert_eq!(local.inhabitants["details-v1.default"].seen.pid, 0);
    assert!(!local.revive(Instant::now()).is_news(), "a death is told once, and a start waits for its time");

    script(&agent, "#!/bin/sh\nexec sleep 60\n");
    let later = Instant::now() + Duration::from_secs(1);
    assert!(local.revive(later).is_news());
    assert_ne!(local.inhabitants["details-v1.default"].seen.pid, 0);
    let mut observation = Observation { began: Some(later + SOON), ..Observation::default() };
    assert!(local.welcome(&observation, later).is_empty(), "nobody has seen it ready");
    let seen = Seen { is_ready: true, ..Seen::default() };
    observation.proxies.insert("details-v1.default".to_owned(), seen);
    let lines = local.welcome(&observation, later + Duration::from_secs(1));
    assert!(lines[0].starts_with("proxy-details-v1.default is back after "), "{lines:?}");
    assert!(local.welcome(&observation, later).is_empty(), "it is told once");
    local.stop().await;
}

#[tokio::test]
async fn who_has_left_is_not_started_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut local = settled(directory.path(), Names::Hosts);
    script(&directory.path().join("pilot-agent"), "#!/bin/sh\nexit 1\n");
    local.start_agent("details-v1.default").unwrap();
    let deadline = Instant::now() + SOON;
    while local.revive(Instant::now()).lines.is_empty() {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    assert!(local.leave("details-v1.default").is_empty(), "it is dead already");
    assert!(!local.revive(Instant::now() + SOON).is_news());
}

#[tokio::test]
async fn an_attempt_that_fails_is_told_and_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut local = settled(directory.path(), Names::Hosts);
    let agent = directory.path().join("pilot-agent");
    script(&agent, "#!/bin/sh\nexit 1\n");
    local.start_gateway().unwrap();
    let deadline = Instant::now() + SOON;
    while local.revive(Instant::now()).lines.is_empty() {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    std::fs::remove_file(&agent).unwrap();
    let lines = local.revive(Instant::now() + Duration::from_secs(1)).lines;
    assert!(lines[0].contains("pilot-agent belongs beside istioctl"), "{lines:?}");
    assert!(lines[0].contains("the next attempt is in 0.50 s"), "{lines:?}");
}
