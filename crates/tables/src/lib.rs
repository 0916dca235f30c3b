//! tables - the incremental engine: committed tables for what is true of the mesh, memos for what a proxy gets.
//! In: facts put into inputs, and pure functions (stages, builders). Out: snapshots of tables, stories of commits, memos.
//! Here: rows, indexes, recorded reads, derived and grouped tables, commits, memos and who to tell when a row changes.
//! Never here: what a service, a route or a proxy is; threads of its own, clocks, sockets, files.
//! Start reading at: table.rs, then derived.rs and memo.rs

mod commit;
mod derived;
mod grouped;
mod index;
mod input;
mod memo;
mod numbered;
mod readers;
mod reads;
mod shards;
mod stage;
mod story;
mod table;

use std::{fmt, hash::Hash};

pub use commit::Commit;
pub use derived::Derived;
pub use grouped::{Grouped, Members};
pub use index::Index;
pub use input::Input;
pub use memo::{Answer, Ask, Asking, Explained, Flagged, Mark, Memos, Snapshot, Stats, Trace};
pub use reads::Reads;
pub use story::{Change, Conflict, Kind, Panicked, StageRun, Story};
pub use table::Table;

/// A place in the order of the flow. Whoever stands at a place may read only what has a smaller `ORDER`.
pub trait Level: 'static {
    /// The place; no two tables or asks of a world share one.
    const ORDER: u16;
    /// How stories, statistics and debug pages call it.
    const NAME: &'static str;
}

/// A table: what its keys and rows are. A marker type stands for it.
pub trait Def: Level {
    /// What names a row.
    type Key: Key;
    /// The row. Equal rows are not a change.
    type Row: Row;
}

/// What may be a key or a bucket name.
pub trait Key: Clone + Eq + Hash + Ord + Send + Sync + fmt::Debug + 'static {}
impl<T: Clone + Eq + Hash + Ord + Send + Sync + fmt::Debug + 'static> Key for T {}

/// What may be a row.
pub trait Row: Eq + Send + Sync + 'static {}
impl<T: Eq + Send + Sync + 'static> Row for T {}

/// The number of a commit. The world before any commit is at revision 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Revision(pub u64);

impl Revision {
    /// The one after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
