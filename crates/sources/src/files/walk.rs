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
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(crate) fn new(m: &Metadata) -> Self {
        Self {
            device: m.dev(),
            inode: m.ino(),
            size: m.size(),
            modified: (m.mtime(), m.mtime_nsec()),
            changed: (m.ctime(), m.ctime_nsec()),
        }
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

/// What one path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Single {
    /// A file that is read.
    File(Stamp),
    /// A file that is not read, whatever is in it.
    Ignored,
    /// There is nothing.
    Absent,
    /// A folder, a link, or something that cannot be told: what it stands for must be walked.
    Other,
}

/// Looks at one path, links not followed.
pub(super) fn single(path: &Path) -> Single {
    match fs::symlink_metadata(path) {
        Ok(m) if m.is_file() && is_read(path) && m.len() <= LARGEST => Single::File(Stamp::new(&m)),
        Ok(m) if m.is_file() && !is_read(path) => Single::Ignored,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Single::Absent,
        _ => Single::Other,
    }
}

/// Whether a path stands in a hidden folder of `root`.
pub(super) fn is_below_hidden(root: &Path, path: &Path) -> bool {
    let below = path.strip_prefix(root).ok().and_then(Path::parent);
    below.into_iter().flatten().any(|folder| folder.as_encoded_bytes().starts_with(b"."))
}

/// What a folder holds.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The files that are read, sorted.
    pub(crate) files: Vec<(PathBuf, Stamp)>,
    /// Whether there are links among what was looked at.
    pub(super) links: bool,
}

/// The files below `root`. Hidden files and folders are left out: mounted ConfigMaps keep their versions there,
/// and links lead to the present one.
pub(crate) fn files(root: &Path, problems: &mut Vec<Problem>) -> io::Result<Found> {
    let mut found = Found::default();
    let mut folders = BTreeSet::new();
    walk(root, DEPTH, &mut folders, &mut found, problems)?;
    found.files.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

fn walk(
    folder: &Path,
    depth: usize,
    folders: &mut BTreeSet<(u64, u64)>,
    found: &mut Found,
    problems: &mut Vec<Problem>,
) -> io::Result<()> {
    let metadata = fs::metadata(folder)?;
    if depth == 0 || !folders.insert((metadata.dev(), metadata.ino())) {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        found.links |= entry.file_type().is_ok_and(|kind| kind.is_symlink());
        let hidden = path.file_name().and_then(|n| n.to_str()).is_none_or(|n| n.starts_with('.'));
        // a link to nowhere, or a file that went between two calls: as if it were not there
        let Some(metadata) = fs::metadata(&path).ok().filter(|_| !hidden) else { continue };
        if metadata.is_dir() {
            if let Err(error) = walk(&path, depth - 1, folders, found, problems)
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
            found.files.push((path, Stamp::new(&metadata)));
        }
    }
    Ok(())
}
