//! Tests of the metrics text.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::{Metrics, resources};

#[test]
fn counters_are_shown_under_exactly_their_names() {
    let metrics = Metrics::new();
    metrics.register("server_csr_count", "Requests", Counter::<u64>::default()).inc();
    metrics.register("requests_total", "Requests", Counter::<u64>::default()).inc_by(2);
    let text = metrics.render();
    assert!(text.contains("# TYPE server_csr_count counter\nserver_csr_count 1\n"), "{text}");
    assert!(text.contains("# TYPE requests_total counter\nrequests_total 2\n"), "{text}");
    assert!(!text.contains("EOF"), "{text}");
}

#[test]
fn labels_and_histograms_are_kept() {
    let metrics = Metrics::new();
    let family = metrics.register("pushes", "By type", Family::<Vec<(String, String)>, Counter>::default());
    family.get_or_create(&vec![("type".into(), "cds_total".into())]).inc();
    metrics.register("time", "Seconds", Histogram::new([0.1, 1.0])).observe(0.5);
    metrics.register("busy", "Now", Gauge::<i64>::default()).set(4);
    let text = metrics.render();
    assert!(text.contains("pushes{type=\"cds_total\"} 1\n"), "{text}");
    assert!(text.contains("time_bucket{le=\"1.0\"} 1\n") && text.contains("time_count 1\n"), "{text}");
    assert!(text.contains("busy 4\n"), "{text}");
}

#[test]
fn a_process_name_with_brackets_does_not_confuse_the_reader() {
    let stat = "7 (a) b (c) S 1 1 1 0 -1 0 0 0 0 0 150 50 0 0 20 0 3 0 1000 0";
    let usage =
        resources::parse(stat, "VmSize:\t 8 kB\nVmRSS:\t 4 kB\nThreads:\t3\n", "btime 100\n").unwrap();
    assert_eq!(usage.cpu_seconds, 2.0);
    assert_eq!((usage.resident_bytes, usage.virtual_bytes, usage.threads), (4096, 8192, 3));
    assert_eq!(usage.start_seconds, 110.0);
}

#[test]
fn this_process_tells_what_it_uses() {
    let metrics = Metrics::new();
    metrics.register_process();
    let text = metrics.render();
    let value = |name: &str| -> f64 {
        let line = text.lines().find(|l| l.starts_with(name)).unwrap_or_else(|| panic!("{name} in {text}"));
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    assert!(value("process_resident_memory_bytes ") > 100_000.0);
    assert!(value("process_start_time_seconds ") > 1_000_000_000.0);
    assert!(value("process_cpu_seconds_total ") >= 0.0);
    assert!(value("process_open_fds ") >= 3.0);
}
