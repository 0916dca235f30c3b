//! Measures the control plane: builds it as it is released, and the load, and runs the one against the other.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::ci;
use crate::workspace::{self, Workspace};
use crate::{finish, program};

/// `rest` is the load generator's command line.
pub(crate) fn run(rest: &[String]) -> Result<()> {
    let root = workspace::root()?;
    let target = Workspace::load(&root)?.target;
    if rest.iter().any(|word| word == "--kube") {
        return in_cluster(&root, &target, rest);
    }
    let target = target.join("release");
    finish(workspace::cargo(&root).args(["build", "--release", "-p", "pilot-discovery", "-p", "loadgen"]))?;
    finish(
        Command::new(target.join("loadgen")).arg("--program").arg(target.join("pilot-discovery")).args(rest),
    )
}

/// The same in a cluster, by a load of its own that stands beside the checkout (or where `$MELTEMI_CONFORMANCE_DATA` says).
fn in_cluster(root: &std::path::Path, target: &std::path::Path, rest: &[String]) -> Result<()> {
    let named = env::var_os("MELTEMI_CONFORMANCE_DATA").map(PathBuf::from);
    let sources = named.unwrap_or_else(|| root.join("../shared")).join("xdsload");
    let manifest = sources.join("Cargo.toml");
    if !manifest.is_file() {
        bail!(
            "no load for a cluster: {} is not there; set $MELTEMI_CONFORMANCE_DATA to the folder that has xdsload, or leave \
             --kube out to measure on a folder of files",
            manifest.display()
        );
    }
    ci::api_server()?;
    finish(workspace::cargo(root).args(["build", "--release", "-p", "pilot-discovery"]))?;
    let built = target.join("xdsload");
    let mut load = workspace::cargo(root);
    load.args(["build", "--release", "--locked"]);
    finish(load.arg("--manifest-path").arg(&manifest).arg("--target-dir").arg(&built))?;
    let path = |path: PathBuf| path.display().to_string();
    let named = ["--program", "--load", "--load-sources"].map(str::to_owned).into_iter();
    let paths =
        [path(target.join("release/pilot-discovery")), path(built.join("release/xdsload")), path(sources)];
    let mut words: Vec<String> = named.zip(paths).flat_map(|(name, path)| [name, path]).collect();
    words.extend_from_slice(rest);
    program("kube-bench", "cluster", &words)
}
