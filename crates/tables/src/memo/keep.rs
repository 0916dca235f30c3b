//! Keeping a new answer, with the edges from everything it read.

use std::sync::Arc;

use crate::{
    memo::{
        Ask, Asking, MemoId, Memos, Snapshot,
        store::{Gone, Memo, MemoRead, Since},
        told::Told,
    },
    reads::{Cell, Set, hash_of},
};

impl<W: Snapshot> Memos<W> {
    /// Keeps an answer if it is the answer at the newest revision too, and if no newer one is there: an older
    /// snapshot never overwrites a newer memo.
    pub(super) fn keep<A: Ask<World = W>>(
        &self,
        ask: &A,
        out: &Arc<A::Out>,
        digest: u64,
        asking: Asking<'_, A>,
        wanted: bool,
    ) -> Option<MemoId> {
        let at = asking.world.revision();
        if self.told.read().store::<A>().is_none() {
            self.told.write().add_store::<A>();
        }
        let told = self.told.read();
        let store = told.store::<A>()?;
        store.count_build();
        let cells = asking.reads.take();
        let lower = once(asking.lower.into_inner())?;
        if !told.unchanged_since(at, &cells) {
            return None;
        }
        let mut shard = store.shard(hash_of(ask)).lock();
        let held = shard.find(store.level, ask).map(|(id, memo)| (id, memo.from));
        if held.is_some_and(|(_, from)| from > at) || !all_stand(&told, &lower) {
            return None;
        }
        let id = match held {
            Some((id, _)) => id,
            None => shard.insert(store.level, Memo::new(ask.clone(), Arc::clone(out))),
        };
        let memo = shard.by_id(id)?;
        let before = std::mem::replace(&mut memo.out, Arc::clone(out));
        memo.digest = digest;
        memo.from = at;
        memo.dirty = Since::NEVER;
        memo.rows_changed = false;
        memo.held |= wanted;
        let all = self.note_reads(&told, memo, id, cells, lower);
        if !all {
            memo.dirty = Since(at);
            memo.rows_changed = true;
        }
        if held.is_some() {
            shard.bytes -= A::weight(&before);
        }
        shard.bytes += A::weight(out);
        all.then_some(id)
    }

    /// Sets what a memo has read, and changes the edges by the difference. Says whether every memo that it read
    /// is still what it was: another thread may have let one go since.
    fn note_reads<A: Ask<World = W>>(
        &self,
        told: &Told<W>,
        memo: &mut Memo<A>,
        id: MemoId,
        cells: Box<[Cell]>,
        lower: Box<[MemoRead]>,
    ) -> bool {
        for cell in cells.iter().filter(|c| memo.cells.binary_search(c).is_err()) {
            self.edges.add(cell, id);
        }
        for cell in memo.cells.iter().filter(|c| cells.binary_search(c).is_err()) {
            self.edges.remove(cell, id);
        }
        memo.cells = cells;
        let before = std::mem::replace(&mut memo.lower, lower);
        let mut all = true;
        for read in &memo.lower {
            all &= told.stores.get(read.id.level()).is_some_and(|s| s.attach(read, id));
        }
        if !before.is_empty() {
            let has: Set<MemoId> = memo.lower.iter().map(|r| r.id).collect();
            for read in before.iter().filter(|r| !has.contains(&r.id)) {
                self.leave(told, read.id, id);
            }
        }
        all
    }

    /// A reader leaves a memo. If nobody else holds that, it goes, and leaves what it read.
    pub(super) fn leave(&self, told: &Told<W>, id: MemoId, reader: MemoId) {
        if let Some(store) = told.stores.get(id.level())
            && let Some(gone) = store.detach(id, reader)
        {
            self.gone(told, &gone);
        }
    }

    pub(super) fn gone(&self, told: &Told<W>, gone: &Gone) {
        for cell in &gone.cells {
            self.edges.remove(cell, gone.id);
        }
        for read in &gone.lower {
            self.leave(told, read.id, gone.id);
        }
    }
}

fn all_stand<W>(told: &Told<W>, lower: &[MemoRead]) -> bool {
    lower.iter().all(|read| told.stores.get(read.id.level()).is_some_and(|s| s.stands(read)))
}

/// The memo reads in their order, each once; `None` if one of them was not kept.
fn once(reads: Vec<(Option<MemoId>, u64)>) -> Option<Box<[MemoRead]>> {
    let mut seen = Set::default();
    let mut lower = Vec::with_capacity(reads.len());
    for (id, digest) in reads {
        let id = id?;
        if seen.insert(id) {
            lower.push(MemoRead { id, digest });
        }
    }
    Some(lower.into_boxed_slice())
}
