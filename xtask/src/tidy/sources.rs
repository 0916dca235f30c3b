//! Rules about single files: length, name, first line, a place in a module tree.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};

use super::text::blanked;
use crate::workspace::Workspace;

/// Longer than this is two files.
const FENCE: usize = 700;

/// Names that say nothing.
const FORBIDDEN: [&str; 9] =
    ["util", "utils", "helper", "helpers", "common", "misc", "types", "manager", "model"];

/// Folders whose files are data of a test, not modules.
const DATA: [&str; 4] = ["testdata", "ui", "compile_fail", "target"];

/// One `.rs` file of a crate.
pub(super) struct Source {
    /// The crate it belongs to.
    pub(super) package: String,
    /// From the workspace's root.
    pub(super) path: PathBuf,
    /// As it is.
    pub(super) text: String,
    /// Without comments and literals.
    pub(super) code: String,
}

impl Source {
    /// Is it compiled for tests, benches or the build only?
    pub(super) fn is_test(&self) -> bool {
        let named = |name: &str| self.path.components().any(|part| part == Component::Normal(name.as_ref()));
        named("tests") || named("benches") || named("tests.rs") || named("build.rs") || named("examples")
    }
}

/// Every `.rs` file of the workspace, sorted.
pub(super) fn load(workspace: &Workspace) -> Result<Vec<Source>> {
    let mut out = Vec::new();
    for package in &workspace.packages {
        let mut folders = vec![package.folder.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
                let path = entry?.path();
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                if path.is_dir() {
                    // A nested manifest is a package of its own (fuzz targets).
                    if !DATA.contains(&name) && !path.join("Cargo.toml").exists() {
                        folders.push(path);
                    }
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                    let code = blanked(&text);
                    let path = path.strip_prefix(&workspace.root).map(Path::to_owned).unwrap_or(path);
                    out.push(Source { package: package.name.clone(), path, text, code });
                }
            }
        }
    }
    out.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(out)
}

/// Files that break a rule.
pub(super) fn check(workspace: &Workspace, files: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    let reached = reached(workspace, files);
    for file in files {
        let path = file.path.display();
        let lines = file.text.lines().count();
        if lines > FENCE {
            problems.push(format!("{path}: {lines} lines; the fence is {FENCE}"));
        }
        if !file.text.starts_with("//! ") {
            problems
                .push(format!("{path}: the first line must be a `//!` sentence that says what the file is"));
        }
        for part in file.path.components() {
            let name = part.as_os_str().to_string_lossy();
            let name = name.strip_suffix(".rs").unwrap_or(&name);
            if FORBIDDEN.contains(&name) {
                problems.push(format!("{path}: the name {name:?} says nothing"));
            }
        }
        if file.path.ends_with("mod.rs") {
            problems.push(format!("{path}: a module is foo.rs + foo/, never mod.rs"));
        }
        if !reached.contains(&file.path) {
            problems.push(format!("{path}: no module tree has this file"));
        }
        envoy_words(file, &mut problems);
    }
    problems
}

/// Files that some target compiles, from its root by `mod` lines.
fn reached(workspace: &Workspace, files: &[Source]) -> BTreeSet<PathBuf> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<(PathBuf, PathBuf)> = Vec::new(); // a file, and the folder of its modules
    for root in workspace.packages.iter().flat_map(|package| &package.roots) {
        let root = root.strip_prefix(&workspace.root).unwrap_or(root).to_owned();
        let folder = root.parent().map(Path::to_owned).unwrap_or_default();
        open.push((root, folder));
    }
    while let Some((path, folder)) = open.pop() {
        let Some(file) = files.iter().find(|file| file.path == path) else { continue };
        if !reached.insert(path.clone()) {
            continue;
        }
        for name in modules(file) {
            open.push((folder.join(format!("{name}.rs")), folder.join(&name)));
        }
        // `#[path = "x.rs"] mod y;` and `include!("x.rs")` say where, seen from beside the file.
        for other in literals_after(file, &["#[path = \"", "include!(\""]) {
            let here = path.parent().unwrap_or(Path::new(""));
            let other = seen_from(here, Path::new(&other));
            open.push((other.clone(), other.with_extension("")));
        }
    }
    reached
}

/// What `path` names where `folder` is.
fn seen_from(folder: &Path, path: &Path) -> PathBuf {
    let mut out = folder.to_owned();
    for part in path.components() {
        if part == Component::ParentDir {
            out.pop();
        } else {
            out.push(part);
        }
    }
    out
}

/// Names in `mod name;` lines.
fn modules(file: &Source) -> Vec<String> {
    let mut out = Vec::new();
    for line in file.code.lines() {
        let Some(statement) = line.trim().strip_suffix(';') else { continue };
        let mut words = statement.split_whitespace().skip_while(|word| *word != "mod").skip(1);
        if let (Some(name), None) = (words.next(), words.next()) {
            out.push(name.to_owned());
        }
    }
    out
}

fn literals_after(file: &Source, openings: &[&str]) -> Vec<String> {
    let mut out = Vec::new();
    for opening in openings {
        for (at, _) in file.text.match_indices(opening) {
            let rest = &file.text[at + opening.len()..];
            out.extend(rest.split_once('"').map(|(literal, _)| literal.to_owned()));
        }
    }
    out
}

/// Crates in which Envoy's messages may be made or read.
const ENVOY_WORDS: [&str; 8] =
    ["proto", "generate", "simulate", "xds", "istioctl", "testkit", "e2e", "xtask"];

/// Envoy resources are made in `generate` only; elsewhere only the discovery protocol is spoken.
fn envoy_words(file: &Source, problems: &mut Vec<String>) {
    // The agent makes its bootstrap and its secrets where they are served.
    let path = file.path.to_string_lossy();
    let served = file.package == "pilot-agent" && (path.contains("bootstrap") || path.contains("sds"));
    let allowed = served || ENVOY_WORDS.contains(&file.package.as_str());
    if allowed || file.is_test() {
        return;
    }
    for (number, line) in file.code.lines().enumerate() {
        let mut from = 0;
        while let Some(at) = line[from..].find("proto::envoy") {
            from += at + "proto::envoy".len();
            let rest = &line[from..];
            // The core node is what a client says of itself in the protocol.
            if !rest.starts_with("::service::") && !rest.starts_with("::config::core::v3::Node") {
                problems.push(format!(
                    "{}:{}: Envoy resources are made in generate only",
                    file.path.display(),
                    number + 1
                ));
            }
        }
    }
}
