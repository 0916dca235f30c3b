//! Letting memos go: they live as long as somebody may ask, and no longer.

use crate::memo::{
    Ask, MemoId, Memos, Snapshot,
    flagged::{Flagged, Walk},
    told::Told,
};

impl<W: Snapshot> Memos<W> {
    /// Lets one memo go. While other memos still read it, it stays for them and goes with the last of them.
    pub fn forget<A: Ask<World = W>>(&self, ask: &A) {
        let told = self.told.write();
        let Some(store) = told.store::<A>() else { return };
        let id = store.shard(crate::reads::hash_of(ask)).lock().find(store.level, ask).map(|(id, _)| id);
        if let Some(id) = id {
            self.drop_memo::<A>(&told, id);
        }
    }

    /// Lets every memo of one kind go whose ask is not to be kept: for a class that has no connections left.
    pub fn retain<A: Ask<World = W>>(&self, keep: impl Fn(&A) -> bool) {
        let told = self.told.write();
        for id in ids::<A, W>(&told, |ask| !keep(ask)) {
            self.drop_memo::<A>(&told, id);
        }
    }

    /// Marks memos as not to be trusted, whatever they read, and says what that touches: a forced push.
    pub fn distrust<A: Ask<World = W>>(&self, which: impl Fn(&A) -> bool) -> Flagged {
        let mut told = self.told.write();
        let ids = ids::<A, W>(&told, which);
        let mut walk = Walk::new(&mut told, None);
        ids.into_iter().for_each(|id| walk.visit(id));
        walk.on();
        walk.end()
    }

    fn drop_memo<A: Ask<World = W>>(&self, told: &Told<W>, id: MemoId) {
        let Some(store) = told.store::<A>() else { return };
        let mut shard = store.lock(id);
        let Some(memo) = shard.by_id(id) else { return };
        let gone = if memo.readers.is_none() {
            shard.remove(id)
        } else {
            memo.held = false;
            None
        };
        drop(shard);
        if let Some(gone) = gone {
            self.gone(told, &gone);
        }
    }
}

fn ids<A: Ask<World = W>, W: Snapshot>(told: &Told<W>, of: impl Fn(&A) -> bool) -> Vec<MemoId> {
    let Some(store) = told.store::<A>() else { return Vec::new() };
    store.shards().flat_map(|shard| shard.ids(store.level, &of)).collect()
}
