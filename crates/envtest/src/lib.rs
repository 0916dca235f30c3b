//! envtest - etcd and kube-apiserver, which tests run as themselves: found, or built from their Go modules.
//! In: `$KUBEBUILDER_ASSETS`, a cache folder, a search path with `go`. Out: the paths of two programs.
//! Here: looking, one `go build` into the cache, the module that pins every version (`module/`).
//! Never here: starting them (`testkit::api_server` does), anything a product needs.
//! Start reading at: build.rs

mod build;
#[cfg(test)]
mod tests;

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

pub use build::find_or_build;

/// The version of Kubernetes that is built; `module/go.mod` pins it and everything it needs.
pub const VERSION: &str = "1.36.1";

/// Name of the environment variable that names a folder with both programs, as `setup-envtest` prints it.
pub const ENVIRONMENT: &str = "KUBEBUILDER_ASSETS";

/// The programs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Assets {
    /// The store.
    pub etcd: PathBuf,
    /// The API server.
    pub kube_apiserver: PathBuf,
}

impl Assets {
    fn of(folder: &Path) -> Self {
        Self { etcd: folder.join("etcd"), kube_apiserver: folder.join("kube-apiserver") }
    }

    /// The one that is not there.
    fn missing(&self) -> Option<&Path> {
        [&self.etcd, &self.kube_apiserver]
            .into_iter()
            .find(|program| !program.is_file())
            .map(PathBuf::as_path)
    }
}

/// Where they are looked for.
#[derive(Clone, Debug)]
pub struct Places {
    /// A folder somebody named; nothing else is then tried.
    pub named: Option<PathBuf>,
    /// A search path in the form of `$PATH`, for `go`.
    pub path: OsString,
    /// The project's cache folder. Made when something is built.
    pub cache: PathBuf,
}

impl Places {
    /// What the environment says.
    pub fn from_environment() -> Self {
        Self {
            named: env::var_os(ENVIRONMENT).filter(|value| !value.is_empty()).map(PathBuf::from),
            path: env::var_os("PATH").unwrap_or_default(),
            cache: envoy::Places::from_environment(None).cache,
        }
    }

    fn built(&self) -> PathBuf {
        self.cache.join(format!("kubernetes-{VERSION}"))
    }
}

/// Why there are no programs.
#[derive(Debug)]
pub enum Error {
    /// The folder that was named lacks one of them.
    Incomplete(PathBuf),
    /// They have not been built.
    Missing(PathBuf),
    /// They cannot be built.
    Build(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete(program) => {
                write!(f, "{ENVIRONMENT} is set, but {} is no file", program.display())
            }
            Self::Missing(folder) => write!(
                f,
                "there is no kube-apiserver {VERSION} in {}: `cargo xtask envtest` builds it once (5 minutes, with Go), \
                 or {ENVIRONMENT} names a folder with etcd and kube-apiserver",
                folder.display()
            ),
            Self::Build(why) => write!(
                f,
                "kube-apiserver {VERSION} and etcd, which tests need, cannot be built: {why}\nthree ways out:\n  \
                 1. install Go (1.26 or newer) with a network, and try again\n  \
                 2. {ENVIRONMENT}=FOLDER with the programs etcd and kube-apiserver in it\n  \
                 3. copy the folder kubernetes-{VERSION} of another machine's cache"
            ),
        }
    }
}

impl std::error::Error for Error {}

/// Looks; builds nothing.
///
/// # Errors
/// When a named folder lacks a program, or nothing has been built.
pub fn find(places: &Places) -> Result<Assets, Error> {
    if let Some(folder) = &places.named {
        let assets = Assets::of(folder);
        return match assets.missing() {
            None => Ok(assets),
            Some(program) => Err(Error::Incomplete(program.to_owned())),
        };
    }
    let assets = Assets::of(&places.built());
    if assets.missing().is_none() { Ok(assets) } else { Err(Error::Missing(places.built())) }
}
