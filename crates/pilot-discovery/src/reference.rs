//! Reference documentation of the command line and the environment, from where each flag and switch is declared.

use std::fmt::Write as _;

use config::switches::Switches;

use crate::args;

#[cfg(test)]
mod tests;

/// `docs/reference/pilot-discovery.md`.
#[must_use]
pub fn page() -> String {
    let mut out = String::from(
        "# pilot-discovery\n\nWritten by `cargo xtask codegen` from the declarations; not to be edited.\n\n\
         ## Flags of `pilot-discovery discovery`\n\n| flag | default | what it is for |\n|---|---|---|\n",
    );
    for (name, default, doc) in args::flags() {
        row(&mut out, &[&format!("--{name}"), &default], doc);
    }
    out += "\n## Environment\n\nA switch of Istio's that is not listed has no effect here; setting one is told in the log.\n\n\
            | variable | takes | default | what it does |\n|---|---|---|---|\n";
    for switch in Switches::list() {
        row(&mut out, &[switch.name, switch.takes, &switch.default], switch.doc);
    }
    out
}

fn row(out: &mut String, codes: &[&str], doc: &str) {
    for code in codes {
        // a string has room for anything
        let _ = if code.is_empty() { write!(out, "| ") } else { write!(out, "| `{code}` ") };
    }
    let _ = writeln!(out, "| {} |", doc.replace('|', "\\|"));
}
