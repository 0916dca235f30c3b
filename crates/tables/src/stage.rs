//! The part that derived and grouped tables share: what each input made and read, and who may keep a row.

use std::{
    any::Any,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::{
    Commit, Conflict, Def, Key, Panicked, Reads, StageRun, Table,
    readers::Readers,
    reads::{Cell, Map, Set},
};

/// What one input made and read in its last run.
struct Made<O: Def> {
    keys: Box<[O::Key]>,
    cells: Box<[Cell]>,
}

/// Who makes a row. The row of a single maker stands in the table.
enum Claim<K, O: Def> {
    One(K),
    Many(BTreeMap<K, Arc<O::Row>>),
}

/// Rows to be set when all inputs have run.
type Pending<O> = BTreeMap<<O as Def>::Key, Option<Arc<<O as Def>::Row>>>;

pub(crate) struct Stage<K: Key, O: Def> {
    table: Table<O>,
    made: Map<K, Made<O>>,
    claims: Map<O::Key, Claim<K, O>>,
    readers: BTreeMap<u16, Map<Cell, Readers<K>>>,
    first: bool,
}

impl<K: Key, O: Def> Stage<K, O> {
    pub(crate) fn new(table: Table<O>) -> Self {
        Self { table, made: Map::default(), claims: Map::default(), readers: BTreeMap::new(), first: true }
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
                Ok(None) => self.replace(&key, Vec::new(), None, &mut pending),
                Ok(Some(rows)) => {
                    runs += 1;
                    let rows = self.each_once(c, &key, rows);
                    self.replace(&key, rows, Some(reads.take()), &mut pending);
                }
                Err(payload) => {
                    runs += 1;
                    c.panics.push(Panicked {
                        stage: O::NAME,
                        key: format!("{key:?}"),
                        message: message(&*payload),
                    });
                    self.note_reads(&key, reads.take());
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
        for (order, readers) in &self.readers {
            let Some(touched) = c.touched(*order) else { continue };
            if touched.len() <= readers.len() {
                let found = touched.iter().filter_map(|cell| readers.get(cell));
                found.for_each(|who| who.each(|k| dirty.push(k.clone())));
            } else {
                let found = readers.iter().filter(|(cell, _)| touched.contains(*cell));
                found.for_each(|(_, who)| who.each(|k| dirty.push(k.clone())));
            }
        }
    }

    /// The first of two rows that one run made for one key stands.
    fn each_once(
        &self,
        c: &mut Commit,
        input: &K,
        rows: Vec<(O::Key, O::Row)>,
    ) -> Vec<(O::Key, Arc<O::Row>)> {
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

    /// Sets what an input makes and reads; `None` reads mean that the input is gone.
    fn replace(
        &mut self,
        input: &K,
        rows: Vec<(O::Key, Arc<O::Row>)>,
        reads: Option<Box<[Cell]>>,
        pending: &mut Pending<O>,
    ) {
        let keys: Box<[O::Key]> = rows.iter().map(|(key, _)| key.clone()).collect();
        let before = self.made.get_mut(input).map(|m| std::mem::take(&mut m.keys)).unwrap_or_default();
        if before.len() + keys.len() > 0 {
            let still: Set<&O::Key> = keys.iter().collect();
            for gone in before.iter().filter(|key| !still.contains(*key)) {
                self.withdraw(gone, input, pending);
            }
        }
        for (key, row) in rows {
            self.claim(key, input, row, pending);
        }
        match reads {
            Some(cells) => {
                self.note_reads(input, cells);
                if let Some(made) = self.made.get_mut(input) {
                    made.keys = keys;
                }
            }
            None => {
                self.note_reads(input, Box::default());
                self.made.remove(input);
            }
        }
    }

    /// Sets what an input has read. Both lists are sorted.
    fn note_reads(&mut self, input: &K, cells: Box<[Cell]>) {
        let made = self
            .made
            .entry(input.clone())
            .or_insert_with(|| Made { keys: Box::default(), cells: Box::default() });
        let before = std::mem::replace(&mut made.cells, cells);
        let now = &made.cells;
        for cell in before.iter().filter(|cell| now.binary_search(cell).is_err()) {
            let Some(readers) = self.readers.get_mut(&cell.order()) else { continue };
            if let Some(who) = readers.get_mut(cell) {
                who.remove(input);
                if who.is_empty() {
                    readers.remove(cell);
                }
            }
        }
        for cell in now.iter().filter(|cell| before.binary_search(cell).is_err()) {
            let readers = self.readers.entry(cell.order()).or_default();
            readers.entry(*cell).or_default().insert(input.clone());
        }
    }

    fn claim(&mut self, key: O::Key, input: &K, row: Arc<O::Row>, pending: &mut Pending<O>) {
        match self.claims.get_mut(&key) {
            None => {
                self.claims.insert(key.clone(), Claim::One(input.clone()));
                pending.insert(key, Some(row));
            }
            Some(Claim::One(maker)) if maker == input => {
                pending.insert(key, Some(row));
            }
            Some(claim @ Claim::One(_)) => {
                let standing = match pending.get(&key) {
                    Some(row) => row.clone(),
                    None => self.table.peek(&key).map(Arc::clone),
                };
                let mut makers = BTreeMap::from([(input.clone(), row)]);
                if let (Claim::One(maker), Some(standing)) = (&*claim, standing) {
                    makers.insert(maker.clone(), standing);
                }
                pending.insert(key, makers.values().next().map(Arc::clone));
                *claim = Claim::Many(makers);
            }
            Some(Claim::Many(makers)) => {
                makers.insert(input.clone(), row);
                pending.insert(key, makers.values().next().map(Arc::clone));
            }
        }
    }

    fn withdraw(&mut self, key: &O::Key, input: &K, pending: &mut Pending<O>) {
        match self.claims.get_mut(key) {
            Some(Claim::One(maker)) if maker == input => {
                self.claims.remove(key);
                pending.insert(key.clone(), None);
            }
            Some(claim @ Claim::Many(_)) => {
                let Claim::Many(makers) = &mut *claim else { return };
                makers.remove(input);
                pending.insert(key.clone(), makers.values().next().map(Arc::clone));
                if makers.len() == 1
                    && let Some((last, _)) = makers.pop_first()
                {
                    *claim = Claim::One(last);
                }
            }
            _ => {}
        }
    }

    fn tell_conflict(&self, c: &mut Commit, key: &O::Key) {
        if let Some(Claim::Many(makers)) = self.claims.get(key) {
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
