//! What a piece of work has looked at: the record of reads, and the numbers that name what can be read.

use std::{
    cell::RefCell,
    hash::{BuildHasher, Hash},
    marker::PhantomData,
    rc::Rc,
};

use crate::{Level, Trace};

/// The key itself: one row, present or absent.
pub(crate) const ROW: u16 = 0;
/// The table as a whole: any change of any row.
pub(crate) const WHOLE: u16 = 1;

/// The part of a table that stands for who is in a bucket of its `at`-th index.
pub(crate) const fn members(at: usize) -> u16 {
    2 + 2 * at as u16
}

/// The part of a table that stands for a bucket of its `at`-th index with the rows in it.
pub(crate) const fn rows(at: usize) -> u16 {
    3 + 2 * at as u16
}

/// Something that can be read and can change: a row, a bucket's membership, a bucket's rows or a whole table.
///
/// One number, since there are more of these than of anything else: the order of the table (16 bits), the part (6), and
/// a hash of the key (42). Two keys with one hash share a cell: what reads one is then also re-run when the other
/// changes, which costs work and is never wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Cell(u64);

impl Cell {
    const PART_BITS: u32 = 6;
    const HASH_BITS: u32 = 42;

    /// A part of the table that stands at `order`; `hash` is 0 for the table as a whole.
    pub(crate) const fn new(order: u16, part: u16, hash: u64) -> Self {
        // the place of a 31st index of one table: its readers share the cells of the 30th
        let part = if part < 1 << Self::PART_BITS { part } else { (1 << Self::PART_BITS) - 2 + part % 2 };
        let place = (order as u64) << Self::PART_BITS | part as u64;
        Self(place << Self::HASH_BITS | hash >> (64 - Self::HASH_BITS))
    }

    /// Where its table stands.
    pub(crate) const fn order(self) -> u16 {
        (self.0 >> (Self::PART_BITS + Self::HASH_BITS)) as u16
    }
}

/// A hasher with fixed seeds: the same key has the same hash in every table and every record.
#[derive(Clone, Copy, Default)]
pub(crate) struct Fixed;

const SEEDS: ahash::RandomState =
    ahash::RandomState::with_seeds(0x6d65_6c74, 0x656d_6920, 0x7461_626c, 0x6573_2121);

impl BuildHasher for Fixed {
    type Hasher = ahash::AHasher;
    fn build_hasher(&self) -> Self::Hasher {
        SEEDS.build_hasher()
    }
}

pub(crate) type Map<K, V> = hashbrown::HashMap<K, V, Fixed>;
pub(crate) type Set<K> = hashbrown::HashSet<K, Fixed>;

pub(crate) fn hash_of<K: Hash + ?Sized>(key: &K) -> u64 {
    Fixed.hash_one(key)
}

/// The record of what one run of a stage, or one build of a memo, has read.
///
/// `L` is the place of the reader in the flow: it may read only what stands above it. The engine makes one for
/// each run; [`Reads::new`] is for calling a stage function by itself, in a test.
///
/// A stage that reads a table above it compiles:
///
/// ```
/// use tables::{Def, Level, Reads, Table};
/// struct Services;
/// impl Level for Services { const ORDER: u16 = 1; const NAME: &'static str = "services"; }
/// impl Def for Services { type Key = u8; type Row = u8; }
/// struct Scopes;
/// impl Level for Scopes { const ORDER: u16 = 2; const NAME: &'static str = "scopes"; }
/// assert!(Table::<Services>::new().get(&Reads::<Scopes>::new(), &1).is_none());
/// ```
///
/// One that reads a table below it, or its own, does not, whichever way it reads ("a stage may read only tables
/// above it"):
///
/// ```compile_fail,E0080
/// # use tables::{Def, Level, Reads, Table};
/// # struct Services;
/// # impl Level for Services { const ORDER: u16 = 1; const NAME: &'static str = "services"; }
/// # impl Def for Services { type Key = u8; type Row = u8; }
/// # struct Scopes;
/// # impl Level for Scopes { const ORDER: u16 = 1; const NAME: &'static str = "scopes"; }
/// assert!(Table::<Services>::new().get(&Reads::<Scopes>::new(), &1).is_none());
/// ```
///
/// ```compile_fail,E0080
/// # use tables::{Def, Level, Reads, Table};
/// # struct Services;
/// # impl Level for Services { const ORDER: u16 = 3; const NAME: &'static str = "services"; }
/// # impl Def for Services { type Key = u8; type Row = u8; }
/// # struct Scopes;
/// # impl Level for Scopes { const ORDER: u16 = 2; const NAME: &'static str = "scopes"; }
/// assert!(Table::<Services>::new().all(&Reads::<Scopes>::new()).next().is_none());
/// ```
///
/// Nor can a table be derived from one that stands below it:
///
/// ```compile_fail,E0080
/// # use tables::{Commit, Def, Derived, Level, Revision, Table};
/// # struct Services;
/// # impl Level for Services { const ORDER: u16 = 3; const NAME: &'static str = "services"; }
/// # impl Def for Services { type Key = u8; type Row = u8; }
/// # struct Scopes;
/// # impl Level for Scopes { const ORDER: u16 = 2; const NAME: &'static str = "scopes"; }
/// # impl Def for Scopes { type Key = u8; type Row = u8; }
/// let services = Table::<Services>::new();
/// let mut scopes = Derived::<Services, Scopes>::default();
/// scopes.advance(&mut Commit::new(Revision(1)), &services, |_, key, row| vec![(*key, **row)]);
/// ```
#[derive(Debug)]
pub struct Reads<L> {
    log: RefCell<Vec<Cell>>,
    reader: PhantomData<fn() -> L>,
    /// Where a builder says what its answer comes from, when somebody asks that.
    trace: Option<Rc<Trace>>,
}

impl<L: Level> Reads<L> {
    /// An empty record that nobody will ask about.
    #[must_use]
    pub fn new() -> Self {
        Self { log: RefCell::default(), reader: PhantomData, trace: None }
    }

    /// An empty record of a builder whose answer is explained.
    pub(crate) fn traced(trace: Rc<Trace>) -> Self {
        Self { trace: Some(trace), ..Self::new() }
    }

    /// Where to say what an answer comes from; `None` unless it is being explained ([`crate::Memos::explain`]).
    #[inline]
    #[must_use]
    pub fn trace(&self) -> Option<&Trace> {
        self.trace.as_deref()
    }

    /// The same, to hand on to the builders below.
    pub(crate) fn shared_trace(&self) -> Option<&Rc<Trace>> {
        self.trace.as_ref()
    }

    pub(crate) fn note(&self, cell: Cell) {
        let mut log = self.log.borrow_mut();
        if log.last() != Some(&cell) {
            log.push(cell);
        }
    }

    /// What was read, sorted, each cell once.
    pub(crate) fn take(&self) -> Box<[Cell]> {
        let mut cells = std::mem::take(&mut *self.log.borrow_mut());
        cells.sort_unstable();
        cells.dedup();
        cells.into_boxed_slice()
    }
}

impl<L: Level> Default for Reads<L> {
    fn default() -> Self {
        Self::new()
    }
}
