//! The eager half on a small mesh: random commits against rebuilds, order, conflicts, panics, work counts.

use std::{collections::BTreeMap, sync::Arc};

use tables::{Commit, Def, Derived, Grouped, Index, Input, Kind, Level, Reads, Revision, Story, Table};

type Name = (u8, u8);

macro_rules! tables {
    ($($def:ident = $order:literal: $key:ty => $row:ty;)*) => { $(
        struct $def;
        impl Level for $def {
            const ORDER: u16 = $order;
            const NAME: &'static str = stringify!($def);
        }
        impl Def for $def {
            type Key = $key;
            type Row = $row;
        }
    )* };
}

tables! {
    Pods = 1: Name => Pod;
    KubeServices = 2: Name => KubeService;
    Claims = 3: u8 => Vec<u8>;
    Settings = 4: () => bool;
    Services = 10: Name => Service;
    Hosts = 11: u8 => Host;
    Endpoints = 12: Name => Vec<u8>;
    Owners = 13: u8 => Name;
    Sizes = 14: u8 => (usize, usize);
    Ports = 15: (Name, u8) => Option<u8>;
    Totals = 16: u8 => usize;
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Pod {
    label: u8,
    ip: u8,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct KubeService {
    selector: u8,
    noise: u8,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Service {
    selector: u8,
    public: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Host {
    owner: u8,
    claims: usize,
    shadows: bool,
}

macro_rules! index {
    ($index:ident of $def:ident by $bucket:ty: |$key:ident, $row:ident, $put:ident| $body:expr) => {
        struct $index;
        impl Index for $index {
            type Of = $def;
            type Bucket = $bucket;
            const NAME: &'static str = stringify!($index);
            fn buckets($key: &<$def as Def>::Key, $row: &<$def as Def>::Row, $put: &mut dyn FnMut($bucket)) {
                $body
            }
        }
    };
}

index!(ByLabel of Pods by Name: |key, pod, put| put((key.0, pod.label)));
index!(ByHost of Claims by u8: |_key, hosts, put| hosts.iter().for_each(|h| put(*h)));
index!(ByNamespace of Services by u8: |key, _row, put| put(key.0));
index!(Public of Services by (): |_key, row, put| if row.public { put(()) });
index!(Listed of Hosts by u8: |key, _row, put| put(key % 4));
index!(NotKept of Services by u8: |key, row, put| { put(row.selector); put(100 + key.0 * 12 + key.1) });

struct Mesh {
    revision: Revision,
    pods: Input<Pods>,
    kube: Input<KubeServices>,
    claims: Input<Claims>,
    settings: Input<Settings>,
    services: Derived<KubeServices, Services>,
    hosts: Grouped<ByHost, Hosts>,
    endpoints: Derived<Services, Endpoints>,
    owners: Derived<KubeServices, Owners>,
    sizes: Grouped<ByNamespace, Sizes>,
    ports: Derived<Services, Ports>,
    totals: Grouped<NotKept, Totals>,
}

impl Mesh {
    fn new() -> Self {
        Self {
            revision: Revision::default(),
            pods: Input::new(Table::new().indexed::<ByLabel>()),
            kube: Input::default(),
            claims: Input::new(Table::new().indexed::<ByHost>()),
            settings: Input::default(),
            services: Derived::new(Table::new().indexed::<ByNamespace>().indexed::<Public>()),
            hosts: Grouped::new(Table::new().indexed::<Listed>()),
            endpoints: Derived::default(),
            owners: Derived::default(),
            sizes: Grouped::default(),
            ports: Derived::default(),
            totals: Grouped::default(),
        }
    }

    fn commit(&mut self, facts: impl IntoIterator<Item = Fact>) -> Story {
        self.revision = self.revision.next();
        let mut c = Commit::new(self.revision);
        for fact in facts {
            match fact {
                Fact::Pod(key, row) => self.pods.put(&mut c, key, row),
                Fact::Kube(key, row) => self.kube.put(&mut c, key, row),
                Fact::Claim(key, row) => self.claims.put(&mut c, key, row),
                Fact::Setting(row) => self.settings.put(&mut c, (), row),
            };
        }
        let Self { pods, kube, claims, settings, .. } = self;
        self.services.advance(&mut c, kube, |r, key, s| {
            let all = settings.get(r, &()).is_some_and(|x| **x);
            vec![(*key, Service { selector: s.selector, public: all || key.1 % 2 == 0 })]
        });
        let services = self.services.table();
        self.hosts.advance(&mut c, claims, |r, host, members| {
            let all: Vec<u8> = members.map(|(claim, _)| *claim).collect();
            let shadows = services.get(r, &(0, *host)).is_some();
            vec![(*host, Host { owner: all[0], claims: all.len(), shadows })]
        });
        let hosts = self.hosts.table();
        self.endpoints.advance(&mut c, services, |r, key, s| {
            let mut ips: Vec<u8> =
                pods.bucket::<ByLabel, _>(r, &(key.0, s.selector)).map(|(_, p)| p.ip).collect();
            ips.extend(hosts.get(r, &key.1).map(|h| h.owner));
            vec![(*key, ips)]
        });
        self.owners.advance(&mut c, kube, |_, key, s| vec![(s.selector, *key)]);
        self.sizes.advance(&mut c, services, |r, namespace, members| {
            let others = services.keys::<Public, _>(r, &()).count();
            vec![(*namespace, (members.count(), others))]
        });
        self.ports.advance(&mut c, services, |r, key, s| {
            let ports = (0..s.selector).filter(|p| {
                !hosts.has::<Listed, _>(r, &(p % 4), p) || hosts.get(r, p).is_none_or(|h| !h.shadows)
            });
            ports.map(|p| ((*key, p), hosts.get(r, &p).map(|h| h.owner))).collect()
        });
        self.totals.advance(&mut c, services, |r, bucket, members| {
            let unkept = if *bucket < 4 { services.keys::<NotKept, _>(r, &(bucket + 1)).count() } else { 0 };
            vec![(*bucket, members.count() * 100 + unkept + settings.all(r).count())]
        });
        c.finish()
    }

    fn facts(&self) -> Vec<Fact> {
        let pods = self.pods.iter().map(|(k, v)| Fact::Pod(*k, Some((**v).clone())));
        let kube = self.kube.iter().map(|(k, v)| Fact::Kube(*k, Some((**v).clone())));
        let claims = self.claims.iter().map(|(k, v)| Fact::Claim(*k, Some((**v).clone())));
        let settings = self.settings.iter().map(|(_, v)| Fact::Setting(Some(**v)));
        pods.chain(kube).chain(claims).chain(settings).collect()
    }

    /// Every derived row, printed.
    fn derived(&self) -> String {
        format!(
            "{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}",
            self.services.table(),
            self.hosts.table(),
            self.endpoints.table(),
            self.owners.table(),
            self.sizes.table(),
            self.ports.table(),
            self.totals.table()
        )
    }
}

#[derive(Clone, Debug)]
enum Fact {
    Pod(Name, Option<Pod>),
    Kube(Name, Option<KubeService>),
    Claim(u8, Option<Vec<u8>>),
    Setting(Option<bool>),
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n) as u8
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for i in (1..all.len()).rev() {
            let j = (self.0 % (i as u64 + 1)) as usize;
            self.below(2);
            all.swap(i, j);
        }
    }

    fn fact(&mut self) -> Fact {
        let key = (self.below(4), self.below(12));
        let some = self.below(4) > 0;
        match self.below(24) {
            0..=8 => Fact::Pod(key, some.then(|| Pod { label: self.below(3), ip: self.below(200) })),
            9..=16 => {
                Fact::Kube(key, some.then(|| KubeService { selector: self.below(4), noise: self.below(9) }))
            }
            17..=22 => {
                Fact::Claim(self.below(9), some.then(|| (0..self.below(4)).map(|_| self.below(12)).collect()))
            }
            _ => Fact::Setting(some.then(|| self.below(2) == 0)),
        }
    }
}

#[test]
fn twenty_thousand_random_commits_equal_a_rebuild_in_any_order() {
    let mut random = Random(88_172_645_463_325_252);
    let mut mesh = Mesh::new();
    let (mut ran, mut full, mut rebuilds, mut conflicts) = (0, 0, 0, 0);
    for step in 0..20_000 {
        let batch: Vec<Fact> = (0..=random.below(4)).map(|_| random.fact()).collect();
        let before = mesh.services.table().clone();
        let story = mesh.commit(batch);
        ran += story.runs();
        conflicts += story.conflicts.len();
        assert_kinds_are_true(&story, &before, mesh.services.table());
        if step % 50 == 0 {
            let mut facts = mesh.facts();
            random.shuffle(&mut facts);
            let mut scratch = Mesh::new();
            full += scratch.commit(facts.clone()).runs();
            rebuilds += 1;
            assert_eq!(scratch.derived(), mesh.derived(), "at step {step}");
            // and one fact for each commit
            if step % 1_000 == 0 {
                random.shuffle(&mut facts);
                let mut slow = Mesh::new();
                for fact in facts {
                    slow.commit([fact]);
                }
                assert_eq!(slow.derived(), mesh.derived(), "one by one at step {step}");
            }
        }
    }
    assert!(conflicts > 1_000, "the mesh has rows with several makers: {conflicts}");
    let (each, rebuild) = (ran as f64 / 20_000.0, full as f64 / f64::from(rebuilds));
    println!("{each:.1} stage runs per commit, {rebuild:.0} per rebuild");
    assert!(each * 3.0 < rebuild, "{each} runs per commit against {rebuild} per rebuild");
}

fn assert_kinds_are_true(story: &Story, before: &Table<Services>, after: &Table<Services>) {
    for (key, kind) in story.kinds::<Services>() {
        let rows = (before.peek(key), after.peek(key));
        match kind {
            Kind::Added => assert!(rows.0.is_none() && rows.1.is_some()),
            Kind::Removed => assert!(rows.0.is_some() && rows.1.is_none()),
            Kind::Changed => assert_ne!(rows.0, rows.1),
        }
    }
    let changed = before.iter().filter(|(k, row)| after.peek(k) != Some(*row)).count();
    assert!(story.changed::<Services>().count() >= changed);
}

fn small_mesh() -> Mesh {
    let mut mesh = Mesh::new();
    let kube = (0..40).map(|i| Fact::Kube((1, i), Some(KubeService { selector: i, noise: 0 })));
    mesh.commit(kube.chain((0..40).map(|i| Fact::Pod((1, i), Some(Pod { label: i, ip: i })))));
    mesh
}

#[test]
fn an_endpoint_flap_runs_one_stage_function() {
    let mut mesh = small_mesh();
    let story = mesh.commit([Fact::Pod((1, 7), Some(Pod { label: 7, ip: 99 }))]);
    assert_eq!(story.runs(), 1);
    assert_eq!(
        format!("{:?}", story.changes().collect::<Vec<_>>()),
        "[Pods (1, 7) Changed, Endpoints (1, 7) Changed]"
    );
    assert_eq!(story.changed::<Endpoints>().collect::<Vec<_>>(), [&(1, 7)]);
    assert_eq!(mesh.endpoints.revision_of(&(1, 7)), Some(story.revision));
    assert_eq!(mesh.endpoints.revision_of(&(1, 8)), Some(Revision(1)));
}

#[test]
fn equal_facts_are_no_change_and_run_nothing() {
    let mut mesh = small_mesh();
    let story = mesh.commit([Fact::Pod((1, 7), Some(Pod { label: 7, ip: 7 }))]);
    assert!(story.is_empty());
    assert_eq!(story.runs(), 0);
}

#[test]
fn an_equal_result_stops_the_wave() {
    let mut mesh = small_mesh();
    let story = mesh.commit([Fact::Kube((1, 7), Some(KubeService { selector: 7, noise: 5 }))]);
    let runs: Vec<_> = story.stages.iter().map(|s| (s.stage, s.runs, s.changed)).collect();
    assert_eq!(runs, [("Services", 1, 0), ("Owners", 1, 0)]);
}

#[test]
fn a_stage_runs_no_more_for_what_it_no_longer_reads() {
    let mut mesh = small_mesh();
    mesh.commit([Fact::Kube((1, 7), Some(KubeService { selector: 50, noise: 0 }))]);
    let story = mesh.commit([Fact::Pod((1, 7), Some(Pod { label: 7, ip: 99 }))]);
    assert_eq!(story.runs(), 0);
}

#[test]
fn a_row_that_appears_reruns_those_who_found_it_absent() {
    let mut mesh = small_mesh();
    let story = mesh.commit([Fact::Setting(Some(true))]);
    let services = story.stages.iter().find(|s| s.stage == "Services").unwrap();
    assert_eq!((services.runs, services.changed), (40, 20));
}

#[test]
fn a_snapshot_does_not_change() {
    let mut mesh = small_mesh();
    let old = mesh.pods.table().clone();
    let before = format!("{old:?}");
    let reader = Reads::<Services>::new();
    let bucket = |t: &Table<Pods>, at| t.bucket::<ByLabel, _>(&reader, &(1, at)).count();
    mesh.commit((0..40).map(|i| Fact::Pod((1, i), (i % 2 == 0).then_some(Pod { label: 1, ip: 200 }))));
    assert_eq!(format!("{old:?}"), before);
    assert_eq!((bucket(&old, 1), bucket(&mesh.pods, 1)), (1, 20));
    assert_eq!((old.len(), mesh.pods.len()), (40, 20));
}

#[test]
fn the_smallest_maker_keeps_a_row_whoever_came_first() {
    let service = |selector| Some(KubeService { selector, noise: 0 });
    let mut mesh = Mesh::new();
    mesh.commit([Fact::Kube((3, 0), service(1))]);
    assert_eq!(**mesh.owners.peek(&1).unwrap(), (3, 0));
    let story = mesh.commit([Fact::Kube((2, 0), service(1))]);
    assert_eq!(**mesh.owners.peek(&1).unwrap(), (2, 0));
    let told: Vec<_> = story.conflicts.iter().map(|c| (c.table, &*c.key, &*c.kept, &c.refused[..])).collect();
    assert_eq!(told, [("Owners", "1", "(2, 0)", &["(3, 0)".to_owned()][..])]);
    let story = mesh.commit([Fact::Kube((2, 0), service(5))]);
    assert!(story.conflicts.is_empty());
    assert_eq!(**mesh.owners.peek(&1).unwrap(), (3, 0));
    assert_eq!(**mesh.owners.peek(&5).unwrap(), (2, 0));
    mesh.commit([Fact::Kube((3, 0), None)]);
    assert!(mesh.owners.peek(&1).is_none());
}

#[test]
fn one_input_that_makes_a_row_twice_keeps_the_first() {
    let mut kube = Input::<KubeServices>::default();
    let mut owners = Derived::<KubeServices, Owners>::default();
    let mut c = Commit::new(Revision(1));
    kube.put(&mut c, (1, 1), Some(KubeService { selector: 1, noise: 1 }));
    owners.advance(&mut c, &kube, |_, _, _| vec![(9, (0, 1)), (9, (0, 2))]);
    assert_eq!(c.finish().conflicts.len(), 1);
    assert_eq!(**owners.peek(&9).unwrap(), (0, 1));
}

#[test]
fn a_panicking_stage_keeps_its_rows_and_tells_the_key() {
    let mut pods = Input::<Pods>::default();
    let mut kube = Input::<KubeServices>::default();
    let mut services = Derived::<KubeServices, Services>::default();
    let mut revision = Revision::default();
    let mut commit = |pod: Option<Pod>, selector: u8| {
        revision = revision.next();
        let mut c = Commit::new(revision);
        pods.put(&mut c, (0, 0), pod);
        kube.put(&mut c, (0, 0), Some(KubeService { selector, noise: 0 }));
        kube.put(&mut c, (0, 1), Some(KubeService { selector, noise: 0 }));
        services.advance(&mut c, &kube, |r, key, s| {
            let bad = key.1 == 0 && pods.get(r, &(0, 0)).is_some();
            assert!(!bad, "no service for {key:?}");
            vec![(*key, Service { selector: s.selector, public: true })]
        });
        let rows: BTreeMap<Name, u8> = services.iter().map(|(k, s)| (*k, s.selector)).collect();
        (c.finish(), rows)
    };
    let pod = || Some(Pod { label: 0, ip: 0 });
    let (story, rows) = commit(None, 1);
    assert_eq!((story.panics.len(), rows), (0, BTreeMap::from([((0, 0), 1), ((0, 1), 1)])));
    let (story, rows) = commit(pod(), 2);
    assert_eq!(rows, BTreeMap::from([((0, 0), 1), ((0, 1), 2)]));
    let told = &story.panics[0];
    assert_eq!((told.stage, &*told.key, &*told.message), ("Services", "(0, 0)", "no service for (0, 0)"));
    let (story, _) = commit(pod(), 2);
    assert_eq!(story.runs(), 0, "it is not tried again until something it read changes");
    let (story, rows) = commit(None, 2);
    assert_eq!((story.runs(), rows), (1, BTreeMap::from([((0, 0), 2), ((0, 1), 2)])));
}

#[test]
fn puts_of_one_key_in_one_commit_are_told_as_one_change() {
    let mut pods = Input::<Pods>::default();
    let pod = |ip| Some(Pod { label: 0, ip });
    let mut c = Commit::new(Revision(1));
    pods.put(&mut c, (0, 0), pod(1));
    pods.put(&mut c, (0, 0), None);
    pods.put(&mut c, (0, 1), pod(1));
    pods.put(&mut c, (0, 1), pod(2));
    let kinds: Vec<_> = c.finish().kinds::<Pods>().map(|(k, kind)| (*k, kind)).collect();
    assert_eq!(kinds, [((0, 1), Kind::Added)]);
    let mut c = Commit::new(Revision(2));
    pods.put(&mut c, (0, 1), None);
    pods.put(&mut c, (0, 1), pod(3));
    let kinds: Vec<_> = c.finish().kinds::<Pods>().map(|(k, kind)| (*k, kind)).collect();
    assert_eq!(kinds, [((0, 1), Kind::Changed)]);
}

#[test]
fn tables_of_any_size_agree_with_a_tree() {
    index!(ByFirst of Pods by u8: |key, _row, put| put(key.0));
    let mut pods = Input::<Pods>::new(Table::new().indexed::<ByFirst>());
    let mut tree = BTreeMap::new();
    let mut random = Random(4_101_842_887_655_102_017);
    let reader = Reads::<Services>::new();
    let mut snapshots = Vec::new();
    for round in 0..400_u64 {
        let mut c = Commit::new(Revision(round));
        let grow = (round / 50) % 2 == 0;
        for _ in 0..100 {
            let key = (random.below(20), random.below(256));
            let row =
                (random.below(8) < if grow { 7 } else { 1 }).then(|| Pod { label: 0, ip: random.below(9) });
            match &row {
                Some(pod) => tree.insert(key, pod.clone()),
                None => tree.remove(&key),
            };
            pods.put(&mut c, key, row);
        }
        assert_eq!(pods.len(), tree.len());
        assert!(pods.iter().map(|(k, v)| (k, &**v)).eq(tree.iter()));
        for first in 0..20 {
            let got = pods.bucket::<ByFirst, _>(&reader, &first).map(|(k, v)| (*k, Arc::clone(v)));
            let want = tree.range((first, 0)..=(first, 255)).map(|(k, v)| (*k, Arc::new(v.clone())));
            assert!(got.eq(want), "bucket {first} in round {round}");
        }
        if round % 40 == 0 {
            snapshots.push((pods.table().clone(), tree.clone()));
        }
    }
    for (table, tree) in snapshots {
        assert!(table.iter().map(|(k, v)| (k, &**v)).eq(tree.iter()));
    }
}
