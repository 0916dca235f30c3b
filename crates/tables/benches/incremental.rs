//! One change in: what it costs to find, rebuild and wake exactly what it touches.

#[path = "workload.rs"]
mod workload;

use std::hint::black_box;

use criterion::{BatchSize, Criterion};
use tables::Memos;
use workload::{Fact, Mesh, SERVICES, fill, push};

fn changes(criterion: &mut Criterion) {
    let (mut mesh, story, mut world) = Mesh::filled();
    let memos = Memos::new().with_audit(false);
    memos.commit(&story);
    fill(&memos, &world);
    let mut n = 0_u64;
    let mut group = criterion.benchmark_group("one change");
    // the old snapshot is alive while the new one is made, as it is when connections hold it
    for (name, of) in [
        ("endpoint flap", (|s, n| Fact::Endpoints(s, n * 31 + 1_000_000)) as fn(u32, u64) -> Fact),
        ("same endpoints again", |_, _| Fact::Endpoints(3, 77)),
        ("destination rule edited", |s, n| Fact::Rule(s / 5 * 5, Some(n))),
        ("destination rule comes and goes", |s, n| {
            Fact::Rule(s / 5 * 5 + 1, (n / u64::from(SERVICES) % 2 == 0).then_some(n))
        }),
    ] {
        world = mesh.commit(Fact::Endpoints(3, 77)).1;
        group.bench_function(name, |b| {
            b.iter(|| {
                n += 37;
                let fact = of((n % u64::from(SERVICES)) as u32, n);
                let (story, next) = mesh.commit(fact);
                let flagged = memos.commit(&story);
                world = next;
                black_box(push(&memos, &world, &flagged))
            });
        });
    }
    group.sample_size(10);
    group.bench_function("mesh config", |b| {
        b.iter(|| {
            n += 37;
            let (story, next) = mesh.commit(Fact::MeshConfig(n));
            let flagged = memos.commit(&story);
            world = next;
            black_box(push(&memos, &world, &flagged))
        });
    });
    group.finish();
}

fn whole(criterion: &mut Criterion) {
    let (_, story, world) = Mesh::filled();
    let mut group = criterion.benchmark_group("120,000 memos");
    group.sample_size(10);
    group.bench_function("first fill", |b| {
        b.iter_batched(
            || {
                let memos = Memos::new().with_audit(false);
                memos.commit(&story);
                memos
            },
            |memos| {
                fill(&memos, &world);
                memos
            },
            BatchSize::PerIteration,
        );
    });
    let memos = Memos::new().with_audit(false);
    memos.commit(&story);
    fill(&memos, &world);
    group.bench_function("all hits", |b| b.iter(|| black_box(fill(&memos, &world))));
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    changes(&mut criterion);
    whole(&mut criterion);
    criterion.final_summary();
}
