//! Files: writing so that a reader sees the old content or the new one, never half of it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(test)]
mod tests;

/// Permission bits for secrets: only the owner reads and writes.
pub const PRIVATE: u32 = 0o600;
/// Permission bits for what everybody may read.
pub const PUBLIC: u32 = 0o644;

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Replaces the content of `path` in one step: writes a temporary file beside it with permission bits `mode`
/// (already at creation, so a secret is never readable by others), syncs it, and renames it over `path`.
/// Missing parent directories are created. On an error `path` is as it was, and no temporary file stays.
pub fn write_atomic(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let parent = parent_of(path);
    fs::create_dir_all(&parent).map_err(|e| named(&e, "cannot create directory", &parent))?;
    let temporary = temporary_beside(path);
    let written = write_new(&temporary, content, mode).and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = written {
        let _ = fs::remove_file(&temporary);
        return Err(named(&error, "cannot write", path));
    }
    // The rename itself is durable only when its directory is; where that cannot be synced the content is still whole.
    if let Ok(directory) = fs::File::open(&parent) {
        let _ = directory.sync_all();
    }
    Ok(())
}

/// A name in the directory of `path` that nobody else in this machine uses.
pub(crate) fn temporary_beside(path: &Path) -> PathBuf {
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    parent_of(path).join(format!(".{name}.{}.{number}.tmp", std::process::id()))
}

fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    // The umask may have taken bits away; it never adds any, so there is no moment with too many.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(content)?;
    file.sync_all()
}

fn named(error: &io::Error, what: &str, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{what} {}: {error}", path.display()))
}
