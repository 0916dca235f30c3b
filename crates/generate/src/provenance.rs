//! Provenance: which object and field, which setting or which default every piece of a resource comes from.
//!
//! Nothing of it is kept. Who wants to know asks [`Generator::explain`](crate::Generator::explain): the builders run
//! once more on the same world and say, beside what they make, where they have it from. In every other build there is
//! nobody to say it to, and the closures given to `note` and `within` are not called.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::Kind;
use mesh::rules::Rule;
use mesh::services::Service;
use mesh::{ServiceKey, World};
use tables::{Explained, Level, Mark, Reads};

use crate::encoded::TypeName;
use crate::plan::{Edition, EditionOf};
use crate::routes::travels_apart;
use crate::scope::Named;

mod place;
#[cfg(test)]
mod tests;

pub use place::{Place, Places, Written};

/// A field of an object.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Field {
    /// Kind of the object.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Path in JSON names, `spec.http[0].timeout`. An element of a list may be chosen by what it says:
    /// `spec.subsets[name=v1]`, `spec.servers[port.number=80]`, `spec.hosts[=reviews]`.
    pub path: String,
}

/// Where a piece comes from.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Origin {
    /// The first of these fields that was written; the first, if none was.
    Field(Vec<Field>),
    /// A field of MeshConfig, as written or by its default.
    MeshConfig(Cow<'static, str>),
    /// What the proxy says of itself: a field of its metadata.
    Proxy(Cow<'static, str>),
    /// Nobody said anything, and this holds then.
    Default(Cow<'static, str>),
}

impl Origin {
    /// A field of one object.
    pub(crate) fn field(kind: Kind, (namespace, name): (&str, &str), path: impl Into<String>) -> Self {
        Self::Field(vec![Field { kind, namespace: namespace.into(), name: name.into(), path: path.into() }])
    }

    /// A field of an object of which a row of the mesh tells.
    pub(crate) fn named(kind: Kind, named: &Named, path: impl Into<String>) -> Self {
        Self::field(kind, (&named.0, &named.1), path)
    }

    /// A field of MeshConfig, by its path in JSON names.
    pub(crate) fn mesh(path: impl Into<Cow<'static, str>>) -> Self {
        Self::MeshConfig(path.into())
    }

    /// What holds where nobody said anything.
    pub(crate) fn default(which: impl Into<Cow<'static, str>>) -> Self {
        Self::Default(which.into())
    }

    /// The first of these fields of a rule that was written, in the oldest object merged into it that has it.
    pub(crate) fn rule(rule: &Rule, paths: impl IntoIterator<Item = String>) -> Self {
        let of = |path: String| {
            let by = rule.from.iter().filter_map(|from| from.split_once('/'));
            by.map(move |(namespace, name)| Field {
                kind: Kind::DestinationRule,
                namespace: namespace.into(),
                name: name.into(),
                path: path.clone(),
            })
        };
        Self::Field(paths.into_iter().flat_map(of).collect())
    }

    /// What declares a service; with a port, where it declares that.
    pub(crate) fn service(service: &Service, port: Option<u32>) -> Self {
        let field = |by: &Arc<str>| {
            let (kind, object) = by.split_once(' ')?;
            let (namespace, name) = object.split_once('/').unwrap_or(("", object));
            let kind = Kind::ALL.iter().copied().find(|k| k.name() == kind)?;
            let path = match port {
                Some(number) if kind == Kind::ServiceEntry => format!("spec.ports[number={number}]"),
                Some(number) => format!("spec.ports[port={number}]"),
                None => "spec".to_owned(),
            };
            Some(Field { kind, namespace: namespace.into(), name: name.into(), path })
        };
        Self::Field(service.declared_by.iter().filter_map(field).collect())
    }
}

/// A piece of a resource, and where it comes from.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Piece {
    /// Path within the resource in the names of its message, `virtual_hosts[a:80].routes[0].route.timeout`; names stand
    /// for numbers where elements have them. Empty for the resource as a whole: why there is one.
    pub path: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// An edition with the provenance of its resources.
#[derive(Debug)]
pub struct Explanation {
    /// The edition, byte for byte the one that is served on the same world.
    pub edition: Arc<Edition>,
    /// Its digest.
    pub digest: u64,
    /// The pieces of each resource by name, sorted by path, each once.
    pub pieces: BTreeMap<Arc<str>, Vec<Piece>>,
}

/// What a builder said, while it is not yet known of which resource, or where in it.
#[derive(Clone, Debug)]
struct Note {
    of: Option<(TypeName, Arc<str>)>,
    path: String,
    origin: Origin,
    /// Who contributed it, where several may and only the first one counts.
    part: Option<Arc<Contributor>>,
}

/// Who contributes virtual hosts to a route configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Contributor {
    /// A virtual service.
    VirtualService(Named),
    /// A service, if no virtual service speaks of it.
    Service(ServiceKey),
}

/// The virtual hosts that a route configuration of a sidecar has in the end.
struct Kept(Arc<str>, BTreeSet<Arc<str>>);

/// Says where a piece comes from: its path within what the caller builds, and its origin.
#[inline]
pub(crate) fn note<L: Level, P: Into<String>>(r: &Reads<L>, said: impl FnOnce() -> (P, Origin)) {
    if let Some(trace) = r.trace() {
        let (path, origin) = said();
        trace.say(Note { of: None, path: path.into(), origin, part: None });
    }
}

/// Says several at once.
#[inline]
pub(crate) fn notes<L: Level>(r: &Reads<L>, said: impl FnOnce(&mut dyn FnMut(&str, Origin))) {
    if let Some(trace) = r.trace() {
        said(&mut |path, origin| trace.say(Note { of: None, path: path.into(), origin, part: None }));
    }
}

/// What `build` says is about the part of this path.
#[inline]
pub(crate) fn within<L: Level, T>(
    r: &Reads<L>,
    path: impl FnOnce() -> String,
    build: impl FnOnce() -> T,
) -> T {
    let Some(trace) = r.trace() else { return build() };
    let (out, said) = collect(r, build);
    let path = path();
    said.0.into_iter().for_each(|note| trace.say(note.below(&path)));
    out
}

/// What `build` says is about this resource.
#[inline]
pub(crate) fn resource<L: Level, T, N: Into<Arc<str>>>(
    r: &Reads<L>,
    of: TypeName,
    name: impl FnOnce() -> N,
    build: impl FnOnce() -> T,
) -> T {
    if r.trace().is_none() {
        return build();
    }
    let (out, said) = collect(r, build);
    said.about(r, of, &name().into());
    out
}

/// What was said, to be said of one or several places.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said(Vec<Note>);

/// Builds, and takes what was said.
#[inline]
pub(crate) fn collect<L: Level, T>(r: &Reads<L>, build: impl FnOnce() -> T) -> (T, Said) {
    let Some(trace) = r.trace() else { return (build(), Said::default()) };
    let mark = trace.mark();
    let out = build();
    (out, Said(trace.take(mark)))
}

impl Note {
    fn below(mut self, path: &str) -> Self {
        // what is known of a resource already is not moved
        if self.of.is_none() && !path.is_empty() {
            let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
            self.path = format!("{path}{dot}{}", self.path);
        }
        self
    }

    fn about(mut self, of: TypeName, name: &Arc<str>) -> Self {
        self.of.get_or_insert_with(|| (of, name.clone()));
        self
    }
}

impl Said {
    /// Says it of a resource.
    pub(crate) fn about<L: Level>(&self, r: &Reads<L>, of: TypeName, name: &Arc<str>) {
        if let Some(trace) = r.trace() {
            self.0.iter().cloned().for_each(|note| trace.say(note.about(of, name)));
        }
    }

    /// Adds what `build` says.
    pub(crate) fn add<L: Level>(&mut self, r: &Reads<L>, build: impl FnOnce()) {
        let ((), said) = collect(r, build);
        self.0.extend(said.0);
    }

    /// Adds what was said of another.
    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Says it below a path.
    pub(crate) fn again<L: Level>(&self, r: &Reads<L>, path: impl FnOnce() -> String) {
        if let Some(trace) = r.trace() {
            let path = path();
            self.0.iter().cloned().for_each(|note| trace.say(note.below(&path)));
        }
    }

    /// Only what was said of the part at `path`, relative to it.
    pub(crate) fn of(&self, path: &str) -> Self {
        let rest = |note: &Note| {
            let rest = note.path.strip_prefix(path)?;
            let rest = if rest.is_empty() { rest } else { rest.strip_prefix('.')? };
            Some(Note { path: rest.to_owned(), ..note.clone() })
        };
        Self(self.0.iter().filter_map(rest).collect())
    }
}

/// Every resource that `build` says something about is there because of this as well.
pub(crate) fn because<L: Level, T>(
    r: &Reads<L>,
    origin: impl FnOnce() -> Origin,
    build: impl FnOnce() -> T,
) -> T {
    let Some(trace) = r.trace() else { return build() };
    let (out, said) = collect(r, build);
    let about: BTreeSet<_> = said.0.iter().filter_map(|note| note.of.clone()).collect();
    said.0.into_iter().for_each(|note| trace.say(note));
    let origin = origin();
    for of in about {
        trace.say(Note { of: Some(of), path: String::new(), origin: origin.clone(), part: None });
    }
    out
}

/// What `build` says is contributed by `part`: of virtual hosts of one name the first part's counts.
pub(crate) fn part<L: Level, T>(
    r: &Reads<L>,
    part: impl FnOnce() -> Contributor,
    build: impl FnOnce() -> T,
) -> T {
    let Some(trace) = r.trace() else { return build() };
    let (out, said) = collect(r, build);
    let part = Arc::new(part());
    for note in said.0 {
        trace.say(Note { part: Some(part.clone()), ..note });
    }
    out
}

/// Says which virtual hosts a route configuration has in the end.
pub(crate) fn kept<L: Level>(r: &Reads<L>, route: &Arc<str>, hosts: impl FnOnce() -> BTreeSet<Arc<str>>) {
    if let Some(trace) = r.trace() {
        trace.say(Kept(route.clone(), hosts()));
    }
}

/// The name of the virtual host that a path leads into, and the path from there.
fn host_of(path: &str) -> Option<(&str, &str)> {
    let named = path.strip_prefix("virtual_hosts[")?;
    // the name may have brackets of its own, around an address
    let end = named
        .match_indices(']')
        .map(|(at, _)| at)
        .find(|at| matches!(named[at + 1..].chars().next(), None | Some('.')))?;
    Some((&named[..end], named[end + 1..].trim_start_matches('.')))
}

/// Puts together what was said of an edition: by resource, without what did not come to be.
pub(crate) fn explanation(key: &EditionOf, explained: Explained<Edition>) -> Explanation {
    let notes = explained.trace.take::<Note>(Mark::default());
    let kept: BTreeMap<Arc<str>, BTreeSet<Arc<str>>> =
        explained.trace.take::<Kept>(Mark::default()).into_iter().map(|k| (k.0, k.1)).collect();
    let mut first: BTreeMap<(Arc<str>, String), Arc<Contributor>> = BTreeMap::new();
    let mut pieces: BTreeMap<Arc<str>, BTreeSet<Piece>> =
        explained.out.resources().map(|r| (r.name.clone(), BTreeSet::new())).collect();
    for note in notes {
        let Some((of, name)) = note.of else { continue };
        let (mut resource, mut path) = ((of, name.clone()), note.path.clone());
        if of == TypeName::Route
            && let Some((host, rest)) = host_of(&note.path)
        {
            let is_kept = kept.get(&name).is_some_and(|hosts| hosts.contains(host));
            if let Some(part) = note.part {
                let counts = first.entry((name.clone(), host.to_owned())).or_insert_with(|| part.clone());
                if *counts != part || !is_kept {
                    continue;
                }
            }
            // the one for unknown hosts stays in the route configuration
            if is_kept && travels_apart(&key.proxy, &name) {
                resource = (TypeName::VirtualHost, format!("{name}/{host}").into());
                path = rest.to_owned();
            }
        }
        if resource.0 == key.of
            && let Some(known) = pieces.get_mut(&resource.1)
        {
            known.insert(Piece { path, origin: note.origin });
        }
    }
    let pieces = pieces.into_iter().map(|(name, set)| (name, set.into_iter().collect())).collect();
    Explanation { edition: explained.out, digest: explained.digest, pieces }
}

/// Where the workload at an address was declared; nothing for what is no workload.
pub(crate) fn workload_at<L: Level>(r: &Reads<L>, world: &World, address: &Arc<str>) -> Option<Origin> {
    let (key, _) = world.workloads.bucket::<mesh::world::WorkloadsAt, L>(r, address).next()?;
    let kind = match key.kind {
        mesh::WorkloadKind::Pod => Kind::Pod,
        mesh::WorkloadKind::Entry => Kind::WorkloadEntry,
    };
    Some(Origin::field(kind, (&key.object.namespace, &key.object.name), "spec"))
}
