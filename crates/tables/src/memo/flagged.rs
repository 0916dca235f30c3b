//! Following the edges of a commit: which memos may be different now. Nothing is evaluated here.

use std::any::{Any, TypeId};

use crate::{
    Revision, Story,
    memo::{Ask, MemoId, Memos, Snapshot, store::Flag, told::Told},
};

struct List {
    order: u16,
    name: &'static str,
    count: usize,
    asks: Box<dyn Any + Send + Sync>,
}

/// The memos that a commit touched, directly or through other memos.
#[derive(Default)]
pub struct Flagged {
    lists: Vec<List>,
}

impl Flagged {
    /// The asks of one kind whose answers may be different now, each once.
    pub fn of<A: Ask>(&self) -> impl Iterator<Item = &A> {
        let list = self.lists.iter().find(|l| l.asks.as_ref().type_id() == TypeId::of::<Vec<A>>());
        list.and_then(|l| l.asks.downcast_ref::<Vec<A>>()).into_iter().flatten()
    }

    /// How many of each kind, as (`ORDER`, `NAME`, count), in the order of the flow; kinds without any are left out.
    pub fn counts(&self) -> impl Iterator<Item = (u16, &'static str, usize)> {
        self.lists.iter().map(|l| (l.order, l.name, l.count))
    }

    /// How many in all.
    pub fn len(&self) -> usize {
        self.lists.iter().map(|l| l.count).sum()
    }

    /// Whether the commit touched no memo.
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }
}

impl std::fmt::Debug for Flagged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.counts().map(|(_, name, count)| (name, count))).finish()
    }
}

impl<W: Snapshot> Memos<W> {
    /// Takes note of a commit and says which memos it touches. Nothing is built: that happens when they are asked.
    ///
    /// Every commit must be told, in order, also one that changed nothing. A memo is listed again by each commit that
    /// touches it, asked in between or not.
    pub fn commit(&self, story: &Story) -> Flagged {
        let mut told = self.told.write();
        told.note(story);
        if story.cells.is_empty() {
            return Flagged::default();
        }
        let mut walk = Walk::new(&mut told, Some(story.revision));
        for cell in story.cells.values().flatten() {
            self.edges.each(cell, |id| walk.visit(*id));
        }
        walk.on();
        walk.end()
    }
}

/// One walk from changed cells, or from memos, to all that depends on them.
pub(super) struct Walk<'t, W> {
    told: &'t Told<W>,
    by: Flag,
    lists: Vec<Option<List>>,
    todo: Vec<MemoId>,
}

impl<'t, W: 'static> Walk<'t, W> {
    pub(super) fn new(told: &'t mut Told<W>, revision: Option<Revision>) -> Self {
        told.walk = told.walk.wrapping_add(1).max(1);
        let by = Flag { revision, walk: told.walk, by_row: true };
        let lists = told.stores.iter().map(|_| None).collect();
        Self { told, by, lists, todo: Vec::new() }
    }

    pub(super) fn visit(&mut self, id: MemoId) {
        let level = id.level();
        let (Some(store), Some(list)) = (self.told.stores.get(level), self.lists.get_mut(level)) else {
            return;
        };
        let list = list.get_or_insert_with(|| {
            let (order, name) = store.name();
            List { order, name, count: 0, asks: store.list() }
        });
        list.count += usize::from(store.flag(id, &self.by, &mut *list.asks, &mut self.todo));
    }

    /// Goes on to the readers of those visited.
    pub(super) fn on(&mut self) {
        self.by.by_row = false;
        while let Some(id) = self.todo.pop() {
            self.visit(id);
        }
    }

    pub(super) fn end(self) -> Flagged {
        let mut lists: Vec<List> = self.lists.into_iter().flatten().filter(|l| l.count > 0).collect();
        lists.sort_by_key(|l| (l.order, l.name));
        Flagged { lists }
    }
}
