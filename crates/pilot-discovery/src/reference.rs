//! Reference documentation of the command line, the environment and the metrics, from where each is declared.

use std::fmt::Write as _;

use config::switches::Switches;

use crate::{args, metric_names};

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
    out += "\n## Metrics\n\nOn `/metrics` of the monitoring port.\n\n| metric | type | labels | what it tells |\n|---|---|---|---|\n";
    for metric in metric_names::ALL {
        row(&mut out, &[metric.name, metric.kind, metric.labels], metric.doc);
    }
    out += "\nMetrics of Istio's that are not here:\n\n| metrics | why |\n|---|---|\n";
    for (names, why) in metric_names::ABSENT {
        row(&mut out, &[names], why);
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
