//! The clock of restarts, with a process that ends at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Kept;
use crate::up::children::{Program, Starter};
use crate::up::local::tests::{ENTER, script};

/// A starter that does what `istioctl enter` does to its arguments.
fn starter(directory: &std::path::Path) -> Starter {
    let own = directory.join("enter");
    script(&own, ENTER);
    Starter { own, instance: format!("kept-{}", std::process::id()), logs: directory.to_owned() }
}

fn program(directory: &std::path::Path) -> Program {
    Program {
        name: "short".to_owned(),
        command: ["/bin/sh", "-c", "echo one life; exit 3"].map(str::to_owned).to_vec(),
        directory: directory.to_owned(),
        env: BTreeMap::new(),
        ..Program::default()
    }
}

/// Lives once, from `began` on; the delay after its death, noticed at `died`.
async fn live(
    kept: &mut Kept,
    starter: &Starter,
    program: &Program,
    began: Instant,
    died: Instant,
) -> Duration {
    kept.begin(starter.start(program, true).unwrap(), began);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(death) = kept.mourn(died) {
            assert_eq!(death.status.code(), Some(3));
            return death.again_in;
        }
        assert!(Instant::now() < deadline, "it has not ended");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn each_soon_death_doubles_the_wait_and_a_long_life_starts_again_from_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let (starter, program) = (starter(directory.path()), program(directory.path()));
    let mut kept = Kept::default();
    let now = Instant::now();
    let mut waits = Vec::new();
    for _ in 0..8 {
        waits.push(live(&mut kept, &starter, &program, now, now).await.as_millis());
        assert!(!kept.is_due(now) && kept.is_due(now + Duration::from_secs(15)));
        assert!(kept.mourn(now).is_none(), "a death is noticed once");
    }
    assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 15000, 15000]);
    let later = now + Duration::from_secs(30);
    assert_eq!(live(&mut kept, &starter, &program, now, later).await, Duration::from_millis(250));
    let log = std::fs::read_to_string(directory.path().join("short.log")).unwrap();
    assert_eq!(log.matches("one life").count(), 9, "the output of earlier lives is kept: {log}");
}

#[tokio::test]
async fn how_long_it_was_missed_counts_from_the_first_death() {
    let directory = tempfile::tempdir().unwrap();
    let (starter, program) = (starter(directory.path()), program(directory.path()));
    let mut kept = Kept::default();
    let now = Instant::now();
    live(&mut kept, &starter, &program, now, now).await;
    live(&mut kept, &starter, &program, now, now + Duration::from_secs(1)).await;
    let at = |seconds| Some(now + Duration::from_secs(seconds));
    assert!(kept.is_missed() && !kept.is_returning_before(at(9)), "it is dead");
    kept.begin(starter.start(&program, true).unwrap(), now + Duration::from_secs(3));
    assert!(kept.is_returning_before(at(4)));
    assert!(!kept.is_returning_before(at(2)), "that was its former life");
    assert_eq!(kept.back(now + Duration::from_secs(5)), Some(Duration::from_secs(5)));
    assert!(!kept.is_returning_before(at(9)), "it is told once");
    kept.release().unwrap().stop().await;
}
