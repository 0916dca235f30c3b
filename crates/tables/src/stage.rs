//! The part that derived and grouped tables share: what each input made and read, and who may keep a row.

use std::{
    any::Any,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use smallvec::SmallVec;

use crate::{
    Commit, Conflict, Def, Key, Panicked, Reads, StageRun, Table,
    numbered::{Number, Numbered},
    readers::Readers,
    reads::{Cell, Map, Set},
};

/// What one input made and read in its last run.
struct Made {
    /// The numbers of the claims to what it made.
    claims: SmallVec<[Number; 2]>,
    cells: Box<[Cell]>,
}

impl Made {
    fn nothing() -> Self {
        Self { claims: SmallVec::new(), cells: Box::default() }
    }
}

/// Who makes a row. The row of a single maker stands in the table.
enum Claim<K, O: Def> {
    One(Number),
    Many(BTreeMap<K, Arc<O::Row>>),
}

/// Rows to be set when all inputs have run.
type Pending<O> = BTreeMap<<O as Def>::Key, Option<Arc<<O as Def>::Row>>>;

pub(crate) struct Stage<K: Key, O: Def> {
    table: Table<O>,
    made: Numbered<K, Made>,
    claims: Numbered<O::Key, Claim<K, O>>,
    readers: BTreeMap<u16, Map<Cell, Readers<Number>>>,
    first: bool,
}

impl<K: Key, O: Def> Stage<K, O> {
    pub(crate) fn new(table: Table<O>) -> Self {
        let (made, claims) = (Numbered::default(), Numbered::default());
        Self { table, made, claims, readers: BTreeMap::new(), first: true }
    }

    pub(crate) fn table(&self) -> &Table<O> {
        &self.table
    }

    /// Whether the stage has never been advanced, and so must run for every input.
    pub(crate) fn first(&self) -> bool {
        self.first
    }

    /// The inputs that have run.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = &K> {
        self.made.keys()
    }

    /// Runs the inputs that are dirty and those whose reads are. `run` gives `None` for an input that is gone.
    pub(crate) fn advance(
        &mut self,
        c: &mut Commit,
        dirty: Vec<K>,
        run: impl Fn(&Reads<O>, &K) -> Option<Vec<(O::Key, O::Row)>>,
    ) {
        self.first = false;
        let mut dirty = dirty;
        self.readers_of_changes(c, &mut dirty);
        dirty.sort_unstable();
        dirty.dedup();
        let mut pending = Pending::<O>::new();
        let mut runs = 0;
        for key in dirty {
            let reads = Reads::<O>::new();
            match catch_unwind(AssertUnwindSafe(|| run(&reads, &key))) {
                Ok(None) => self.forget(&key, &mut pending),
                Ok(Some(rows)) => {
                    runs += 1;
                    let rows = Self::each_once(c, &key, rows);
                    let input = self.made.number(&key, Made::nothing);
                    self.replace(input, &key, rows, &mut pending);
                    self.note_reads(input, reads.take());
                }
                Err(payload) => {
                    runs += 1;
                    c.panics.push(Panicked {
                        stage: O::NAME,
                        key: format!("{key:?}"),
                        message: message(&*payload),
                    });
                    let input = self.made.number(&key, Made::nothing);
                    self.note_reads(input, reads.take());
                }
            }
        }
        let mut changed = 0;
        for (key, row) in pending {
            self.tell_conflict(c, &key);
            changed += usize::from(self.table.put(c, key, row));
        }
        if runs + changed > 0 {
            c.stages.push(StageRun { stage: O::NAME, order: O::ORDER, runs, changed });
        }
    }

    fn readers_of_changes(&self, c: &Commit, dirty: &mut Vec<K>) {
        let mut found = |who: &Readers<Number>| {
            who.each(|reader| dirty.extend(self.made.key(*reader).cloned()));
        };
        for (order, readers) in &self.readers {
            let Some(touched) = c.touched(*order) else { continue };
            if touched.len() <= readers.len() {
                touched.iter().filter_map(|cell| readers.get(cell)).for_each(&mut found);
            } else {
                let readers = readers.iter().filter(|(cell, _)| touched.contains(*cell));
                readers.map(|(_, who)| who).for_each(&mut found);
            }
        }
    }

    /// The first of two rows that one run made for one key stands.
    fn each_once(c: &mut Commit, input: &K, rows: Vec<(O::Key, O::Row)>) -> Vec<(O::Key, Arc<O::Row>)> {
        let mut seen = Set::default();
        let mut once = Vec::with_capacity(rows.len());
        for (key, row) in rows {
            if seen.contains(&key) {
                let maker = format!("{input:?}");
                c.conflicts.push(Conflict {
                    table: O::NAME,
                    key: format!("{key:?}"),
                    kept: maker.clone(),
                    refused: vec![maker],
                });
                continue;
            }
            seen.insert(key.clone());
            once.push((key, Arc::new(row)));
        }
        once
    }

    /// An input is gone, with what it made and read.
    fn forget(&mut self, key: &K, pending: &mut Pending<O>) {
        let Some(input) = self.made.find(key) else { return };
        self.replace(input, key, Vec::new(), pending);
        self.note_reads(input, Box::default());
        self.made.remove(input);
    }

    /// Sets what an input makes.
    fn replace(
        &mut self,
        input: Number,
        key: &K,
        rows: Vec<(O::Key, Arc<O::Row>)>,
        pending: &mut Pending<O>,
    ) {
        let now = rows.into_iter().map(|(made, row)| self.claim(made, input, key, row, pending)).collect();
        let Some(made) = self.made.get_mut(input) else { return };
        let before = std::mem::replace(&mut made.claims, now);
        if before.is_empty() {
            return;
        }
        let still: Set<Number> = made.claims.iter().copied().collect();
        for gone in before.into_iter().filter(|claim| !still.contains(claim)) {
            self.withdraw(gone, input, key, pending);
        }
    }

    /// Sets what an input has read. Both lists are sorted.
    fn note_reads(&mut self, input: Number, cells: Box<[Cell]>) {
        let Some(made) = self.made.get_mut(input) else { return };
        let before = std::mem::replace(&mut made.cells, cells);
        let now = &made.cells;
        for cell in before.iter().filter(|cell| now.binary_search(cell).is_err()) {
            let Some(readers) = self.readers.get_mut(&cell.order()) else { continue };
            if let Some(who) = readers.get_mut(cell) {
                who.remove(&input);
                if who.is_empty() {
                    readers.remove(cell);
                }
            }
        }
        for cell in now.iter().filter(|cell| before.binary_search(cell).is_err()) {
            let readers = self.readers.entry(cell.order()).or_default();
            readers.entry(*cell).or_default().insert(input);
        }
    }

    /// An input makes a row; the number of the claim to it.
    fn claim(
        &mut self,
        made: O::Key,
        input: Number,
        key: &K,
        row: Arc<O::Row>,
        pending: &mut Pending<O>,
    ) -> Number {
        let number = self.claims.number(&made, || Claim::One(input));
        let shown = match self.claims.get_mut(number) {
            Some(Claim::One(maker)) if *maker == input => Some(row),
            Some(Claim::Many(makers)) => {
                makers.insert(key.clone(), row);
                makers.values().next().map(Arc::clone)
            }
            Some(claim) => {
                let standing = match pending.get(&made) {
                    Some(row) => row.clone(),
                    None => self.table.peek(&made).map(Arc::clone),
                };
                let mut makers = BTreeMap::from([(key.clone(), row)]);
                if let (Claim::One(maker), Some(standing)) = (&*claim, standing)
                    && let Some(maker) = self.made.key(*maker)
                {
                    makers.insert(maker.clone(), standing);
                }
                let shown = makers.values().next().map(Arc::clone);
                *claim = Claim::Many(makers);
                shown
            }
            None => return number,
        };
        pending.insert(made, shown);
        number
    }

    /// An input no longer makes a row.
    fn withdraw(&mut self, number: Number, input: Number, key: &K, pending: &mut Pending<O>) {
        match self.claims.get_mut(number) {
            Some(Claim::One(maker)) if *maker == input => {
                if let Some((made, _)) = self.claims.remove(number) {
                    pending.insert(made, None);
                }
            }
            Some(Claim::Many(makers)) => {
                makers.remove(key);
                let shown = makers.values().next().map(Arc::clone);
                let last = makers.keys().next().filter(|_| makers.len() == 1);
                let last = last.and_then(|last| self.made.find(last));
                if let (Some(last), Some(claim)) = (last, self.claims.get_mut(number)) {
                    *claim = Claim::One(last);
                }
                if let Some(made) = self.claims.key(number) {
                    pending.insert(made.clone(), shown);
                }
            }
            _ => {}
        }
    }

    fn tell_conflict(&self, c: &mut Commit, key: &O::Key) {
        let claim = self.claims.find(key).and_then(|number| self.claims.get(number));
        if let Some(Claim::Many(makers)) = claim {
            let mut names = makers.keys().map(|k| format!("{k:?}"));
            c.conflicts.push(Conflict {
                table: O::NAME,
                key: format!("{key:?}"),
                kept: names.next().unwrap_or_default(),
                refused: names.collect(),
            });
        }
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
}
