//! The workspace keeps its own rules, and the rules can be broken.

use std::path::PathBuf;

use super::sources::Source;
use super::{bodies, imports, switches, text};
use crate::workspace::Package;

#[test]
fn the_workspace_is_tidy() {
    let problems = super::check().unwrap();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn source(text: &str) -> Source {
    Source {
        package: "a".to_owned(),
        path: PathBuf::from("a.rs"),
        text: text.to_owned(),
        code: text::blanked(text),
    }
}

#[test]
fn comments_and_literals_are_blank() {
    let code = text::blanked("a // {\nb /* { /* } */ */ c \"}\\\"{\" 'x' '\\'' r#\"{\"# 'life { é");
    assert_eq!(code.matches(['{', '}']).count(), 1);
    assert!(code.contains("'life { é"), "{code}");
    assert_eq!(code.lines().count(), 2);
}

#[test]
fn tests_with_equal_bodies_are_found_whatever_their_layout() {
    let body = "let value = something(1, 2, 3, \"a long enough argument\"); assert_eq!(value, 4);";
    let twins = source(&format!(
        "#[test]\nfn a() {{\n    {body}\n}}\n#[test]\nfn b() {{ {body} }}\n#[test]\nfn c() {{ {body} {body} }}\n"
    ));
    let problems = bodies::check(&[twins]);
    assert_eq!(problems, ["tests with the same body: a.rs: a, a.rs: b"]);
}

#[test]
fn short_tests_may_be_alike() {
    assert!(bodies::check(&[source("#[test] fn a() { x() } #[test] fn b() { x() }")]).is_empty());
}

fn package(name: &str, dependencies: &[&str]) -> Package {
    Package {
        name: name.to_owned(),
        folder: PathBuf::new(),
        roots: Vec::new(),
        dependencies: dependencies.iter().map(|&name| name.to_owned()).collect(),
    }
}

#[test]
fn an_import_that_goes_up_or_out_is_found() {
    let packages = [
        package("mesh", &["tables", "generate", "tokio"]),
        package("generate", &["mesh", "testkit"]),
        package("tables", &["smallvec"]),
        package("novel", &[]),
        package("testkit", &["generate"]),
    ];
    let problems = imports::check(&packages);
    assert_eq!(
        problems[..4],
        [
            "mesh must not use generate",
            "mesh must stay free of tokio",
            "generate must not use testkit",
            "generate may use testkit in tests only"
        ]
    );
    assert!(problems[4].starts_with("novel: a new crate"), "{problems:?}");
    assert_eq!(problems.len(), 5);
}

#[test]
fn a_switch_that_nobody_reads_is_found() {
    let file = |path: &str, text: &str| Source { path: PathBuf::from(path), ..source(text) };
    let list = file(
        "crates/config/src/switches/list.rs",
        "    PILOT_A pilot_a: bool = true, \"\";\n    PILOT_B pilot_b: String = text(\"\"),\n",
    );
    let reader = file("crates/mesh/src/a.rs", "if switches.pilot_a { let pilot_b = 1; }");
    let test = file("crates/mesh/src/a/tests.rs", "switches.pilot_b");
    let problems = switches::check(&[list, reader, test]);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("nobody reads PILOT_B"), "{problems:?}");
}
