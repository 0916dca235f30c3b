//! The generator: memos over a World, and the classes of proxies that are connected.

use std::sync::Arc;

use mesh::World;
use tables::{Flagged, Memos, Story};

use crate::encoded::TypeName;
use crate::plan::{Edition, EditionOf, OutboundOf, is_outbound};
use crate::provenance::{self, Explanation};
use crate::proxy::Proxy;

/// The memos; shared by all connections, used from any thread.
pub struct Generator {
    memos: Memos<World>,
}

/// A proxy's class, as told to the server: the key of everything that is built for it.
pub type Class = Arc<Proxy>;

impl Generator {
    /// An empty generator. `audit` rebuilds every hit and compares (tests).
    #[must_use]
    pub fn new(audit: bool) -> Self {
        Self { memos: Memos::new().with_audit(audit) }
    }

    /// Flags what a commit may have changed; evaluates nothing.
    pub fn commit(&self, story: &Story) -> Flagged {
        self.memos.commit(story)
    }

    /// The class and type whose edition is asked for: types that depend only on what is seen are shared by all
    /// sidecars with the same outbound form.
    pub fn key(&self, world: &Arc<World>, class: &Class, of: TypeName) -> EditionOf {
        let proxy = if is_outbound(class.kind, of) || of == TypeName::NameTable {
            (*self.memos.get(world, &OutboundOf(class.clone())).out).clone()
        } else {
            class.clone()
        };
        EditionOf { proxy, of }
    }

    /// The edition, its digest, and whether it was computed on the newest revision known (if not, ask again after the
    /// next commit was told).
    pub fn edition(&self, world: &Arc<World>, key: &EditionOf) -> (Arc<Edition>, u64, bool) {
        let answer = self.memos.get(world, key);
        (answer.out, answer.digest, answer.fresh)
    }

    /// The edition once more, with the provenance of its resources: built from nothing by the same builders, so it costs
    /// what a first push costs, and leaves the memos as they are.
    pub fn explain(&self, world: &Arc<World>, key: &EditionOf) -> Explanation {
        provenance::explanation(key, self.memos.explain(world, key))
    }

    /// Forgets the memos of a class that has no connection any more.
    pub fn forget(&self, class: &Class) {
        for of in TypeName::ALL {
            self.memos.forget(&EditionOf { proxy: class.clone(), of });
        }
    }

    /// The memos, for statistics.
    #[must_use]
    pub fn memos(&self) -> &Memos<World> {
        &self.memos
    }
}
