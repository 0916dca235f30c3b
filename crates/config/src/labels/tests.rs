//! Tables of selectors and what they take.

use super::*;
use crate::mesh::LabelSelectorRequirement;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn an_empty_selector_is_a_subset_but_selects_nothing() {
    let app = labels(&[("app", "a"), ("version", "v1")]);
    let cases = [
        (labels(&[]), true, false),
        (labels(&[("app", "a")]), true, true),
        (labels(&[("app", "b")]), false, false),
        (labels(&[("app", "a"), ("version", "v1"), ("x", "y")]), false, false),
        (labels(&[("version", "")]), false, false),
    ];
    for (selector, subset, selected) in cases {
        assert_eq!(subset_of(&selector, &app), subset, "{selector:?}");
        assert_eq!(selects(&selector, &app), selected, "{selector:?}");
    }
}

#[test]
fn expressions_narrow_a_selector() {
    let app = labels(&[("env", "prod")]);
    let cases = [
        ("In", vec!["prod", "test"], "env", true),
        ("In", vec!["test"], "env", false),
        ("In", vec!["prod"], "other", false),
        ("NotIn", vec!["test"], "env", true),
        ("NotIn", vec!["test"], "other", true),
        ("NotIn", vec!["prod"], "env", false),
        ("Exists", vec![], "env", true),
        ("Exists", vec![], "other", false),
        ("DoesNotExist", vec![], "other", true),
        ("DoesNotExist", vec![], "env", false),
        ("Like", vec!["prod"], "env", false),
    ];
    for (operator, values, key, want) in cases {
        let requirement = LabelSelectorRequirement {
            key: key.to_owned(),
            operator: operator.to_owned(),
            values: values.iter().map(|v| (*v).to_owned()).collect(),
        };
        let selector = LabelSelector { match_expressions: vec![requirement], ..LabelSelector::default() };
        assert_eq!(selector_matches(&selector, &app), want, "{key} {operator} {values:?}");
    }
    assert!(any_selector_matches(&[], &app));
}

#[test]
fn dns_labels_neither_begin_nor_end_with_a_dash() {
    for (text, want) in
        [("a", true), ("a-b", true), ("A1", true), ("-a", false), ("a-", false), ("", false), ("a.b", false)]
    {
        assert_eq!(is_dns_label(text), want, "{text:?}");
    }
    assert!(is_dns_label(&"a".repeat(63)));
    assert!(!is_dns_label(&"a".repeat(64)));
}
