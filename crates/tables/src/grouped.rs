//! A table computed from the buckets of an index: where many rows together decide one.

use std::{ops::Deref, sync::Arc};

use crate::{Commit, Def, Index, Level, Reads, Table, index::Buckets, reads::Set, stage::Stage};

/// The table `O`, made by a stage function from the buckets of `X`: several claims to one name are an index by
/// that name, and the stage decides among them. It derefs to the table.
pub struct Grouped<X: Index, O: Def> {
    stage: Stage<X::Bucket, O>,
}

/// The members of a bucket as a stage function of [`Grouped`] gets them, sorted by key.
pub type Members<'m, D> = dyn Iterator<Item = (&'m <D as Def>::Key, &'m Arc<<D as Def>::Row>)> + 'm;

impl<X: Index, O: Def> Default for Grouped<X, O> {
    fn default() -> Self {
        Self::new(Table::new())
    }
}

impl<X: Index, O: Def> Grouped<X, O> {
    /// Takes an empty table with its indexes.
    #[must_use]
    pub fn new(table: Table<O>) -> Self {
        Self { stage: Stage::new(table) }
    }

    /// Brings the table up to date: runs `f` for each bucket in which somebody came, left or changed, and for
    /// those whose earlier run read something that changed. A bucket without members makes no rows.
    ///
    /// The rest is as in [`crate::Derived::advance`]. `from` should be [`Table::indexed`] by `X`; if it is not,
    /// every bucket is made anew in each commit that changes it.
    pub fn advance(
        &mut self,
        c: &mut Commit,
        from: &Table<X::Of>,
        f: impl for<'m> Fn(&Reads<O>, &X::Bucket, &mut Members<'m, X::Of>) -> Vec<(O::Key, O::Row)>,
    ) {
        const { assert!(X::Of::ORDER < O::ORDER, "a stage may read only tables above it") }
        let scanned;
        let (kept, buckets) = match from.index::<X>() {
            Some((_, buckets)) => {
                buckets.follow();
                (true, buckets)
            }
            None => {
                scanned = Buckets::<X>::scan(from.entries());
                (false, &scanned)
            }
        };
        let dirty: Vec<X::Bucket> = if self.stage.first() {
            buckets.iter().map(|b| b.name.clone()).collect()
        } else if kept {
            c.touched_buckets::<X>().into_iter().flatten().cloned().collect()
        } else if c.changed_keys::<X::Of>().next().is_some() {
            let mut all: Set<X::Bucket> = buckets.iter().map(|b| b.name.clone()).collect();
            all.extend(self.stage.inputs().cloned());
            all.into_iter().collect()
        } else {
            Vec::new()
        };
        self.stage.advance(c, dirty, |r, name| {
            let bucket = buckets.bucket(name)?;
            Some(f(r, name, &mut bucket.members.iter().map(|e| (&e.key, &e.row))))
        });
    }

    /// The table as it is now; clone it for a snapshot.
    pub fn table(&self) -> &Table<O> {
        self.stage.table()
    }
}

impl<X: Index, O: Def> Deref for Grouped<X, O> {
    type Target = Table<O>;
    fn deref(&self) -> &Table<O> {
        self.table()
    }
}
