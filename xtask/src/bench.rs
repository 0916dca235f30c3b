//! Measures the control plane: builds it as it is released, and the load, and runs the one against the other.

use std::process::Command;

use anyhow::Result;

use crate::finish;
use crate::workspace::{self, Workspace};

/// `rest` is the load generator's command line.
pub(crate) fn run(rest: &[String]) -> Result<()> {
    let root = workspace::root()?;
    let target = Workspace::load(&root)?.target.join("release");
    finish(workspace::cargo(&root).args(["build", "--release", "-p", "pilot-discovery", "-p", "loadgen"]))?;
    finish(
        Command::new(target.join("loadgen")).arg("--program").arg(target.join("pilot-discovery")).args(rest),
    )
}
