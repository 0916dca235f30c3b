//! What is followed, what ends without an answer, and what is too much.

use super::*;

fn tracer() -> (Tracer, mpsc::Receiver<Span>) {
    Tracer::new("Kubernetes", Counter::default())
}

fn send(tracer: &Tracer, revision: u64, nonce: &str) {
    let proxy = "web".into();
    let sent = Sent { proxy: &proxy, of: "CDS", nonce, bytes: 7, resources: 1, removed: 0 };
    tracer.sent(revision, &sent);
}

fn answer(tracer: &Tracer, revision: u64, nonce: &str, refusal: Option<&str>) {
    tracer.answered(revision, &"web".into(), "CDS", nonce, refusal);
}

#[test]
fn a_push_is_a_span_that_ends_with_its_answer() {
    let (tracer, mut spans) = tracer();
    tracer.begin(5);
    send(&tracer, 4, "of a revision nobody traces");
    send(&tracer, 5, "a");
    send(&tracer, 5, "b");
    assert!(spans.try_recv().is_err(), "nothing is over yet");
    answer(&tracer, 5, "a", None);
    answer(&tracer, 5, "b", Some("no such filter"));
    answer(&tracer, 5, "b", None);
    let (good, bad) = (spans.try_recv().unwrap(), spans.try_recv().unwrap());
    assert_eq!((good.events[0].name.as_str(), good.status.is_none()), ("ack", true));
    assert_eq!(
        (bad.events[0].name.as_str(), bad.status.unwrap().message.as_str()),
        ("nack", "no such filter")
    );
    assert_eq!((&good.trace_id, &good.parent_span_id), (&bad.trace_id, &bad.parent_span_id));
    assert!(good.span_id != bad.span_id && good.span_id.len() == 8 && good.trace_id.len() == 16);
    assert!(good.start_time_unix_nano <= good.end_time_unix_nano);
    assert!(spans.try_recv().is_err(), "an answer counts once");
}

#[test]
fn what_nobody_answers_ends_when_its_time_is_over_or_others_need_the_room() {
    let (tracer, mut spans) = tracer();
    tracer.begin(1);
    send(&tracer, 1, "a");
    tracer.expire(SystemTime::now());
    assert!(spans.try_recv().is_err());
    tracer.expire(SystemTime::now() + PATIENCE + Duration::from_secs(1));
    let late = spans.try_recv().unwrap();
    assert!(late.events.is_empty() && late.start_time_unix_nano == late.end_time_unix_nano);
    answer(&tracer, 1, "a", None);
    assert!(spans.try_recv().is_err(), "the trace is closed");

    tracer.begin(2);
    send(&tracer, 2, "b");
    (3..3 + OPEN as u64).for_each(|revision| tracer.begin(revision));
    assert!(spans.try_recv().is_ok());
    assert_eq!(tracer.0.open.lock().len(), OPEN);
}

#[test]
fn no_more_is_followed_and_kept_than_there_is_room_for() {
    let (tracer, mut spans) = tracer();
    tracer.begin(1);
    (0..2 * PUSHES).for_each(|nonce| send(&tracer, 1, &nonce.to_string()));
    (0..2 * PUSHES).for_each(|nonce| answer(&tracer, 1, &nonce.to_string(), None));
    let followed = std::iter::from_fn(|| spans.try_recv().ok()).count();
    assert_eq!(followed, PUSHES);

    let lost = 3;
    for revision in 0..QUEUE + lost {
        let revision = 2 + revision as u64;
        tracer.begin(revision);
        send(&tracer, revision, "a");
        answer(&tracer, revision, "a", None);
    }
    assert_eq!(tracer.0.dropped.get(), lost as u64);
}
