//! The lazy half: random commits, pushes delayed and on stale snapshots, several threads, against from-scratch.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the helpers of a test are as free as the test"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tables::{Ask, Asking, Commit, Def, Index, Input, Level, Memos, Revision, Snapshot, Story, Table};

macro_rules! levels {
    ($($level:ident = $order:literal;)*) => { $(
        impl Level for $level {
            const ORDER: u16 = $order;
            const NAME: &'static str = stringify!($level);
        }
    )* };
}

macro_rules! defs {
    ($($def:ident),*) => { $(
        struct $def;
        impl Def for $def {
            type Key = u32;
            type Row = Vec<u32>;
        }
    )* };
}

levels! { Scopes = 1; Hosts = 2; Rules = 3; Sees = 10; Plan = 11; Cluster = 12; }
defs!(Scopes, Hosts, Rules);

/// Rules by the host they are for.
struct ByHost;
impl Index for ByHost {
    type Of = Rules;
    type Bucket = u32;
    const NAME: &'static str = "ByHost";
    fn buckets(_: &u32, row: &Vec<u32>, put: &mut dyn FnMut(u32)) {
        row.iter().take(1).for_each(|host| put(*host));
    }
}

struct World {
    revision: Revision,
    scopes: Table<Scopes>,
    hosts: Table<Hosts>,
    rules: Table<Rules>,
}

impl Snapshot for World {
    fn revision(&self) -> Revision {
        self.revision
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Sees {
    class: u32,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Plan {
    class: u32,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Cluster {
    class: u32,
    host: u32,
}

fn digest(all: &[u32]) -> u64 {
    let mut h = DefaultHasher::new();
    all.hash(&mut h);
    h.finish()
}

macro_rules! ask {
    ($ask:ident, |$me:ident, $r:ident| $body:expr) => {
        impl Ask for $ask {
            type World = World;
            type Out = Vec<u32>;
            fn build(&self, $r: &Asking<'_, Self>) -> Vec<u32> {
                let $me = self;
                $body
            }
            fn digest(out: &Vec<u32>) -> u64 {
                digest(out)
            }
            fn weight(out: &Vec<u32>) -> usize {
                out.len() * 4
            }
        }
    };
}

const PUBLIC: u32 = 1_000;

ask!(Sees, |ask, r| {
    let scopes = &r.world().scopes;
    let own = scopes.get(r, &ask.class).into_iter().chain(scopes.get(r, &PUBLIC));
    let all: BTreeSet<u32> = own.flat_map(|s| s.iter().copied()).collect();
    all.into_iter().collect()
});
ask!(Plan, |ask, r| {
    let sees = r.ask(&Sees { class: ask.class });
    sees.iter().copied().filter(|h| r.world().hosts.get(r, h).is_some()).collect()
});
ask!(Cluster, |ask, r| {
    let world = r.world();
    let mut out = vec![ask.host, ask.class % 2];
    out.extend(world.hosts.get(r, &ask.host).iter().flat_map(|h| h.iter()));
    let rules = world.rules.bucket::<ByHost, _>(r, &ask.host);
    out.extend(rules.flat_map(|(name, row)| [name % 8, row.get(1).map_or(0, |x| x / 3)]));
    if out.len() > 5 {
        out.push(r.ask(&Sees { class: ask.class }).len() as u32 / 4);
    }
    out
});

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n) as u32
    }
}

#[derive(Default)]
struct Writer {
    revision: Revision,
    scopes: Input<Scopes>,
    hosts: Input<Hosts>,
    rules: Option<Input<Rules>>,
}

impl Writer {
    fn new() -> Self {
        Self { rules: Some(Input::new(Table::new().indexed::<ByHost>())), ..Self::default() }
    }

    fn random(&mut self, random: &mut Random, changes: u64) -> (Story, Arc<World>) {
        self.revision = self.revision.next();
        let mut c = Commit::new(self.revision);
        for _ in 0..changes {
            let many = |random: &mut Random| (0..random.below(12)).map(|_| random.below(40)).collect();
            match random.below(9) {
                0 => self.scopes.put(&mut c, random.below(6), Some(many(random))),
                1 => self.scopes.put(&mut c, PUBLIC, Some(many(random))),
                2..=4 => {
                    let row = (random.below(4) > 0).then(|| vec![random.below(9)]);
                    self.hosts.put(&mut c, random.below(40), row)
                }
                _ => {
                    let row = (random.below(4) > 0).then(|| vec![random.below(40), random.below(9)]);
                    self.rules.as_mut().unwrap().put(&mut c, random.below(60), row)
                }
            };
        }
        (c.finish(), self.world())
    }

    fn world(&self) -> Arc<World> {
        Arc::new(World {
            revision: self.revision,
            scopes: self.scopes.table().clone(),
            hosts: self.hosts.table().clone(),
            rules: self.rules.as_ref().unwrap().table().clone(),
        })
    }
}

/// What a connection of a class must hold on a world.
fn scratch(world: &Arc<World>, class: u32) -> BTreeMap<u32, u64> {
    let fresh = Memos::new();
    let plan = fresh.get(world, &Plan { class }).out;
    plan.iter().map(|host| (*host, fresh.get(world, &Cluster { class, host: *host }).digest)).collect()
}

#[derive(Default)]
struct Connection {
    class: u32,
    sent: BTreeMap<u32, u64>,
    plan_due: bool,
    due: BTreeSet<u32>,
    resources: usize,
}

impl Connection {
    fn idle(&self) -> bool {
        !self.plan_due && self.due.is_empty()
    }

    /// One push. What it got that was not fresh goes back into the queue, if the rule is kept.
    fn push(&mut self, memos: &Memos<World>, world: &Arc<World>, requeue: bool) {
        let class = self.class;
        let mut due = std::mem::take(&mut self.due);
        if std::mem::take(&mut self.plan_due) {
            let plan = memos.get(world, &Plan { class });
            self.plan_due = requeue && !plan.fresh;
            let hosts: BTreeSet<u32> = plan.out.iter().copied().collect();
            self.sent.retain(|host, _| hosts.contains(host));
            due.extend(hosts.iter().filter(|h| !self.sent.contains_key(h)));
            due.retain(|h| hosts.contains(h));
        } else {
            due.retain(|h| self.sent.contains_key(h));
        }
        for host in due {
            let cluster = memos.get(world, &Cluster { class, host });
            if requeue && !cluster.fresh {
                self.due.insert(host);
            }
            if self.sent.insert(host, cluster.digest) != Some(cluster.digest) {
                self.resources += 1;
            }
        }
    }

    fn wake(&mut self, story: &tables::Flagged) {
        self.plan_due |= story.of::<Plan>().any(|p| p.class == self.class);
        let hosts = story.of::<Cluster>().filter(|c| c.class == self.class);
        self.due.extend(hosts.map(|c| c.host));
    }
}

struct Run {
    requeue: bool,
    tell_late: bool,
    seed: u64,
    steps: usize,
}

/// Gives the number of connection states that were compared, and of those that were wrong.
fn run(memos: &Memos<World>, how: &Run) -> (usize, usize) {
    let mut random = Random(how.seed);
    let mut writer = Writer::new();
    let mut world = writer.world();
    let mut old = Arc::clone(&world);
    let mut untold: Vec<Story> = Vec::new();
    let mut connections: Vec<Connection> =
        (0..30).map(|i| Connection { class: i % 6, plan_due: true, ..Connection::default() }).collect();
    let (mut compared, mut wrong) = (0, 0);
    for step in 0..how.steps {
        if random.below(7) == 0 {
            old = Arc::clone(&world);
        }
        let changes = u64::from(random.below(4));
        let (story, next) = writer.random(&mut random, changes);
        world = next;
        untold.push(story);
        let quiet = step % 50 == 49;
        if quiet || !how.tell_late || random.below(3) == 0 {
            for story in untold.drain(..) {
                let flagged = memos.commit(&story);
                connections.iter_mut().for_each(|c| c.wake(&flagged));
            }
        }
        for c in &mut connections {
            if !c.idle() && random.below(4) == 0 {
                let on = if random.below(5) == 0 { &old } else { &world };
                c.push(memos, on, how.requeue);
            }
        }
        if random.below(40) == 0 {
            let class = random.below(6);
            memos.retain::<Cluster>(|c| c.class != class);
            memos.forget(&Plan { class });
            let all = connections.iter_mut().filter(|c| c.class == class);
            all.for_each(|c| {
                c.plan_due = true;
                c.due.extend(c.sent.keys());
            });
        }
        if quiet {
            for c in &mut connections {
                while !c.idle() {
                    c.push(memos, &world, how.requeue);
                }
                compared += 1;
                wrong += usize::from(c.sent != scratch(&world, c.class));
            }
        }
    }
    (compared, wrong)
}

fn normal(seed: u64) -> Run {
    Run { requeue: true, tell_late: false, seed, steps: 2_000 }
}

#[test]
fn every_connection_ends_with_what_a_from_scratch_build_gives() {
    let memos = Memos::new();
    assert_eq!(run(&memos, &normal(0x2545_F491_4F6C_DD1D)), (1_200, 0));
    let (mut built, mut hits) = (0, 0);
    for s in memos.stats() {
        built += s.built;
        hits += s.hits;
    }
    println!("built {built}, hits {hits}: {:?}", memos.stats());
}

#[test]
fn without_requeueing_what_was_not_fresh_a_wake_is_missed() {
    let (compared, wrong) = run(&Memos::new(), &Run { requeue: false, ..normal(0x2545_F491_4F6C_DD1D) });
    assert!(compared > 0 && wrong > 0, "the requeue rule is not tested: {wrong} of {compared}");
}

#[test]
fn a_world_published_before_its_commit_is_told_changes_nothing() {
    assert_eq!(run(&Memos::new(), &Run { tell_late: true, ..normal(77_777) }), (1_200, 0));
}

#[test]
fn memos_off_give_the_same_answers_and_flags() {
    let memos = Memos::new().off();
    assert_eq!(run(&memos, &Run { steps: 500, ..normal(4_242) }), (300, 0));
    assert_eq!(memos.stats().iter().map(|s| s.hits).sum::<u64>(), 0);
}

#[test]
fn audit_off_gives_the_same_answers() {
    assert_eq!(run(&Memos::new().with_audit(false), &normal(31_337)), (1_200, 0));
}

#[test]
fn threads_that_push_while_commits_go_on_end_right() {
    for seed in 1..=4_u64 {
        threads(seed, seed % 2 == 0);
    }
}

fn threads(seed: u64, audit: bool) {
    let memos = Memos::new().with_audit(audit);
    let mut writer = Writer::new();
    let published = RwLock::new(writer.world());
    let done = AtomicBool::new(false);
    let (stale, pushes) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let connections: Vec<Mutex<Connection>> = (0..12)
        .map(|i| Mutex::new(Connection { class: i % 6, plan_due: true, ..Connection::default() }))
        .collect();
    std::thread::scope(|scope| {
        for thread in 0..3_u64 {
            let (memos, published, done, connections, stale, pushes) =
                (&memos, &published, &done, &connections, &stale, &pushes);
            scope.spawn(move || {
                let mut random = Random(seed * 1_000 + thread * 77 + 5);
                while !done.load(Ordering::Acquire) {
                    let world = Arc::clone(&published.read().unwrap());
                    std::thread::yield_now();
                    let mut c = connections[random.below(12) as usize].lock().unwrap();
                    if !c.idle() {
                        c.push(memos, &world, true);
                        pushes.fetch_add(1, Ordering::Relaxed);
                        stale.fetch_add(usize::from(!c.idle()), Ordering::Relaxed);
                    }
                    if random.below(200) == 0 {
                        memos.retain::<Cluster>(|a| a.class != c.class);
                        memos.forget(&Plan { class: c.class });
                        c.plan_due = true;
                        let hosts: Vec<u32> = c.sent.keys().copied().collect();
                        c.due.extend(hosts);
                        drop(c);
                        // the others of the class would have kept the memos alive: they ask again
                        for other in connections {
                            let mut other = other.lock().unwrap();
                            other.plan_due = true;
                            let hosts: Vec<u32> = other.sent.keys().copied().collect();
                            other.due.extend(hosts);
                        }
                    }
                }
            });
        }
        let mut random = Random(seed);
        for _ in 0..1_500 {
            let changes = 1 + u64::from(random.below(3));
            let (story, world) = writer.random(&mut random, changes);
            let flagged = memos.commit(&story);
            *published.write().unwrap() = world;
            for c in &connections {
                c.lock().unwrap().wake(&flagged);
            }
            // let the others get some work in between, but do not wait for them for ever
            let goal = pushes.load(Ordering::Relaxed) + random.below(3) as usize;
            for _ in 0..2_000 {
                if pushes.load(Ordering::Relaxed) < goal {
                    std::thread::yield_now();
                }
            }
        }
        done.store(true, Ordering::Release);
    });
    let world = writer.world();
    for c in &connections {
        let mut c = c.lock().unwrap();
        while !c.idle() {
            c.push(&memos, &world, true);
        }
        assert_eq!(c.sent, scratch(&world, c.class), "seed {seed}, class {}", c.class);
    }
    let (pushes, stale) = (pushes.into_inner(), stale.into_inner());
    println!("seed {seed}: {pushes} pushes, {stale} of them left something to do again");
    assert!(pushes > 100 && stale > 0, "the threads hardly ran beside the commits: {pushes}, {stale}");
}
