//! What is read out of Envoy's and the control plane's answers.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Seen, acknowledged, expiry, refused_connections};

#[test]
fn the_certificate_that_ends_first_counts() {
    let certs = json!({"certificates": [
        {"ca_cert": [{"expiration_time": "2020-01-01T00:00:00Z"}], "cert_chain": [{"expiration_time": "2026-11-24T00:00:00Z"}]},
        {"cert_chain": [{"expiration_time": "2026-11-23T00:00:00Z"}]},
    ]});
    assert_eq!(expiry(&certs), "2026-11-23T00:00:00Z");
    assert_eq!(expiry(&json!({})), "");
}

#[test]
fn the_newest_acknowledgement_of_any_type_is_the_version() {
    let mut proxies = BTreeMap::from([("a.default".to_owned(), Seen::default())]);
    let syncz = json!([{"proxy": "a.default", "resources": {
        "cds": {"sent": "n1", "acked": "n1", "sentTime": "2026-01-01T00:00:10Z"},
        "rds": {"sent": "n3", "acked": "n2", "sentTime": "2026-01-01T00:00:20Z"},
        "eds": {"sent": "n9", "sentTime": "2026-01-01T00:00:30Z"},
    }}, {"proxy": "stranger.default"}]);
    acknowledged(&syncz, "2026-01-01T00:00:25Z".parse().unwrap(), &mut proxies);
    let seen = &proxies["a.default"];
    assert_eq!((seen.version.as_str(), seen.acked_seconds_ago), ("n2", Some(5)));
}

#[test]
fn refused_connections_are_summed_over_listeners() {
    let metrics = "# TYPE envoy_listener_no_filter_chain_match counter\n\
        envoy_listener_no_filter_chain_match{listener_address=\"127.64.0.2_9080\"} 3\n\
        envoy_listener_no_filter_chain_match{listener_address=\"127.64.0.2_15021\"} 1\n\
        istio_requests_total{no_filter_chain_match=\"x\"} 9\n";
    assert_eq!(refused_connections(metrics), 4);
}
