//! Two reporters, one edge.

use std::time::{Duration, Instant};

use super::{Counted, Edges};

fn series(reporter: &str, code: &str, policy: &str, count: u32) -> String {
    format!(
        "istio_requests_total{{reporter=\"{reporter}\",source_workload=\"reviews-v2\",destination_workload=\"ratings-v1\",\
         response_code=\"{code}\",connection_security_policy=\"{policy}\"}} {count}\n"
    )
}

fn round(edges: &mut Edges, text: &str, now: Instant) {
    let mut counted = Counted::default();
    counted.add(text);
    edges.update(&counted, now);
}

#[test]
fn both_reporters_make_one_edge_with_what_each_knows() {
    let text = series("source", "200", "unknown", 8)
        + &series("source", "503", "unknown", 2)
        + &series("destination", "200", "mutual_tls", 8);
    let mut edges = Edges::default();
    let start = Instant::now();
    round(&mut edges, &text, start);
    let edge = &edges.current()[0];
    assert_eq!((edge.source.as_str(), edge.destination.as_str()), ("reviews-v2", "ratings-v1"));
    assert_eq!((edge.requests, edge.failed, edge.mutual_tls), (10, 2, Some(true)));
    assert!((edge.success_rate - 0.8).abs() < 1e-9);
    round(&mut edges, &(text + &series("source", "201", "unknown", 10)), start + Duration::from_secs(2));
    assert!((edges.current()[0].rate - 5.0).abs() < 1e-9);
}

#[test]
fn one_plain_request_at_the_destination_is_not_mutual_tls() {
    let mut edges = Edges::default();
    let text = series("destination", "200", "mutual_tls", 8) + &series("destination", "200", "none", 1);
    round(&mut edges, &text, Instant::now());
    assert_eq!(edges.current()[0].mutual_tls, Some(false));
    round(&mut edges, &series("source", "200", "unknown", 1), Instant::now());
    assert_eq!(edges.current()[0].mutual_tls, None);
}

#[test]
fn quantiles_are_interpolated_in_their_bucket() {
    let bucket = |le: &str, count: u32| {
        format!(
            "istio_request_duration_milliseconds_bucket{{reporter=\"source\",source_workload=\"a\",destination_workload=\"b\",le=\"{le}\"}} {count}\n"
        )
    };
    let text = bucket("0.5", 0) + &bucket("1", 50) + &bucket("5", 98) + &bucket("+Inf", 100);
    let mut edges = Edges::default();
    round(&mut edges, &text, Instant::now());
    let edge = &edges.current()[0];
    assert_eq!((edge.p50_ms, edge.p99_ms), (Some(1.0), Some(5.0)));
}

#[test]
fn escaped_labels_and_foreign_lines_are_no_obstacle() {
    let mut edges = Edges::default();
    let text = "# HELP istio_requests_total x\nenvoy_x{a=\"b\"} 1\nistio_requests_total{source_workload=\"a\\\"},x\",destination_workload=\"b\"} 3\nistio_requests_total{broken\n";
    round(&mut edges, text, Instant::now());
    assert_eq!(edges.current()[0].source, "a\"},x");
    assert_eq!(edges.current()[0].requests, 3);
}

#[test]
fn an_edge_whose_series_envoy_has_dropped_stays_without_a_rate() {
    let mut edges = Edges::default();
    let start = Instant::now();
    round(&mut edges, &series("destination", "200", "mutual_tls", 1), start);
    round(&mut edges, &series("destination", "200", "mutual_tls", 9), start + Duration::from_secs(1));
    round(&mut edges, "", start + Duration::from_secs(2));
    let edge = &edges.current()[0];
    assert_eq!((edge.requests, edge.mutual_tls), (9, Some(true)));
    assert!(edge.rate.abs() < 1e-9);
}
