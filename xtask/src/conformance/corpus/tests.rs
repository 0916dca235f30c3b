//! Counting cases.

use serde_json::json;

use super::*;

#[test]
fn cases_of_every_list_and_of_every_suite_count() {
    let document = json!({
        "cases": [1, 2], "helm_cases": [1], "message_types": [1, 2, 3],
        "suites": [{"cases": [1]}, {"cases": [1, 2]}]
    });
    assert_eq!(Corpus { name: "x".to_owned(), document }.total(), 6);
}
