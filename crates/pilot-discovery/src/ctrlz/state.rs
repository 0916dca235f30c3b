//! What the process tells of itself, as JSON in the words of pkg/ctrlz/topics.

use std::fs;

use process::env::Vars;
use serde_json::{Map, Value, json};

/// What stands for a secret.
const HIDDEN: &str = "[redacted]";
/// Words in the name of a variable whose value nobody is shown.
const SECRET_WORDS: &[&str] =
    &["AUTHORIZATION", "CREDENTIAL", "CREDENTIALS", "KEY", "PASSWD", "PASSWORD", "SECRET", "TOKEN"];

/// Reads a topic's data, by the prefix of its address; `None` for topics that have none of this kind.
pub(super) fn reader(prefix: &str) -> Option<fn() -> Value> {
    match prefix {
        "mem" => Some(memory),
        "env" => Some(|| environment(&Vars::of_process())),
        "proc" => Some(of_process),
        "arg" => Some(|| std::env::args().map(|arg| without_password(&arg)).collect()),
        "version" => Some(crate::start::build),
        _ => None,
    }
}

/// A line of `/proc/self/status`, without its name; empty where there is none.
fn status(text: &str, name: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_owned()
}

fn own_status() -> String {
    fs::read_to_string("/proc/self/status").unwrap_or_default()
}

/// Memory in bytes, under Go's names where one has the same meaning here.
fn memory() -> Value {
    let text = own_status();
    let bytes = |name: &str| {
        let kilobytes = status(&text, name).trim_end_matches(" kB").parse::<u64>().unwrap_or(0);
        kilobytes << 10
    };
    json!({
        "Alloc": bytes("RssAnon"), "HeapAlloc": bytes("RssAnon"), "HeapSys": bytes("VmData"),
        "StackSys": bytes("VmStk"), "Sys": bytes("VmSize"), "NumGC": 0,
        "Resident": bytes("VmRSS"), "ResidentPeak": bytes("VmHWM"),
    })
}

fn environment(vars: &Vars) -> Value {
    let hidden = |name: &str| {
        let upper = name.to_ascii_uppercase();
        upper.split(['_', '-', '.']).any(|word| SECRET_WORDS.contains(&word))
    };
    vars.iter()
        .map(|(name, value)| {
            let value = if hidden(name) { HIDDEN.to_owned() } else { without_password(value) };
            json!({ "name": name, "value": value })
        })
        .collect()
}

/// A text without what stands between `://` and `@`.
fn without_password(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let end = after.find(['/', ' ', ',', '"']).unwrap_or(after.len());
        let (authority, behind) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((_, host)) => out.extend([HIDDEN, "@", host]),
            None => out.push_str(authority),
        }
        rest = behind;
    }
    out + rest
}

fn hostname() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

fn of_process() -> Value {
    let text = own_status();
    let numbers = |name: &str| -> Vec<i64> {
        status(&text, name).split_whitespace().filter_map(|n| n.parse().ok()).collect()
    };
    let (uid, gid) = (numbers("Uid"), numbers("Gid"));
    // real, then effective
    let at = |ids: &[i64], place: usize| ids.get(place).copied().unwrap_or(-1);
    let directory = std::env::current_dir().map(|dir| dir.display().to_string()).unwrap_or_default();
    json!({
        "egid": at(&gid, 1), "euid": at(&uid, 1), "gid": at(&gid, 0), "groups": numbers("Groups"),
        "pid": std::process::id(), "ppid": std::os::unix::process::parent_id(), "uid": at(&uid, 0),
        "wd": directory, "hostname": hostname(), "tempdir": std::env::temp_dir().display().to_string(),
        "threads": numbers("Threads").first().copied().unwrap_or(0), "goroutines": 0,
    })
}

/// What the first page says.
pub(super) fn home() -> Value {
    let nanoseconds =
        std::time::UNIX_EPOCH.elapsed().map_or(0, |at| u64::try_from(at.as_nanos()).unwrap_or(0));
    let vars = Vars::of_process();
    let mut out = Map::new();
    let program = std::env::args().next().unwrap_or_default();
    out.insert("ProcessName".to_owned(), program.into());
    out.insert("HeapSize".to_owned(), memory()["HeapAlloc"].clone());
    out.insert("NumGC".to_owned(), 0.into());
    out.insert("CurrentTime".to_owned(), nanoseconds.into());
    out.insert("Hostname".to_owned(), hostname().into());
    out.insert("IP".to_owned(), vars.get("INSTANCE_IP").unwrap_or_default().into());
    out.into()
}

#[cfg(test)]
mod tests {
    use super::{environment, without_password};
    use process::env::Vars;

    #[test]
    fn secrets_of_the_environment_are_not_shown() {
        let vars = Vars::from_iter([
            ("POD_NAME", "istiod-1"),
            ("MONKEY", "shown"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
            ("GITHUB_TOKEN", "hunter2"),
            ("db-password", "hunter2"),
            ("HTTPS_PROXY", "http://user:hunter2@proxy:3128/x,http://plain:1"),
        ]);
        let shown = environment(&vars).to_string();
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("istiod-1") && shown.contains("MONKEY") && shown.contains("\"shown\""));
        assert!(shown.contains("http://[redacted]@proxy:3128/x,http://plain:1"), "{shown}");
        assert_eq!(without_password("a@b"), "a@b");
    }
}
