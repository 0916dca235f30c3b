//! `simulate`: more seeds of the simulated control plane than CI plays, or one seed again with its steps.

use std::process::Command;

use anyhow::{Result, bail};

use crate::workspace;

/// The test that plays seeds; it reads how many, and from which on, from the environment.
const TEST: &str = "simulation::whatever_happens_every_proxy_ends_with_exactly_what_it_should_have";

/// Plays `seeds` seeds from `first` on; a failing one prints its steps.
///
/// # Errors
/// If a seed fails, or the simulation cannot be built.
pub(crate) fn run(seeds: u64, first: u64) -> Result<()> {
    if seeds == 0 {
        bail!("--seeds 0 plays nothing");
    }
    let root = workspace::root()?;
    super::finish(&mut command(workspace::cargo(&root), seeds, first))
}

/// The simulation is a test of `testkit`, which no program may link.
fn command(mut cargo: Command, seeds: u64, first: u64) -> Command {
    cargo.args(["test", "--package", "testkit", "--test", "it", "--", "--exact", TEST, "--nocapture"]);
    cargo.env("MELTEMI_SEEDS", seeds.to_string()).env("MELTEMI_SEED", first.to_string());
    cargo
}

#[cfg(test)]
mod tests;
