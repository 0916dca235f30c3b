//! Memos beside commits and forgets that come in between.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use super::*;
use crate::{Commit, Def, Input, Story, Table};

macro_rules! level {
    ($($level:ident = $order:literal),*) => { $(
        impl Level for $level {
            const ORDER: u16 = $order;
            const NAME: &'static str = stringify!($level);
        }
    )* };
}

struct Rows;
level!(Rows = 1, Part = 10, Whole = 11, Leaky = 12);
impl Def for Rows {
    type Key = u32;
    type Row = u32;
}

struct World {
    revision: Revision,
    rows: Table<Rows>,
    /// Something that a builder must not use, as nobody records it.
    secret: AtomicU64,
    /// Done once, while the part of this number is built on this world.
    meanwhile: Mutex<Option<(u32, Meanwhile)>>,
}

type Meanwhile = Box<dyn FnOnce() + Send>;

impl Snapshot for World {
    fn revision(&self) -> Revision {
        self.revision
    }
}

/// A tenth of a row.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Part(u32);

/// The parts that row 0 says, from 1 up.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Whole(u32);

/// A builder that uses what it must not.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Leaky;

impl Ask for Part {
    type World = World;
    type Out = Option<u32>;
    fn build(&self, r: &Asking<'_, Self>) -> Option<u32> {
        let meanwhile = r.world().meanwhile.lock().take_if(|(part, _)| *part == self.0);
        if let Some((_, meanwhile)) = meanwhile {
            meanwhile();
        }
        r.world().rows.get(r, &self.0).map(|row| **row / 10)
    }
    fn digest(out: &Option<u32>) -> u64 {
        hash_of(out)
    }
}

impl Ask for Whole {
    type World = World;
    type Out = Vec<Option<u32>>;
    fn build(&self, r: &Asking<'_, Self>) -> Vec<Option<u32>> {
        let count = r.world().rows.get(r, &0).map_or(0, |row| **row);
        (1..=count).map(|i| *r.ask(&Part(i))).collect()
    }
    fn digest(out: &Vec<Option<u32>>) -> u64 {
        hash_of(out)
    }
    fn weight(out: &Vec<Option<u32>>) -> usize {
        out.len()
    }
}

impl Ask for Leaky {
    type World = World;
    type Out = u64;
    fn build(&self, r: &Asking<'_, Self>) -> u64 {
        r.world().secret.load(Relaxed)
    }
    fn digest(out: &u64) -> u64 {
        *out
    }
}

#[derive(Default)]
struct Writer {
    revision: Revision,
    rows: Input<Rows>,
}

impl Writer {
    fn commit(&mut self, rows: &[(u32, Option<u32>)]) -> (Story, Arc<World>) {
        self.revision = self.revision.next();
        let mut c = Commit::new(self.revision);
        for (key, row) in rows {
            self.rows.put(&mut c, *key, *row);
        }
        let (revision, rows) = (self.revision, self.rows.table().clone());
        (
            c.finish(),
            Arc::new(World { revision, rows, secret: AtomicU64::new(0), meanwhile: Mutex::default() }),
        )
    }
}

/// (builds of parts, builds of wholes) so far.
fn built(memos: &Memos<World>) -> (u64, u64) {
    let of = |name| memos.stats().iter().find(|s| s.name == name).map_or(0, |s| s.built);
    (of("Part"), of("Whole"))
}

fn count(memos: &Memos<World>, name: &str) -> usize {
    memos.stats().iter().find(|s| s.name == name).map_or(0, |s| s.count)
}

/// Row 0 says three parts; rows 1 to 3 are 10, 20, 30; one whole was asked.
fn whole_of_three() -> (Memos<World>, Writer, Arc<World>) {
    let memos = Memos::new();
    let mut writer = Writer::default();
    let (story, world) = writer.commit(&[(0, Some(3)), (1, Some(10)), (2, Some(20)), (3, Some(30))]);
    memos.commit(&story);
    let answer = memos.get(&world, &Whole(0));
    assert_eq!((&*answer.out, answer.fresh), (&vec![Some(1), Some(2), Some(3)], true));
    assert_eq!(built(&memos), (3, 1));
    (memos, writer, world)
}

#[test]
fn an_equal_part_stops_the_wave_and_only_it_is_rebuilt() {
    let (memos, mut writer, _) = whole_of_three();
    let (story, world) = writer.commit(&[(2, Some(25))]);
    let flagged = memos.commit(&story);
    assert_eq!(flagged.counts().collect::<Vec<_>>(), [(10, "Part", 1), (11, "Whole", 1)]);
    assert_eq!(flagged.of::<Part>().collect::<Vec<_>>(), [&Part(2)]);
    let answer = memos.get(&world, &Whole(0));
    assert_eq!((built(&memos), answer.fresh), ((4, 1), true));
    let (story, world) = writer.commit(&[(2, Some(99))]);
    memos.commit(&story);
    assert_eq!(*memos.get(&world, &Whole(0)).out, [Some(1), Some(9), Some(3)]);
    assert_eq!(built(&memos), (5, 2));
}

#[test]
fn a_commit_that_touches_nothing_flags_nothing_and_all_are_hits() {
    let (memos, mut writer, _) = whole_of_three();
    let (story, world) = writer.commit(&[(9, Some(1)), (2, Some(20))]);
    assert!(memos.commit(&story).is_empty());
    assert!(memos.get(&world, &Whole(0)).fresh);
    assert_eq!(built(&memos), (3, 1));
}

#[test]
fn a_row_that_appears_flags_those_who_found_it_absent() {
    let (memos, mut writer, world) = whole_of_three();
    assert_eq!(*memos.get(&world, &Part(7)).out, None);
    let (story, world) = writer.commit(&[(7, Some(70))]);
    assert_eq!(memos.commit(&story).of::<Part>().collect::<Vec<_>>(), [&Part(7)]);
    assert_eq!(*memos.get(&world, &Part(7)).out, Some(7));
}

#[test]
fn an_old_snapshot_gets_its_own_answer_says_so_and_overwrites_nothing() {
    let (memos, mut writer, old) = whole_of_three();
    let (story, new) = writer.commit(&[(2, Some(99))]);
    memos.commit(&story);
    let stale = memos.get(&old, &Whole(0));
    assert_eq!((&*stale.out, stale.fresh), (&vec![Some(1), Some(2), Some(3)], false));
    let answer = memos.get(&new, &Whole(0));
    assert_eq!((&*answer.out, answer.fresh), (&vec![Some(1), Some(9), Some(3)], true));
    let stale = memos.get(&old, &Whole(0));
    assert_eq!((&*stale.out, stale.fresh), (&vec![Some(1), Some(2), Some(3)], false));
    let before = built(&memos);
    assert!(memos.get(&new, &Whole(0)).fresh);
    assert_eq!(built(&memos), before);
}

#[test]
fn a_build_on_an_old_snapshot_is_kept_if_no_commit_since_touched_what_it_read() {
    let memos = Memos::<World>::new();
    let mut writer = Writer::default();
    let (story, old) = writer.commit(&[(1, Some(10)), (2, Some(20))]);
    memos.commit(&story);
    let (story, _) = writer.commit(&[(2, Some(99))]);
    memos.commit(&story);
    assert!(memos.get(&old, &Part(1)).fresh);
    assert!(!memos.get(&old, &Part(2)).fresh);
    assert_eq!(count(&memos, "Part"), 1);
}

#[test]
fn only_recent_commits_are_remembered_and_older_builds_are_not_fresh() {
    let memos = Memos::<World>::new();
    let mut writer = Writer::default();
    let (story, old) = writer.commit(&[(1, Some(10))]);
    memos.commit(&story);
    for i in 0..300 {
        memos.commit(&writer.commit(&[(2, Some(i))]).0);
    }
    assert!(!memos.get(&old, &Part(1)).fresh);
    let (_, world) = writer.commit(&[]);
    assert!(memos.get(&world, &Part(1)).fresh);
}

#[test]
fn a_memo_made_ahead_of_the_commits_told_is_not_overwritten() {
    let (memos, mut writer, old) = whole_of_three();
    let (story, ahead) = writer.commit(&[(2, Some(99))]);
    assert_eq!(*memos.get(&ahead, &Whole(0)).out, [Some(1), Some(9), Some(3)]);
    assert!(!memos.get(&old, &Whole(0)).fresh);
    let before = built(&memos);
    assert_eq!(*memos.get(&ahead, &Whole(0)).out, [Some(1), Some(9), Some(3)]);
    assert_eq!(built(&memos), before);
    assert_eq!(memos.commit(&story).len(), 2, "whoever holds the older answer is woken");
    assert!(memos.get(&ahead, &Whole(0)).fresh);
    assert_eq!(built(&memos), before);
}

#[test]
fn a_commit_that_nobody_told_makes_older_builds_not_fresh() {
    let memos = Memos::<World>::new();
    let mut writer = Writer::default();
    let (story, old) = writer.commit(&[(1, Some(10))]);
    memos.commit(&story);
    writer.commit(&[(1, Some(99))]);
    memos.commit(&writer.commit(&[(2, Some(20))]).0);
    assert!(!memos.get(&old, &Part(1)).fresh);
}

#[test]
fn a_commit_during_a_check_is_not_missed() {
    let (memos, mut writer, _) = whole_of_three();
    let memos = Arc::new(memos);
    let (story, second) = writer.commit(&[(3, Some(31))]);
    memos.commit(&story);
    let (story, third) = writer.commit(&[(1, Some(99))]);
    let teller = Arc::clone(&memos);
    *second.meanwhile.lock() = Some((3, Box::new(move || drop(teller.commit(&story)))));
    let stale = memos.get(&second, &Whole(0));
    assert_eq!((&*stale.out, stale.fresh), (&vec![Some(1), Some(2), Some(3)], false));
    assert!(second.meanwhile.lock().is_none(), "the commit came while the part was built");
    assert_eq!(*memos.get(&third, &Whole(0)).out, [Some(9), Some(2), Some(3)]);
}

#[test]
fn a_commit_during_a_build_is_not_missed() {
    let memos = Arc::new(Memos::<World>::new());
    let mut writer = Writer::default();
    let (story, first) = writer.commit(&[(0, Some(2)), (1, Some(10)), (2, Some(20))]);
    memos.commit(&story);
    let (story, second) = writer.commit(&[(1, Some(99))]);
    let teller = Arc::clone(&memos);
    *first.meanwhile.lock() = Some((2, Box::new(move || drop(teller.commit(&story)))));
    assert!(!memos.get(&first, &Whole(0)).fresh);
    assert_eq!(*memos.get(&second, &Whole(0)).out, [Some(9), Some(2)]);
}

#[test]
fn a_part_forgotten_during_a_build_is_not_lost() {
    let memos = Arc::new(Memos::<World>::new());
    let mut writer = Writer::default();
    let (story, world) = writer.commit(&[(0, Some(2)), (1, Some(10)), (2, Some(20))]);
    memos.commit(&story);
    let other = Arc::clone(&memos);
    *world.meanwhile.lock() = Some((2, Box::new(move || other.forget(&Part(1)))));
    assert!(!memos.get(&world, &Whole(0)).fresh);
    assert!(memos.get(&world, &Whole(0)).fresh);
    let (story, world) = writer.commit(&[(1, Some(99))]);
    assert_eq!(memos.commit(&story).of::<Whole>().count(), 1);
    assert_eq!(*memos.get(&world, &Whole(0)).out, [Some(9), Some(2)]);
}

#[test]
fn a_value_that_came_back_does_not_stand_for_the_time_between() {
    let (memos, mut writer, _) = whole_of_three();
    let (story, between) = writer.commit(&[(2, Some(99))]);
    memos.commit(&story);
    let (story, newest) = writer.commit(&[(2, Some(20))]);
    memos.commit(&story);
    let before = built(&memos).1;
    assert!(memos.get(&newest, &Whole(0)).fresh);
    assert_eq!(built(&memos).1, before);
    assert_eq!(*memos.get(&between, &Whole(0)).out, [Some(1), Some(9), Some(3)]);
}

#[test]
fn a_part_that_no_whole_reads_any_more_is_let_go() {
    let (memos, mut writer, _) = whole_of_three();
    let (story, world) = writer.commit(&[(0, Some(1))]);
    memos.commit(&story);
    assert_eq!(memos.get(&world, &Whole(0)).out.len(), 1);
    assert_eq!((count(&memos, "Part"), memos.edges.count()), (1, 2));
}

#[test]
fn memos_die_with_their_class_and_leave_no_edges() {
    let (memos, _, world) = whole_of_three();
    memos.get(&world, &Whole(1));
    memos.get(&world, &Part(2));
    memos.get(&world, &Part(8));
    memos.forget(&Part(3));
    memos.retain::<Whole>(|w| w.0 != 0);
    assert_eq!((count(&memos, "Whole"), count(&memos, "Part")), (1, 4));
    memos.retain::<Whole>(|_| false);
    assert_eq!((count(&memos, "Whole"), count(&memos, "Part")), (0, 2));
    memos.retain::<Part>(|_| false);
    assert_eq!((memos.stats().iter().map(|s| s.count + s.bytes).sum::<usize>(), memos.edges.count()), (0, 0));
}

#[test]
fn distrusted_memos_and_their_readers_are_built_again() {
    let (memos, _, world) = whole_of_three();
    assert_eq!(memos.distrust::<Part>(|p| p.0 == 2).len(), 2);
    assert!(memos.get(&world, &Whole(0)).fresh);
    assert_eq!(built(&memos), (4, 1));
}

#[test]
#[should_panic(expected = "a memo is out of date: Leaky Leaky at revision 1")]
fn audit_finds_a_builder_that_uses_what_is_not_recorded() {
    let (_, world) = Writer::default().commit(&[]);
    let memos = Memos::new().with_audit(true);
    memos.get(&world, &Leaky);
    world.secret.store(7, Relaxed);
    memos.get(&world, &Leaky);
}

#[test]
fn without_audit_a_hit_is_the_memo_itself() {
    let (_, world) = Writer::default().commit(&[]);
    let memos = Memos::new().with_audit(false);
    let first = memos.get(&world, &Leaky);
    world.secret.store(7, Relaxed);
    assert!(Arc::ptr_eq(&first.out, &memos.get(&world, &Leaky).out));
}

#[test]
fn off_builds_always_and_still_flags() {
    let memos = Memos::new().off();
    let mut writer = Writer::default();
    let (story, world) = writer.commit(&[(0, Some(1)), (1, Some(10))]);
    memos.commit(&story);
    memos.get(&world, &Whole(0));
    assert!(memos.get(&world, &Whole(0)).fresh);
    assert_eq!(built(&memos), (2, 2));
    let (story, _) = writer.commit(&[(1, Some(20))]);
    assert_eq!(memos.commit(&story).len(), 2);
}

#[test]
fn a_builder_that_panics_leaves_no_trace() {
    #[derive(Clone, PartialEq, Eq, Hash, Debug)]
    struct Bad;
    level!(Bad = 20);
    impl Ask for Bad {
        type World = World;
        type Out = u32;
        fn build(&self, r: &Asking<'_, Self>) -> u32 {
            r.ask(&Part(1)).unwrap()
        }
        fn digest(out: &u32) -> u64 {
            u64::from(*out)
        }
    }
    let memos = Memos::<World>::new();
    let mut writer = Writer::default();
    let (story, world) = writer.commit(&[]);
    memos.commit(&story);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| memos.get(&world, &Bad)));
    assert!(caught.is_err());
    let (story, world) = writer.commit(&[(1, Some(10))]);
    memos.commit(&story);
    assert_eq!(*memos.get(&world, &Bad).out, 1);
}
