//! What the two tables and the two documents show.

use serde_json::json;

use super::{Format, age, from_syncz, print};

fn syncz() -> serde_json::Value {
    json!([
        {"proxy": "reviews-v1.default", "cluster_id": "Kubernetes", "istio_version": "1.32.0", "resources": {
            "type.googleapis.com/envoy.config.cluster.v3.Cluster": {"sent": "n2", "acked": "n1", "sentTime": "2026-01-01T00:00:00Z"},
            "type.googleapis.com/envoy.config.listener.v3.Listener": {"sent": "n3", "acked": "n3"},
            "type.googleapis.com/envoy.config.route.v3.RouteConfiguration": {"sent": "n4", "acked": "n2", "lastError": "bad route"},
        }},
        {"proxy": "details-v1.shop", "cluster_id": "Kubernetes", "istio_version": "1.32.0", "cluster_sent": "a", "cluster_acked": "a"},
    ])
}

fn now() -> jiff::Timestamp {
    "2026-01-01T00:02:05Z".parse().unwrap()
}

#[test]
fn the_table_lists_proxies_in_order_with_what_they_subscribe_to() {
    let text = print(&[from_syncz(&syncz(), "istiod-1")], "", Format::Table, false, now());
    assert_eq!(
        text,
        "NAME                   CLUSTER        ISTIOD       VERSION     SUBSCRIBED TYPES     STATUS\n\
         details-v1.shop        Kubernetes     istiod-1     1.32.0      1 (CDS)              SYNCED\n\
         reviews-v1.default     Kubernetes     istiod-1     1.32.0      3 (CDS,LDS,RDS)      ERROR\n"
    );
}

#[test]
fn verbose_tells_synced_stale_error_and_ignored_apart() {
    let text = print(&[from_syncz(&syncz(), "istiod-1")], "default", Format::Table, true, now());
    let row = text.lines().nth(1).unwrap();
    let cells: Vec<&str> = row.split("  ").map(str::trim).filter(|c| !c.is_empty()).collect();
    // columns in the order of the type's name: CDS ECDS EDS LDS RDS
    let want = [
        "reviews-v1.default",
        "Kubernetes",
        "STALE (2m5s)",
        "IGNORED",
        "IGNORED",
        "SYNCED",
        "ERROR",
        "istiod-1",
        "1.32.0",
    ];
    assert_eq!(cells, want);
}

#[test]
fn json_keeps_only_the_namespace_asked_for() {
    let text = print(&[from_syncz(&syncz(), "i")], "shop", Format::Json, false, now());
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["resources"].as_array().unwrap().len(), 1);
    assert_eq!(value["resources"][0]["genericXdsConfigs"][0]["configStatus"], "SYNCED");
}

#[test]
fn ages_have_at_most_two_units() {
    let ages: Vec<String> = [5, 119, 125, 601, 10_860, 90_000, 180_000, 700_000].map(age).to_vec();
    assert_eq!(ages, ["5s", "119s", "2m5s", "10m", "3h1m", "25h", "2d2h", "8d"]);
}
