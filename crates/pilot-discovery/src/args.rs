//! The command line: upstream's flags, read as its flag library does, and unknown ones tolerated.

use std::collections::BTreeMap;

#[cfg(test)]
mod tests;

/// Flags that take a value, with their defaults (as pilot/cmd/pilot-discovery/app/cmd.go and options.go).
const VALUES: &[(&str, &str)] = &[
    ("registries", "Kubernetes"),
    ("clusterRegistriesNamespace", "istio-system"),
    ("kubeconfig", ""),
    ("meshConfig", "./etc/istio/config/mesh"),
    ("networksConfig", "./etc/istio/config/meshNetworks"),
    ("namespace", ""),
    ("cniNamespace", "istio-system"),
    ("shutdownDuration", "10s"),
    ("configDir", ""),
    ("generatedConfigDir", ""),
    ("domain", "cluster.local"),
    ("clusterID", ""),
    ("clusterAliases", ""),
    ("httpAddr", ":8080"),
    ("httpsAddr", ":15017"),
    ("grpcAddr", ":15010"),
    ("secureGRPCAddr", ":15012"),
    ("monitoringAddr", ":15014"),
    ("caCertFile", ""),
    ("tlsCertFile", ""),
    ("tlsKeyFile", ""),
    ("tls-cipher-suites", ""),
    ("tls-min-version", ""),
    ("kubernetesApiQPS", "80"),
    ("kubernetesApiBurst", "160"),
    ("log_target", "stdout"),
    ("log_output_level", "default:info"),
    ("log_stacktrace_level", "default:none"),
    ("log_caller", ""),
    ("log_rotate", ""),
    ("log_rotate_max_age", "30"),
    ("log_rotate_max_size", "104857600"),
    ("log_rotate_max_backups", "1000"),
    ("vklog", ""),
    ("ctrlz_port", "9876"),
    ("ctrlz_address", "localhost"),
    ("keepaliveInterval", "30s"),
    ("keepaliveTimeout", "10s"),
    ("keepaliveMaxServerConnectionAge", ""),
    ("output", ""),
];
/// Flags that are on or off, with their defaults.
const SWITCHES: &[(&str, bool)] =
    &[("profile", true), ("log_as_json", false), ("short", false), ("help", false)];
/// One-letter forms.
const SHORT: &[(char, &str)] = &[('n', "namespace"), ('o', "output"), ('s', "short"), ('h', "help")];

/// What was given on the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    /// Words that are no flags: the command and its arguments.
    pub words: Vec<String>,
    /// What to tell about: flags nobody knows.
    pub warnings: Vec<String>,
    given: BTreeMap<&'static str, String>,
}

impl Args {
    /// Reads the words after the program's name.
    ///
    /// # Errors
    /// A known flag without its value, or with one that is no truth value.
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut args = Self::default();
        let mut words = words.into_iter().peekable();
        while let Some(word) = words.next() {
            if word == "--" {
                args.words.extend(words);
                break;
            }
            let Some((name, mut value)) = split(&word) else {
                args.words.push(word);
                continue;
            };
            if let Some((name, _)) = VALUES.iter().find(|(known, _)| *known == name) {
                let value = value.or_else(|| words.next());
                args.given.insert(name, value.ok_or_else(|| format!("flag needs an argument: --{name}"))?);
            } else if let Some((name, _)) = SWITCHES.iter().find(|(known, _)| *known == name) {
                let value = value.unwrap_or_else(|| "true".to_owned());
                if truth(&value).is_none() {
                    return Err(format!("invalid argument {value:?} for --{name}: want true or false"));
                }
                args.given.insert(name, value);
            } else {
                // what looks like its value is taken away with it, as pflag does
                if value.is_none() && words.peek().is_some_and(|next| !next.starts_with('-')) {
                    value = words.next();
                }
                let value = value.map(|value| format!(" (value {value:?})")).unwrap_or_default();
                args.warnings.push(format!("unknown flag {word}{value} is ignored"));
            }
        }
        Ok(args)
    }

    /// The value of a flag, or its default.
    #[must_use]
    pub fn value(&self, name: &str) -> &str {
        let default = || VALUES.iter().find(|(known, _)| *known == name).map_or("", |(_, default)| default);
        self.given.get(name).map_or_else(default, String::as_str)
    }

    /// Whether a switch is on.
    #[must_use]
    pub fn is_on(&self, name: &str) -> bool {
        let default = SWITCHES.iter().any(|(known, on)| *known == name && *on);
        self.given.get(name).and_then(|value| truth(value)).unwrap_or(default)
    }

    /// Whether a flag was given at all.
    #[must_use]
    pub fn is_given(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }
}

fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A flag's long name and the value written into the same word; `None` for a word that is no flag.
fn split(word: &str) -> Option<(&str, Option<String>)> {
    if let Some(long) = word.strip_prefix("--") {
        return Some(match long.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (long, None),
        });
    }
    let short = word.strip_prefix('-').filter(|rest| !rest.is_empty())?;
    let letter = short.chars().next()?;
    let rest = short.get(letter.len_utf8()..).unwrap_or_default();
    let value = (!rest.is_empty()).then(|| rest.strip_prefix('=').unwrap_or(rest).to_owned());
    let name = SHORT.iter().find(|(of, _)| *of == letter).map(|(_, name)| *name);
    Some((name.unwrap_or(short), name.and(value)))
}
