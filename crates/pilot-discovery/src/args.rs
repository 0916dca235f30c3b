//! The command line: upstream's flags, read as its flag library does, and unknown ones tolerated.

use std::collections::BTreeMap;

#[cfg(test)]
mod tests;

/// Flags that take a value, with their defaults and what they are for (as pilot/cmd/pilot-discovery/app/cmd.go and options.go).
const VALUES: &[(&str, &str, &str)] = &[
    (
        "registries",
        "Kubernetes",
        "Platforms to read services from, comma separated. Without Kubernetes among them no API server is asked.",
    ),
    (
        "clusterRegistriesNamespace",
        "",
        "Namespace of the Secrets that name remote clusters; that of the control plane if empty.",
    ),
    (
        "kubeconfig",
        "",
        "Kubernetes client configuration to use instead of the pod's own. With configDir, which serves without an API \
         server else, services are read from there as well.",
    ),
    ("meshConfig", "./etc/istio/config/mesh", "File with the mesh configuration; wins over the ConfigMap."),
    (
        "networksConfig",
        "./etc/istio/config/meshNetworks",
        "File with the networks of the mesh; wins over the ConfigMap.",
    ),
    ("namespace", "", "Namespace the control plane runs in; from POD_NAMESPACE if empty."),
    ("cniNamespace", "istio-system", "Namespace of the CNI agents, whose readiness takes taints from nodes."),
    ("shutdownDuration", "10s", "How long connections may last when stopping."),
    ("configDir", "", "Folder of YAML and JSON files to watch and serve."),
    (
        "generatedConfigDir",
        "",
        "Folder of objects that a program writes; they give way to those of configDir.",
    ),
    ("domain", "cluster.local", "DNS domain of services."),
    ("clusterID", "", "Id of the cluster; from CLUSTER_ID if empty."),
    ("clusterAliases", "", "Other ids of clusters, as alias=id, comma separated."),
    ("httpAddr", ":8080", "Address of readiness and debug pages."),
    ("httpsAddr", ":15017", "Without effect yet. Address of webhooks; empty for none."),
    (
        "grpcAddr",
        ":15010",
        "Address of xDS without TLS, host:port or unix:///path; empty to serve it at httpAddr.",
    ),
    ("secureGRPCAddr", ":15012", "Address of xDS and certificates over TLS; empty for none."),
    ("monitoringAddr", ":15014", "Address of metrics, version and debug pages; empty for none."),
    (
        "caCertFile",
        "",
        "File of the roots that callers need for the certificate of tlsCertFile; callers with certificates of theirs are believed.",
    ),
    (
        "tlsCertFile",
        "",
        "File of the control plane's certificate and chain, followed when it changes; with tlsKeyFile and caCertFile.",
    ),
    ("tlsKeyFile", "", "File of the private key of that certificate."),
    (
        "tls-cipher-suites",
        "",
        "Cipher suites of TLS 1.2 to speak, by Go's names, comma separated; all that are safe if empty.",
    ),
    ("tls-min-version", "1.2", "Oldest version of TLS to speak: 1.2 or 1.3."),
    (
        "kubernetesApiQPS",
        "80",
        "Requests in a second to an API server, without watches; zero or less is no limit.",
    ),
    ("kubernetesApiBurst", "160", "Requests at once to an API server, after a time without any."),
    ("log_target", "stdout", "Where the log goes: stdout, stderr or a file; comma separated."),
    ("log_output_level", "default:info", "Least level that is logged, as scope:level, comma separated."),
    (
        "log_stacktrace_level",
        "default:none",
        "Least level that is logged with a stack trace, as scope:level, comma separated.",
    ),
    ("log_caller", "", "Scopes whose lines name the place in the source, comma separated."),
    ("log_rotate", "", "Without effect yet. File to rotate the log in."),
    ("log_rotate_max_age", "30", "Without effect yet. Days until a rotated file is removed."),
    ("log_rotate_max_size", "104857600", "Without effect yet. Bytes until the file is rotated."),
    ("log_rotate_max_backups", "1000", "Without effect yet. How many rotated files are kept."),
    ("vklog", "", "Without effect yet. Verbosity of the Kubernetes client."),
    ("ctrlz_port", "9876", "Port of ControlZ, which shows the process and sets its log levels."),
    ("ctrlz_address", "localhost", "Address of ControlZ; * for all."),
    ("keepaliveInterval", "30s", "How often an idle connection is pinged."),
    ("keepaliveTimeout", "10s", "How long a ping may remain unanswered."),
    ("keepaliveMaxServerConnectionAge", "", "Age at which a connection is ended; empty for never."),
    ("output", "", "Form of the answer of `version`: json or yaml; empty for text."),
];
/// Flags that are on or off, with their defaults and what they are for.
const SWITCHES: &[(&str, bool, &str)] = &[
    ("profile", true, "Profiling pages below /debug/pprof/."),
    ("log_as_json", false, "Log lines are JSON."),
    ("short", false, "The answer of `version` is the version alone."),
    ("help", false, "Prints how to use it."),
];
/// One-letter forms.
const SHORT: &[(char, &str)] = &[('n', "namespace"), ('o', "output"), ('s', "short"), ('h', "help")];

/// Every flag as (name, default, what it is for), in the order of declaration.
pub fn flags() -> impl Iterator<Item = (&'static str, String, &'static str)> {
    let values = VALUES.iter().map(|(name, default, doc)| (*name, (*default).to_owned(), *doc));
    values.chain(SWITCHES.iter().map(|(name, on, doc)| (*name, on.to_string(), *doc)))
}

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
            if let Some((name, ..)) = VALUES.iter().find(|(known, ..)| *known == name) {
                let value = value.or_else(|| words.next());
                args.given.insert(name, value.ok_or_else(|| format!("flag needs an argument: --{name}"))?);
            } else if let Some((name, ..)) = SWITCHES.iter().find(|(known, ..)| *known == name) {
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
        let default =
            || VALUES.iter().find(|(known, ..)| *known == name).map_or("", |(_, default, _)| default);
        self.given.get(name).map_or_else(default, String::as_str)
    }

    /// Whether a switch is on.
    #[must_use]
    pub fn is_on(&self, name: &str) -> bool {
        let default = SWITCHES.iter().any(|(known, on, _)| *known == name && *on);
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
