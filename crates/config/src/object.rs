//! An object: who it is, where it was written, and its body.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::decode::reader::path_hash;
use crate::decode::{Mark, rfc3339};
use crate::kind::{Body, Kind, Spec};
use crate::labels::Labels;
use crate::shared::{Shared, text};
use crate::value::Value;

/// One object as a user wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Who it is.
    pub meta: Arc<Meta>,
    /// What it says.
    pub spec: Spec,
    /// The `status` of kinds of Istio and of the Gateway API, as it stands; `None` if there is none.
    pub status: Option<Arc<Value>>,
}

impl Object {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.spec.kind()
    }

    /// The body as the type `T`, if it is of that kind.
    pub fn get<T: Body>(&self) -> Option<&Arc<T>> {
        self.spec.get()
    }

    /// The object as an API server would show it, in the preferred version; absent fields are left out.
    ///
    /// For kinds of Kubernetes `spec` is what is kept of them, in one level (see [`Spec::to_value`]).
    pub fn to_value(&self) -> Value {
        let kind = self.kind();
        let mut out = BTreeMap::from([
            ("apiVersion".to_owned(), Value::String(kind.api_version())),
            ("kind".to_owned(), Value::String(kind.name().to_owned())),
            ("metadata".to_owned(), self.meta.to_value()),
            ("spec".to_owned(), self.spec.to_value()),
        ]);
        if let Some(status) = &self.status {
            out.insert("status".to_owned(), status.as_ref().clone());
        }
        Value::Object(out)
    }
}

/// Who an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: Arc<str>,
    /// Its namespace; empty if its kind has none.
    pub namespace: Arc<str>,
    /// Its labels.
    pub labels: Shared<Labels>,
    /// Its annotations.
    pub annotations: Shared<Labels>,
    /// When it was made, in seconds since 1970; 0 if unknown.
    pub creation: i64,
    /// Its unique id; empty outside an API server.
    pub uid: String,
    /// Its version at the API server; empty outside of one.
    pub resource_version: String,
    /// How often its spec changed; 0 outside an API server.
    pub generation: i64,
    /// Who owns it.
    pub owners: Shared<Vec<Owner>>,
    /// Whether its deletion has begun.
    pub deleting: bool,
    /// Where it was written.
    pub origin: Origin,
}

impl Meta {
    /// The identity of an object, everything else absent.
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self {
            kind,
            name: text(name),
            namespace: text(namespace),
            labels: Shared::default(),
            annotations: Shared::default(),
            creation: 0,
            uid: String::new(),
            resource_version: String::new(),
            generation: 0,
            owners: Shared::default(),
            deleting: false,
            origin: Origin::default(),
        }
    }

    /// The order of age: older first, then by name, then by namespace.
    ///
    /// As `pilot/pkg/model/config.go: configCompareByCreationTime`; objects of unknown age come first.
    pub fn by_age(&self, other: &Self) -> Ordering {
        self.creation
            .cmp(&other.creation)
            .then_with(|| self.name.cmp(&other.name))
            .then_with(|| self.namespace.cmp(&other.namespace))
    }

    /// The metadata as an API server would show it, without owners.
    fn to_value(&self) -> Value {
        let string = |text: &str| Value::String(text.to_owned());
        let map = |map: &Labels| {
            Value::Object(map.iter().map(|(key, value)| (key.clone(), string(value))).collect())
        };
        let members = [
            ("name", Some(string(&self.name))),
            ("namespace", (!self.namespace.is_empty()).then(|| string(&self.namespace))),
            ("labels", (!self.labels.is_empty()).then(|| map(&self.labels))),
            ("annotations", (!self.annotations.is_empty()).then(|| map(&self.annotations))),
            ("creationTimestamp", (self.creation != 0).then(|| Value::String(rfc3339(self.creation)))),
            ("uid", (!self.uid.is_empty()).then(|| string(&self.uid))),
            ("resourceVersion", (!self.resource_version.is_empty()).then(|| string(&self.resource_version))),
            ("generation", (self.generation != 0).then_some(Value::Integer(self.generation))),
        ];
        Value::Object(members.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect())
    }
}

/// As logs name an object: `VirtualService default/reviews`.
impl fmt::Display for Meta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

/// Another object that owns this one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Owner {
    /// `apiVersion` of the owner.
    pub api_version: String,
    /// Kind of the owner.
    pub kind: String,
    /// Name of the owner; it lives in the same namespace.
    pub name: String,
    /// Whether it manages this object.
    pub controller: bool,
}

/// Where an object was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file, or the name of the source if it is none.
    pub file: Arc<str>,
    /// Where the document begins.
    pub at: Mark,
    fields: Box<[(u64, Mark)]>,
}

impl Default for Origin {
    fn default() -> Self {
        Self::of(Arc::default())
    }
}

impl Origin {
    /// A source without text, where nothing has a place.
    pub fn of(source: Arc<str>) -> Self {
        Self { file: source, at: Mark::default(), fields: Box::default() }
    }

    /// An origin with the places of fields, given by the hash of their path.
    pub(crate) fn new(file: Arc<str>, at: Mark, mut fields: Vec<(u64, Mark)>) -> Self {
        fields.retain(|(_, mark)| mark.line > 0);
        fields.sort_unstable();
        fields.dedup_by_key(|(hash, _)| *hash);
        Self { file, at, fields: fields.into_boxed_slice() }
    }

    /// Where a field was written, by its path in JSON names as in `spec.http[0].route[0].weight`.
    pub fn locate(&self, path: &str) -> Option<Location> {
        let index = self.fields.binary_search_by_key(&path_hash(path), |(hash, _)| *hash).ok()?;
        let (_, mark) = self.fields.get(index)?;
        Some(Location { file: Arc::clone(&self.file), line: mark.line, column: mark.column })
    }

    /// Where the nearest part of a path was written that the user did write; at worst the document.
    pub fn nearest(&self, path: &str) -> Location {
        let mut path = path;
        loop {
            if let Some(location) = self.locate(path) {
                return location;
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => break,
            }
        }
        Location { file: Arc::clone(&self.file), line: self.at.line, column: self.at.column }
    }
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The file, or the name of the source if it is none.
    pub file: Arc<str>,
    /// Line, from 1; 0 if unknown.
    pub line: u32,
    /// Column, from 1; 0 if unknown.
    pub column: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return f.write_str(&self.file);
        }
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

#[cfg(test)]
mod tests;
