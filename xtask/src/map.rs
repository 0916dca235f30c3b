//! The cards of all crates, gathered into ARCHITECTURE.md.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::workspace::{self, Package, Workspace};

const FILE: &str = "ARCHITECTURE.md";
const BEGIN: &str = "<!-- cards: written by `cargo xtask map` -->\n";
const END: &str = "<!-- /cards -->";

/// Openings of the lines of a card after its first.
const LINES: [&str; 4] = ["In: ", "Here: ", "Never here: ", "Start reading at: "];

/// Crates in the order of the rings, each ring with what it is called.
pub(crate) const RINGS: [(&str, &[&str]); 8] = [
    ("Ring 0: knows no mesh", &["proto", "tables", "gotmpl", "process", "envoy"]),
    ("Ring 1: facts", &["config", "identity"]),
    ("Ring 2: deductions", &["mesh", "analysis", "manifests"]),
    ("Ring 3: translation", &["generate", "simulate"]),
    ("Ring 4: edges", &["sources", "controllers", "xds"]),
    ("Ring 5: programs", &["pilot-discovery", "pilot-agent", "istioctl"]),
    ("Tests", &["envtest", "testkit", "e2e"]),
    ("Tools", &["xtask", "loadgen"]),
];

/// Writes the cards, or with `check` only says whether they are up to date.
pub(crate) fn run(check: bool) -> Result<()> {
    let workspace = Workspace::load(&workspace::root()?)?;
    let path = workspace.root.join(FILE);
    let old = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let new = updated(&old, &workspace)?;
    if old == new {
        return Ok(());
    }
    if check {
        bail!("{FILE} has old cards: run `cargo xtask map`");
    }
    fs::write(&path, new).with_context(|| path.display().to_string())
}

/// Is the file what `cargo xtask map` would write?
pub(crate) fn is_current(workspace: &Workspace) -> Result<bool> {
    let old = fs::read_to_string(workspace.root.join(FILE)).context(FILE)?;
    Ok(updated(&old, workspace)? == old)
}

fn updated(text: &str, workspace: &Workspace) -> Result<String> {
    let (before, rest) = text.split_once(BEGIN).with_context(|| format!("{FILE} has no line {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{FILE} has no line {END}"))?;
    let mut cards = String::new();
    for (ring, names) in RINGS {
        let crates: Vec<&Package> = names
            .iter()
            .filter_map(|name| workspace.packages.iter().find(|package| package.name == *name))
            .collect();
        if crates.is_empty() {
            continue;
        }
        cards.push_str(&format!("\n### {ring}\n"));
        for package in crates {
            cards.push_str(&format!("\n    {}\n", card(&package.name, &package.card_file())?.join("\n    ")));
        }
    }
    Ok(format!("{before}{BEGIN}{cards}\n{END}{after}"))
}

/// The five lines at the head of a crate's root file, without their `//! `. A line may go on, indented, in the next.
///
/// # Errors
/// When a line is missing or does not begin as it must; the message says which.
pub(crate) fn card(crate_name: &str, root: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(root).with_context(|| root.display().to_string())?;
    let mut lines = text.lines().peekable();
    let mut out = Vec::new();
    for opening in [format!("{crate_name} - ")].into_iter().chain(LINES.map(str::to_owned)) {
        let line = lines.next().and_then(|line| line.strip_prefix("//! "));
        let Some(line) = line.filter(|line| line.starts_with(&opening) && line.len() > opening.len()) else {
            bail!("line {} of the card must begin with `//! {opening}`", out.len() + 1);
        };
        let mut line = line.to_owned();
        while let Some(more) = lines.peek().and_then(|next| next.strip_prefix("//!  ")) {
            line.push(' ');
            line.push_str(more.trim());
            lines.next();
        }
        out.push(line);
    }
    Ok(out)
}
