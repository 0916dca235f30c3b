//! Ten thousand seeds of the simulated control plane, and proofs that the simulation notices a broken one.

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use testkit::simulation::{Failure, Options, Report, Sabotage, run};

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}

/// Plays seeds from `first` on, on all processors. The failure of the lowest seed, if any.
fn play(first: u64, count: u64, options: Options) -> Result<Report, Box<Failure>> {
    let (next, worst, sum) =
        (AtomicU64::new(first), Mutex::new(None::<Box<Failure>>), Mutex::new(Report::default()));
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut mine = Report::default();
                while worst.lock().unwrap().is_none() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        break;
                    }
                    match run(seed, options) {
                        Ok(report) => mine.add(&report),
                        Err(failure) => {
                            let mut worst = worst.lock().unwrap();
                            if worst.as_ref().is_none_or(|known| failure.seed < known.seed) {
                                *worst = Some(failure);
                            }
                        }
                    }
                }
                sum.lock().unwrap().add(&mine);
            });
        }
    });
    worst.into_inner().unwrap().map_or_else(|| Ok(sum.into_inner().unwrap()), Err)
}

/// `MELTEMI_SEEDS`: how many; `MELTEMI_SEED`: the first one. `cargo xtask simulate` sets them.
#[test]
fn whatever_happens_every_proxy_ends_with_exactly_what_it_should_have() {
    let count = number("MELTEMI_SEEDS").unwrap_or(10_000);
    let report = match play(number("MELTEMI_SEED").unwrap_or(0), count, Options::default()) {
        Ok(report) => report,
        Err(failure) => panic!("{failure}"),
    };
    println!("{report:#?}");
    if count >= 100 {
        assert!(
            report.edits > 0 && report.refused > 0 && report.restarts > 0 && report.in_flight > 0,
            "{report:?}"
        );
        assert!(report.virtual_hosts > 0, "nobody takes virtual hosts of their own: {report:?}");
        let watched = report.watched;
        assert!(
            report.restores > 0 && watched.repeats > 0 && watched.halves > 0,
            "the API server had a quiet time: {report:?}"
        );
        assert!(watched.holes > 0 && watched.ghosts > 0, "every list was of the present: {report:?}");
    }
}

#[test]
fn a_seed_is_played_the_same_way_every_time() {
    for seed in 0..20 {
        let (once, again) =
            (run(seed, Options::default()), run(seed, Options { trace: true, ..Options::default() }));
        assert_eq!(once.unwrap(), again.unwrap(), "seed {seed}");
    }
}

#[test]
fn every_way_of_being_broken_is_noticed() {
    for sabotage in Sabotage::ALL {
        let broken = play(0, 2_000, Options { sabotage: Some(sabotage), ..Options::default() });
        let failure = broken.expect_err(&format!("{sabotage:?} was not noticed"));
        println!("{sabotage:?}: seed {}, {}", failure.seed, failure.reason);
        assert!(!failure.steps.is_empty(), "a failure tells its steps");
    }
}
