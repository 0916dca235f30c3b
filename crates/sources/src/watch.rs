//! Watching: the task that looks again when something moved on disk, and tells what is different.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::change::Change;
use crate::files::{Folder, Look, Unreadable};
use crate::kubernetes::Maps;
use crate::mesh_config::{Loaded, MeshConfiguration};

#[cfg(test)]
mod tests;

/// Events this close together are one edit.
const QUIET: Duration = Duration::from_millis(8);
/// A disk that never rests is looked at this often.
const RESTLESS: Duration = Duration::from_millis(200);
/// How long a file may be gone or empty before that is believed.
const UNFINISHED: Duration = Duration::from_millis(60);
/// Also looked at when nothing is heard: not every file system tells of everything.
const POLL: Duration = Duration::from_secs(10);
/// With more paths than this that moved, everything is looked at.
const MANY: usize = 1024;

/// Where something moved since the last look.
#[derive(Debug)]
enum Moved {
    /// Nobody knows.
    Everything,
    Paths(BTreeSet<PathBuf>),
}

impl Moved {
    fn note(&mut self, event: notify::Event) {
        if event.need_rescan() || event.paths.is_empty() {
            *self = Self::Everything;
        }
        if let Self::Paths(paths) = self {
            paths.extend(event.paths);
            if paths.len() > MANY {
                *self = Self::Everything;
            }
        }
    }
}

/// All that is read from files.
#[derive(Debug)]
pub struct Sources {
    folder: Option<Folder>,
    mesh: MeshConfiguration,
}

impl Sources {
    /// Of a folder (or none) and mesh configuration. Nothing is read yet.
    #[must_use]
    pub fn new(folder: Option<Folder>, mesh: MeshConfiguration) -> Self {
        Self { folder, mesh }
    }

    /// Mesh configuration as it was read last.
    #[must_use]
    pub fn mesh(&self) -> &MeshConfiguration {
        &self.mesh
    }

    /// Reads what changed and says what is different from what was told before. Blocks on files.
    ///
    /// # Errors
    /// As [`Folder::look`].
    pub fn load(&mut self) -> Result<Change, Unreadable> {
        let look = self.look(None)?;
        Ok(self.take(look))
    }

    /// As [`Folder::look`].
    fn look(&self, moved: Option<&BTreeSet<PathBuf>>) -> Result<Look, Unreadable> {
        self.folder.as_ref().map_or_else(|| Ok(Look::default()), |folder| folder.look(moved))
    }

    fn take(&mut self, look: Look) -> Change {
        let mut change = self.folder.as_mut().map(|folder| folder.take(look)).unwrap_or_default();
        let refused = change.problems.iter().filter(|problem| problem.is_error()).count();
        let Loaded { settings, problems, verdicts } = self.mesh.load(self.folder.as_ref());
        change.batch.settings = settings;
        change.problems.extend(problems);
        change.verdicts.extend(verdicts);
        if !change.is_empty() {
            change.refused_documents = Some(refused + self.mesh.refused());
        }
        change
    }

    /// Reads what `moved`. What looks unfinished is looked at once more, a moment later.
    async fn follow(
        mut self,
        moved: Option<BTreeSet<PathBuf>>,
    ) -> Option<(Self, Result<Change, Unreadable>)> {
        let first = tokio::task::spawn_blocking(move || {
            let look = self.look(moved.as_ref());
            if look.as_ref().is_ok_and(Look::is_unfinished) {
                return (self, None);
            }
            let change = look.map(|look| self.take(look));
            (self, Some(change))
        });
        match first.await.ok()? {
            (sources, Some(change)) => Some((sources, change)),
            (mut sources, None) => {
                sleep(UNFINISHED).await;
                let again = tokio::task::spawn_blocking(move || {
                    let change = sources.load();
                    (sources, change)
                });
                again.await.ok()
            }
        }
    }

    /// Watches, and sends every change that is not empty, until nobody receives.
    pub async fn run(self, changes: mpsc::Sender<Change>) {
        let (moved, mut moves) = mpsc::channel(1);
        let places = Arc::new(Mutex::new(Moved::Everything));
        let watcher = self.watcher(&moved, &places);
        // what moved between the first reading and now was not heard
        let _ = moved.try_send(());
        let mut maps = self.mesh.maps();
        let mut held = Some(self);
        loop {
            let heard = tokio::select! {
                heard = timeout(POLL, moves.recv()) => heard.is_ok(),
                () = changed(&mut maps) => true,
                () = changes.closed() => break,
            };
            rest(&mut moves).await;
            let Some(sources) = held.take() else { break };
            let places = std::mem::replace(&mut *places.lock(), Moved::Paths(BTreeSet::new()));
            let paths = match places {
                Moved::Paths(paths) if heard => Some(paths),
                _ => None,
            };
            let Some((sources, change)) = sources.follow(paths).await else { break };
            held = Some(sources);
            match change {
                Ok(change) if change.is_empty() => {}
                Ok(change) => {
                    if changes.send(change).await.is_err() {
                        break;
                    }
                }
                Err(error) => tracing::warn!(target: "model", "{error}"),
            }
        }
        drop(watcher);
    }

    /// A watcher of everything that is read; `None` (and said) if the system has none to give, then only polling is left.
    fn watcher(&self, moved: &mpsc::Sender<()>, places: &Arc<Mutex<Moved>>) -> Option<RecommendedWatcher> {
        let (moved, places) = (moved.clone(), places.clone());
        let told = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            match event {
                Ok(event) if !matters(event.kind) => return,
                Ok(event) => places.lock().note(event),
                Err(_) => *places.lock() = Moved::Everything,
            }
            // one waiting message says it all
            let _ = moved.try_send(());
        });
        let mut watcher = match told {
            Ok(watcher) => watcher,
            Err(error) => {
                tracing::warn!(target: "model", "cannot watch files ({error}); looking every {POLL:?}");
                return None;
            }
        };
        let mut watch = |path: &Path, mode| {
            if let Err(error) = watcher.watch(path, mode) {
                let path = path.display();
                tracing::warn!(target: "model", "cannot watch {path} ({error}); looking every {POLL:?}");
            }
        };
        for root in self.folder.iter().flat_map(Folder::roots) {
            watch(&root.path, RecursiveMode::Recursive);
        }
        for file in self.mesh.files() {
            // the folder, because files are replaced by others
            let parent = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if parent.exists() {
                watch(parent, RecursiveMode::NonRecursive);
            }
        }
        Some(watcher)
    }
}

/// Tells when something moves at `path` or below; `None` (and said) if the system has no watcher to give.
pub(crate) fn hear(path: &Path, moved: mpsc::Sender<()>) -> Option<RecommendedWatcher> {
    let watched = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.map_or(true, |event| matters(event.kind)) {
            // one waiting message says it all
            let _ = moved.try_send(());
        }
    })
    .and_then(|mut watcher| watcher.watch(path, RecursiveMode::Recursive).map(|()| watcher));
    let warn = |error| {
        tracing::warn!(target: "model", "cannot watch {} ({error}); looking every {POLL:?}", path.display());
    };
    watched.map_err(warn).ok()
}

/// Ends when ConfigMaps of the API server are other ones; never without an API server.
async fn changed(maps: &mut Option<tokio::sync::watch::Receiver<Maps>>) {
    let ended = match maps {
        Some(maps) => maps.changed().await.is_err(),
        None => true,
    };
    if ended {
        std::future::pending::<()>().await;
    }
}

/// Our own reading is an event too, and one that must not make us read.
fn matters(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

/// Waits until the disk rests for a moment.
pub(crate) async fn rest(moves: &mut mpsc::Receiver<()>) {
    let end = Instant::now() + RESTLESS;
    while Instant::now() < end {
        match timeout(QUIET, moves.recv()).await {
            Ok(Some(())) => {}
            Ok(None) | Err(_) => return,
        }
    }
}
