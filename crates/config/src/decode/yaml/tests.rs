//! What text means, where it stands, and what is refused.

use std::fmt::Write as _;

use super::*;

fn tree(text: &str) -> Node {
    let mut trees = trees(text);
    assert_eq!(trees.len(), 1, "{text:?}");
    trees.remove(0).unwrap()
}

fn refused(text: &str) -> SyntaxError {
    trees(text).into_iter().find_map(Result::err).unwrap_or_else(|| panic!("{text:?} was taken"))
}

#[test]
fn plain_words_mean_what_kubectl_takes_them_for() {
    let cases = [
        ("yes", Content::Bool(true)),
        ("On", Content::Bool(true)),
        ("n", Content::Bool(false)),
        ("\"yes\"", Content::String("yes".to_owned())),
        ("'1'", Content::String("1".to_owned())),
        ("!!str 1", Content::String("1".to_owned())),
        ("014", Content::Integer(12)),
        ("0o14", Content::Integer(12)),
        ("0x1F", Content::Integer(31)),
        ("-5", Content::Integer(-5)),
        ("1_000", Content::Integer(1000)),
        ("1.5", Content::Float(1.5)),
        ("1e3", Content::Float(1000.0)),
        ("1.2.3", Content::String("1.2.3".to_owned())),
        ("1s", Content::String("1s".to_owned())),
        ("-", Content::List(vec![Node { at: Mark { line: 1, column: 2 }, content: Content::Null }])),
        ("e5", Content::String("e5".to_owned())),
        (".", Content::String(".".to_owned())),
        ("+", Content::String("+".to_owned())),
        ("089", Content::Float(89.0)),
        ("12:30", Content::String("12:30".to_owned())),
        ("2024-01-01", Content::String("2024-01-01".to_owned())),
        ("18446744073709551615", Content::Integer(18_446_744_073_709_551_615)),
    ];
    for (text, want) in cases {
        assert_eq!(tree(text).content, want, "{text}");
    }
    assert!(trees("~").is_empty());
    assert!(refused(".inf").message.contains("not finite"));
}

#[test]
fn positions_count_from_one_through_all_documents() {
    let text = "a: 1\n---\n# comment\nb:\n  - c: x\n--- \nd: 2\n";
    let trees: Vec<Node> = trees(text).into_iter().map(Result::unwrap).collect();
    assert_eq!(trees.len(), 3);
    let Content::Object(entries) = &trees[1].content else { panic!() };
    assert_eq!(entries[0].0.at, Mark { line: 4, column: 1 });
    let Content::List(list) = &entries[0].1.content else { panic!() };
    let Content::Object(inner) = &list[0].content else { panic!() };
    assert_eq!(inner[0].0.at, Mark { line: 5, column: 5 });
    assert_eq!(inner[0].1.at, Mark { line: 5, column: 8 });
    let Content::Object(last) = &trees[2].content else { panic!() };
    assert_eq!(last[0].1.at, Mark { line: 7, column: 4 });
}

#[test]
fn a_broken_document_does_not_hide_the_others() {
    let trees = trees("a: 1\n---\nb: [1\n---\nc: 3\n");
    let good: Vec<bool> = trees.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, false, true]);
    let error = trees[1].as_ref().unwrap_err();
    assert!((3..=4).contains(&error.at.line), "{error:?}");
}

#[test]
fn a_key_may_be_there_once() {
    let error = refused("a:\n  b: 1\n  c: 2\n  b: 3\n");
    assert_eq!(error.at, Mark { line: 4, column: 3 });
    assert_eq!(error.message, "the key \"b\" is there twice");
}

#[test]
fn tabs_are_told_as_the_cause() {
    let error = refused("a:\n\tb: 1\n");
    assert_eq!(error.hint, "indent with spaces, not with tabs");
}

#[test]
fn anchors_and_merge_keys_are_followed() {
    let value = tree("base: &b {x: 1, z: 2}\nuse:\n  <<: *b\n  z: 3\n").to_value();
    assert_eq!(value.get("use").unwrap().to_string(), r#"{"x":1,"z":3}"#);
}

#[test]
fn bombs_are_refused_quickly() {
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(laughs, "a{level}: &a{level} [{below}]").unwrap();
    }
    assert!(refused(&laughs).message.contains("aliases"));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(!refused(&deep).message.is_empty());
    let nested = (0..300).fold(String::new(), |text, level| text + &" ".repeat(level) + "a:\n");
    assert!(refused(&nested).message.contains("deeper"));
}

#[test]
fn json_is_read_even_where_it_is_no_yaml() {
    assert_eq!(tree("{\"a\": [1, true, null, \"x\"]}").to_value().to_string(), r#"{"a":[1,true,null,"x"]}"#);
    assert_eq!(
        tree("{\n\t\"a\": \"\\ud83d\\ude00\\/\"\n}").to_value().get("a").unwrap().as_str(),
        Some("😀/")
    );
}

#[test]
fn directives_line_ends_and_marks_of_windows_are_taken() {
    assert_eq!(tree("%YAML 1.1\n---\na: 1\n").to_value().to_string(), r#"{"a":1}"#);
    assert_eq!(tree("\u{feff}a: 1\r\nb: x\r\n").to_value().to_string(), r#"{"a":1,"b":"x"}"#);
}
