//! What a finished commit tells: which rows changed, which stages ran, what went wrong.

use std::{any::Any, collections::BTreeMap, fmt, sync::Arc};

use crate::{
    Def, Revision,
    reads::{Cell, Set},
};

/// What happened to a row between the revision before and this one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The key had no row.
    Added,
    /// The key has another row.
    Changed,
    /// The key has no row any more.
    Removed,
}

/// One changed row. Its key becomes text only when somebody prints it.
#[derive(Clone, Copy)]
pub struct Change<'a> {
    /// The table's `NAME`.
    pub table: &'static str,
    /// The table's `ORDER`.
    pub order: u16,
    /// What happened.
    pub kind: Kind,
    /// The key of the row.
    pub key: &'a (dyn fmt::Debug + Send + Sync),
}

impl fmt::Debug for Change<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {:?}", self.table, self.key, self.kind)
    }
}

/// The work of one stage in one commit. A stage that had nothing to do has no entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StageRun {
    /// The `NAME` of the table that the stage makes.
    pub stage: &'static str,
    /// Its `ORDER`.
    pub order: u16,
    /// How often the stage function was called.
    pub runs: usize,
    /// How many rows of the table changed.
    pub changed: usize,
}

/// A stage function that panicked on one input. The rows it had made before stay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Panicked {
    /// The `NAME` of the table that the stage makes.
    pub stage: &'static str,
    /// The key of the input, printed.
    pub key: String,
    /// What the panic said.
    pub message: String,
}

/// Several inputs made one row: the smallest input key kept it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conflict {
    /// The `NAME` of the table.
    pub table: &'static str,
    /// The key of the row, printed.
    pub key: String,
    /// The input whose row stands, printed.
    pub kept: String,
    /// The inputs that were refused, printed, in order.
    pub refused: Vec<String>,
}

/// The record of one commit: `/debug/push_status`, the trace span and the work-count test are made of it.
#[derive(Clone)]
pub struct Story {
    /// The revision the commit made.
    pub revision: Revision,
    /// The stages that had something to do, in the order of the flow.
    pub stages: Vec<StageRun>,
    /// The stage functions that panicked.
    pub panics: Vec<Panicked>,
    /// The rows that more than one input made, of those the commit touched.
    pub conflicts: Vec<Conflict>,
    pub(crate) tables: Vec<Arc<dyn AnyChanged>>,
    pub(crate) cells: Arc<BTreeMap<u16, Set<Cell>>>,
}

impl Story {
    /// Every changed row, by the order of the tables, then by key.
    pub fn changes(&self) -> impl Iterator<Item = Change<'_>> {
        self.tables.iter().flat_map(|t| (0..t.len()).filter_map(|i| t.at(i)))
    }

    /// The keys of one table whose rows changed, sorted.
    pub fn changed<D: Def>(&self) -> impl Iterator<Item = &D::Key> {
        self.kinds::<D>().map(|(key, _)| key)
    }

    /// The keys of one table whose rows changed and what happened to each, sorted.
    pub fn kinds<D: Def>(&self) -> impl Iterator<Item = (&D::Key, Kind)> {
        let found = self.tables.iter().find_map(|t| t.any().downcast_ref::<Changed<D>>());
        found.into_iter().flat_map(|c| c.0.iter().map(|(key, kind)| (key, *kind)))
    }

    /// Whether the commit changed nothing at all.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// How many rows changed.
    pub fn len(&self) -> usize {
        self.tables.iter().map(|t| t.len()).sum()
    }

    /// How many stage functions ran.
    pub fn runs(&self) -> usize {
        self.stages.iter().map(|s| s.runs).sum()
    }
}

impl fmt::Debug for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Story")
            .field("revision", &self.revision)
            .field("changes", &self.changes().collect::<Vec<_>>())
            .field("stages", &self.stages)
            .field("panics", &self.panics)
            .field("conflicts", &self.conflicts)
            .finish_non_exhaustive()
    }
}

/// The changed rows of one table, sorted by key.
pub(crate) struct Changed<D: Def>(pub(crate) Vec<(D::Key, Kind)>);

/// The changed rows of a table whose type the story does not know.
pub(crate) trait AnyChanged: Send + Sync {
    fn name(&self) -> &'static str;
    fn order(&self) -> u16;
    fn len(&self) -> usize;
    fn at(&self, i: usize) -> Option<Change<'_>>;
    fn any(&self) -> &dyn Any;
}

impl<D: Def> AnyChanged for Changed<D> {
    fn name(&self) -> &'static str {
        D::NAME
    }

    fn order(&self) -> u16 {
        D::ORDER
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn at(&self, i: usize) -> Option<Change<'_>> {
        self.0.get(i).map(|(key, kind)| Change { table: D::NAME, order: D::ORDER, kind: *kind, key })
    }

    fn any(&self) -> &dyn Any {
        self
    }
}
