//! A table computed from another, one input row at a time.

use std::{ops::Deref, sync::Arc};

use crate::{Commit, Def, Reads, Table, stage::Stage};

/// The table `O`, made by a stage function from the rows of `I`. It derefs to the table.
pub struct Derived<I: Def, O: Def> {
    stage: Stage<I::Key, O>,
}

impl<I: Def, O: Def> Default for Derived<I, O> {
    fn default() -> Self {
        Self::new(Table::new())
    }
}

impl<I: Def, O: Def> Derived<I, O> {
    /// Takes an empty table with its indexes.
    #[must_use]
    pub fn new(table: Table<O>) -> Self {
        Self { stage: Stage::new(table) }
    }

    /// Brings the table up to date: runs `f` for the rows of `from` that changed and for those whose earlier run
    /// read something that changed. Call it in every commit, below everything that `f` reads.
    ///
    /// `f` must be a function of its input and its recorded reads alone. If two inputs make one row, the smaller
    /// input key keeps it; if `f` panics, what it made before stays. Both are told in the [`crate::Story`].
    pub fn advance(
        &mut self,
        c: &mut Commit,
        from: &Table<I>,
        f: impl Fn(&Reads<O>, &I::Key, &Arc<I::Row>) -> Vec<(O::Key, O::Row)>,
    ) {
        const { assert!(I::ORDER < O::ORDER, "a stage may read only tables above it") }
        let dirty: Vec<I::Key> = if self.stage.first() {
            from.entries().map(|e| e.key.clone()).collect()
        } else {
            c.changed_keys::<I>().cloned().collect()
        };
        self.stage.advance(c, dirty, |r, key| from.peek(key).map(|row| f(r, key, row)));
    }

    /// The table as it is now; clone it for a snapshot.
    pub fn table(&self) -> &Table<O> {
        self.stage.table()
    }
}

impl<I: Def, O: Def> Deref for Derived<I, O> {
    type Target = Table<O>;
    fn deref(&self) -> &Table<O> {
        self.table()
    }
}
