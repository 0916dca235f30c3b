//! Clients that do not read: they cost little and delay nobody.

use bytes::Bytes;

use super::*;

/// A large resource that costs the test nothing: one chunk, many times.
fn large(revision: u8) -> Resource {
    let chunk = Bytes::from(vec![revision; 64 * 1024]);
    Resource::new("large", vec![chunk; 512].concat())
}

/// A client that opens a stream, asks, and then takes nothing from its socket any more.
async fn stuck(running: &Running) -> client::Stream {
    let mut stream = running.stream(Variant::Delta, "stuck").await;
    stream.subscribe(&TypeUrl::Cluster, &[]);
    // Polled once to get the request out; the response is larger than every window on the way.
    let _ = tokio::time::timeout(Duration::from_millis(1), stream.next()).await;
    let catalog = running.catalog.clone();
    eventually("the stuck client is being sent its response", || !catalog.events("sent stuck").is_empty())
        .await;
    stream
}

#[tokio::test]
async fn a_stuck_reader_holds_one_response_and_does_not_delay_others() {
    let options =
        Options { budget_bytes: 1 << 20, stall_after: Duration::from_millis(50), ..Options::default() };
    let running = Running::start(options, Metrics::default());
    running.catalog.set(TypeUrl::Cluster, vec![large(0)]);
    let _stuck = stuck(&running).await;
    assert!(running.server.budget().in_flight() <= running.server.budget().size());
    running.catalog.set(TypeUrl::Cluster, vec![resource("small", "0")]);
    let mut brisk = running.stream(Variant::Delta, "brisk").await;
    brisk.subscribe(&TypeUrl::Cluster, &[]);
    for revision in 1..50 {
        let response = next(&mut brisk).await;
        brisk.answer(&response, None, &[]);
        let content = revision.to_string();
        running.catalog.set(TypeUrl::Cluster, vec![resource("small", &content)]);
        assert!(running.server.budget().in_flight() <= running.server.budget().size());
    }
    assert_eq!(running.catalog.events("sent stuck").len(), 1, "the rest waits in one slot");
    eventually("its share of the budget is free again", || running.server.budget().in_flight() == 0).await;
}

#[tokio::test]
async fn a_reader_that_comes_back_gets_the_newest_state_and_nothing_in_between() {
    let running = Running::default();
    running.catalog.set(TypeUrl::Cluster, vec![large(0)]);
    let mut stream = stuck(&running).await;
    for revision in 1..20 {
        running.catalog.set(TypeUrl::Cluster, vec![large(revision)]);
    }
    let first = next(&mut stream).await;
    assert_eq!((first.resources[0].body.len(), first.resources[0].body[0]), (512 * 64 * 1024, 0));
    stream.answer(&first, None, &[]);
    let second = next(&mut stream).await;
    assert_eq!(second.resources[0].body[0], 19);
}

#[tokio::test]
async fn a_reader_that_stays_stuck_is_disconnected_if_so_configured() {
    let registry = process::metrics::Metrics::new();
    let send_timeout = Some(Duration::from_millis(50));
    let options = Options { send_timeout, ..Options::default() };
    let running = Running::start(options, Metrics::register(&registry));
    running.catalog.set(TypeUrl::Cluster, vec![large(0)]);
    let _stuck = stuck(&running).await;
    eventually("it is out of the table", || running.server.connections().is_empty()).await;
    assert!(registry.render().contains("pilot_xds_write_timeout 1\n"));
}
