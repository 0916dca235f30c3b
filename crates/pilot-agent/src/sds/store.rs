//! The secrets this agent can serve right now, and the news that something changed.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::files::{self, Watched};
use super::issue::Issued;
use super::names::SecretName;

/// How often watched files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A secret as Envoy needs it.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretItem {
    /// A certificate chain and its key, PEM.
    Certificate {
        /// The chain.
        chain: Bytes,
        /// The key.
        key: Bytes,
    },
    /// Trusted roots, PEM.
    Roots(Bytes),
}

impl std::fmt::Debug for SecretItem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Certificate { .. } => "Certificate(secret)",
            Self::Roots(_) => "Roots",
        })
    }
}

/// Why a secret cannot be had now.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The name means nothing here.
    #[error("{0}: not a secret that this agent serves")]
    Name(String),
    /// The CA has not answered yet.
    #[error("no certificate from the CA yet")]
    NotYet,
    /// A mounted file is missing or damaged.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Files that, where they exist, are served instead of what the CA gives.
#[derive(Clone, Debug)]
pub struct FilePaths {
    /// Certificate chain.
    pub chain: PathBuf,
    /// Key.
    pub key: PathBuf,
    /// Roots.
    pub roots: PathBuf,
    /// `OUTPUT_CERTS`; files that stand there are our own and are not read back.
    pub output: Option<PathBuf>,
    /// Roots of the operating system.
    pub system_roots: Option<PathBuf>,
}

#[derive(Debug, Default)]
struct State {
    issued: Option<Arc<Issued>>,
    mesh_roots: Vec<String>,
    watched: Watched,
}

/// All secrets of this agent.
#[derive(Debug)]
pub struct SecretStore {
    paths: FilePaths,
    state: Mutex<State>,
    news: watch::Sender<u64>,
}

impl SecretStore {
    /// A store that has nothing from the CA yet.
    #[must_use]
    pub fn new(paths: FilePaths) -> Self {
        Self { paths, state: Mutex::default(), news: watch::Sender::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that changes whenever a secret may have.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    fn announce(&self) {
        self.news.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Takes a new certificate; the old one was served until now.
    pub fn set_issued(&self, issued: Issued) {
        self.state().issued = Some(Arc::new(issued));
        self.announce();
    }

    /// The certificate of the CA that is being served.
    #[must_use]
    pub fn issued(&self) -> Option<Arc<Issued>> {
        self.state().issued.clone()
    }

    /// Takes the roots that the mesh configuration adds, PEM each. Gives whether they are others than before.
    pub fn set_mesh_roots(&self, roots: &[String]) -> bool {
        let roots: Vec<String> = roots.iter().flat_map(|pem| identity::bundle::split_pem(pem)).collect();
        let mut state = self.state();
        if state.mesh_roots == roots {
            return false;
        }
        state.mesh_roots = roots;
        drop(state);
        self.announce();
        true
    }

    /// The secret of that name as it is now. As security/pkg/nodeagent/cache/secretcache.go: GenerateSecret.
    ///
    /// # Errors
    /// When it cannot be had yet, or never; [`SecretStore::news`] tells when to ask again.
    pub fn get(&self, name: &str) -> Result<SecretItem, SecretError> {
        let wanted = SecretName::parse(name).ok_or_else(|| SecretError::Name(name.to_owned()))?;
        let mounted = !self.is_output();
        let paths = &self.paths;
        match wanted {
            SecretName::Workload => {
                if mounted && paths.chain.is_file() && paths.key.is_file() {
                    return self.file_certificate(&paths.chain, &paths.key);
                }
                let issued = self.issued().ok_or(SecretError::NotYet)?;
                Ok(SecretItem::Certificate {
                    chain: Bytes::copy_from_slice(issued.chain.as_bytes()),
                    key: Bytes::copy_from_slice(issued.key.as_bytes()),
                })
            }
            SecretName::Roots => {
                let roots = if mounted && paths.roots.is_file() {
                    self.file_roots(&paths.roots)?
                } else {
                    self.issued().ok_or(SecretError::NotYet)?.roots.clone()
                };
                Ok(SecretItem::Roots(self.with_mesh_roots(&roots).into_bytes().into()))
            }
            SecretName::FileCertificate { chain, key } => self.file_certificate(&chain, &key),
            SecretName::FileRoots(path) => Ok(SecretItem::Roots(self.file_roots(&path)?.into_bytes().into())),
            SecretName::SystemRoots => {
                let path = paths.system_roots.clone().ok_or_else(|| SecretError::Name(name.to_owned()))?;
                Ok(SecretItem::Roots(self.file_roots(&path)?.into_bytes().into()))
            }
        }
    }

    fn is_output(&self) -> bool {
        self.paths.output.as_deref().is_some_and(|output| self.paths.chain.parent() == Some(output))
    }

    fn file_certificate(
        &self,
        chain: &std::path::Path,
        key: &std::path::Path,
    ) -> Result<SecretItem, SecretError> {
        let mut state = self.state();
        state.watched.add(chain);
        state.watched.add(key);
        drop(state);
        files::certificate(chain, key)
    }

    fn file_roots(&self, path: &std::path::Path) -> Result<String, SecretError> {
        self.state().watched.add(path);
        files::roots(path)
    }

    /// The roots with those of the mesh, each once, sorted.
    fn with_mesh_roots(&self, roots: &str) -> String {
        let mut all: BTreeSet<String> = identity::bundle::split_pem(roots).into_iter().collect();
        all.extend(self.state().mesh_roots.iter().cloned());
        all.into_iter().collect()
    }

    /// Looks at the watched files, for as long as the agent lives, and announces changes.
    pub async fn watch_files(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let changed = self.state().watched.changed();
            if changed {
                self.announce();
            }
        }
    }
}

#[cfg(test)]
mod tests;
