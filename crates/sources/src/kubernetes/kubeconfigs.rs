//! A folder of kubeconfigs that name other clusters, instead of Secrets (`PILOT_MULTICLUSTER_KUBECONFIG_PATH`).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kube::config::Kubeconfig;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::remote::{Origin, Remote, Remotes};
use crate::files::walk::{self, Stamp};
use crate::watch::{hear, rest};

#[cfg(test)]
mod tests;

/// Also looked at when nothing is heard: not every file system tells of everything.
const POLL: Duration = Duration::from_secs(10);

/// The kubeconfigs of a folder and of the folders in it, or the one of a file, as they were read last.
pub(crate) struct Kubeconfigs {
    path: PathBuf,
    own: Arc<str>,
    files: BTreeMap<PathBuf, File>,
    /// Whether it was said that nothing can be read.
    troubled: bool,
}

/// A cluster, and the kubeconfig that names it.
type Named = (Arc<str>, Arc<[u8]>);

// not to be shown: there are keys and tokens in it
#[derive(Clone)]
struct File {
    stamp: Stamp,
    /// What it said when it could last be used.
    named: Option<Named>,
}

impl Kubeconfigs {
    /// At `path`; `own` is our own cluster. Nothing is read yet.
    pub(crate) fn new(path: PathBuf, own: Arc<str>) -> Self {
        Self { path, own, files: BTreeMap::new(), troubled: false }
    }

    /// Tells all clusters that are named whenever that has changed; for the first time at once. Ends when nobody receives.
    pub(crate) async fn follow<T>(mut self, tell: mpsc::Sender<T>, wrap: impl Fn(Remotes) -> T) {
        let (moved, mut moves) = mpsc::channel(1);
        let _watcher = hear(&self.path, moved);
        let mut told = None;
        loop {
            let look = tokio::task::spawn_blocking(move || {
                let changed = self.look();
                (self, changed)
            });
            let Ok((looked, changed)) = look.await else { return };
            self = looked;
            if changed || told.is_none() {
                let all = self.remotes();
                if told.as_ref() != Some(&all) {
                    told = Some(all.clone());
                    if tell.send(wrap(all)).await.is_err() {
                        return;
                    }
                }
            }
            let _ = timeout(POLL, moves.recv()).await;
            rest(&mut moves).await;
        }
    }

    /// Reads what is new, and says whether anything is. What cannot be read or used leaves what was there.
    fn look(&mut self) -> bool {
        let found = match found(&self.path) {
            Ok(found) => found,
            Err(error) => {
                if !std::mem::replace(&mut self.troubled, true) {
                    let path = self.path.display();
                    tracing::error!(target: "kube", "PILOT_MULTICLUSTER_KUBECONFIG_PATH {path} cannot be read: {error}; looking again");
                }
                return false;
            }
        };
        self.troubled = false;
        let before = self.files.len();
        self.files.retain(|path, _| found.iter().any(|(there, _)| there == path));
        let mut changed = self.files.len() != before;
        for (path, stamp) in found {
            let held = self.files.get(&path);
            if held.is_some_and(|held| held.stamp == stamp) {
                continue;
            }
            let named = match read(&path) {
                Ok(Some(named)) => Some(named),
                // somebody is about to write it
                Ok(None) => held.and_then(|held| held.named.clone()),
                Err(why) => {
                    tracing::error!(target: "kube", "kubeconfig {}: {why}; what it said before stays", path.display());
                    held.and_then(|held| held.named.clone())
                }
            };
            changed = true;
            self.files.insert(path, File { stamp, named });
        }
        changed
    }

    /// The clusters that are named; of two files with one cluster the first by name counts.
    fn remotes(&self) -> Remotes {
        let mut all = Remotes::new();
        for (path, file) in &self.files {
            let Some((cluster, kubeconfig)) = &file.named else { continue };
            let from: Arc<str> = path.display().to_string().into();
            if *cluster == self.own {
                tracing::info!(target: "kube", "kubeconfig {from}: {cluster} is the cluster this control plane reads already; it is left out");
            } else if let Some(first) = all.get(cluster) {
                tracing::warn!(target: "kube", "kubeconfig {from}: cluster {cluster} is named by {} already; that one is used", first.secret);
            } else {
                all.insert(
                    cluster.clone(),
                    Remote { secret: from, origin: Origin::File, kubeconfig: kubeconfig.clone() },
                );
            }
        }
        all
    }
}

/// The files there are, by name, each with its stamp.
fn found(path: &Path) -> io::Result<Vec<(PathBuf, Stamp)>> {
    let metadata = std::fs::metadata(path)?;
    if metadata.is_file() {
        return Ok(vec![(path.to_owned(), Stamp::new(&metadata))]);
    }
    let mut problems = Vec::new();
    let found = walk::files(path, &mut problems)?;
    problems.iter().for_each(|problem| tracing::warn!(target: "kube", "{problem}"));
    Ok(found.files)
}

/// The cluster a file names, and its text; nothing if it is empty.
fn read(path: &Path) -> Result<Option<Named>, String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(&bytes).map_err(|error| error.to_string())?;
    let config = Kubeconfig::from_yaml(text).map_err(|error| format!("it is not a kubeconfig: {error}"))?;
    let cluster = cluster_of(&config).ok_or("it names no cluster; give it a context with one")?;
    Ok(Some((cluster, bytes.into())))
}

/// The cluster of the current context, else of the first context by name that has one, else the first by name (as
/// pkg/kube/multicluster/kubeconfig_files.go: clusterIDFromKubeconfig).
fn cluster_of(config: &Kubeconfig) -> Option<Arc<str>> {
    let mut contexts: Vec<_> = config
        .contexts
        .iter()
        .filter_map(|named| Some((named.name.as_str(), named.context.as_ref()?.cluster.as_str())))
        .filter(|(_, cluster)| !cluster.is_empty())
        .collect();
    contexts.sort_unstable();
    let current = contexts.iter().find(|(name, _)| Some(*name) == config.current_context.as_deref());
    let of_context = current.or(contexts.first()).map(|(_, cluster)| *cluster);
    let clusters = config.clusters.iter().map(|named| named.name.as_str()).filter(|name| !name.is_empty());
    of_context.or_else(|| clusters.min()).map(Arc::from)
}
