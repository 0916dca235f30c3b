//! From text to trees: one per document, with the position of everything, within a budget.

use std::collections::{BTreeMap, BTreeSet};

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::node::{Content, Key, Mark, Node};
use super::scalar;

/// The most nodes that aliases of one document may add: far beyond honest use, far below a bomb.
const ALIAS_BUDGET: usize = 50_000;
/// The deepest nesting: deeper trees are mistakes or attacks, and recursion over them must be safe.
const DEPTH: usize = 128;

/// Why a document is no tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// Where it was noticed.
    pub at: Mark,
    /// What is wrong.
    pub message: String,
    /// What to do; may be empty.
    pub hint: String,
}

/// Every document of a text, each a tree or the reason why it is none; empty documents are left out.
pub fn trees(text: &str) -> Vec<Result<Node, SyntaxError>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut out = Vec::new();
    for (line, part) in split(text) {
        // `%YAML 1.1` stands before the line that begins its document
        if part.lines().all(|line| line.trim().is_empty() || line.starts_with(['#', '%'])) {
            continue;
        }
        match one(part) {
            Ok(node) if node.is_null() => {}
            Ok(mut node) => {
                shift(&mut node, line);
                out.push(Ok(node));
            }
            Err(error) => out.push(json(part).ok_or_else(|| {
                let at = Mark { line: error.at.line + line, column: error.at.column };
                SyntaxError { at, ..error }
            })),
        }
    }
    out
}

/// The documents of a text and how many lines stand before each.
///
/// They are parted before they are parsed, so that a mistake in one does not hide the others.
fn split(text: &str) -> Vec<(u32, &str)> {
    let mut out = Vec::new();
    let (mut start, mut start_line, mut offset, mut number) = (0, 0, 0, 0);
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end();
        let separator = bare == "---" || bare.starts_with("--- ") || bare.starts_with("---\t");
        if separator && offset > start {
            out.push((start_line, &text[start..offset]));
            start = offset;
            start_line = number;
        }
        offset += line.len();
        number += 1;
    }
    out.push((start_line, &text[start..]));
    out
}

/// The tree of strict JSON that is no YAML (tabs, surrogate pairs); it has no positions.
fn json(text: &str) -> Option<Node> {
    if !text.trim_start().starts_with(['{', '[']) {
        return None;
    }
    serde_json::from_str::<serde_json::Value>(text).ok().map(|value| Node::from(&value))
}

/// Moves every position down by `lines`.
fn shift(node: &mut Node, lines: u32) {
    if lines == 0 {
        return;
    }
    node.at.line += lines;
    match &mut node.content {
        Content::List(elements) => elements.iter_mut().for_each(|e| shift(e, lines)),
        Content::Object(entries) => {
            for (key, value) in entries {
                key.at.line += lines;
                shift(value, lines);
            }
        }
        _ => {}
    }
}

/// The tree of a text with one document.
fn one(text: &str) -> Result<Node, SyntaxError> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|e| {
            let at = mark_of(e.marker());
            // the parser gives the place a second time in its text
            SyntaxError { at, message: format!("not valid YAML: {}", e.info()), hint: hint_of(text, at) }
        })?;
        builder.take(event, mark(span))?;
    }
    Ok(builder.root.unwrap_or(Node { at: Mark { line: 1, column: 1 }, content: Content::Null }))
}

/// The usual cause of a syntax error in this line.
fn hint_of(text: &str, at: Mark) -> String {
    let line = text.lines().nth((at.line as usize).saturating_sub(1)).unwrap_or_default();
    if line.trim_start_matches(' ').starts_with('\t') {
        "indent with spaces, not with tabs".to_owned()
    } else {
        String::new()
    }
}

fn mark(span: Span) -> Mark {
    mark_of(&span.start)
}

fn mark_of(marker: &saphyr_parser::Marker) -> Mark {
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    // lines of the parser begin at 1 and its columns at 0
    Mark { line: small(marker.line()).max(1), column: small(marker.col()) + 1 }
}

/// A list or object that is still open.
#[derive(Debug)]
enum Open {
    List { at: Mark, anchor: usize, elements: Vec<Node> },
    Object { at: Mark, anchor: usize, entries: Vec<(Key, Node)>, seen: BTreeSet<String>, key: Option<Key> },
}

/// Builds a tree from events.
#[derive(Debug, Default)]
struct Builder {
    open: Vec<Open>,
    anchors: BTreeMap<usize, (Node, usize)>,
    aliased: usize,
    root: Option<Node>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: Mark) -> Result<(), SyntaxError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let content = resolve(&text, style, tag.as_deref()).map_err(|message| SyntaxError {
                    at,
                    message,
                    hint: String::new(),
                })?;
                self.add(Node { at, content }, anchor)
            }
            Event::SequenceStart(anchor, _) => {
                self.begin(at, Open::List { at, anchor, elements: Vec::new() })
            }
            Event::MappingStart(anchor, _) => {
                let (entries, seen) = (Vec::new(), BTreeSet::new());
                self.begin(at, Open::Object { at, anchor, entries, seen, key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor, at),
            _ => Ok(()),
        }
    }

    fn begin(&mut self, at: Mark, open: Open) -> Result<(), SyntaxError> {
        if self.open.len() >= DEPTH {
            return Err(error(at, format!("nested deeper than {DEPTH} levels")));
        }
        self.open.push(open);
        Ok(())
    }

    fn end(&mut self) -> Result<(), SyntaxError> {
        match self.open.pop() {
            Some(Open::List { at, anchor, elements }) => {
                self.add(Node { at, content: Content::List(elements) }, anchor)
            }
            Some(Open::Object { at, anchor, mut entries, mut seen, .. }) => {
                merge(&mut entries, &mut seen)?;
                self.add(Node { at, content: Content::Object(entries) }, anchor)
            }
            None => Ok(()),
        }
    }

    fn alias(&mut self, anchor: usize, at: Mark) -> Result<(), SyntaxError> {
        let Some((node, size)) = self.anchors.get(&anchor) else {
            return Err(error(at, "the alias names an anchor that is not complete".to_owned()));
        };
        self.aliased += size;
        if self.aliased > ALIAS_BUDGET {
            return Err(error(at, format!("aliases add more than {ALIAS_BUDGET} values")));
        }
        let node = node.clone();
        if self.open.len() + depth(&node) > DEPTH {
            return Err(error(at, format!("nested deeper than {DEPTH} levels")));
        }
        self.add(node, 0)
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), SyntaxError> {
        if anchor > 0 {
            let size = size(&node);
            // anchored copies are work too: a chain of anchors around anchors is quadratic
            self.aliased += size;
            if self.aliased > ALIAS_BUDGET {
                return Err(error(
                    node.at,
                    format!("anchors and aliases add more than {ALIAS_BUDGET} values"),
                ));
            }
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.open.last_mut() {
            None => {
                if self.root.is_some() {
                    return Err(error(node.at, "more than one value in a document".to_owned()));
                }
                self.root = Some(node);
            }
            Some(Open::List { elements, .. }) => elements.push(node),
            Some(Open::Object { entries, seen, key, .. }) => match key.take() {
                Some(key) => entries.push((key, node)),
                None => {
                    let name = scalar::key(&node)
                        .ok_or_else(|| error(node.at, format!("{} cannot be a key", node.describe())))?;
                    if !seen.insert(name.clone()) {
                        return Err(SyntaxError {
                            at: node.at,
                            message: format!("the key {name:?} is there twice"),
                            hint: "remove one of them".to_owned(),
                        });
                    }
                    *key = Some(Key { at: node.at, name });
                }
            },
        }
        Ok(())
    }
}

/// Replaces `<<: *other` by the entries of the other object that are not there already.
fn merge(entries: &mut Vec<(Key, Node)>, seen: &mut BTreeSet<String>) -> Result<(), SyntaxError> {
    let Some(index) = entries.iter().position(|(key, _)| key.name == "<<") else { return Ok(()) };
    let (key, value) = entries.remove(index);
    let sources = match value.content {
        Content::Object(source) => vec![source],
        Content::List(list) => list
            .into_iter()
            .filter_map(|n| if let Content::Object(o) = n.content { Some(o) } else { None })
            .collect(),
        _ => return Err(error(key.at, "`<<` takes an object or a list of objects".to_owned())),
    };
    entries.extend(sources.into_iter().flatten().filter(|(key, _)| seen.insert(key.name.clone())));
    Ok(())
}

fn error(at: Mark, message: String) -> SyntaxError {
    SyntaxError { at, message, hint: String::new() }
}

/// What a scalar says, by its style and tag.
fn resolve(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Content, String> {
    let core = tag.filter(|t| t.is_yaml_core_schema()).map(|t| t.suffix.as_str());
    match core {
        Some("str" | "binary" | "timestamp") => Ok(Content::String(text.to_owned())),
        Some(_) => scalar::plain(text),
        None if tag.is_some() || style != ScalarStyle::Plain => Ok(Content::String(text.to_owned())),
        None => scalar::plain(text),
    }
}

/// How many values a tree has.
fn size(node: &Node) -> usize {
    1 + match &node.content {
        Content::List(elements) => elements.iter().map(size).sum(),
        Content::Object(entries) => entries.iter().map(|(_, v)| size(v)).sum(),
        _ => 0,
    }
}

/// How deep a tree is.
fn depth(node: &Node) -> usize {
    match &node.content {
        Content::List(elements) => 1 + elements.iter().map(depth).max().unwrap_or(0),
        Content::Object(entries) => 1 + entries.iter().map(|(_, v)| depth(v)).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
