//! The core reads no clock, file or environment: clippy's bans are in place, and nothing slips past them.

use std::fs;

use super::sources::Source;
use crate::workspace::Workspace;

/// Crates whose results follow from their arguments alone.
const PURE: [&str; 9] =
    ["tables", "gotmpl", "config", "identity", "mesh", "analysis", "manifests", "generate", "simulate"];

/// The bans of every pure crate; each has this text as its `clippy.toml`.
pub(super) const BANS: &str = include_str!("pure-clippy.toml");

/// Words that no pure code has, tests aside.
const WORDS: [&str; 9] = [
    "std::env::",
    "std::fs::",
    "std::net::Tcp",
    "std::net::Udp",
    "std::process::",
    "SystemTime::now",
    "Instant::now",
    "thread::sleep",
    "println!(",
];

/// Pure crates without the bans, and uses that the bans would not see.
pub(super) fn check(workspace: &Workspace, files: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for package in workspace.packages.iter().filter(|package| PURE.contains(&package.name.as_str())) {
        let path = package.folder.join("clippy.toml");
        if fs::read_to_string(&path).ok().as_deref() != Some(BANS) {
            problems.push(format!(
                "{}: clippy.toml must be a copy of xtask/src/tidy/pure-clippy.toml",
                package.name
            ));
        }
    }
    for file in files.iter().filter(|file| PURE.contains(&file.package.as_str()) && !file.is_test()) {
        for (number, line) in file.code.lines().enumerate() {
            for word in WORDS.iter().filter(|word| line.contains(*word)) {
                problems.push(format!("{}:{}: {word} in a pure crate", file.path.display(), number + 1));
            }
        }
    }
    problems
}
