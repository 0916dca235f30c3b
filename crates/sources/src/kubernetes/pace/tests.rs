//! When requests may be made.

use futures_util::FutureExt as _;

use super::*;

fn bucket(per_second: f64, burst: u32) -> (Bucket, Instant) {
    let now = Instant::now();
    let pace = Pace { per_second, burst };
    (Bucket { pace, level: Mutex::new((f64::from(burst), now)) }, now)
}

#[test]
fn a_burst_goes_at_once_and_the_rest_one_after_the_other() {
    let (bucket, now) = bucket(10.0, 3);
    let waits: Vec<u128> = (0..6).map(|_| bucket.take(now).as_millis()).collect();
    assert_eq!(waits, [0, 0, 0, 100, 200, 300]);
    // all six are through after 300 ms; then it fills again, but never beyond the burst
    let later = now + Duration::from_secs(60);
    let waits: Vec<u128> = (0..4).map(|_| bucket.take(later).as_millis()).collect();
    assert_eq!(waits, [0, 0, 0, 100]);
}

#[test]
fn a_clock_that_stands_or_goes_back_gives_nothing_for_free() {
    let (bucket, now) = bucket(1.0, 1);
    assert_eq!(bucket.take(now + Duration::from_secs(5)), Duration::ZERO);
    assert_eq!(bucket.take(now), Duration::from_secs(1));
    assert_eq!(bucket.take(now + Duration::from_secs(5)), Duration::from_secs(2));
}

#[tokio::test]
async fn watches_and_clients_without_a_limit_do_not_wait() {
    let request = |uri: &str| Request::get(uri).body(Body::empty()).unwrap();
    let answer = tower::service_fn(|_: Request<Body>| async { Ok::<_, std::convert::Infallible>(()) });
    let mut paced = Pace { per_second: 0.001, burst: 1 }.layer(answer);
    let now = |answer: BoxFuture<'static, Result<(), _>>| answer.now_or_never().is_some();
    assert!(now(paced.call(request("/api/v1/pods"))));
    for _ in 0..10 {
        assert!(now(paced.call(request("/api/v1/pods?resourceVersion=1&watch=true"))));
    }
    assert!(!now(paced.call(request("/api/v1/pods?watch=false"))), "the next is a thousand seconds away");
    let mut free = Pace { per_second: 0.0, burst: 0 }.layer(answer);
    for _ in 0..1000 {
        assert!(now(free.call(request("/api/v1/pods"))));
    }
}
