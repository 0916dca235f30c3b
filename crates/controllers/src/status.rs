//! Statuses of objects: what reporters want is written by the leader, where it differs from what stands there.
//!
//! As pilot/pkg/status: the last word counts, an object is worked on once at a time, and nothing is written of a generation
//! that is no longer the object's.

mod board;
mod wanted;

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use config::Kind;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use kube::Client;
use kube::api::PostParams;
use process::clock::{Clock, Real};

pub use board::{Board, Target};
pub use wanted::{Condition, Wanted};

use crate::objects;
use crate::queue::{Queue, Trouble, limited};
use board::Reports;

/// How often a write is tried on an object that others write at the same time.
const ATTEMPTS: u32 = 3;

/// How statuses are written.
#[derive(Debug, Clone)]
pub struct Options {
    /// Objects that are worked on at a time, at least one: `PILOT_STATUS_MAX_WORKERS`.
    pub workers: usize,
    /// How long is waited after news: what is said meanwhile makes one write of what was said last.
    pub quiet: Duration,
    /// What conditions take their times from.
    pub clock: Arc<dyn Clock>,
}

impl Default for Options {
    /// A hundred workers and a second, as upstream, and the clock of the machine.
    fn default() -> Self {
        Self { workers: 100, quiet: Duration::from_secs(1), clock: Arc::new(Real::new()) }
    }
}

/// What the work on an object came to.
enum Done {
    /// So many requests that write.
    Wrote(u32),
    /// The cluster does not let us; the text says why.
    Forbidden(String),
}

/// Writes what the board says, all of it at first and then what is new, until it is dropped. Runs under
/// [`crate::leader::Work::STATUS`], or the lock of its reporters. Trouble with the cluster is logged and tried again; of a
/// kind whose statuses we may not write, that is said once.
pub async fn run(client: Client, board: Board, options: Options) {
    let mut queue = Queue::new("writing the status of");
    let mut running = FuturesUnordered::new();
    let mut busy = BTreeSet::new();
    let mut again = BTreeSet::new();
    let mut forbidden: BTreeSet<Kind> = BTreeSet::new();
    board.all().into_iter().for_each(|target| queue.add(target));
    let mut news = pin!(gather(&board, options.quiet));
    loop {
        let is_free = running.len() < options.workers.max(1);
        tokio::select! {
            touched = &mut news => {
                touched.into_iter().for_each(|target| queue.add(target));
                news.set(gather(&board, options.quiet));
            }
            target = queue.next(), if is_free => {
                if busy.insert(target.clone()) {
                    let (client, clock) = (client.clone(), options.clock.clone());
                    let reports = board.reports(&target);
                    running.push(async move {
                        let done = limited(write(&client, &target, &reports, clock.as_ref())).await;
                        (target, done)
                    });
                } else {
                    again.insert(target);
                }
            }
            Some((target, done)) = running.next() => {
                busy.remove(&target);
                if again.remove(&target) {
                    queue.add(target.clone());
                }
                if let Ok(Done::Forbidden(why)) = &done
                    && forbidden.insert(target.kind)
                {
                    tracing::warn!("the status of {target} is not ours to write, nor of others of its kind: {why}");
                }
                queue.settle(target, done.map(Done::writes));
            }
        }
    }
}

/// What was said anything about within a while.
async fn gather(board: &Board, quiet: Duration) -> BTreeSet<Target> {
    let mut touched = board.touched().await;
    if !quiet.is_zero() {
        tokio::time::sleep(quiet).await;
        touched.extend(board.take());
    }
    touched
}

impl Done {
    fn writes(self) -> u32 {
        match self {
            Self::Wrote(writes) => writes,
            Self::Forbidden(_) => 1,
        }
    }
}

/// Works reports into the status of an object as it stands.
async fn write(
    client: &Client,
    target: &Target,
    reports: &Reports,
    clock: &dyn Clock,
) -> Result<Done, Trouble> {
    let api = objects::api(client, target.kind, Some(&target.namespace));
    for attempt in 1..=ATTEMPTS {
        let Some(mut object) = api.get_opt(&target.name).await? else { return Ok(Done::Wrote(attempt - 1)) };
        let generation = object.metadata.generation.unwrap_or_default();
        let standing = object.data["status"].clone();
        let mut status = standing.clone();
        // a report on another generation is out of date, or ahead of what we were given: its next word decides
        for report in reports.values().filter(|report| report.generation == generation) {
            report.wanted.apply(&mut status, generation, clock.now());
        }
        if status == standing {
            return Ok(Done::Wrote(attempt - 1));
        }
        object.data["status"] = status;
        match api.replace_status(&target.name, &PostParams::default(), &object).await {
            Ok(_) => return Ok(Done::Wrote(attempt)),
            Err(kube::Error::Api(refused)) if refused.code == 404 => return Ok(Done::Wrote(attempt)),
            Err(kube::Error::Api(refused)) if refused.code == 403 => {
                return Ok(Done::Forbidden(refused.message.clone()));
            }
            // written by somebody else at the same time
            Err(kube::Error::Api(refused)) if refused.code == 409 => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err("it changes all the time".into())
}
