//! Watching: the task that looks again when something moved on disk, and tells what is different.

use std::path::Path;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::change::Change;
use crate::files::{Folder, Unreadable};
use crate::mesh_config::MeshConfiguration;

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
    /// As [`Folder::load`].
    pub fn load(&mut self) -> Result<Change, Unreadable> {
        let mut change = match &mut self.folder {
            Some(folder) => folder.load()?,
            None => Change::default(),
        };
        let (settings, problems) = self.mesh.load(self.folder.as_ref());
        change.batch.settings = settings;
        change.problems.extend(problems);
        Ok(change)
    }

    /// Watches, and sends every change that is not empty, until nobody receives.
    pub async fn run(self, changes: mpsc::Sender<Change>) {
        let (moved, mut moves) = mpsc::channel(1);
        let watcher = self.watcher(&moved);
        // what moved between the first reading and now was not heard
        let _ = moved.try_send(());
        let mut held = Some(self);
        loop {
            tokio::select! {
                _ = timeout(POLL, moves.recv()) => {}
                () = changes.closed() => break,
            }
            rest(&mut moves).await;
            let Some(sources) = held.take() else { break };
            let sources = match look_finished(sources).await {
                Some((sources, true)) => Some(sources),
                Some((sources, false)) => {
                    sleep(UNFINISHED).await;
                    Some(sources)
                }
                None => None,
            };
            let Some(mut sources) = sources else { break };
            let loaded = tokio::task::spawn_blocking(move || {
                let change = sources.load();
                (sources, change)
            });
            let Ok((sources, change)) = loaded.await else { break };
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
    fn watcher(&self, moved: &mpsc::Sender<()>) -> Option<RecommendedWatcher> {
        let moved = moved.clone();
        let told = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !matters(event.kind)) {
                return;
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

/// Our own reading is an event too, and one that must not make us read.
fn matters(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

/// Waits until the disk rests for a moment.
async fn rest(moves: &mut mpsc::Receiver<()>) {
    let end = Instant::now() + RESTLESS;
    while Instant::now() < end {
        match timeout(QUIET, moves.recv()).await {
            Ok(Some(())) => {}
            Ok(None) | Err(_) => return,
        }
    }
}

async fn look_finished(sources: Sources) -> Option<(Sources, bool)> {
    let look = tokio::task::spawn_blocking(move || {
        let unfinished = sources.folder.as_ref().is_some_and(Folder::looks_unfinished);
        (sources, !unfinished)
    });
    look.await.ok()
}
