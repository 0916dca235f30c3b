//! The screen's text.

use std::collections::VecDeque;

use super::{screen, text};
use crate::up::document::{Document, Edge, Proxy};

fn document() -> Document {
    let proxy = Proxy {
        workload: "reviews-v1".to_owned(),
        namespace: "default".to_owned(),
        ready: true,
        version: "n7".to_owned(),
        acked_seconds_ago: Some(65),
        certificate_expires: "2026-01-02T00:00:00Z".to_owned(),
        admin: "127.64.0.1:15000".to_owned(),
        ..Proxy::default()
    };
    let edge = Edge {
        source: "productpage-v1".to_owned(),
        destination: "reviews-v1".to_owned(),
        mutual_tls: Some(true),
        requests: 12,
        rate: 2.5,
        success_rate: 0.995,
        p50_ms: Some(1.25),
        ..Edge::default()
    };
    Document { proxies: vec![proxy], edges: vec![edge], ..Document::default() }
}

#[test]
fn workloads_edges_and_events_are_shown() {
    let events = VecDeque::from(["changed x".to_owned()]);
    let text = text(&document(), &events, "2026-01-01T00:00:00Z".parse().unwrap());
    let line = |start: &str| {
        text.lines().find(|l| l.starts_with(start)).unwrap().split_whitespace().collect::<Vec<_>>()
    };
    assert_eq!(
        line("reviews-v1"),
        ["reviews-v1", "default", "ready", "n7", "65s", "ago", "24h", "left", "127.64.0.1:15000"]
    );
    assert_eq!(
        line("productpage-v1"),
        ["productpage-v1", "reviews-v1", "mTLS", "2.5", "99.5%", "1.2ms", "-", "12"]
    );
    assert!(text.contains("  changed x\n"));
}

#[test]
fn the_screen_is_cut_to_the_terminal() {
    let shown = screen(&document(), &VecDeque::new(), (20, 5), "2026-01-03T00:00:00Z".parse().unwrap());
    assert!(
        shown.lines().all(|line| line
            .replace("\x1b[H", "")
            .replace("\x1b[K", "")
            .replace("\x1b[J", "")
            .trim_end()
            .len()
            <= 20)
    );
    assert_eq!(shown.matches("\r\n").count(), 4);
}
