//! Explained answers: the same as those that are served, with what was said, and without a mark on the memos.

use super::*;
use crate::{Commit, Def, Input, Level, Revision, Table};

macro_rules! level {
    ($($level:ident = $order:literal),*) => { $(
        impl Level for $level {
            const ORDER: u16 = $order;
            const NAME: &'static str = stringify!($level);
        }
    )* };
}

struct Rows;
level!(Rows = 1, Part = 10, Sum = 11);
impl Def for Rows {
    type Key = u32;
    type Row = u32;
}

struct World(Table<Rows>);

impl Snapshot for World {
    fn revision(&self) -> Revision {
        Revision(1)
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Part(u32);

/// Asks for part 1 twice and for part 2 once.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Sum;

impl Ask for Part {
    type World = World;
    type Out = u32;
    fn build(&self, r: &Asking<'_, Self>) -> u32 {
        if let Some(trace) = r.trace() {
            trace.say(format!("row {}", self.0));
            trace.say(self.0);
        }
        r.world().0.get(r, &self.0).map_or(0, |row| **row)
    }
    fn digest(out: &u32) -> u64 {
        u64::from(*out)
    }
}

impl Ask for Sum {
    type World = World;
    type Out = u32;
    fn build(&self, r: &Asking<'_, Self>) -> u32 {
        let mark = r.trace().map(Trace::mark);
        let sum = [1, 1, 2].iter().map(|at| *r.ask(&Part(*at))).sum();
        if let (Some(trace), Some(mark)) = (r.trace(), mark) {
            trace.take::<String>(mark).into_iter().for_each(|note| trace.say(format!("sum of {note}")));
        }
        sum
    }
    fn digest(out: &u32) -> u64 {
        u64::from(*out)
    }
}

fn world() -> Arc<World> {
    let mut rows = Input::<Rows>::default();
    let mut commit = Commit::new(Revision(1));
    rows.put(&mut commit, 1, Some(10));
    rows.put(&mut commit, 2, Some(20));
    Arc::new(World(rows.table().clone()))
}

#[test]
fn an_explained_answer_is_the_served_one_and_leaves_no_memo() {
    let (memos, world) = (Memos::new(), world());
    let explained = memos.explain(&world, &Sum);
    assert!(memos.stats().is_empty(), "{:?}", memos.stats());
    let served = memos.get(&world, &Sum);
    assert_eq!((*explained.out, explained.digest), (*served.out, served.digest));
    assert_eq!(*memos.explain(&world, &Sum).out, 40, "memos that are there are not in the way");
}

#[test]
fn every_ask_speaks_once_and_who_asks_may_rework_what_it_said() {
    let explained = Memos::new().explain(&world(), &Sum);
    let start = Mark::default();
    assert_eq!(explained.trace.take::<String>(start), ["sum of row 1", "sum of row 2"]);
    assert_eq!(explained.trace.take::<u32>(start), [1, 2]);
    assert!(explained.trace.take::<u32>(start).is_empty());
}
