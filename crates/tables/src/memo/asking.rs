//! What a builder gets: the world, other asks, and the record of both.

use std::{cell::RefCell, ops::Deref, rc::Rc, sync::Arc};

use crate::{
    Level, Reads, Trace,
    memo::{Ask, MemoId, Memos},
    reads::Set,
};

/// The memos that one `get` has audited: each is rebuilt once.
#[derive(Default)]
pub(super) struct Audited(RefCell<Set<MemoId>>);

impl Audited {
    pub(super) fn first_time(&self, id: MemoId) -> bool {
        self.0.borrow_mut().insert(id)
    }
}

/// The door of a builder to everything but its own ask. It derefs to the record of reads, so that tables take it.
pub struct Asking<'a, A: Ask> {
    memos: &'a Memos<A::World>,
    pub(super) world: &'a Arc<A::World>,
    pub(super) reads: Reads<A>,
    /// Memos read, in the order of the first read, with their digests; `None` if one was not kept.
    pub(super) lower: RefCell<Vec<(Option<MemoId>, u64)>>,
    audited: Option<&'a Audited>,
}

impl<'a, A: Ask> Asking<'a, A> {
    pub(super) fn new(
        memos: &'a Memos<A::World>,
        world: &'a Arc<A::World>,
        audited: Option<&'a Audited>,
    ) -> Self {
        Self { memos, world, reads: Reads::new(), lower: RefCell::default(), audited }
    }

    /// The door of a builder whose answer is explained.
    pub(super) fn traced(memos: &'a Memos<A::World>, world: &'a Arc<A::World>, trace: Rc<Trace>) -> Self {
        Self { reads: Reads::traced(trace), ..Self::new(memos, world, None) }
    }

    /// The snapshot. What is read of it must go through methods that take this record.
    pub fn world(&self) -> &'a A::World {
        self.world
    }

    /// The answer to another ask on the same snapshot. This builder then depends on its digest.
    pub fn ask<B: Ask<World = A::World>>(&self, ask: &B) -> Arc<B::Out> {
        const {
            assert!(<B as Level>::ORDER < <A as Level>::ORDER, "an ask may ask only what stands above it");
        }
        if let Some(trace) = self.reads.shared_trace() {
            return self.memos.traced(self.world, ask, trace).0;
        }
        let pulled = self.memos.pull(self.world, ask, self.audited, false);
        self.lower.borrow_mut().push((pulled.kept, pulled.digest));
        pulled.out
    }
}

impl<A: Ask> Deref for Asking<'_, A> {
    type Target = Reads<A>;
    fn deref(&self) -> &Reads<A> {
        &self.reads
    }
}
