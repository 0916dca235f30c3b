//! Probes handed on to an application on loopback.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn place() -> AppPlace {
    AppPlace {
        host: "127.0.0.1".to_owned(),
        ipv6: false,
        status_port: 15020,
        http2: true,
        from_probe_address: true,
    }
}

/// Answers each connection with the text that `answer` makes of the request.
async fn application(answer: fn(&str) -> String) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, peer)) = listener.accept().await {
            let mut buffer = [0; 4096];
            let length = stream.read(&mut buffer).await.unwrap_or(0);
            let request = format!("{} {}", peer.ip(), String::from_utf8_lossy(&buffer[..length]));
            let _ = stream.write_all(answer(&request).as_bytes()).await;
        }
    });
    port
}

fn echo(request: &str) -> String {
    format!("HTTP/1.1 418 x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{request}", request.len())
}

#[tokio::test]
async fn an_http_probe_passes_headers_host_and_answer_on() {
    let port = application(echo).await;
    let config = format!(
        r#"{{"/app-health/web/livez":{{"httpGet":{{"path":"ok?x=1","port":{port}}},"timeoutSeconds":5}}}}"#
    );
    let probes = AppProbes::parse(&config, place()).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert(HOST, "pod.test:15020".parse().unwrap());
    headers.insert("x-custom", "1".parse().unwrap());
    let (status, body) = probes.answer("/app-health/web/livez", &headers).await;
    let seen = String::from_utf8(body.to_vec()).unwrap();
    assert_eq!(status, 418);
    assert!(seen.starts_with("127.0.0.6 GET /ok?x=1 HTTP/1.1"), "{seen}");
    assert!(seen.contains(&format!("host: pod.test:{port}\r\n")) && seen.contains("x-custom: 1"), "{seen}");
}

#[tokio::test]
async fn redirections_on_the_host_are_followed_and_others_count_as_success() {
    let port = application(|request| {
        if request.contains("GET /start ") {
            "HTTP/1.1 302 x\r\nconnection: close\r\nlocation: /end\r\n\r\n".to_owned()
        } else if request.contains("GET /away ") {
            "HTTP/1.1 302 x\r\nconnection: close\r\nlocation: http://elsewhere.test/\r\n\r\n".to_owned()
        } else {
            echo(request)
        }
    })
    .await;
    let probe = |path: &str| {
        format!(
            r#"{{"/app-health/web/readyz":{{"httpGet":{{"path":"{path}","port":{port}}},"timeoutSeconds":5}}}}"#
        )
    };
    let ask = |path: &str| AppProbes::parse(&probe(path), place()).unwrap();
    let headers = HeaderMap::new();
    assert_eq!(ask("/start").answer("/app-health/web/readyz", &headers).await.0, 418);
    assert_eq!(ask("/away").answer("/app-health/web/readyz", &headers).await.0, 200);
}

#[tokio::test]
async fn a_tcp_probe_tells_whether_somebody_listens() {
    let port = application(echo).await;
    let config = format!(
        r#"{{"/app-health/a/livez":{{"tcpSocket":{{"port":{port}}}}},"/app-health/a/readyz":{{"tcpSocket":{{"port":1}}}}}}"#
    );
    let probes = AppProbes::parse(&config, place()).unwrap();
    let headers = HeaderMap::new();
    assert_eq!(probes.answer("/app-health/a/livez", &headers).await.0, 200);
    assert_eq!(probes.answer("/app-health/a/readyz", &headers).await.0, 500);
    assert_eq!(probes.answer("/app-health/b/readyz", &headers).await.0, 400);
}

#[test]
fn bad_configurations_are_refused_with_their_path() {
    for bad in [
        r#"{"/other":{"tcpSocket":{"port":1}}}"#,
        r#"{"/app-health//livez":{"tcpSocket":{"port":1}}}"#,
        r#"{"/app-health/a/livez":{}}"#,
        r#"{"/app-health/a/livez":{"tcpSocket":{"port":"http"}}}"#,
        r#"{"/app-health/a/livez":{"tcpSocket":{"port":1},"grpc":{"port":2}}}"#,
        "x",
    ] {
        assert!(AppProbes::parse(bad, place()).is_err(), "{bad}");
    }
}
