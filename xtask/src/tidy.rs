//! Rules a machine can check: who may import whom, what a file looks like, where Envoy's words may be spoken.

mod bodies;
mod imports;
mod purity;
mod sources;
mod switches;
mod text;

use std::io::{self, Write};

use anyhow::{Result, bail};

use crate::map;
use crate::workspace::{self, Workspace};

#[cfg(test)]
mod tests;

/// Prints every broken rule; an error when there is one.
pub(crate) fn run() -> Result<()> {
    let problems = check()?;
    for problem in &problems {
        writeln!(io::stderr(), "tidy: {problem}")?;
    }
    match problems.len() {
        0 => Ok(()),
        count => bail!("tidy: {count} broken rules"),
    }
}

/// Every broken rule of the workspace, one line each, sorted.
pub(crate) fn check() -> Result<Vec<String>> {
    let workspace = Workspace::load(&workspace::root()?)?;
    let files = sources::load(&workspace)?;
    let mut problems = imports::check(&workspace.packages);
    problems.extend(sources::check(&workspace, &files));
    problems.extend(purity::check(&workspace, &files));
    problems.extend(bodies::check(&files));
    problems.extend(switches::check(&files));
    let mut cards_broken = false;
    for package in &workspace.packages {
        if let Err(error) = map::card(&package.name, &package.card_file()) {
            cards_broken = true;
            problems.push(format!("{}: {error}", package.name));
        }
    }
    match map::is_current(&workspace) {
        // A broken card is said above.
        Ok(true) => {}
        Err(_) if cards_broken => {}
        Ok(false) => problems.push("ARCHITECTURE.md has old cards: run `cargo xtask map`".to_owned()),
        Err(error) => problems.push(format!("ARCHITECTURE.md: {error}")),
    }
    problems.sort();
    problems.dedup();
    Ok(problems)
}
