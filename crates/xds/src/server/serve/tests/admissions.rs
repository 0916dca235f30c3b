//! Admissions that take long: they end, they hold up nobody, and those who leave make room.

use tokio::task::JoinHandle;

use super::*;
use crate::type_url::TypeUrl;

/// Asks as a client about whom the catalog never decides, until it is told how that ends.
async fn unknowable(running: &Running) -> JoinHandle<Status> {
    let mut stream = running.stream(Variant::Delta, "unknowable").await;
    stream.subscribe(&TypeUrl::Cluster, &[]);
    tokio::spawn(async move { stream.next().await.unwrap_err() })
}

/// How many admissions are under way.
fn deciding(running: &Running) -> usize {
    Arc::strong_count(&running.catalog.deciding) - 1
}

#[tokio::test]
async fn an_admission_that_hangs_ends_in_time_and_delays_nobody() {
    let options = Options { admission_timeout: Duration::from_millis(300), ..Options::default() };
    let running = Running::start(options, Metrics::default());
    running.catalog.set(TypeUrl::Cluster, vec![resource("a", "1")]);
    let hanging = unknowable(&running).await;
    eventually("it is being decided", || deciding(&running) == 1).await;
    let mut other = running.stream(Variant::Delta, "web").await;
    other.subscribe(&TypeUrl::Cluster, &[]);
    assert_eq!(names(&next(&mut other).await), ["a"]);

    let status = soon(hanging).await.unwrap();
    assert_eq!(status.code(), tonic::Code::Unavailable, "an agent tries again: {status}");
    assert_eq!((deciding(&running), running.server.connections().len()), (0, 1));
}

#[tokio::test]
async fn admissions_are_bounded_and_one_who_leaves_makes_room() {
    let options = Options { max_admissions: 1, ..Options::default() };
    let running = Running::start(options, Metrics::default());
    running.catalog.set(TypeUrl::Cluster, vec![resource("a", "1")]);
    let hanging = unknowable(&running).await;
    eventually("it is being decided", || deciding(&running) == 1).await;
    let mut other = running.stream(Variant::Delta, "web").await;
    other.subscribe(&TypeUrl::Cluster, &[]);
    let early = tokio::time::timeout(Duration::from_millis(100), other.next()).await;
    assert!(early.is_err() && deciding(&running) == 1, "there is one place: {early:?}");
    hanging.abort();
    assert_eq!(names(&next(&mut other).await), ["a"]);
}

#[tokio::test]
async fn a_shutdown_waits_for_no_admission() {
    let running = Running::default();
    let hanging = unknowable(&running).await;
    eventually("it is being decided", || deciding(&running) == 1).await;
    running.server.connections().disconnect_all();
    let status = soon(hanging).await.unwrap();
    assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");

    let mut late = running.stream(Variant::Delta, "web").await;
    late.subscribe(&TypeUrl::Cluster, &[]);
    assert_eq!(soon(late.next()).await.unwrap_err().code(), tonic::Code::Unavailable);
}
