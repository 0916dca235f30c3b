//! Memos: what depends on who asks, computed when asked, kept while nothing that it read has changed.

mod asking;
mod edges;
mod flagged;
mod forget;
mod keep;
mod store;
mod told;
mod trace;

use std::{fmt, hash::Hash, sync::Arc};

use parking_lot::RwLock;

use crate::{Level, Revision, reads::hash_of};
pub use asking::Asking;
use asking::Audited;
use edges::Edges;
pub use flagged::Flagged;
pub use store::Stats;
use store::{MemoId, MemoRead, Since};
use told::Told;
pub use trace::{Explained, Mark, Trace};

/// A world at one revision: what builders read. It holds tables cloned after one commit.
pub trait Snapshot: Send + Sync + 'static {
    /// The revision of the commit after which the tables were cloned.
    fn revision(&self) -> Revision;
}

/// A question, which is the key of a memo, and how to answer it.
///
/// The question and the recorded reads are all that a builder may use: then a forgotten part of a key cannot
/// happen, and a memo is out of date exactly when something it read has changed.
pub trait Ask: Level + Clone + Eq + Hash + fmt::Debug + Send + Sync + 'static {
    /// The world it reads.
    type World: Snapshot;
    /// The answer.
    type Out: Send + Sync + 'static;
    /// Builds the answer: a pure function of the question and of what it reads through `r`.
    fn build(&self, r: &Asking<'_, Self>) -> Self::Out;
    /// A hash of the whole answer: what asked for it is not rebuilt if a new answer has the same digest.
    fn digest(out: &Self::Out) -> u64;
    /// The size of the answer in bytes, for the statistics.
    fn weight(_out: &Self::Out) -> usize {
        0
    }
}

/// What a memo gives.
#[derive(Debug)]
pub struct Answer<T> {
    /// The answer on the asked snapshot.
    pub out: Arc<T>,
    /// Its digest.
    pub digest: u64,
    /// Whether it is also the answer on the newest revision that the memos were told of, so that a later commit
    /// that touches it will flag it. If not, whoever pushes this answer must put the ask back in its queue:
    /// commits that came in between have already looked for readers and did not find this one.
    pub fresh: bool,
}

impl<T> Clone for Answer<T> {
    fn clone(&self) -> Self {
        Self { out: Arc::clone(&self.out), digest: self.digest, fresh: self.fresh }
    }
}

/// An answer, and where it is kept if it is kept as the newest one.
struct Pulled<T> {
    out: Arc<T>,
    digest: u64,
    kept: Option<MemoId>,
}

/// What stands for an ask, seen from one revision.
enum Look<T> {
    Hit(Pulled<T>, MemoId),
    /// Only memos that it read may have changed: they decide.
    Check(Box<[MemoRead]>),
    Build,
}

/// The memos over a world of type `W`. All methods take `&self`; several threads may ask at the same time, and
/// no lock is held while a builder runs.
///
/// The writer tells every commit to [`Memos::commit`], best before it publishes the world of that commit.
pub struct Memos<W> {
    told: RwLock<Told<W>>,
    edges: Edges,
    audit: bool,
    off: bool,
}

impl<W: Snapshot> Default for Memos<W> {
    fn default() -> Self {
        Self::new()
    }
}

impl<W: Snapshot> Memos<W> {
    /// No memos yet. Audit is on in builds with debug assertions, so in all tests.
    #[must_use]
    pub fn new() -> Self {
        Self {
            told: RwLock::new(Told::new()),
            edges: Edges::new(),
            audit: cfg!(debug_assertions),
            off: false,
        }
    }

    /// With audit every hit is rebuilt and compared by digest; a difference panics and names the ask.
    #[must_use]
    pub fn with_audit(mut self, audit: bool) -> Self {
        self.audit = audit;
        self
    }

    /// Always rebuild (`PILOT_ENABLE_XDS_CACHE=false`). Reads are still recorded: commits flag as before.
    #[must_use]
    pub fn off(mut self) -> Self {
        self.off = true;
        self
    }

    /// The answer to an ask on a snapshot: the memo if it holds there, else built now.
    ///
    /// A panic of the builder passes through to the caller and leaves no trace.
    pub fn get<A: Ask<World = W>>(&self, world: &Arc<W>, ask: &A) -> Answer<A::Out> {
        let audited = self.audit.then(Audited::default);
        let pulled = self.pull(world, ask, audited.as_ref(), true);
        Answer { out: pulled.out, digest: pulled.digest, fresh: pulled.kept.is_some() }
    }

    /// `wanted` says that the ask came from outside, not from a builder: then the memo is held until forgotten.
    fn pull<A: Ask<World = W>>(
        &self,
        world: &Arc<W>,
        ask: &A,
        audited: Option<&Audited>,
        wanted: bool,
    ) -> Pulled<A::Out> {
        let at = world.revision();
        match self.look(at, ask, wanted) {
            Look::Hit(pulled, id) => {
                self.audit(world, ask, &pulled, id, audited);
                pulled
            }
            Look::Check(reads) => {
                if self.same(world, &reads, audited)
                    && let Some((pulled, id)) = self.confirm(at, ask, wanted)
                {
                    self.audit(world, ask, &pulled, id, audited);
                    pulled
                } else {
                    self.build(world, ask, audited, wanted)
                }
            }
            Look::Build => self.build(world, ask, audited, wanted),
        }
    }

    fn look<A: Ask<World = W>>(&self, at: Revision, ask: &A, wanted: bool) -> Look<A::Out> {
        let told = self.told.read();
        let Some(store) = told.store::<A>().filter(|_| !self.off) else { return Look::Build };
        let mut shard = store.shard(hash_of(ask)).lock();
        let Some((id, memo)) = shard.find(store.level, ask) else { return Look::Build };
        if at < memo.from {
            return Look::Build;
        }
        let kept = match memo.dirty {
            Since::NEVER if at <= told.newest || at == memo.from => Some(id),
            Since::NEVER => return Look::Build,
            Since(dirty) if at < dirty => None,
            Since(_) if !memo.rows_changed && told.is_newest(at) => {
                return Look::Check(memo.lower.clone());
            }
            Since(_) => return Look::Build,
        };
        memo.held |= wanted;
        store.count_hit();
        Look::Hit(Pulled { out: Arc::clone(&memo.out), digest: memo.digest, kept }, id)
    }

    /// Whether every memo that was read still has the digest it had. Stops at the first that has not: what was
    /// read after it may no longer be of interest.
    fn same(&self, world: &Arc<W>, reads: &[MemoRead], audited: Option<&Audited>) -> bool {
        reads.iter().all(|read| {
            let store = self.told.read().stores.get(read.id.level()).map(Arc::clone);
            store.is_some_and(|s| s.pulls_same(self, world, read, audited))
        })
    }

    /// Ends a check that found nothing new, unless a commit came in between. If another thread has rebuilt the memo
    /// since, it was on this same state, and is clean already.
    fn confirm<A: Ask<World = W>>(
        &self,
        at: Revision,
        ask: &A,
        wanted: bool,
    ) -> Option<(Pulled<A::Out>, MemoId)> {
        let told = self.told.read();
        let store = told.store::<A>()?;
        let mut shard = store.shard(hash_of(ask)).lock();
        let (id, memo) = shard.find(store.level, ask)?;
        if memo.rows_changed || !told.is_newest(at) {
            return None;
        }
        memo.dirty = Since::NEVER;
        memo.held |= wanted;
        memo.from = memo.from.max(at);
        store.count_hit();
        Some((Pulled { out: Arc::clone(&memo.out), digest: memo.digest, kept: Some(id) }, id))
    }

    fn build<A: Ask<World = W>>(
        &self,
        world: &Arc<W>,
        ask: &A,
        audited: Option<&Audited>,
        wanted: bool,
    ) -> Pulled<A::Out> {
        let asking = Asking::new(self, world, audited);
        let out = Arc::new(ask.build(&asking));
        let digest = A::digest(&out);
        let kept = self.keep(ask, &out, digest, asking, wanted);
        if let (Some(id), Some(audited)) = (kept, audited) {
            audited.first_time(id);
        }
        Pulled { out, digest, kept }
    }

    #[expect(clippy::panic, reason = "an audit that finds a wrong memo must stop the test that found it")]
    fn audit<A: Ask<World = W>>(
        &self,
        world: &Arc<W>,
        ask: &A,
        hit: &Pulled<A::Out>,
        id: MemoId,
        audited: Option<&Audited>,
    ) {
        let Some(audited) = audited.filter(|a| a.first_time(id)) else { return };
        let asking = Asking::new(self, world, Some(audited));
        let digest = A::digest(&ask.build(&asking));
        if digest != hit.digest {
            panic!(
                "a memo is out of date: {} {ask:?} at revision {} has digest {:x}, rebuilt {digest:x}",
                A::NAME,
                world.revision(),
                hit.digest
            );
        }
    }

    /// What is kept and how often it was of use, per kind of ask, in the order of the flow.
    pub fn stats(&self) -> Vec<Stats> {
        let told = self.told.read();
        let mut all: Vec<Stats> = told.stores.iter().map(|s| s.stats()).collect();
        all.sort_by_key(|s| (s.order, s.name));
        all
    }
}

impl<W> fmt::Debug for Memos<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memos").field("audit", &self.audit).field("off", &self.off).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
