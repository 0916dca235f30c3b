//! From a file to objects: every document by itself, lists unpacked, what is not ours told apart.

use std::sync::Arc;

use super::metadata;
use super::node::{Content, Mark, Node};
use super::reader::{Reader, nearest};
use super::yaml::{self, SyntaxError};
use crate::kind::{self, Kind};
use crate::object::{Object, Origin};
use crate::problem::{Problem, Severity};
use crate::validate;
use crate::value::Value;

/// What a text gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decoded {
    /// The objects, in the order of the text.
    pub objects: Vec<Object>,
    /// What the user should know, in the order of the text.
    pub problems: Vec<Problem>,
}

/// Reads every object of a YAML or JSON text, as `kubectl apply -f` would find them.
///
/// `file` is what problems and origins name. Objects without a namespace get `default`. A document that is
/// refused is reported and left out; the others are not touched by it. Kinds that are not ours are skipped
/// with a problem of severity `Info`.
pub fn documents(file: &str, text: &str) -> Decoded {
    documents_in(file, text, "default")
}

/// Like [`documents`], with another namespace for objects that name none.
pub fn documents_in(file: &str, text: &str, namespace: &str) -> Decoded {
    let file: Arc<str> = file.into();
    let mut out = Decoded::default();
    for tree in yaml::trees(text) {
        match tree {
            Ok(root) => document(&file, &root, namespace, &mut out),
            Err(SyntaxError { at, message, hint }) => {
                out.problems.push(place(&file, at, Severity::Error, message, hint));
            }
        }
    }
    out
}

/// Reads one object of an API server; `source` is what problems and its origin name.
pub fn from_json(source: &str, json: &serde_json::Value) -> Decoded {
    let mut out = Decoded::default();
    document(&source.into(), &Node::from(json), "", &mut out);
    out
}

/// Reads one tree that is an object or a list of objects.
pub fn from_node(file: &Arc<str>, root: &Node, namespace: &str) -> Decoded {
    let mut out = Decoded::default();
    document(file, root, namespace, &mut out);
    out
}

fn place(file: &Arc<str>, at: Mark, severity: Severity, message: String, hint: String) -> Problem {
    let (object, field) = (String::new(), String::new());
    let file = Arc::clone(file);
    Problem { file, line: at.line, column: at.column, object, field, message, hint, severity }
}

fn document(file: &Arc<str>, root: &Node, namespace: &str, out: &mut Decoded) {
    let text = |key: &str| root.get(key).and_then(Node::as_str);
    let (Some(api_version), Some(kind_name)) = (text("apiVersion"), text("kind")) else {
        let what = if matches!(root.content, Content::Object(_)) {
            "a document needs the strings apiVersion and kind".to_owned()
        } else {
            format!("expected an object, found {}", root.describe())
        };
        out.problems.push(place(file, root.at, Severity::Error, what, String::new()));
        return;
    };
    if let Some(element) = kind_name.strip_suffix("List")
        && let Some(Node { content: Content::List(items), .. }) = root.get("items")
    {
        for item in items {
            list_item(file, item, (api_version, element), namespace, out);
        }
        return;
    }
    match Kind::find(api_version, kind_name) {
        Some(kind) => object(file, root, kind, namespace, out),
        None => out.problems.push(unknown_kind(file, root, api_version, kind_name)),
    }
}

/// Reads one element of a list; elements of a typed list need not repeat the kind.
fn list_item(file: &Arc<str>, item: &Node, kind: (&str, &str), namespace: &str, out: &mut Decoded) {
    let known = Kind::find(kind.0, kind.1);
    match known.filter(|_| item.get("kind").is_none()) {
        Some(kind) => object(file, item, kind, namespace, out),
        None => document(file, item, namespace, out),
    }
}

fn unknown_kind(file: &Arc<str>, root: &Node, api_version: &str, kind_name: &str) -> Problem {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let problem = |severity, message: String, hint: String| {
        let at = root.get("kind").map_or(root.at, |node| node.at);
        place(file, at, severity, message, hint)
    };
    if let Some(kind) = Kind::in_group(group, kind_name) {
        let message = format!("{kind_name} has no version {version:?}");
        return problem(Severity::Error, message, format!("use {}", kind.api_version()));
    }
    if Kind::ALL.iter().any(|kind| kind.is_configuration() && kind.group() == group) {
        let names = Kind::ALL.iter().filter(|k| k.group() == group).map(|k| k.name());
        let hint = match nearest(kind_name, names).and_then(|n| Kind::in_group(group, n)) {
            Some(kind) => format!("did you mean {} of {}?", kind.name(), kind.api_version()),
            None => "it is ignored".to_owned(),
        };
        return problem(Severity::Warning, format!("{group} has no kind {kind_name}"), hint);
    }
    problem(Severity::Info, format!("{kind_name} of {api_version} is not used by the mesh"), String::new())
}

/// Reads one object of a known kind.
fn object(file: &Arc<str>, root: &Node, kind: Kind, namespace: &str, out: &mut Decoded) {
    let mut reader = Reader::new(Arc::clone(file));
    let mut meta = metadata::read(root, kind, namespace, &mut reader);
    let spec = kind::read_body(kind, root, &mut reader);
    let failed = reader.failed();
    let (fields, mut problems) = reader.into_parts();
    let name = if meta.name.is_empty() { kind.name().to_owned() } else { meta.to_string() };
    for problem in &mut problems {
        problem.object.clone_from(&name);
    }
    out.problems.extend(problems);
    if failed {
        return;
    }
    // positions of the kinds of Kubernetes are not worth their memory: nobody explains a pod's fields
    let fields = if kind.is_configuration() { fields } else { Vec::new() };
    meta.origin = Origin::new(Arc::clone(file), root.at, fields);
    let status = root.get("status").filter(|_| kind.is_configuration()).map(Node::to_value);
    let status = status.filter(|v| *v != Value::Null).map(Arc::new);
    let object = Object { meta: Arc::new(meta), spec, status };
    let refusals = validate::refusals(&object);
    if refusals.is_empty() {
        out.objects.push(object);
    }
    out.problems.extend(refusals);
}

#[cfg(test)]
mod tests;
