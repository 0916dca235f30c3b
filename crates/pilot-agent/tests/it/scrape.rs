//! The merged scrape over real sockets.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use pilot_agent::http_client::Target;
use pilot_agent::sds::{FilePaths, SecretStore};
use pilot_agent::stats::expand::OwnWorkload;
use pilot_agent::stats::merge::Merger;
use pilot_agent::stats::own::OwnMetrics;
use pilot_agent::stats::targets::ScrapeTarget;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Answers every request with this content type and text, in two pieces.
async fn serve(content_type: &'static str, text: &'static str) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                text.len()
            );
            let _ = stream.write_all(head.as_bytes()).await;
            let (one, two) = text.split_at(text.len() / 2);
            let _ = stream.write_all(one.as_bytes()).await;
            let _ = stream.flush().await;
            let _ = stream.write_all(two.as_bytes()).await;
        }
    });
    port
}

const ENVOY: &str = "# TYPE envoy_server_live gauge\nenvoy_server_live{} 1\n# TYPE envoy_istiocustom_istio_requests_total counter\nenvoy_istiocustom_istio_requests_total{k=\"sh\u{1f}\u{1f}\u{1f}h\u{1f}200\u{1f}-\"} 2\n";

fn merger(envoy: u16, application: &[u16]) -> Merger {
    let nowhere = || "/nonexistent".into();
    let files =
        FilePaths { chain: nowhere(), key: nowhere(), roots: nowhere(), output: None, system_roots: None };
    let store = Arc::new(SecretStore::new(files));
    Merger {
        own: OwnMetrics::new(Instant::now(), None, None, store),
        envoy: Some(Target::plain("127.0.0.1", envoy)),
        expand: Some(Arc::new(OwnWorkload::default())),
        version: "1.2.3".to_owned(),
        application: application
            .iter()
            .map(|port| ScrapeTarget { port: *port, path: "/metrics".to_owned() })
            .collect(),
        application_host: "127.0.0.1".to_owned(),
    }
}

async fn scrape(merger: &Merger) -> (String, String) {
    let mut headers = HeaderMap::new();
    headers
        .insert("accept", HeaderValue::from_static("application/openmetrics-text;version=1.0.0,*/*;q=0.1"));
    let response = merger.merged(headers, None).await;
    assert_eq!(response.status(), StatusCode::OK);
    let format = response.headers()["content-type"].to_str().unwrap().to_owned();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (format, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn own_envoys_and_the_applications_metrics_come_in_this_order() {
    let envoy = serve("text/plain", ENVOY).await;
    let app =
        serve("application/openmetrics-text; version=1.0.0; charset=utf-8", "app_metric 1\n# EOF\n").await;
    let (format, text) = scrape(&merger(envoy, &[app])).await;
    assert_eq!(format, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let places: Vec<usize> = [
        "istio_agent_scrapes_total 1",
        "envoy_server_live",
        "istio_requests_total{reporter=\"source\"",
        "istio_build{component=\"proxy\",tag=\"1.2.3\"} 1",
        "app_metric 1",
    ]
    .iter()
    .map(|part| text.find(part).unwrap_or_else(|| panic!("{part} is not in {text}")))
    .collect();
    assert!(places.is_sorted(), "{places:?}");
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn several_applications_are_joined_and_of_different_formats_become_text() {
    let envoy = serve("text/plain", ENVOY).await;
    let one = serve("application/openmetrics-text; version=1.0.0", "one 1\n# EOF\n").await;
    let two = serve("text/plain", "two 2").await;
    let (format, text) = scrape(&merger(envoy, &[one, two])).await;
    assert_eq!(format, "text/plain; version=0.0.4; charset=utf-8");
    assert!(text.ends_with("one 1\ntwo 2\n"), "{text}");
    let (format, text) = scrape(&merger(envoy, &[one, one])).await;
    assert!(
        format.starts_with("application/openmetrics-text") && text.ends_with("one 1\none 1\n# EOF\n"),
        "{text}"
    );
}

#[tokio::test]
async fn a_dead_application_does_not_take_envoys_metrics_with_it() {
    let envoy = serve("text/plain", ENVOY).await;
    let merger = merger(envoy, &[1]);
    let (_, text) = scrape(&merger).await;
    assert!(text.contains("envoy_server_live"));
    let (_, again) = scrape(&merger).await;
    assert!(again.contains("istio_agent_scrape_failures_total{type=\"application\"} 2"), "{again}");
}
