//! A mesh at rest and under edits: mutual TLS on every edge, splits in the traffic, refusals by us and by Envoy.

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::get;
use serde_json::Value;

use crate::stage::{Bookinfo, events, eventually, last_event, proxy, reviewer, split, syncz, write_reviews};

const SOON: Duration = Duration::from_secs(60);
const ROUTES: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
/// How routes travel to Envoys that take virtual hosts one by one.
const HOSTS: &str = "type.googleapis.com/envoy.config.route.v3.VirtualHost";

#[test]
fn every_edge_is_mutual_tls_plain_text_is_refused_and_down_leaves_nothing() {
    let bookinfo = Bookinfo::up(&[]);
    let (document, gateway) = (&bookinfo.document, bookinfo.gateway());

    let page = get(&format!("{gateway}/productpage"), &[]).unwrap();
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(page.body.contains("Reviews served by: "), "the page has its reviews: {}", page.body);

    let edges = bookinfo.await_edges(&[
        ("productpage-v1", "details-v1"),
        ("productpage-v1", "reviews-v1"),
        ("productpage-v1", "reviews-v2"),
        ("productpage-v1", "reviews-v3"),
        ("reviews-v2", "ratings-v1"),
        ("reviews-v3", "ratings-v1"),
    ]);
    for edge in edges {
        assert_eq!(edge["mutual_tls"], true, "{edge}");
        assert_eq!(edge["failed"], 0, "{edge}");
    }
    for workload in ["details-v1", "productpage-v1", "ratings-v1", "reviews-v1", "reviews-v2", "reviews-v3"] {
        let address = proxy(document, workload)["address"].as_str().unwrap();
        assert!(get(&format!("http://{address}:9080/health"), &[]).is_err(), "{workload} takes plain text");
        bookinfo.await_line(&format!("{workload}.default refused 1 connection: "));
    }

    let down = bookinfo.mesh.istioctl(&["down"]).unwrap();
    assert!(down.status.success(), "{}", String::from_utf8_lossy(&down.stderr));
    let left = bookinfo.processes();
    assert!(left.is_empty(), "processes are left: {left:?}");
    assert!(
        !bookinfo.mesh.state().join("meltemi").exists(),
        "an unedited mesh leaves no file, and no socket"
    );
    for url in [gateway, document["debug"].as_str().unwrap()] {
        assert!(get(url, &[]).is_err(), "{url} still answers");
    }
}

/// Which workloads answer `count` calls.
fn tally(gateway: &str, count: usize) -> std::collections::BTreeMap<String, usize> {
    let mut found = std::collections::BTreeMap::new();
    for _ in 0..count {
        *found.entry(reviewer(gateway).unwrap_or_else(|failure| failure)).or_default() += 1;
    }
    found
}

fn all_from(gateway: &str, workload: &str) -> bool {
    tally(gateway, 15).get(workload) == Some(&15)
}

/// Waits until each of the six sidecars has acknowledged what an edit after this event has made of its routes, and
/// nothing is on its way any more: what has been told by then.
fn acknowledged(bookinfo: &Bookinfo, since: u64) -> Vec<Value> {
    eventually("the callers have acknowledged", SOON, || {
        let told = events(&bookinfo.document, since);
        let acks = of_kind(&told, "ack");
        acks.iter().filter_map(|ack| ack["proxy"].as_str()).collect::<BTreeSet<_>>().len() >= 6
    });
    bookinfo.await_synced();
    events(&bookinfo.document, since)
}

fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["kind"] == kind).collect()
}

#[test]
fn an_edit_is_told_from_file_to_acknowledgement_and_a_refused_one_leaves_the_last_good() {
    let bookinfo = Bookinfo::quiet(&[]);
    let (document, gateway) = (&bookinfo.document, bookinfo.gateway());

    // what belongs to the start is not told as the edit's
    bookinfo.await_synced();
    let before = last_event(document);
    let file = write_reviews(document, &split(&[("v3", 100)]));
    eventually("all answers are v3's", SOON, || all_from(gateway, "reviews-v3"));
    let told = acknowledged(&bookinfo, before);
    let change = of_kind(&told, "change");
    assert_eq!(change.len(), 1, "{told:#?}");
    assert_eq!(change[0]["object"], "VirtualService/default/reviews");
    assert_eq!(change[0]["file"], file.to_str().unwrap());
    assert_eq!(change[0]["line"], 1);
    for event in told.iter().filter(|event| event["kind"] == "push" || event["kind"] == "ack") {
        assert!(event["type"] == ROUTES || event["type"] == HOSTS, "nothing but routes has changed: {event}");
        assert!(event["seq"].as_u64() > change[0]["seq"].as_u64(), "{told:#?}");
        assert!(event["ms"].as_f64().is_some_and(|ms| ms > 0.0), "{event}");
        assert!(
            !event["proxy"].as_str().unwrap().starts_with("router"),
            "the gateway has no such route: {event}"
        );
    }
    assert!(of_kind(&told, "nack").is_empty(), "{told:#?}");

    let before = last_event(document);
    write_reviews(document, &split(&[("v1", 50), ("v3", 50)]));
    eventually("both halves answer", SOON, || {
        let found = tally(gateway, 60);
        // each is 30 on average; fewer than 10 would come once in ten million times
        let is_half = |name: &str| found.get(name).is_some_and(|count| *count >= 10);
        found.len() == 2 && is_half("reviews-v1") && is_half("reviews-v3")
    });

    acknowledged(&bookinfo, before);
    let before = last_event(document);
    write_reviews(document, &split(&[("v1", 100)]));
    eventually("all answers are v1's", SOON, || all_from(gateway, "reviews-v1"));
    // what is sent to others for this edit is not sent for the next
    acknowledged(&bookinfo, before);
    let before = last_event(document);
    let bad =
        split(&[("v3", 100)]).replace("  http:", "  hosts: 7\n  http:").replace("  hosts: [reviews]\n", "");
    write_reviews(document, &bad);
    let mut refused = Vec::new();
    eventually("the document is refused", SOON, || {
        refused = events(document, before);
        !of_kind(&refused, "refused").is_empty()
    });
    let refusal = of_kind(&refused, "refused")[0];
    assert_eq!(refusal["file"], file.to_str().unwrap(), "{refusal}");
    assert_eq!(refusal["line"], 5, "{refusal}");
    assert!(refusal["message"].as_str().unwrap().contains("hosts"), "{refusal}");
    bookinfo.await_line(&format!("REFUSED {}:5", file.display()));
    assert!(all_from(gateway, "reviews-v1"), "the last good keeps serving");
    assert!(of_kind(&events(document, before), "push").is_empty(), "a refused document sends nothing");

    write_reviews(document, &split(&[("v2", 100)]));
    eventually("the corrected one is in force", SOON, || all_from(gateway, "reviews-v2"));
}

#[test]
fn what_envoy_refuses_is_recorded_in_its_words_and_harms_nothing_else() {
    let bookinfo = Bookinfo::quiet(&[]);
    let (document, gateway) = (&bookinfo.document, bookinfo.gateway());
    write_reviews(document, &split(&[("v3", 100)]));
    eventually("all answers are v3's", SOON, || all_from(gateway, "reviews-v3"));

    // which commands a header's value may hold, only Envoy knows
    let before = last_event(document);
    let broken = "apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
                  metadata: {name: broken, namespace: default}\n\
                  spec:\n  hosts: [details]\n  http:\n  - headers: {request: {set: {x: '%NO_SUCH_COMMAND%'}}}\n    \
                  route: [{destination: {host: details}}]\n";
    let file = bookinfo.folder().join("broken.yaml");
    std::fs::write(&file, broken).unwrap();
    let mut told = Vec::new();
    eventually("Envoy has refused it", SOON, || {
        told = events(document, before);
        of_kind(&told, "nack")
            .iter()
            .any(|nack| nack["proxy"].as_str().unwrap().contains("productpage-v1.default"))
    });
    let nack = of_kind(&told, "nack")[0];
    assert!(nack["message"].as_str().unwrap().contains("NO_SUCH_COMMAND"), "Envoy's own words: {nack}");
    let of_type = nack["type"].as_str().unwrap();
    assert!(of_type == ROUTES || of_type == HOSTS, "{nack}");
    let of =
        |name: &str| syncz(document).into_iter().find(|proxy| proxy["proxy"] == name).unwrap_or_default();
    let refused = of("productpage-v1.default")["resources"][of_type].clone();
    assert!(refused["lastError"].as_str().unwrap().contains("NO_SUCH_COMMAND"), "{refused}");
    assert_ne!(refused["sent"], refused["acked"], "{refused}");
    let other = of("istio-ingressgateway.istio-system")["resources"][ROUTES].clone();
    assert_eq!(other["sent"], other["acked"], "{other}");
    assert!(all_from(gateway, "reviews-v3"), "the routes that were accepted last go on");

    std::fs::remove_file(&file).unwrap();
    eventually("the refusal is over", SOON, || {
        let routes = of("productpage-v1.default")["resources"][of_type].clone();
        routes["sent"] == routes["acked"] && routes["acked"].is_string()
    });
    write_reviews(document, &split(&[("v1", 100)]));
    eventually("edits reach it again", SOON, || all_from(gateway, "reviews-v1"));
}
