//! From an origin to a place: file, line and column, as far as somebody still knows what was written.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use config::{Kind, Location, Meta, Spec, Value};

use super::{Field, Origin};

/// Who knows what was written. The world does not: a row that only moved to another line is the same row.
pub trait Written {
    /// An object as it was read last; without its spec where that is not kept.
    fn object(&self, kind: Kind, namespace: &str, name: &str) -> Option<(Arc<Meta>, Option<Spec>)>;
    /// The places of the fields of MeshConfig in its text, if there is one.
    fn mesh_config(&self) -> Option<Arc<config::Origin>>;
}

/// Where a piece was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// In an object.
    Object {
        /// Its kind.
        kind: Kind,
        /// Its namespace.
        namespace: Arc<str>,
        /// Its name.
        name: Arc<str>,
        /// The field, elements of lists by number; of a kind of Kubernetes as far as its form is known.
        field: String,
        /// The place of the field, or of the nearest part of its path that was written; at worst of the object. `None`
        /// if nobody knows the object any more.
        at: Option<Location>,
    },
    /// In MeshConfig.
    MeshConfig {
        /// The field.
        field: Cow<'static, str>,
        /// Its place; `None` where nobody wrote it and its default holds.
        at: Option<Location>,
    },
    /// In the metadata of the proxy.
    Proxy(Cow<'static, str>),
    /// Nowhere: this default holds.
    Default(Cow<'static, str>),
}

/// Kind, namespace, name.
type Id = (Kind, Arc<str>, Arc<str>);
/// Who an object is, and what it says where that is kept.
type Known = Option<(Arc<Meta>, Option<Value>)>;

/// Finds the places of origins; what it has looked up once it remembers.
pub struct Places<'a> {
    written: &'a dyn Written,
    mesh: Option<Arc<config::Origin>>,
    objects: RefCell<BTreeMap<Id, Arc<Known>>>,
}

impl std::fmt::Debug for Places<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Places").finish_non_exhaustive()
    }
}

impl<'a> Places<'a> {
    /// Over what is known now.
    #[must_use]
    pub fn new(written: &'a dyn Written) -> Self {
        Self { written, mesh: written.mesh_config(), objects: RefCell::default() }
    }

    /// The place of an origin.
    #[must_use]
    pub fn of(&self, origin: &Origin) -> Place {
        match origin {
            Origin::Field(fields) => self.first_written(fields),
            Origin::MeshConfig(field) => {
                let at = self.mesh.as_ref().and_then(|mesh| mesh.locate(field));
                Place::MeshConfig { field: field.clone(), at }
            }
            Origin::Proxy(field) => Place::Proxy(field.clone()),
            Origin::Default(which) => Place::Default(which.clone()),
        }
    }

    fn first_written(&self, fields: &[Field]) -> Place {
        let mut best: Option<Place> = None;
        for field in fields {
            let (place, found) = self.field(field);
            if found || best.is_none() {
                best = Some(place);
            }
            if found {
                break;
            }
        }
        best.unwrap_or_else(|| Place::Default("an object that nobody knows any more".into()))
    }

    /// The place of a field, and whether it is there.
    fn field(&self, field: &Field) -> (Place, bool) {
        let known = self.known(field);
        let (path, found) = match &*known {
            Some((_, Some(value))) => numbered(value, &field.path),
            // of a kind of Kubernetes only the place of the object is known
            _ => (field.path.clone(), known.is_some()),
        };
        let at = known.as_ref().as_ref().map(|(meta, _)| meta.origin.nearest(&path));
        let (kind, namespace, name) = (field.kind, field.namespace.clone(), field.name.clone());
        (Place::Object { kind, namespace, name, field: path, at }, found)
    }

    fn known(&self, field: &Field) -> Arc<Known> {
        let key = (field.kind, field.namespace.clone(), field.name.clone());
        let look = || {
            let (meta, spec) = self.written.object(field.kind, &field.namespace, &field.name)?;
            let value = spec.filter(|_| field.kind.is_configuration()).map(|spec| spec.to_value());
            Some((meta, value))
        };
        self.objects.borrow_mut().entry(key).or_insert_with(|| Arc::new(look())).clone()
    }
}

/// A path whose chosen elements are named by number, as far as it leads, and whether all of it is there. `spec` is the
/// value of the first part.
fn numbered(spec: &Value, path: &str) -> (String, bool) {
    let mut out = String::with_capacity(path.len());
    let mut at = Some(spec);
    for (depth, part) in parts(path).enumerate() {
        let step = match part {
            Part::Member(name) => {
                if depth > 0 {
                    out.push('.');
                }
                out.push_str(name);
                // the value given is that of the first part
                if depth == 0 { at } else { at.and_then(|value| value.get(name)) }
            }
            Part::Element(which) => {
                let list = at.and_then(Value::as_list);
                let number = which
                    .parse::<usize>()
                    .ok()
                    .or_else(|| list?.iter().position(|element| is_chosen(element, which)));
                match number {
                    Some(number) => out.push_str(&format!("[{number}]")),
                    None => return (out, false),
                }
                list.zip(number).and_then(|(list, number)| list.get(number))
            }
        };
        at = step;
    }
    (out, at.is_some())
}

/// Whether an element of a list is meant by `member=value`, or `=value` for the element itself.
fn is_chosen(element: &Value, which: &str) -> bool {
    let Some((member, want)) = which.split_once('=') else { return false };
    let mut at = Some(element);
    for name in member.split('.').filter(|name| !name.is_empty()) {
        at = at.and_then(|value| value.get(name));
    }
    match at {
        Some(Value::String(text)) => text == want,
        Some(Value::Integer(number)) => number.to_string() == want,
        _ => false,
    }
}

enum Part<'p> {
    Member(&'p str),
    Element(&'p str),
}

/// Members and elements of a path; dots within brackets belong to what is in them.
fn parts(path: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = path;
    std::iter::from_fn(move || {
        if let Some(inner) = rest.strip_prefix('[') {
            let (which, after) = inner.split_once(']').unwrap_or((inner, ""));
            rest = after.strip_prefix('.').unwrap_or(after);
            return Some(Part::Element(which));
        }
        if rest.is_empty() {
            return None;
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        rest = after.strip_prefix('.').unwrap_or(after);
        Some(Part::Member(name))
    })
}
