//! `pilot-discovery completion SHELL`: a script that completes commands and flags.

use std::fmt::Write as _;

use crate::args;

#[cfg(test)]
mod tests;

/// The commands that people type, with what they do.
const COMMANDS: &[(&str, &str)] = &[
    ("completion", "Writes a script that completes commands and flags"),
    ("discovery", "Serves the mesh's configuration to proxies"),
    ("request", "Asks the control plane on this machine"),
    ("version", "Tells what this is"),
];

/// The shells there is a script for.
pub const SHELLS: [&str; 4] = ["bash", "fish", "powershell", "zsh"];

/// The script for a shell; `None` for one that is not known.
#[must_use]
pub fn script(shell: &str) -> Option<String> {
    let words = || COMMANDS.iter().map(|(name, _)| (*name).to_owned()).chain(flags().map(|(flag, _)| flag));
    Some(match shell {
        "bash" => format!(
            "_pilot_discovery() {{\n    COMPREPLY=($(compgen -W \"{}\" -- \"${{COMP_WORDS[COMP_CWORD]}}\"))\n}}\n\
             complete -o default -F _pilot_discovery pilot-discovery\n",
            words().collect::<Vec<_>>().join(" ")
        ),
        "zsh" => format!(
            "#compdef pilot-discovery\n_pilot_discovery() {{\n    compadd -- {}\n}}\ncompdef _pilot_discovery pilot-discovery\n",
            words().collect::<Vec<_>>().join(" ")
        ),
        "powershell" => format!(
            "Register-ArgumentCompleter -Native -CommandName pilot-discovery -ScriptBlock {{\n    param($word)\n    \
             '{}' -split ' ' | Where-Object {{ $_ -like \"$word*\" }}\n}}\n",
            words().collect::<Vec<_>>().join(" ")
        ),
        "fish" => fish(),
        _ => return None,
    })
}

/// Every flag of the command line, with what it is for.
fn flags() -> impl Iterator<Item = (String, &'static str)> {
    args::flags().map(|(name, _, doc)| (format!("--{name}"), doc))
}

fn fish() -> String {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
    let mut out = String::new();
    for (name, what) in COMMANDS {
        // a string has room for anything
        let _ = writeln!(
            out,
            "complete -c pilot-discovery -n __fish_use_subcommand -a {name} -d '{}'",
            quoted(what)
        );
    }
    for (flag, what) in flags() {
        let name = flag.trim_start_matches('-');
        let _ = writeln!(out, "complete -c pilot-discovery -l {name} -d '{}'", quoted(what));
    }
    out
}
