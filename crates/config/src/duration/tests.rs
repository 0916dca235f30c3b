//! Tables of spans of time and their texts.

use super::*;

#[test]
fn both_spellings_are_read() {
    let cases = [
        ("0", 0),
        ("0s", 0),
        ("1.5s", 1_500_000_000),
        ("250ms", 250_000_000),
        ("1h30m", 5_400_000_000_000),
        ("1h1m1.001s", 3_661_001_000_000),
        ("-5s", -5_000_000_000),
        ("+5s", 5_000_000_000),
        (".5s", 500_000_000),
        ("5.s", 5_000_000_000),
        ("1us", 1_000),
        ("1µs", 1_000),
        ("7ns", 7),
        ("0.000000001s", 1),
        ("1.123456789s", 1_123_456_789),
        ("0.1h", 360_000_000_000),
        ("315360000s", 315_360_000_000_000_000),
    ];
    for (text, nanos) in cases {
        assert_eq!(text.parse().map(Duration::as_nanos), Ok(nanos), "{text}");
    }
}

#[test]
fn other_texts_are_refused() {
    for text in
        ["", "-", "5", "1.5", "s", "1x", "1s ", " 1s", "1.2.3s", ".s", "1d", "99999999999h", "1e3s", "é"]
    {
        assert!(text.parse::<Duration>().is_err(), "{text:?}");
    }
}

#[test]
fn they_are_shown_as_go_and_as_protobuf_do() {
    let cases = [
        (0, "0s", "0s"),
        (1_500_000_000, "1.5s", "1.500s"),
        (250_000_000, "250ms", "0.250s"),
        (3_600_000_000_000, "1h0m0s", "3600s"),
        (61_000_000_000, "1m1s", "61s"),
        (1_000, "1µs", "0.000001s"),
        (7, "7ns", "0.000000007s"),
        (-1_500_000_000, "-1.5s", "-1.500s"),
    ];
    for (nanos, go, proto) in cases {
        let duration = Duration::from_nanos(nanos);
        assert_eq!((duration.to_string().as_str(), duration.to_proto_string().as_str()), (go, proto));
        assert_eq!(go.parse(), Ok(duration));
        assert_eq!(proto.parse(), Ok(duration));
    }
    assert_eq!(Duration::from_nanos(-1_500_000_000).seconds(), -1);
    assert_eq!(Duration::from_nanos(-1_500_000_000).subsec_nanos(), -500_000_000);
}
