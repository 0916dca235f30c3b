//! Editions: everything one class of clients has of one type at one revision, shared and immutable, and the
//! difference between two of them.

use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::Xxh3;

#[cfg(test)]
mod tests;

/// An encoded message, the value of its `Any`: a rope of shared chunks. Cloning copies no bytes.
#[derive(Clone)]
pub struct Body {
    chunks: Chunks,
    len: usize,
}

#[derive(Clone)]
enum Chunks {
    One(Bytes),
    Rope(Arc<[Bytes]>),
}

impl Body {
    /// A rope; the message is the chunks one after the other (protobuf lets a message be cut between fields).
    #[must_use]
    pub fn rope(chunks: impl Into<Arc<[Bytes]>>) -> Self {
        let chunks = chunks.into();
        let len = chunks.iter().map(Bytes::len).sum();
        Self { chunks: Chunks::Rope(chunks), len }
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes (a message with every field at its default).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The chunks, in order.
    #[must_use]
    pub fn chunks(&self) -> &[Bytes] {
        match &self.chunks {
            Chunks::One(bytes) => std::slice::from_ref(bytes),
            Chunks::Rope(chunks) => chunks,
        }
    }

    /// The message in one piece; copies only a rope of several chunks.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self.chunks() {
            [one] => one.clone(),
            many => many.concat().into(),
        }
    }

    /// The hash of the bytes, however they are cut; for callers that have no cheaper version.
    #[must_use]
    pub fn content_hash(&self) -> u64 {
        let mut hash = Xxh3::new();
        for chunk in self.chunks() {
            hash.update(chunk);
        }
        hash.digest()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self { len: bytes.len(), chunks: Chunks::One(bytes) }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.chunks().iter().flatten().eq(other.chunks().iter().flatten())
    }
}

impl Eq for Body {}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes in {} chunks)", self.len, self.chunks().len())
    }
}

/// One resource: what it is called, which content it has, and the content. Cloning copies no bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// The name the client asks for. For virtual hosts `<route configuration>/<anything without a slash>`.
    pub name: Arc<str>,
    /// A hash of the content: equal means "need not be sent again", on every replica and after every restart.
    pub version: u64,
    /// The encoded message inside the `Any`.
    pub body: Body,
    /// Route configurations only: virtual hosts come as resources of their own (the configuration carries `vhds`).
    /// Must not change for a name while clients hold it: Envoy brings back stale hosts when it is toggled.
    pub vhds: bool,
}

impl Resource {
    /// A resource with a version made from its bytes.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, body: impl Into<Body>) -> Self {
        let body = body.into();
        Self { name: name.into(), version: body.content_hash(), body, vhds: false }
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

/// Everything one class of clients has of one type, at one revision. Immutable and shared by all of the class.
pub struct Edition {
    id: u64,
    revision: u64,
    resources: Box<[Resource]>,
    by_name: FxHashMap<Arc<str>, u32>,
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
        let mut by_name = FxHashMap::with_capacity_and_hasher(resources.len(), rustc_hash::FxBuildHasher);
        let mut kept = Vec::with_capacity(resources.len());
        for resource in resources {
            if let Entry::Vacant(free) = by_name.entry(resource.name.clone()) {
                free.insert(position(kept.len()));
                kept.push(resource);
            }
        }
        Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            revision,
            resources: kept.into(),
            by_name,
            by_parent: OnceLock::new(),
            differences: Mutex::default(),
        })
    }

    /// The edition of those that have nothing; always the same one.
    #[must_use]
    pub fn empty() -> Arc<Self> {
        static EMPTY: OnceLock<Arc<Edition>> = OnceLock::new();
        EMPTY.get_or_init(|| Self::new(0, Vec::new())).clone()
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
    #[must_use]
    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// The resource of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Resource> {
        self.index_of(name).and_then(|at| self.at(at))
    }

    pub(crate) fn index_of(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn at(&self, index: u32) -> Option<&Resource> {
        self.resources.get(index as usize)
    }

    /// Positions of the resources under a parent (virtual hosts of a route configuration).
    pub(crate) fn children(&self, parent: &str) -> &[u32] {
        let groups = self.by_parent.get_or_init(|| {
            let mut groups: FxHashMap<Arc<str>, Vec<u32>> = FxHashMap::default();
            for (at, resource) in self.resources.iter().enumerate() {
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

    fn compare(&self, older: &Self) -> Difference {
        if self.id == older.id {
            return Difference::default();
        }
        let changed = self
            .resources
            .iter()
            .enumerate()
            .filter(|(_, new)| older.get(&new.name).is_none_or(|old| old.version != new.version))
            .map(|(at, _)| position(at))
            .collect();
        let removed = older
            .resources
            .iter()
            .filter(|old| !self.by_name.contains_key(&old.name))
            .map(|old| old.name.clone())
            .collect();
        Difference { changed, removed }
    }
}

/// Positions are 32 bits to keep in-flight records small; nobody serves four billion resources of a type.
fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

impl fmt::Debug for Edition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Edition {} (revision {}, {} resources)", self.id, self.revision, self.resources.len())
    }
}
