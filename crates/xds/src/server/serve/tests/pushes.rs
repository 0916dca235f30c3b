//! Requests, pushes and answers, in both variants.

use std::time::SystemTime;

use process::clock::Virtual;
use tokio::net::TcpListener;

use super::*;
use crate::client::{Client, Config, Event};
use crate::request::Wish;
use crate::server::incoming;

#[tokio::test]
async fn both_variants_work_over_a_loopback_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let catalog = Fake::new();
    let options = Options { control_plane: "it's me".into(), ..Options::default() };
    let server = Server::new(catalog.clone(), options, Metrics::default());
    let serving = server.clone();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        serving.serve_with_incoming(incoming::tcp(listener), async move { drop(stopped.await) }).await
    });
    catalog.set(TypeUrl::Cluster, vec![resource("a", "1"), resource("b", "1")]);
    for variant in [Variant::Delta, Variant::Sotw] {
        let channel = dial::plain(vec![address.clone()])(0).await.unwrap();
        let mut stream = client::Stream::new(channel, variant, node("proxy"), http::HeaderMap::new());
        stream.subscribe(&TypeUrl::Cluster, &[]);
        let response = next(&mut stream).await;
        assert_eq!(response.type_url, TypeUrl::Cluster);
        assert_eq!(response.control_plane, "it's me");
        assert_eq!(response.resources.len(), 2);
        assert_eq!(response.resources[0].type_url, TypeUrl::Cluster.as_str());
        assert_eq!(response.resources[1].body, "1");
        stream.answer(&response, None, &[]);
        catalog.set(TypeUrl::Cluster, vec![resource("a", "1"), resource("b", "2")]);
        let response = next(&mut stream).await;
        let expected = if variant == Variant::Delta { 1 } else { 2 };
        assert_eq!(response.resources.len(), expected);
        assert_eq!(response.resources.last().unwrap().body, "2");
        catalog.set(TypeUrl::Cluster, vec![resource("a", "1"), resource("b", "1")]);
    }
    stop.send(()).unwrap();
    soon(task).await.unwrap().unwrap();
    eventually("the table is empty", || server.connections().is_empty()).await;
}

#[tokio::test]
async fn a_client_that_reconnects_is_sent_only_what_it_lacks() {
    let running = Running::default();
    running.catalog.set(TypeUrl::Cluster, vec![resource("a", "1"), resource("b", "1")]);
    let mut config = Config::new(running.dial.clone(), node("proxy"));
    config.backoff.initial = Duration::from_millis(1);
    let mut client = Client::new(config);
    client.subscribe(&TypeUrl::Cluster, &[]);
    assert!(matches!(soon(client.next()).await, Event::Connected));
    let Event::Response(first) = soon(client.next()).await else { panic!("no response") };
    client.ack(&first);
    eventually("the ACK is known", || running.catalog.events("ack").len() == 1).await;
    assert_eq!(running.server.connections().disconnect("proxy"), 1);
    let Event::Disconnected { reason, .. } = soon(client.next()).await else { panic!("still there") };
    assert!(reason.contains("closes the connection"), "{reason}");
    running.catalog.set(TypeUrl::Cluster, vec![resource("b", "2"), resource("c", "1")]);
    assert!(matches!(soon(client.next()).await, Event::Connected));
    let Event::Response(second) = soon(client.next()).await else { panic!("no response") };
    assert_eq!((names(&second), second.removed.len()), (vec!["b", "c"], 0));
    client.ack(&second);
    let Event::Response(third) = soon(client.next()).await else { panic!("no response") };
    assert_eq!((names(&third), third.removed.clone()), (vec![], vec!["a".to_owned()]));
    client.ack(&third);
    let held: Vec<_> = client.held(&TypeUrl::Cluster).into_iter().map(|(name, _)| name).collect();
    assert_eq!(held, ["b", "c"]);
}

#[tokio::test]
async fn the_table_and_the_metrics_show_what_became_of_a_response() {
    let registry = process::metrics::Metrics::new();
    let running = Running::start(Options::default(), Metrics::register(&registry));
    running.catalog.set(TypeUrl::Listener, vec![resource("l", "bad")]);
    let mut stream = running.stream(Variant::Delta, "sidecar~1").await;
    stream.subscribe(&TypeUrl::Listener, &[]);
    let response = next(&mut stream).await;
    stream.answer(&response, Some("no such filter"), &[]);
    eventually("the NACK is known", || !running.catalog.events("nack").is_empty()).await;
    assert_eq!(running.catalog.events("nack"), [r#"nack sidecar~1 LDS ["l"] no such filter"#]);
    stream.answer(&response, None, &[]);
    eventually("the stale nonce is counted", || {
        registry.render().contains("pilot_xds_expired_nonce{type=\"lds\"} 1\n")
    })
    .await;
    let listed = running.server.connections().list();
    assert_eq!(&*listed[0].id, "sidecar~1-1");
    let status = &listed[0].types[&TypeUrl::Listener];
    assert_eq!(status.last_error.as_deref(), Some("no such filter"));
    assert_eq!(status.nonce_sent.as_deref(), Some(response.nonce.as_str()));
    assert!(status.wildcard && status.nonce_acked.is_none());
    let text = registry.render();
    for line in [
        "pilot_xds{version=\"unknown\"} 1\n",
        "pilot_xds_pushes{type=\"lds\"} 1\n",
        "pilot_total_xds_rejects{type=\"lds\"} 1\n",
        "pilot_xds_lds_reject{node=\"sidecar~1\",err=\"Internal\"} 1\n",
        "pilot_xds_push_time_count{type=\"lds\"} 1\n",
        "pilot_xds_write_timeout 0\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    drop(stream);
    eventually("the client is gone", || running.server.connections().is_empty()).await;
    eventually("and told", || running.catalog.events("disconnected").len() == 1).await;
    assert!(registry.render().contains("pilot_xds{version=\"unknown\"} 0\n"));
}

#[tokio::test]
async fn a_question_is_answered_once_and_its_ack_is_not_another_question() {
    let running = Running::default();
    let syncz = TypeUrl::parse("istio.io/debug/syncz");
    let mut stream = running.stream(Variant::Sotw, "istioctl").await;
    stream.subscribe(&syncz, &[]);
    let response = next(&mut stream).await;
    assert_eq!(response.resources[0].body, "{}");
    stream.answer(&response, None, &[]);
    running.catalog.set(TypeUrl::Cluster, vec![]);
    stream.subscribe(&TypeUrl::Cluster, &[]);
    assert_eq!(next(&mut stream).await.type_url, TypeUrl::Cluster, "nothing in between");
}

#[tokio::test]
async fn a_push_asked_for_by_hand_looks_for_changes() {
    let running = Running::default();
    running.catalog.set(TypeUrl::Cluster, vec![resource("a", "1")]);
    let mut stream = running.stream(Variant::Delta, "proxy").await;
    stream.subscribe(&TypeUrl::Cluster, &[]);
    let response = next(&mut stream).await;
    stream.answer(&response, None, &[]);
    // Changed without a tick.
    let edition = Edition::new(9, vec![resource("a", "2")]);
    running.catalog.editions.lock().1.insert(TypeUrl::Cluster, edition);
    eventually("the connection is in the table", || running.server.connections().push("") == 1).await;
    let response = next(&mut stream).await;
    assert_eq!((response.version.as_str(), &response.resources[0].body[..]), ("9", &b"2"[..]));
    eventually("it is told when all is sent", || !running.catalog.events("converged proxy 9").is_empty())
        .await;
}

#[tokio::test]
async fn a_stream_ends_at_its_age_limit() {
    let max_age = Some(Duration::from_millis(20));
    let running = Running::start(Options { max_age, ..Options::default() }, Metrics::default());
    let mut stream = running.stream(Variant::Delta, "proxy").await;
    stream.subscribe(&TypeUrl::Cluster, &[]);
    let status = soon(async {
        loop {
            if let Err(status) = stream.next().await {
                return status;
            }
        }
    })
    .await;
    assert_eq!(status.code(), tonic::Code::Unavailable);
    assert!(status.message().contains("age limit"));
}

#[tokio::test]
async fn a_request_over_the_limit_ends_its_stream_with_a_reason() {
    let options = Options { max_request_bytes: 1000, ..Options::default() };
    let running = Running::start(options, Metrics::default());
    let mut stream = running.stream(Variant::Sotw, "proxy").await;
    let wish = Wish::Sotw { names: vec!["x".repeat(2000)] };
    stream.send(Request { type_url: TypeUrl::Endpoint, nonce: String::new(), error: None, wish });
    let status = soon(stream.next()).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::OutOfRange, "{status}");
}

#[tokio::test]
async fn new_streams_over_the_rate_wait_their_turn_or_are_refused() {
    let options = Options { new_streams_per_second: 4.0, ..Options::default() };
    let mut server = Server::new(Fake::new(), options, Metrics::default());
    let clock = Virtual::new(SystemTime::UNIX_EPOCH);
    Arc::get_mut(&mut server.0).unwrap().clock = Arc::new(clock.clone());
    let turns = |count: usize| -> Vec<_> { (0..count).map(|_| server.0.turn()).collect() };
    let wait = |milliseconds| Some(Duration::from_millis(milliseconds));
    assert_eq!(turns(7), [wait(0), wait(250), wait(500), wait(750), wait(1000), None, None]);
    clock.advance(Duration::from_millis(500));
    assert_eq!(turns(3), [wait(750), wait(1000), None], "who was refused has taken no turn");
    clock.advance(Duration::from_secs(10));
    assert_eq!(turns(2), [wait(0), wait(250)], "turns are not saved up");
}
