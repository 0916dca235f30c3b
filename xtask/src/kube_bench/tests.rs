//! What the lines of the load come to, and what the table says of it.

use loadgen::istiod::{Event, Size};
use serde_json::json;

use super::*;

fn records(values: &[(Side, Figure, f64)]) -> Records {
    let mut records = Records::new(Box::new(io::sink()));
    for (side, figure, value) in values {
        records.push(*side, 1, *figure, *value).unwrap();
    }
    records
}

#[test]
fn less_is_better_but_for_a_rate() {
    assert_eq!(Figure::Alone.ratio(50.0, 250.0), Some(5.0));
    assert_eq!(Figure::Signed.ratio(300.0, 100.0), Some(3.0));
    assert_eq!(Figure::Storm.ratio(0.0, 100.0), None);
}

#[test]
fn a_mark_is_reached_by_medians_of_the_same_run() {
    let measured = [
        (Side::Ours, Figure::Alone, 60.0),
        (Side::Ours, Figure::Alone, 50.0),
        (Side::Ours, Figure::Alone, 70.0),
        (Side::Theirs, Figure::Alone, 200.0),
        (Side::Ours, Figure::Signed, 400.0),
        (Side::Theirs, Figure::Signed, 100.0),
    ];
    let table = table::markdown(&records(&measured), Size::M, true);
    let lines: Vec<&str> = table.lines().skip(2).collect();
    assert_eq!(
        lines,
        [
            "| memory without a proxy | MB | 60.0 (50.0-70.0) | 200 (200-200) | 3.33 | 4.00 | MISSED |",
            "| certificates per second | 1/s | 400 (400-400) | 100 (100-100) | 4.00 | 3.00 | reached |",
        ]
    );
}

#[test]
fn without_another_program_the_record_is_beside_it() {
    let measured = [(Side::Ours, Figure::Storm, 7.0), (Side::Ours, Figure::Event(Event::Vs), 55.39)];
    let table = table::markdown(&records(&measured), Size::M, false);
    let lines: Vec<&str> = table.lines().skip(2).collect();
    assert_eq!(
        lines,
        [
            "| all proxies connect over TLS with tokens, CPU | s | 7.00 (7.00-7.00) | 71.2 | 10.2 | 10.0 | reached |",
            "| VirtualService edited, CPU | ms | 55.4 (55.4-55.4) | 5539 | 100 | - |  |",
        ]
    );
    // nothing is asked of a mesh that small
    assert!(!table::markdown(&records(&measured), Size::S, false).contains("reached"));
}

#[test]
fn every_phase_of_the_load_is_understood() {
    let of = |line| load::figures(&line, 500);
    let csr = json!({"phase": "csr", "per_second": 900.0, "sut": {"cpu_ms_per_request": 0.5}});
    assert_eq!(of(csr), [(Figure::Signed, 900.0), (Figure::SigningCpu, 0.5)]);
    let connect = json!({"phase": "connect", "cpu_s_until_ready": 5.0, "ready_ms": {"max": 2000.0}, "sut": {"peak_rss_mib": 100}});
    assert_eq!(
        of(connect),
        [(Figure::Storm, 5.0), (Figure::StormWall, 2.0), (Figure::StormPeak, 100.0 * 1.048_576)]
    );
    let service = json!({
        "phase": "service 3", "cpu_ms": {"p50": 9.0}, "last_ack_ms": {"p50": 120.0},
        "delete": {"cpu_ms": {"p50": 8.0}, "last_ack_ms": {"n": 0}},
    });
    assert_eq!(
        of(service),
        [
            (Figure::Event(Event::Add), 9.0),
            (Figure::LastAck(Event::Add), 120.0),
            (Figure::Event(Event::Delete), 8.0),
        ]
    );
    let churn = json!({"phase": "churn 100 10", "cpu_us_per_event_and_proxy": 4.0});
    assert_eq!(of(churn), [(Figure::Event(Event::Churn), 2.0)]);
}

#[test]
fn values_are_also_lines() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut records = Records::new(Box::new(file.reopen().unwrap()));
    records.push(Side::Ours, 2, Figure::Start, 0.5).unwrap();
    let line: serde_json::Value = serde_json::from_str(&fs::read_to_string(file.path()).unwrap()).unwrap();
    let wanted = json!({"who": "ours", "round": 2, "figure": "exec until ready", "unit": "s", "value": 0.5});
    assert_eq!(line, wanted);
}

#[test]
fn the_flags_of_a_run_are_known() {
    let words = "bench --kube --against a --repeats 3 --only start,csr --program p --load l --load-sources s";
    let arguments = Arguments::try_parse_from(words.split(' ')).unwrap();
    assert_eq!((arguments.repeats, arguments.only), (3, vec![Part::Start, Part::Csr]));
    assert!(Arguments::try_parse_from(["bench", "--repeats", "0", "--program", "p"]).is_err());
}
