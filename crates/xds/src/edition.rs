//! Editions: everything one class of clients has of one type at one revision, shared and immutable, and the
//! difference between two of them.

use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use parking_lot::Mutex;
use rustc_hash::{FxHashMap, FxHashSet};
use xxhash_rust::xxh3::xxh3_64;

use crate::request::Resources;
use crate::type_url::TypeUrl;

#[cfg(test)]
mod tests;

/// One resource: what it is called, which content it has, and the content. Cloning copies no bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// The name the client asks for. For virtual hosts `<route configuration>/<anything without a slash>`.
    pub name: Arc<str>,
    /// A hash of the content: equal means "need not be sent again", on every replica and after every restart.
    pub version: u64,
    /// The encoded message inside the `Any`.
    pub body: Bytes,
    /// Route configurations only: virtual hosts come as resources of their own (the configuration carries `vhds`).
    /// Must not change for a name while clients hold it: Envoy brings back stale hosts when it is toggled.
    pub vhds: bool,
}

impl Resource {
    /// A resource with a version made from its bytes.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        Self { name: name.into(), version: xxh3_64(&body), body, vhds: false }
    }

    /// The version as it travels: 16 hexadecimal digits.
    #[must_use]
    pub fn wire_version(&self) -> String {
        wire_version(self.version)
    }
}

/// A version as it travels: 16 hexadecimal digits.
#[must_use]
pub fn wire_version(version: u64) -> String {
    format!("{version:016x}")
}

/// The version a client claims to hold; `None` if it is not one of ours (another server's, an older format).
pub(crate) fn parse_version(claimed: &str) -> Option<u64> {
    (claimed.len() == 16).then(|| u64::from_str_radix(claimed, 16).ok()).flatten()
}

/// The route configuration a virtual host belongs to: what stands before the last slash of its name.
#[must_use]
pub fn parent_of(name: &str) -> Option<&str> {
    name.rsplit_once('/').map(|(parent, _)| parent)
}

static NEXT: AtomicU64 = AtomicU64::new(1);

/// How many differences to older editions an edition remembers: connections are at most a few editions behind.
const REMEMBERED: usize = 8;

/// So many sections are asked one by one for a name.
const FEW: usize = 4;

/// A run of resources that editions share: what is equal for many is one, is indexed once, and is compared by identity.
pub struct Section {
    id: u64,
    resources: Box<[Resource]>,
    by_name: HashTable<u32>,
    /// All of it as it travels in a delta response of a type; made when needed for the second time.
    written: OnceLock<(TypeUrl, Bytes)>,
    was_needed: AtomicBool,
}

impl Section {
    /// A section of `resources`, in the order they go out. Of several with one name the first stays.
    #[must_use]
    pub fn new(resources: Vec<Resource>) -> Arc<Self> {
        let mut by_name = HashTable::with_capacity(resources.len());
        let mut kept: Vec<Resource> = Vec::with_capacity(resources.len());
        for resource in resources {
            let same = |at: &u32| kept.get(*at as usize).is_some_and(|held| held.name == resource.name);
            let hash = |at: &u32| kept.get(*at as usize).map_or(0, |held| hash_of(&held.name));
            if let Entry::Vacant(free) = by_name.entry(hash_of(&resource.name), same, hash) {
                free.insert(position(kept.len()));
                kept.push(resource);
            }
        }
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let (written, was_needed) = (OnceLock::new(), AtomicBool::new(false));
        Arc::new(Self { id, resources: kept.into(), by_name, written, was_needed })
    }

    /// The resources, in order.
    #[must_use]
    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// What `write` gives for the type, kept for all who are sent the whole section. `None` for the first of them, who may
    /// stay the only one, and if another type's is kept.
    pub(crate) fn written(&self, type_url: &TypeUrl, write: impl FnOnce() -> Bytes) -> Option<Bytes> {
        if !self.was_needed.swap(true, Ordering::Relaxed) {
            return None;
        }
        let (of, bytes) = self.written.get_or_init(|| (type_url.clone(), write()));
        (of == type_url).then(|| bytes.clone())
    }

    fn find(&self, hash: u64, name: &str) -> Option<u32> {
        let is = |at: &u32| self.resources.get(*at as usize).is_some_and(|held| *held.name == *name);
        self.by_name.find(hash, is).copied()
    }
}

impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Section {} ({} resources)", self.id, self.resources.len())
    }
}

fn hash_of(name: &str) -> u64 {
    xxh3_64(name.as_bytes())
}

/// The sections that some edition has, by what their maker names equal ones.
#[derive(Debug)]
pub struct Sections<K>(FxHashMap<K, Weak<Section>>);

impl<K> Default for Sections<K> {
    fn default() -> Self {
        Self(FxHashMap::default())
    }
}

impl<K: Eq + Hash> Sections<K> {
    /// The section of this name; made now if no edition has it.
    pub fn get_or_make(&mut self, name: K, make: impl FnOnce() -> Vec<Resource>) -> Arc<Section> {
        if let Some(known) = self.0.get(&name).and_then(Weak::upgrade) {
            return known;
        }
        let section = Section::new(make());
        self.0.insert(name, Arc::downgrade(&section));
        if self.0.len() > 64 && self.0.len().is_power_of_two() {
            self.0.retain(|_, section| section.strong_count() > 0);
        }
        section
    }
}

/// A section, and the position of its first resource in the edition.
struct Placed {
    first: u32,
    section: Arc<Section>,
}

/// Everything one class of clients has of one type, at one revision. Immutable and shared by all of the class.
pub struct Edition {
    id: u64,
    revision: u64,
    sections: Box<[Placed]>,
    len: usize,
    /// Every name, where asking each section would be slow; made when first needed.
    by_name: OnceLock<HashTable<u32>>,
    by_parent: OnceLock<FxHashMap<Arc<str>, Vec<u32>>>,
    differences: Mutex<Vec<(u64, Arc<Difference>)>>,
}

/// What changed from one edition to a later one, computed once for all connections.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Positions, in the later edition, of resources that are new or have another version.
    pub changed: Vec<u32>,
    /// Names that the later edition no longer has, in the older one's order.
    pub removed: Vec<Arc<str>>,
}

impl Edition {
    /// An edition of `resources`, in the order they go out. Of several with one name the first stays.
    #[must_use]
    pub fn new(revision: u64, resources: Vec<Resource>) -> Arc<Self> {
        Self::of(revision, vec![Section::new(resources)])
    }

    /// An edition of sections, in the order they go out. No two of them may have a name in common.
    #[must_use]
    pub fn of(revision: u64, sections: Vec<Arc<Section>>) -> Arc<Self> {
        let mut len = 0;
        let sections: Box<[Placed]> = sections
            .into_iter()
            .filter(|section| !section.resources.is_empty())
            .map(|section| {
                let first = position(len);
                len += section.resources.len();
                Placed { first, section }
            })
            .collect();
        let edition = Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            revision,
            sections,
            len,
            by_name: OnceLock::new(),
            by_parent: OnceLock::new(),
            differences: Mutex::default(),
        };
        debug_assert!(
            edition.iter().enumerate().all(|(at, r)| edition.index_of(&r.name) == Some(position(at))),
            "sections of an edition have a name in common"
        );
        Arc::new(edition)
    }

    /// The edition of those that have nothing; always the same one.
    #[must_use]
    pub fn empty() -> Arc<Self> {
        static EMPTY: OnceLock<Arc<Edition>> = OnceLock::new();
        EMPTY.get_or_init(|| Self::of(0, Vec::new())).clone()
    }

    /// Unique in the process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The revision of the facts it was made from, as the catalog counts them; goes out as the response's version.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The resources in the order they go out.
    pub fn iter(&self) -> impl Iterator<Item = &Resource> {
        self.sections.iter().flat_map(|placed| placed.section.resources())
    }

    /// How many resources there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The resource of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Resource> {
        self.index_of(name).and_then(|at| self.at(at))
    }

    pub(crate) fn index_of(&self, name: &str) -> Option<u32> {
        let hash = hash_of(name);
        if self.sections.len() <= FEW {
            return self.sections.iter().find_map(|p| p.section.find(hash, name).map(|at| p.first + at));
        }
        let by_name = self.by_name.get_or_init(|| {
            let mut by_name = HashTable::with_capacity(self.len);
            let again = |at: &u32| self.at(*at).map_or(0, |held| hash_of(&held.name));
            for (at, resource) in self.iter().enumerate() {
                by_name.insert_unique(hash_of(&resource.name), position(at), again);
            }
            by_name
        });
        by_name.find(hash, |at| self.at(*at).is_some_and(|held| *held.name == *name)).copied()
    }

    pub(crate) fn at(&self, index: u32) -> Option<&Resource> {
        let placed =
            self.sections.get(self.sections.partition_point(|p| p.first <= index).checked_sub(1)?)?;
        placed.section.resources.get((index - placed.first) as usize)
    }

    /// The resources at these positions, which are sorted; sections of which all are meant stay whole.
    pub(crate) fn pick(&self, picks: &[u32]) -> Resources {
        let mut out = Resources::default();
        let mut rest = picks;
        while let [next, ..] = *rest {
            let at = self.sections.partition_point(|placed| placed.first <= next);
            let Some(Placed { first, section }) = at.checked_sub(1).and_then(|at| self.sections.get(at))
            else {
                break;
            };
            let end = first + position(section.resources.len());
            let (own, others) = rest.split_at(rest.partition_point(|pick| *pick < end));
            rest = others;
            if own.len() == section.resources.len() {
                out.push_section(section.clone());
            } else {
                own.iter().filter_map(|pick| self.at(*pick)).for_each(|resource| out.push(resource.clone()));
            }
        }
        out
    }

    /// Positions of the resources under a parent (virtual hosts of a route configuration).
    pub(crate) fn children(&self, parent: &str) -> &[u32] {
        let groups = self.by_parent.get_or_init(|| {
            let mut groups: FxHashMap<Arc<str>, Vec<u32>> = FxHashMap::default();
            for (at, resource) in self.iter().enumerate() {
                let Some(parent) = parent_of(&resource.name) else { continue };
                match groups.get_mut(parent) {
                    Some(group) => group.push(position(at)),
                    None => {
                        groups.insert(Arc::from(parent), vec![position(at)]);
                    }
                }
            }
            groups
        });
        groups.get(parent).map_or(&[], Vec::as_slice)
    }

    /// What changed since `older`; computed once and then shared by all who come from there.
    #[must_use]
    pub fn since(&self, older: &Self) -> Arc<Difference> {
        // quickly counted, and remembered by as many editions as there are clients
        if older.is_empty() {
            return Arc::new(Difference { changed: (0..position(self.len)).collect(), removed: Vec::new() });
        }
        if let Some((_, known)) = self.differences.lock().iter().find(|(id, _)| *id == older.id) {
            return known.clone();
        }
        // Computed without the lock: at worst two connections do the same work at the same moment.
        let difference = Arc::new(self.compare(older));
        let mut remembered = self.differences.lock();
        if remembered.iter().all(|(id, _)| *id != older.id) {
            if remembered.len() == REMEMBERED {
                remembered.remove(0);
            }
            remembered.push((older.id, difference.clone()));
        }
        difference
    }

    /// The sections that `other` does not have.
    fn besides(&self, other: &Self) -> Vec<&Placed> {
        let shared: FxHashSet<u64> = other.sections.iter().map(|p| p.section.id).collect();
        self.sections.iter().filter(|p| !shared.contains(&p.section.id)).collect()
    }

    fn compare(&self, older: &Self) -> Difference {
        let (new, old) = (self.besides(older), older.besides(self));
        // most sections have the place of the one they follow
        let find = |among: &[&Placed], likely: usize, name: &str| -> Option<u64> {
            let hash = hash_of(name);
            among.get(likely).into_iter().chain(among).find_map(|p| {
                let at = p.section.find(hash, name)?;
                p.section.resources.get(at as usize).map(|resource| resource.version)
            })
        };
        let mut difference = Difference::default();
        for (likely, placed) in new.iter().enumerate() {
            for (at, resource) in (placed.first..).zip(placed.section.resources()) {
                if find(&old, likely, &resource.name) != Some(resource.version) {
                    difference.changed.push(at);
                }
            }
        }
        for (likely, placed) in old.iter().enumerate() {
            let gone = placed.section.resources().iter();
            let gone = gone.filter(|resource| find(&new, likely, &resource.name).is_none());
            difference.removed.extend(gone.map(|resource| resource.name.clone()));
        }
        difference
    }
}

/// Positions are 32 bits to keep in-flight records small; nobody serves four billion resources of a type.
fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

impl fmt::Debug for Edition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Edition {} (revision {}, {} resources)", self.id, self.revision, self.len)
    }
}
