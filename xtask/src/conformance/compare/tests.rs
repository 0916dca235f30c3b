//! What counts as a difference and what does not.

use serde_json::json;

use super::*;

fn paths(golden: &Value, actual: &Value) -> Vec<String> {
    differences(golden, actual).into_iter().map(|difference| difference.path).collect()
}

#[test]
fn a_default_counts_only_where_the_golden_has_it() {
    assert!(
        paths(&json!({"a": 1}), &json!({"a": 1, "b": false, "c": 0, "d": "", "e": [], "f": "0"})).is_empty()
    );
    assert_eq!(paths(&json!({"a": 0}), &json!({})), ["a (missing)"]);
    assert!(paths(&json!({"a": []}), &json!({})).is_empty());
    assert_eq!(paths(&json!({}), &json!({"a": {}})), ["a (extra)"]);
}

#[test]
fn numbers_and_durations_compare_by_value() {
    assert!(paths(&json!({"a": "5", "b": "1.50s"}), &json!({"a": 5.0, "b": "1.5s"})).is_empty());
    assert_eq!(paths(&json!({"a": "1s"}), &json!({"a": "1"})), ["a"]);
    assert_eq!(paths(&json!({"a": "x"}), &json!({"a": null})), ["a"]);
}

#[test]
fn sets_have_no_order_and_lists_have() {
    assert!(paths(&json!({"domains": ["a", "b"]}), &json!({"domains": ["b", "a"]})).is_empty());
    assert_eq!(
        paths(&json!({"routes": ["a", "b"]}), &json!({"routes": ["b", "a"]})),
        ["routes[]", "routes[]"]
    );
    assert_eq!(paths(&json!({"domains": ["a"]}), &json!({"domains": ["a", "a"]})), ["domains[] (length)"]);
}

#[test]
fn localities_are_a_set_and_endpoints_with_a_health_check_are_not() {
    let locality = |name: &str| json!({"locality": name});
    let health = |name: &str| json!({"endpoint": name});
    let list = |a, b| json!({"endpoints": [a, b]});
    assert!(paths(&list(locality("a"), locality("b")), &list(locality("b"), locality("a"))).is_empty());
    assert!(!paths(&list(health("a"), health("b")), &list(health("b"), health("a"))).is_empty());
}

#[test]
fn the_sort_key_is_spelled_as_python_does() {
    let value = json!({"b": "1.5s", "a": [1, "é\n", true], "c": "", "d": 1e16, "e": 0.00001});
    assert_eq!(
        sort_key(&value),
        r#"{"a": [1.0, "\u00e9\n", true], "b": ["s", 1.5], "d": 1e+16, "e": 1e-05}"#
    );
}

#[test]
fn resources_of_one_name_stay_apart() {
    let document = json!({"clusters": [{"name": "a"}, {"name": "a", "type": "EDS"}]});
    assert_eq!(named(&document, "clusters").into_keys().collect::<Vec<_>>(), ["a", "a#"]);
}
