//! Expositions in the shape a stock Envoy writes, and what must come out of them.

use super::*;

fn sleep() -> OwnWorkload {
    OwnWorkload {
        workload: "sleep-v1".to_owned(),
        namespace: "src-ns".to_owned(),
        principal: "spiffe://cluster.local/ns/src-ns/sa/sleep".to_owned(),
        app: "sleep".to_owned(),
        version: "v1".to_owned(),
        canonical_service: "sleep".to_owned(),
        canonical_revision: "v1".to_owned(),
        cluster: "Kubernetes".to_owned(),
    }
}

fn reviews() -> OwnWorkload {
    OwnWorkload {
        workload: "reviews-v2".to_owned(),
        namespace: "dst-ns".to_owned(),
        principal: "spiffe://cluster.local/ns/dst-ns/sa/reviews".to_owned(),
        app: "reviews".to_owned(),
        version: "v2".to_owned(),
        canonical_service: "reviews".to_owned(),
        canonical_revision: "v2".to_owned(),
        cluster: "Kubernetes".to_owned(),
    }
}

fn expanded(own: &OwnWorkload, text: &str) -> String {
    let mut out = String::new();
    let mut expander = Expander::new(own);
    // In small pieces, as the network would have it.
    for chunk in text.replace('^', "\u{1f}").as_bytes().chunks(7) {
        expander.push(chunk, &mut out);
    }
    expander.finish(&mut out);
    out
}

const REVIEWS_SAN: &str = "spiffe://cluster.local/ns/dst-ns/sa/reviews";
const SLEEP_SAN: &str = "spiffe://cluster.local/ns/src-ns/sa/sleep";

#[test]
fn a_grpc_call_seen_from_its_source_has_all_standard_labels() {
    let text = format!(
        "# TYPE envoy_istiocustom_istio_requests_total counter\nenvoy_istiocustom_istio_requests_total{{k=\"sg^reviews-v2;dst-ns;reviews;v2;Kubernetes^{REVIEWS_SAN}^outbound|80||reviews.dst-ns.svc.cluster.local^200^-^5\"}} 1\n"
    );
    let want = "# TYPE istio_requests_total counter\nistio_requests_total{reporter=\"source\",source_workload=\"sleep-v1\",source_workload_namespace=\"src-ns\",source_principal=\"spiffe://cluster.local/ns/src-ns/sa/sleep\",source_app=\"sleep\",source_version=\"v1\",source_canonical_service=\"sleep\",source_canonical_revision=\"v1\",source_cluster=\"Kubernetes\",destination_workload=\"reviews-v2\",destination_workload_namespace=\"dst-ns\",destination_principal=\"spiffe://cluster.local/ns/dst-ns/sa/reviews\",destination_app=\"reviews\",destination_version=\"v2\",destination_service=\"reviews.dst-ns.svc.cluster.local\",destination_service_name=\"reviews\",destination_service_namespace=\"dst-ns\",destination_canonical_service=\"reviews\",destination_canonical_revision=\"v2\",destination_cluster=\"Kubernetes\",request_protocol=\"grpc\",response_flags=\"-\",connection_security_policy=\"unknown\",response_code=\"200\",grpc_response_status=\"5\"} 1\n";
    assert_eq!(expanded(&sleep(), &text), want);
}

#[test]
fn a_tcp_connection_seen_from_its_destination_is_named_by_the_certificate() {
    let text = format!(
        "# TYPE envoy_istiocustom_istio_tcp_connections_opened_total counter\nenvoy_istiocustom_istio_tcp_connections_opened_total{{k=\"dt^OU=v:v1,OU=a:sleep,OU=c:Kubernetes,OU=cr:v1,OU=cs:sleep,OU=w:sleep-v1^{SLEEP_SAN}^reviews.dst-ns.svc.cluster.local^-\"}} 3\n"
    );
    let out = expanded(&reviews(), &text);
    for label in [
        "reporter=\"destination\"",
        "source_workload=\"sleep-v1\"",
        "source_workload_namespace=\"src-ns\"",
        "source_app=\"sleep\"",
        "destination_workload=\"reviews-v2\"",
        "destination_principal=\"spiffe://cluster.local/ns/dst-ns/sa/reviews\"",
        "request_protocol=\"tcp\"",
        "connection_security_policy=\"mutual_tls\"",
    ] {
        assert!(out.contains(label), "{label} is not in {out}");
    }
    assert!(!out.contains("response_code") && !out.contains("grpc_response_status"));
    assert!(out.ends_with("} 3\n"));
}

#[test]
fn a_plain_text_caller_is_unknown_and_not_secured() {
    let out = expanded(
        &reviews(),
        "# TYPE envoy_istiocustom_istio_requests_total counter\nenvoy_istiocustom_istio_requests_total{k=\"dh^-^^reviews.dst-ns.svc.cluster.local^200^-\"} 1\n",
    );
    for label in [
        "source_workload=\"unknown\"",
        "source_principal=\"unknown\"",
        "destination_principal=\"unknown\"",
        "source_canonical_revision=\"latest\"",
        "connection_security_policy=\"none\"",
        "response_flags=\"-\"",
    ] {
        assert!(out.contains(label), "{label} is not in {out}");
    }
}

#[test]
fn the_proven_namespace_beats_the_claimed_one_and_equal_series_are_added_up() {
    let text = format!(
        "# TYPE envoy_istiocustom_istio_requests_total counter\nenvoy_istiocustom_istio_requests_total{{k=\"dh^w;forged;s;v1;c;a;v1^{SLEEP_SAN}^h^200^-\"}} 2\nenvoy_istiocustom_istio_requests_total{{k=\"dh^w;other;s;v1;c;a;v1^{SLEEP_SAN}^h^200^-\"}} 3\n"
    );
    let out = expanded(&reviews(), &text);
    assert!(out.contains("source_workload_namespace=\"src-ns\""));
    assert_eq!(out.lines().count(), 2);
    assert!(out.ends_with("} 5\n"), "{out}");
}

#[test]
fn open_tcp_connections_are_added_to_the_totals() {
    let key = "st^r;n;s;v;c^^outbound|9000||tcp.n.svc.cluster.local^-";
    let text = format!(
        "# TYPE envoy_istiocustom_istio_tcp_sent_bytes_total counter\nenvoy_istiocustom_istio_tcp_sent_bytes_total{{k=\"{key}\"}} 100\n# TYPE envoy_istiocustom_istio_tcp_sent_bytes_open gauge\nenvoy_istiocustom_istio_tcp_sent_bytes_open{{k=\"{key}\",c=\"7\"}} 20\nenvoy_istiocustom_istio_tcp_sent_bytes_open{{c=\"9\",k=\"{key}\"}} 3\n"
    );
    let out = expanded(&sleep(), &text);
    assert_eq!(out.matches("# TYPE istio_tcp_sent_bytes_total counter\n").count(), 1);
    assert!(!out.contains("_open"));
    assert!(out.ends_with("} 123\n"), "{out}");
}

#[test]
fn a_histogram_keeps_its_buckets_and_is_never_written_twice() {
    let lines = |namespace: &str| {
        let key = format!("dh^w;{namespace};s;v1;c;a;v1^{SLEEP_SAN}^h^200^-");
        let name = "envoy_istiocustom_istio_request_bytes";
        format!(
            "{name}_bucket{{k=\"{key}\",le=\"0.5\"}} 0\n{name}_bucket{{k=\"{key}\",le=\"+Inf\"}} 2\n{name}_sum{{k=\"{key}\"}} 131.2\n{name}_count{{k=\"{key}\"}} 2\n"
        )
    };
    let text =
        format!("# TYPE envoy_istiocustom_istio_request_bytes histogram\n{}{}", lines("x"), lines("y"));
    let out = expanded(&reviews(), &text);
    assert_eq!(out.lines().count(), 5, "{out}");
    assert!(out.contains("# TYPE istio_request_bytes histogram\n"));
    assert!(out.contains(",le=\"+Inf\"} 2\n") && out.contains("} 131.2\n"));
}

#[test]
fn what_is_not_ours_passes_unchanged() {
    let text = "# TYPE envoy_server_live gauge\nenvoy_server_live{} 1\nistio_requests_total{reporter=\"source\"} 4\n\n# HELP x y\n";
    assert_eq!(expanded(&sleep(), text), text);
    let odd = "envoy_istiocustom_other{k=\"zz^a\"} 1\n";
    assert_eq!(expanded(&sleep(), odd), "other{k=\"zz\u{1f}a\"} 1\n");
}

#[test]
fn telemetry_overrides_add_replace_and_remove_labels() {
    let out = expanded(
        &sleep(),
        "# TYPE envoy_istiocustom_istio_requests_total counter\nenvoy_istiocustom_istio_requests_total{k=\"sh^w;n;s;v;c^^outbound|80|v1|h.n.svc.cluster.local^503^UF,URX^+path=/a\\\"b^+source_app=z^-response_code\"} 1\n",
    );
    assert!(out.contains("path=\"/a\\\"b\"") && out.contains("source_app=\"z\""));
    assert!(out.contains("response_flags=\"UF,URX\"") && !out.contains("response_code="));
    assert!(out.contains("destination_service=\"h.n.svc.cluster.local\""));
}

#[test]
fn passthrough_has_no_service() {
    let out = expanded(
        &sleep(),
        "# TYPE envoy_istiocustom_istio_tcp_connections_closed_total counter\nenvoy_istiocustom_istio_tcp_connections_closed_total{k=\"st^^^PassthroughCluster^-\"} 1\n",
    );
    assert!(out.contains("destination_service=\"unknown\",destination_service_name=\"PassthroughCluster\""));
}
