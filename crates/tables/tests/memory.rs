//! How many bytes a memo and a row take, counted by the allocator.
#![expect(clippy::print_stdout, reason = "the figures are worth printing")]

#[path = "../benches/counting.rs"]
mod counting;
#[path = "../benches/workload.rs"]
#[expect(dead_code, reason = "the measurement of memory uses a part of the workload")]
mod workload;

use counting::live;
use tables::{Commit, Def, Derived, Index, Input, Level, Memos, Revision, Table};
use workload::{ClusterAsk, EndpointsAsk, Fact, Mesh, fill, push};

struct Facts;
struct Made;

macro_rules! def {
    ($def:ident = $order:literal) => {
        impl Level for $def {
            const ORDER: u16 = $order;
            const NAME: &'static str = stringify!($def);
        }
        impl Def for $def {
            type Key = u64;
            type Row = [u64; 4];
        }
    };
}

def!(Facts = 1);
def!(Made = 2);

struct ByTen;
impl Index for ByTen {
    type Of = Facts;
    type Bucket = u64;
    const NAME: &'static str = "ByTen";
    fn buckets(key: &u64, _: &[u64; 4], put: &mut dyn FnMut(u64)) {
        put(key / 10);
    }
}

/// One test, because everything in the process is counted.
#[test]
fn memos_and_rows_stay_within_their_bytes() {
    let (mut mesh, story, world) = Mesh::filled();
    let before = live();
    let memos = Memos::new().with_audit(false);
    memos.commit(&story);
    let count = fill(&memos, &world);
    let used = live() - before;
    let outputs: usize = memos.stats().iter().map(|s| s.bytes).sum();
    let each = (used - outputs) / count;
    println!("{count} memos: {} MiB, outputs {} MiB, {each} bytes each beside", used >> 20, outputs >> 20);
    assert_eq!(count, 120_000);
    assert!(used <= 100 << 20, "{used} bytes");
    assert!(each <= 350, "{each} bytes of bookkeeping for each memo");

    for i in 0..2_000 {
        let (story, world) = mesh.commit(Fact::Endpoints(i, 5));
        let flagged = memos.commit(&story);
        push(&memos, &world, &flagged);
    }
    let churned = live() - before;
    assert!(churned < used + (4 << 20), "{used} bytes grew to {churned} by changes alone");

    memos.retain::<ClusterAsk>(|a| a.class >= 20);
    memos.retain::<EndpointsAsk>(|a| a.class >= 20);
    let half = live() - before;
    assert!(half < used * 6 / 10, "{used} bytes with 40 classes, {half} with 20");
    drop(memos);

    rows();
}

fn rows() {
    const ROWS: u64 = 100_000;
    let before = live();
    let mut facts = Input::<Facts>::default();
    let mut c = Commit::new(Revision(1));
    for key in 0..ROWS {
        facts.put(&mut c, key, Some([key; 4]));
    }
    drop(c);
    let plain = (live() - before) / ROWS as usize;

    let before = live();
    let mut facts = Input::<Facts>::new(Table::new().indexed::<ByTen>());
    let mut made = Derived::<Facts, Made>::default();
    let mut c = Commit::new(Revision(1));
    for key in 0..ROWS {
        facts.put(&mut c, key, Some([key; 4]));
    }
    drop(c);
    let indexed = (live() - before) / ROWS as usize;
    let before = live();
    let mut c = Commit::new(Revision(2));
    made.advance(&mut c, &facts, |r, key, row| vec![(*key, **facts.get(r, &(key / 2)).unwrap_or(row))]);
    drop(c);
    let derived = (live() - before) / ROWS as usize;
    println!(
        "bytes per row: {plain} input, {indexed} with an index of tens, {derived} derived with one read"
    );
    assert!(plain <= 200, "{plain} bytes for an input row of 32 bytes");
    assert!(indexed <= 280, "{indexed} bytes for an input row in a bucket of ten");
    assert!(derived <= 400, "{derived} bytes for a derived row with one read");
}
