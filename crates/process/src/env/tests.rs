//! Tests of reading variables.

use std::time::Duration;

use proptest::prelude::*;

use super::{Vars, go_duration};

fn vars(pairs: &[(&str, &str)]) -> Vars {
    pairs.iter().copied().collect()
}

#[test]
fn an_invalid_value_is_the_default_and_is_told() {
    let vars = vars(&[("ON", "yes"), ("TTL", "1 day")]);
    let mut invalid = Vec::new();
    assert!(vars.read_or("ON", true, &mut invalid));
    assert_eq!(vars.read_or("TTL", Duration::from_secs(1), &mut invalid), Duration::from_secs(1));
    let told: Vec<String> = invalid.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2);
    assert!(told[0].contains("ON=yes") && told[0].contains("true or false"), "{told:?}");
}

#[test]
fn an_empty_variable_counts_as_unset() {
    assert_eq!(vars(&[("N", "")]).read::<i64>("N"), Ok(None));
    assert_eq!(vars(&[("N", "-3")]).read::<i64>("N"), Ok(Some(-3)));
    assert!(vars(&[("N", "-3")]).read::<u64>("N").is_err());
}

#[test]
fn booleans_are_spelled_as_in_go() {
    for (text, wanted) in
        [("1", true), ("T", true), ("True", true), ("0", false), ("f", false), ("FALSE", false)]
    {
        assert_eq!(vars(&[("B", text)]).read::<bool>("B"), Ok(Some(wanted)), "{text}");
    }
    assert!(vars(&[("B", "on")]).read::<bool>("B").is_err());
}

#[test]
fn durations_are_gos() {
    for (text, nanos) in [
        ("0", 0u64),
        ("300ms", 300_000_000),
        ("1.5h", 5_400_000_000_000),
        ("2h45m", 9_900_000_000_000),
        ("1h15m30.918273645s", 4_530_918_273_645),
        ("0.5us", 500),
        (".5s", 500_000_000),
        ("5.s", 5_000_000_000),
        ("+5s", 5_000_000_000),
        ("24h0m0s", 86_400_000_000_000),
    ] {
        assert_eq!(go_duration(text), Some(Duration::from_nanos(nanos)), "{text}");
    }
    for text in ["", "5", "s", ".s", "1d", "-5s", "1..5s", "5 s", "99999999999999h", "+"] {
        assert_eq!(go_duration(text), None, "{text}");
    }
}

#[test]
fn prefixes_are_cut_off() {
    let vars = vars(&[("PREFIX_A", "1"), ("PREFIX_B", "2"), ("OTHER", "3")]);
    assert_eq!(vars.with_prefix("PREFIX_").collect::<Vec<_>>(), [("A", "1"), ("B", "2")]);
}

proptest! {
    #[test]
    fn no_text_breaks_the_duration_reader(text in ".{0,24}") {
        let _ = go_duration(&text);
    }

    #[test]
    fn whole_numbers_of_milliseconds_are_read_back(ms in 0u64..1 << 40) {
        prop_assert_eq!(go_duration(&format!("{ms}ms")), Some(Duration::from_millis(ms)));
    }
}
