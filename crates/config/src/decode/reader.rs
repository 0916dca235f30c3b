//! The walk over one document: it knows the path it is on, collects positions and problems.

use std::fmt::Write as _;
use std::sync::Arc;

use super::node::{Content, Key, Mark, Node};
use super::schema::Field;
use crate::problem::{Problem, Severity};

/// The most problems of one document: one of nothing but mistakes must not cost more than it says.
const PROBLEMS: usize = 100;

/// The state of reading one document.
#[derive(Debug)]
pub struct Reader {
    file: Arc<str>,
    path: String,
    spans: Vec<(u64, Mark)>,
    problems: Vec<Problem>,
    failed: bool,
    quiet: bool,
}

impl Reader {
    /// A reader for one document of `file`.
    pub fn new(file: Arc<str>) -> Self {
        Self {
            file,
            path: String::new(),
            spans: Vec::new(),
            problems: Vec::new(),
            failed: false,
            quiet: false,
        }
    }

    /// The place of every field seen, by the hash of its path.
    pub(crate) fn into_parts(self) -> (Vec<(u64, Mark)>, Vec<Problem>) {
        (self.spans, self.problems)
    }

    /// Whether an error was reported: the object must not be used.
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// The path of the field being read, as in `spec.http[0].name`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Reports what refuses the document.
    pub fn error(&mut self, at: Mark, message: impl Into<String>, hint: impl Into<String>) {
        self.failed = true;
        self.report(Severity::Error, at, message.into(), hint.into());
    }

    /// Reports what has no effect.
    pub fn warn(&mut self, at: Mark, message: impl Into<String>, hint: impl Into<String>) {
        self.report(Severity::Warning, at, message.into(), hint.into());
    }

    fn report(&mut self, severity: Severity, at: Mark, message: String, hint: String) {
        if self.problems.len() >= PROBLEMS {
            return;
        }
        self.problems.push(Problem {
            file: Arc::clone(&self.file),
            line: at.line,
            column: at.column,
            object: String::new(),
            field: self.path.clone(),
            message,
            hint,
            severity,
        });
    }

    /// Reports that `node` is not what the field takes.
    pub fn mismatch(&mut self, node: &Node, expected: &str) {
        let hint = match &node.content {
            Content::Bool(_) | Content::Integer(_) | Content::Float(_) if expected == "a string" => {
                "put it in quotes"
            }
            _ => "",
        };
        self.error(node.at, format!("expected {expected}, found {}", node.describe()), hint);
    }

    /// The entries of an object; reports anything else and gives none.
    pub fn entries<'n>(&mut self, node: &'n Node) -> &'n [(Key, Node)] {
        if let Content::Object(entries) = &node.content {
            entries
        } else {
            if !node.is_null() {
                self.mismatch(node, "an object");
            }
            &[]
        }
    }

    /// Remembers where the field of the current path is; objects of an API have no such places.
    fn remember(&mut self, at: Mark) {
        if at.line > 0 && !self.quiet {
            self.spans.push((path_hash(&self.path), at));
        }
    }

    /// Runs `read` with `.name` added to the path, and remembers where that is.
    pub fn within<T>(&mut self, name: &str, at: Mark, read: impl FnOnce(&mut Self) -> T) -> T {
        self.deeper(|path| path.push_str(name), at, read)
    }

    /// Runs `read` with `.`, if something stands before it, and what `name` appends added to the path.
    fn deeper<T>(
        &mut self,
        name: impl FnOnce(&mut String),
        at: Mark,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        name(&mut self.path);
        self.remember(at);
        let out = read(self);
        self.path.truncate(length);
        out
    }

    /// Runs `read` with `[index]` added to the path, and remembers where that is.
    pub fn element<T>(&mut self, index: usize, at: Mark, read: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        let _ = write!(self.path, "[{index}]"); // writing to a String cannot fail
        self.remember(at);
        let out = read(self);
        self.path.truncate(length);
        out
    }

    /// Reads the value of a known field into its slot; `null` leaves the slot alone.
    pub(crate) fn field<F: Field>(&mut self, key: &Key, field: &str, json: &str, value: &Node, slot: &mut F) {
        let name = |path: &mut String| push_json_name(path, field, json);
        self.deeper(name, key.at, |reader| {
            if !value.is_null() {
                slot.read(value, reader);
            }
        });
    }

    /// Runs `read` without warnings of unknown fields.
    pub(crate) fn quietly(&mut self, read: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.quiet, true);
        read(self);
        self.quiet = before;
    }

    /// Warns of a field nobody reads, with the nearest known name.
    pub(crate) fn unknown(&mut self, key: &Key, known: &[(&str, &str)]) {
        if self.quiet || self.problems.len() >= PROBLEMS {
            return;
        }
        let names: Vec<String> = known.iter().map(|(field, json)| json_name(field, json)).collect();
        let hint = nearest(&key.name, names.iter().map(String::as_str))
            .map_or_else(|| "it is ignored".to_owned(), |name| format!("did you mean {name:?}?"));
        let name = key.name.clone();
        self.within(&name, key.at, |reader| reader.warn(key.at, "unknown field", hint));
    }
}

/// The JSON name of a Rust field name, unless `json` names it.
pub(crate) fn json_name(field: &str, json: &str) -> String {
    let mut out = String::with_capacity(field.len().max(json.len()));
    push_json_name(&mut out, field, json);
    out
}

/// Appends it.
fn push_json_name(out: &mut String, field: &str, json: &str) {
    if !json.is_empty() {
        out.push_str(json);
        return;
    }
    let mut upper = false;
    for c in field.strip_prefix("r#").unwrap_or(field).chars() {
        if c == '_' {
            upper = true;
        } else if upper {
            out.push(c.to_ascii_uppercase());
            upper = false;
        } else {
            out.push(c);
        }
    }
}

/// Whether a key a user wrote names a field: by its JSON name or by its snake-case name.
pub(crate) fn names(key: &Key, field: &str, json: &str) -> bool {
    let field = field.strip_prefix("r#").unwrap_or(field);
    let key = key.name.as_str();
    if key == field || (!json.is_empty() && key == json) {
        return true;
    }
    if !json.is_empty() {
        return false;
    }
    let mut have = key.bytes();
    let mut upper = false;
    for c in field.bytes() {
        if c == b'_' {
            upper = true;
            continue;
        }
        let want = if upper { c.to_ascii_uppercase() } else { c };
        upper = false;
        if have.next() != Some(want) {
            return false;
        }
    }
    have.next().is_none()
}

/// FNV-1a of a path: small, stable, and good enough for some hundred paths of one object.
pub(crate) fn path_hash(path: &str) -> u64 {
    path.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The name nearest to what was written, if it is near enough to be a typo of it.
pub(crate) fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let length = written.chars().count();
    let limit = (length / 3).min(3);
    let written = written.to_lowercase();
    known
        // as many edits as one is longer there are at least
        .filter(|name| name.chars().count().abs_diff(length) <= limit)
        .map(|name| (distance(&written, &name.to_lowercase()), name))
        .filter(|(d, _)| *d <= limit)
        .min()
        .map(|(_, name)| name)
}

/// The number of edits between two short words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
