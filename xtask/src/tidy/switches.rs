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
    let code = others.iter().filter(|file| !file.is_test()).flat_map(|file| file.code.split('.').skip(1));
    let read: BTreeSet<&str> = code.filter_map(|after| after.split(|c| !is_word(c)).next()).collect();
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
