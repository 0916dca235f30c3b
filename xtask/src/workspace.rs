//! The workspace as cargo sees it: packages, their targets and what they depend on.

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// All packages of the workspace.
pub(crate) struct Workspace {
    /// The folder of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Where cargo builds into.
    pub(crate) target: PathBuf,
    /// By name.
    pub(crate) packages: Vec<Package>,
}

/// One crate.
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// The folder of its `Cargo.toml`.
    pub(crate) folder: PathBuf,
    /// Root files of its library, programs, tests, benches and build script.
    pub(crate) roots: Vec<PathBuf>,
    /// Names of the packages its normal (not dev, not build) dependencies name.
    pub(crate) dependencies: BTreeSet<String>,
}

impl Package {
    /// The root file that carries the card: the library, else the program.
    pub(crate) fn card_file(&self) -> PathBuf {
        let library = self.folder.join("src/lib.rs");
        if library.exists() { library } else { self.folder.join("src/main.rs") }
    }
}

/// The workspace this program was built from.
pub(crate) fn root() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.map(Path::to_owned).context("xtask stands in the workspace")
}

/// The cargo that runs this, in the workspace.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn load(root: &Path) -> Result<Workspace> {
        let output = cargo(root).args(["metadata", "--no-deps", "--format-version", "1"]).output()?;
        if !output.status.success() {
            bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
        let mut packages: Vec<Package> = items(&metadata["packages"]).map(package).collect();
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Workspace { root: root.to_owned(), target: path(&metadata["target_directory"]), packages })
    }
}

fn package(value: &Value) -> Package {
    let normal = items(&value["dependencies"]).filter(|dependency| dependency["kind"].is_null());
    Package {
        name: text(&value["name"]),
        folder: path(&value["manifest_path"]).parent().map(Path::to_owned).unwrap_or_default(),
        roots: items(&value["targets"]).map(|target| path(&target["src_path"])).collect(),
        dependencies: normal.map(|dependency| text(&dependency["name"])).collect(),
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn path(value: &Value) -> PathBuf {
    PathBuf::from(value.as_str().unwrap_or_default())
}
