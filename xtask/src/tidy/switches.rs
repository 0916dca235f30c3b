//! Switches that users may set: each must be read somewhere, or to declare it would be a lie.

use std::collections::BTreeSet;
use std::path::Path;

use super::sources::Source;

/// Where switches are declared.
const HOME: &str = "crates/config/src/switches";

/// Switches that nobody reads.
pub(super) fn check(files: &[Source]) -> Vec<String> {
    let (home, others): (Vec<_>, Vec<_>) = files.iter().partition(|file| file.path.starts_with(HOME));
    let Some(list) = home.iter().find(|file| file.path == Path::new(HOME).join("list.rs")) else {
        return Vec::new();
    };
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let code = others.iter().filter(|file| !file.is_test()).flat_map(|file| file.code.split(|c| !is_word(c)));
    let read: BTreeSet<&str> = code.collect();
    let unread = declared(&list.code).filter(|(_, field)| !read.contains(field));
    unread
        .map(|(name, _)| {
            format!("{HOME}/list.rs: nobody reads {name}: it belongs into absent.rs until somebody does")
        })
        .collect()
}

/// Names and fields of lines such as `PILOT_HTTP10 pilot_http10: bool = false, ...`.
fn declared(code: &str) -> impl Iterator<Item = (&str, &str)> {
    code.lines().filter_map(|line| {
        let (name, rest) = line.trim().split_once(' ')?;
        let (field, _) = rest.split_once(": ")?;
        let is_upper = name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
        (is_upper && field == name.to_ascii_lowercase()).then_some((name, field))
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn file(path: &str, code: &str) -> Source {
        Source {
            package: String::new(),
            path: PathBuf::from(path),
            text: code.to_owned(),
            code: code.to_owned(),
        }
    }

    #[test]
    fn a_switch_that_nobody_reads_is_found() {
        let list = file(
            "crates/config/src/switches/list.rs",
            "    PILOT_A pilot_a: bool = true, \"\";\n    PILOT_B pilot_b: String = text(\"\"),\n",
        );
        let reader = file("crates/mesh/src/a.rs", "if switches.pilot_a { }");
        let test = file("crates/mesh/src/a/tests.rs", "switches.pilot_b");
        let problems = check(&[list, reader, test]);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains("nobody reads PILOT_B"), "{problems:?}");
    }
}
