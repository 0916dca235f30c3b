//! A table of facts: what the sources say, put in by the writer.

use std::{ops::Deref, sync::Arc};

use crate::{Commit, Def, Table};

/// A table that the writer fills. It derefs to the table.
pub struct Input<D: Def> {
    table: Table<D>,
}

impl<D: Def> Default for Input<D> {
    fn default() -> Self {
        Self::new(Table::new())
    }
}

impl<D: Def> Input<D> {
    /// Takes an empty table with its indexes.
    #[must_use]
    pub fn new(table: Table<D>) -> Self {
        Self { table }
    }

    /// Sets the row of a key, or takes it away with `None`. Says whether that changed anything: an equal row does
    /// not. The last of several puts of one key in one commit stands.
    pub fn put(&mut self, c: &mut Commit, key: D::Key, row: Option<D::Row>) -> bool {
        if self.table.peek(&key).map(|r| &**r) == row.as_ref() {
            return false;
        }
        self.table.put(c, key, row.map(Arc::new))
    }

    /// The table as it is now; clone it for a snapshot.
    pub fn table(&self) -> &Table<D> {
        &self.table
    }
}

impl<D: Def> Deref for Input<D> {
    type Target = Table<D>;
    fn deref(&self) -> &Table<D> {
        &self.table
    }
}
