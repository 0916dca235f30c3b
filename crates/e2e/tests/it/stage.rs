//! What the stories need: one mesh at a time, waiting with an end, looking at processes, pages and counters.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use e2e::{Mesh, get};
use serde_json::Value;

/// How long a loaded machine may take for what a quiet one does in a moment.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// One mesh at a time: several would share this machine's two or three processors, and its ports.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells a story alone, on a runtime of its own.
pub(crate) fn tell(story: impl Future<Output = ()>) {
    let _alone = alone();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.unwrap().block_on(story);
}

/// Bookinfo on this machine, in a directory of its own, alone; it is taken down when this is dropped.
pub(crate) struct Bookinfo {
    /// What `up -o json` printed.
    pub(crate) document: Value,
    /// Its place.
    pub(crate) mesh: Mesh,
    // after the mesh, which lives in it
    _directory: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Bookinfo {
    /// Started with more arguments.
    pub(crate) fn up(arguments: &[&str]) -> Self {
        Self::with(&[], arguments)
    }

    /// The same without traffic of its own, and with environment variables for its processes.
    pub(crate) fn quiet(variables: &[(&'static str, &'static str)]) -> Self {
        Self::with(variables, &["--traffic", "0"])
    }

    fn with(variables: &[(&'static str, &'static str)], arguments: &[&str]) -> Self {
        let alone = alone();
        let directory = tempfile::tempdir().unwrap();
        let mesh = Mesh::in_directory(directory.path());
        let mesh = variables.iter().fold(mesh, |mesh, (name, value)| mesh.with_variable(name, value));
        let document = mesh.up(arguments);
        Self { document, mesh, _directory: directory, _alone: alone }
    }

    /// The ingress gateway's URL.
    pub(crate) fn gateway(&self) -> &str {
        self.document["gateway"].as_str().unwrap()
    }

    /// The folder with its objects.
    pub(crate) fn folder(&self) -> &Path {
        Path::new(self.document["folder"].as_str().unwrap())
    }

    /// The mesh as it is now: processes that died have been replaced by others.
    pub(crate) fn now(&self) -> Value {
        let record = std::fs::read_to_string(self.mesh.state().join("meltemi/run/state.json")).unwrap();
        serde_json::from_str::<Value>(&record).unwrap()["document"].take()
    }

    /// The command lines of its processes: every one has inherited its place.
    pub(crate) fn processes(&self) -> Vec<Vec<String>> {
        let mark = format!("XDG_STATE_HOME={}", self.mesh.state().display());
        processes()
            .filter(|pid| parts(&format!("/proc/{pid}/environ")).contains(&mark))
            .map(|pid| parts(&format!("/proc/{pid}/cmdline")))
            .collect()
    }

    /// Waits until the mesh's own log says something.
    #[track_caller]
    pub(crate) fn await_line(&self, line: &str) {
        let log = Path::new(self.document["logs"].as_str().unwrap()).join("up.log");
        eventually(line, PATIENCE, || std::fs::read_to_string(&log).is_ok_and(|log| log.contains(line)));
    }

    /// Waits until all its proxies are connected and have acknowledged everything that they were sent: clusters,
    /// listeners, endpoints and routes at least.
    #[track_caller]
    pub(crate) fn await_synced(&self) {
        let proxies = self.document["proxies"].as_array().unwrap().len();
        let is_synced = |proxy: &Value| {
            let resources = proxy["resources"].as_object();
            resources.is_some_and(|all| all.len() >= 4 && all.values().all(|one| one["sent"] == one["acked"]))
        };
        eventually("the proxies have what they need", PATIENCE, || {
            let all = syncz(&self.document);
            all.len() == proxies && all.iter().all(is_synced)
        });
    }

    /// The edges of its traffic, when these are among them and every called end has told how it was called. `up` waits
    /// for that as well, but not as long as a loaded machine may take.
    #[track_caller]
    pub(crate) fn await_edges(&self, wanted: &[(&str, &str)]) -> Vec<Value> {
        let mut edges = Vec::new();
        eventually("every edge is seen at both ends", PATIENCE, || {
            edges = self.now()["edges"].as_array().cloned().unwrap_or_default();
            let seen = |source: &str, destination: &str| {
                edges.iter().any(|edge| edge["source"] == source && edge["destination"] == destination)
            };
            wanted.iter().all(|(source, destination)| seen(source, destination))
                && edges.iter().all(|edge| !edge["mutual_tls"].is_null())
        });
        edges
    }
}

/// Looks until the condition holds.
#[track_caller]
pub(crate) fn eventually(what: &str, within: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// The name of the reviews workload that answered a call through the gateway; the failure otherwise.
pub(crate) fn reviewer(gateway: &str) -> Result<String, String> {
    let url = format!("{gateway}/api/v1/products/0/reviews");
    let answer = get(&url, &[]).map_err(|error| error.to_string())?;
    let body: Value = serde_json::from_str(&answer.body)
        .map_err(|error| format!("{} {error}: {}", answer.status, answer.body))?;
    match body["podname"].as_str() {
        Some(name) if answer.status == 200 => Ok(name.to_owned()),
        _ => Err(format!("{}: {}", answer.status, answer.body)),
    }
}

/// The proxy of a workload in the mesh's document.
pub(crate) fn proxy<'a>(document: &'a Value, workload: &str) -> &'a Value {
    let mut proxies = document["proxies"].as_array().into_iter().flatten();
    proxies.find(|proxy| proxy["workload"] == workload).unwrap_or(&Value::Null)
}

/// The control plane's events after a number, oldest first; none while it does not answer.
pub(crate) fn events(document: &Value, since: u64) -> Vec<Value> {
    let url = format!("{}/debug/events?since={since}", document["debug"].as_str().unwrap_or_default());
    let Ok(answer) = get(&url, &[]) else { return Vec::new() };
    answer.body.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The number of the last event.
pub(crate) fn last_event(document: &Value) -> u64 {
    events(document, 0).last().and_then(|event| event["seq"].as_u64()).unwrap_or_default()
}

/// What the control plane knows of each connected proxy.
pub(crate) fn syncz(document: &Value) -> Vec<Value> {
    let url = format!("{}/debug/syncz", document["debug"].as_str().unwrap_or_default());
    let page = get(&url, &[]).ok().and_then(|answer| serde_json::from_str(&answer.body).ok());
    page.unwrap_or_default()
}

/// One counter or gauge of an Envoy.
pub(crate) fn stat(proxy: &Value, name: &str) -> Option<u64> {
    let admin = proxy["admin"].as_str()?;
    let answer = get(&format!("http://{admin}/stats?filter=^{}$", name.replace('.', "\\.")), &[]).ok()?;
    answer.body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.trim().parse().ok())
}

/// Writes the object that says which version of reviews answers.
pub(crate) fn write_reviews(document: &Value, text: &str) -> PathBuf {
    let file = Path::new(document["folder"].as_str().unwrap()).join("reviews.yaml");
    replace(&file, text);
    file
}

/// Writes a file beside its folder and moves it into place: nobody sees half of it.
pub(crate) fn replace(file: &Path, text: &str) {
    let beside = file.parent().and_then(Path::parent).unwrap().join("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(&beside, file).unwrap();
}

/// A VirtualService that splits reviews among subsets by weight.
pub(crate) fn split(weights: &[(&str, u32)]) -> String {
    let mut text = "apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
                    metadata: {name: reviews, namespace: default}\n\
                    spec:\n  hosts: [reviews]\n  http:\n  - route:\n"
        .to_owned();
    for (subset, weight) in weights {
        text += &format!("    - destination: {{host: reviews, subset: {subset}}}\n      weight: {weight}\n");
    }
    text
}

/// Sends a signal to a process.
pub(crate) fn signal(name: &str, pid: u64) {
    let sent = std::process::Command::new("kill").args([name, &pid.to_string()]).status().unwrap();
    assert!(sent.success(), "kill {name} {pid}");
}

/// Whether a process is gone, or waits only for its parent to take note.
pub(crate) fn is_dead(pid: u64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

/// The processes whose parent this is.
pub(crate) fn children(parent: u64) -> Vec<u64> {
    let of = |pid: u64| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    processes().filter(|pid| of(*pid) == Some(parent)).collect()
}

/// All processes of this machine.
pub(crate) fn processes() -> impl Iterator<Item = u64> {
    std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// The parts of a file of the kernel that ends each of them with a zero byte.
pub(crate) fn parts(path: &str) -> Vec<String> {
    let bytes = std::fs::read(path).unwrap_or_default();
    bytes
        .split(|byte| *byte == 0)
        .filter(|part| !part.is_empty())
        .map(|part| String::from_utf8_lossy(part).into_owned())
        .collect()
}
