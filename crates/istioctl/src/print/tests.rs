//! The shapes of tables and documents.

use serde_json::json;

use super::{Columns, to_json, to_yaml};

#[test]
fn columns_are_as_wide_as_their_widest_cell_plus_the_padding() {
    let mut table = Columns::new(5);
    table.row(["NAME", "PORT", "TYPE"]);
    table.row(["reviews.default.svc.cluster.local", "9080", "EDS"]);
    assert_eq!(
        table.render(),
        "NAME                                  PORT     TYPE\n\
         reviews.default.svc.cluster.local     9080     EDS\n"
    );
}

#[test]
fn a_row_without_a_column_ends_its_block_and_an_empty_last_cell_leaves_the_padding() {
    let mut table = Columns::new(1);
    table.row(["a", "b"]);
    table.row(["alone"]);
    table.row(["longer", ""]);
    assert_eq!(table.render(), "a b\nalone\nlonger \n");
}

#[test]
fn json_escapes_as_go_does_and_keeps_empty_containers_short() {
    assert_eq!(
        to_json(&json!({"a": "<&>", "b": [], "c": {}})),
        "{\n    \"a\": \"\\u003c\\u0026\\u003e\",\n    \"b\": [],\n    \"c\": {}\n}"
    );
}

#[test]
fn yaml_sorts_keys_and_quotes_what_would_be_read_as_something_else() {
    let value = json!({"z": ["*", "on", "1", "a: b", {"k": 1, "a": []}], "a": {"b": "plain|text", "c": "two\nlines\n"}, "e": "", "port": "9080", "t": "12:30"});
    assert_eq!(
        to_yaml(&value),
        "a:\n  b: plain|text\n  c: |\n    two\n    lines\ne: \"\"\nport: \"9080\"\nt: \"12:30\"\nz:\n- '*'\n- \"on\"\n- \"1\"\n- 'a: b'\n- a: []\n  k: 1\n"
    );
}

#[test]
fn what_the_yaml_writer_prints_is_read_back_equal() {
    let value = json!({"a": ["yes", "0x1f", "-", "- x", "2024-01-01", "null", " lead", "#no", "tab\there", "a\n\nb", "x\n\n"], "n": {"deep": [[1, 2], ["{"]]}});
    let back: serde_json::Value = serde_saphyr::from_str(&to_yaml(&value)).unwrap();
    assert_eq!(back, value);
}
