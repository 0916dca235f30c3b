//! Where a local mesh keeps its files: XDG directories, and a socket whose path the kernel accepts.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// `sun_path` holds 108 bytes, the last of them a zero.
const SOCKET_PATH_LIMIT: usize = 107;

/// The files of the one mesh of this user (per `XDG_STATE_HOME`).
#[derive(Clone, Debug)]
pub struct Paths {
    /// `$XDG_STATE_HOME/meltemi`.
    pub state: PathBuf,
    /// Everything that lives as long as one mesh runs.
    pub run: PathBuf,
    /// The socket on which `run` and `down` reach the mesh.
    pub control: PathBuf,
}

impl Paths {
    /// The places the environment asks for.
    ///
    /// # Errors
    /// If neither `XDG_STATE_HOME` nor `HOME` is set.
    pub fn from_env() -> io::Result<Self> {
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
        let home = absolute("HOME").map(|home| home.join(".local/state"));
        let state = absolute("XDG_STATE_HOME").or(home);
        let state = state.ok_or_else(|| io::Error::other("neither HOME nor XDG_STATE_HOME is set"))?;
        Ok(Self::new(&state, absolute("XDG_RUNTIME_DIR").filter(|dir| dir.is_dir()).as_deref()))
    }

    /// The places below a state home and, if there is one, a runtime directory.
    #[must_use]
    pub fn new(state_home: &Path, runtime: Option<&Path>) -> Self {
        let state = state_home.join("meltemi");
        let run = state.join("run");
        // two state homes are two meshes: the socket's name tells them apart
        let name = format!("up-{:08x}.sock", fold(state.as_os_str().as_encoded_bytes()));
        let wanted = match runtime {
            Some(runtime) => runtime.join("meltemi").join(&name),
            None => run.join("control.sock"),
        };
        let control = if wanted.as_os_str().len() <= SOCKET_PATH_LIMIT {
            wanted
        } else {
            Path::new("/tmp").join(format!("meltemi-{}", nix::unistd::getuid())).join(name)
        };
        Self { state, run, control }
    }

    /// The record of the running mesh.
    #[must_use]
    pub fn record(&self) -> PathBuf {
        self.run.join("state.json")
    }

    /// The output of the mesh's processes.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.run.join("logs")
    }

    /// The objects istioctl makes: the control plane's second config directory.
    #[must_use]
    pub fn generated(&self) -> PathBuf {
        self.run.join("generated")
    }

    /// The sample's folder, for the user to edit.
    #[must_use]
    pub fn sample(&self) -> PathBuf {
        self.state.join("bookinfo")
    }

    /// The working directory of one proxy's agent.
    #[must_use]
    pub fn agent(&self, id: &str) -> PathBuf {
        self.run.join("agents").join(id)
    }

    /// The hosts file of one workload.
    #[must_use]
    pub fn hosts(&self, id: &str) -> PathBuf {
        self.run.join("hosts").join(id)
    }

    /// Makes the directories, for this user only.
    ///
    /// # Errors
    /// If one cannot be made, or the socket's directory belongs to somebody else.
    pub fn create(&self) -> io::Result<()> {
        for directory in [self.logs(), self.generated(), self.run.join("hosts"), self.run.join("agents")] {
            private_directory(&directory)?;
        }
        if let Some(parent) = self.control.parent() {
            private_directory(parent)?;
            let owner = std::fs::symlink_metadata(parent)?;
            if !owner.is_dir() || owner.uid() != nix::unistd::getuid().as_raw() {
                let message = format!("{} is not a directory of this user", parent.display());
                return Err(io::Error::other(message));
            }
        }
        Ok(())
    }
}

/// Makes a directory (and those above it) that only this user may enter.
///
/// # Errors
/// If it cannot be made.
pub fn private_directory(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// FNV-1a, enough to tell a user's few state homes apart.
fn fold(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests;
