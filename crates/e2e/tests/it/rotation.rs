//! Certificates that are due after seconds are replaced again and again, and no request notices.

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::get;
use serde_json::Value;

use crate::stage::{Bookinfo, eventually, proxy};
use crate::traffic::Traffic;

/// The serial numbers of the certificates that an Envoy shows.
fn serials(proxy: &Value) -> BTreeSet<String> {
    let url = format!("http://{}/certs", proxy["admin"].as_str().unwrap_or_default());
    let page = get(&url, &[]).ok().and_then(|answer| serde_json::from_str::<Value>(&answer.body).ok());
    let certificates = page.as_ref().and_then(|page| page["certificates"].as_array());
    let chains =
        certificates.into_iter().flatten().filter_map(|one| one["cert_chain"][0]["serial_number"].as_str());
    chains.map(str::to_owned).collect()
}

#[test]
fn certificates_rotate_under_traffic_and_no_request_fails() {
    // replaced after some six seconds and good for nearly a minute more: a loaded machine takes its time for that
    let bookinfo = Bookinfo::quiet(&[("SECRET_TTL", "60s"), ("SECRET_GRACE_PERIOD_RATIO", "0.9")]);
    // every request its own connections, so that every request is a handshake
    let fresh: String = ["productpage", "reviews", "ratings"]
        .map(|host| {
            format!(
                "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
                 metadata: {{name: {host}, namespace: default}}\nspec:\n  host: {host}\n  trafficPolicy: \
                 {{connectionPool: {{http: {{maxRequestsPerConnection: 1}}}}}}\n"
            )
        })
        .concat();
    std::fs::write(bookinfo.folder().join("destination-rules.yaml"), fresh).unwrap();

    let traffic = Traffic::start(bookinfo.gateway());
    for workload in ["istio-ingressgateway", "productpage-v1", "reviews-v1", "reviews-v2", "reviews-v3"] {
        let proxy = proxy(&bookinfo.document, workload);
        let mut seen = BTreeSet::new();
        eventually(workload, Duration::from_secs(120), || {
            seen.extend(serials(proxy));
            // the first, and two after it
            seen.len() >= 3
        });
    }
    traffic.await_answers(20);
    let failed = traffic.stop();
    assert!(failed.is_empty(), "{} requests failed: {:?}", failed.len(), failed.first());
}
