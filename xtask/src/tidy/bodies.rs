//! Two tests with the same body are one test, or one of them tests something else than its name says.

use std::collections::BTreeMap;

use super::sources::Source;

/// Shorter bodies may be alike by accident.
const SHORT: usize = 60;

/// Names of tests with equal bodies.
pub(super) fn check(files: &[Source]) -> Vec<String> {
    let mut by_body: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files {
        for (name, body) in tests(file) {
            let name = format!("{}: {name}", file.path.display());
            by_body.entry(format!("{}\n{body}", file.package)).or_default().push(name);
        }
    }
    let twins = by_body.into_values().filter(|names| names.len() > 1);
    twins.map(|names| format!("tests with the same body: {}", names.join(", "))).collect()
}

/// Name and body (white space folded) of every test of a file.
pub(super) fn tests(file: &Source) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for attribute in ["#[test]", "#[tokio::test"] {
        for (at, _) in file.code.match_indices(attribute) {
            let Some(test) = test_at(file, at + attribute.len()) else { continue };
            if test.1.len() >= SHORT {
                out.push(test);
            }
        }
    }
    out
}

fn test_at(file: &Source, at: usize) -> Option<(String, String)> {
    let function = at + file.code.get(at..)?.find("fn ")?;
    let open = function + file.code[function..].find('{')?;
    let name = file.code[function + 3..open].split('(').next()?.trim().to_owned();
    let mut depth = 0_usize;
    for (offset, byte) in file.code[open..].bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            let body = &file.text[open..open + offset];
            return Some((name, body.split_whitespace().collect::<Vec<_>>().join(" ")));
        }
    }
    None
}
