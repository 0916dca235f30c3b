//! The control plane in one process on a virtual clock: edits, faults and scripted proxies, all from a seed.
//!
//! What is made of watches, World, generator, sessions and push budget are the real ones; time, the API server, the network
//! and the proxies are not.
//! After every message the proxy is looked at, and at the end each must hold what a build from scratch gives.

mod events;
mod faults;
mod feed;
mod hosts;
mod judge;
mod link;
mod plane;
mod pool;
mod proxy;
mod random;
pub(crate) mod references;
mod store;
mod user;

use std::fmt;

use events::Simulation;
pub use faults::Sabotage;
pub use feed::Watched;
pub use random::Random;

/// How a seed is played.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// How the control plane is broken on purpose, to see that it is noticed.
    pub sabotage: Option<Sabotage>,
    /// Write down the steps (slower).
    pub trace: bool,
}

/// What happened in a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Edits made.
    pub edits: usize,
    /// Responses that proxies received.
    pub responses: usize,
    /// Resources in them.
    pub resources: usize,
    /// Virtual hosts among them.
    pub virtual_hosts: usize,
    /// Responses refused.
    pub refused: usize,
    /// Streams opened.
    pub streams: usize,
    /// Restarts of the control plane.
    pub restarts: usize,
    /// Times that the API server's store was restored to an earlier state.
    pub restores: usize,
    /// What became of the watches of the API server.
    pub watched: Watched,
    /// The most bytes that were on their way at once.
    pub in_flight: usize,
    /// Milliseconds of virtual time.
    pub time: u64,
}

impl Report {
    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        self.edits += other.edits;
        self.responses += other.responses;
        self.resources += other.resources;
        self.virtual_hosts += other.virtual_hosts;
        self.refused += other.refused;
        self.streams += other.streams;
        self.restarts += other.restarts;
        self.restores += other.restores;
        self.watched.add(&other.watched);
        self.in_flight = self.in_flight.max(other.in_flight);
        self.time += other.time;
    }
}

/// Something that must not be.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The seed that shows it.
    pub seed: u64,
    /// What was wrong.
    pub reason: String,
    /// The steps before it, with the time of each.
    pub steps: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        write!(f, "seed {}: {}", self.seed, self.reason)
    }
}

/// Plays a seed to its end.
///
/// # Errors
/// What was wrong, with the steps that led there.
pub fn run(seed: u64, options: Options) -> Result<Report, Box<Failure>> {
    let failed = match Simulation::new(seed, options).play() {
        Ok(report) => return Ok(report),
        Err(failure) if options.trace => failure,
        // The same choices once more, written down.
        Err(failure) => match Simulation::new(seed, Options { trace: true, ..options }).play() {
            Err(told) => told,
            Ok(_) => Box::new(Failure {
                reason: format!(
                    "{} (but not when played again: something is not deterministic)",
                    failure.reason
                ),
                ..*failure
            }),
        },
    };
    Err(failed)
}
