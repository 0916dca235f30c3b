//! Which files a folder has, and by what one sees that a file is another one now.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use config::{Problem, Severity};

/// How deep folders may lie in each other; links may lead in circles.
const DEPTH: usize = 32;
/// Larger files are not configuration.
const LARGEST: u64 = 64 << 20;

/// By what one sees that a file's content may be another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn new(m: &Metadata) -> Self {
        Self {
            device: m.dev(),
            inode: m.ino(),
            size: m.size(),
            modified: (m.mtime(), m.mtime_nsec()),
            changed: (m.ctime(), m.ctime_nsec()),
        }
    }

    /// Of the file at `path`, links followed; `None` if there is none.
    pub(super) fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|m| Self::new(&m))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.size == 0
    }
}

/// Whether a path names a file that is read: YAML or JSON, and not hidden.
pub(super) fn is_read(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    !name.starts_with('.') && matches!(extension, "yaml" | "yml" | "json")
}

/// The files below `root`, sorted. Hidden files and folders are left out: mounted ConfigMaps keep their versions there,
/// and links lead to the present one.
pub(super) fn files(root: &Path, problems: &mut Vec<Problem>) -> io::Result<Vec<(PathBuf, Stamp)>> {
    let mut out = Vec::new();
    let mut folders = BTreeSet::new();
    walk(root, DEPTH, &mut folders, &mut out, problems)?;
    out.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(out)
}

fn walk(
    folder: &Path,
    depth: usize,
    folders: &mut BTreeSet<(u64, u64)>,
    out: &mut Vec<(PathBuf, Stamp)>,
    problems: &mut Vec<Problem>,
) -> io::Result<()> {
    let metadata = fs::metadata(folder)?;
    if depth == 0 || !folders.insert((metadata.dev(), metadata.ino())) {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().and_then(|n| n.to_str()).is_none_or(|n| n.starts_with('.'));
        // a link to nowhere, or a file that went between two calls: as if it were not there
        let Some(metadata) = fs::metadata(&path).ok().filter(|_| !hidden) else { continue };
        if metadata.is_dir() {
            if let Err(error) = walk(&path, depth - 1, folders, out, problems)
                && error.kind() != io::ErrorKind::NotFound
            {
                let text = format!("cannot read the folder: {error}");
                problems.push(Problem::new(Severity::Error, &path.display().to_string(), text));
            }
        } else if metadata.is_file() && is_read(&path) {
            if metadata.len() > LARGEST {
                let text = "the file is larger than 64 MB and is not read";
                problems.push(Problem::new(Severity::Error, &path.display().to_string(), text));
                continue;
            }
            out.push((path, Stamp::new(&metadata)));
        }
    }
    Ok(())
}
