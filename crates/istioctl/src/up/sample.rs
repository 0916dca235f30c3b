//! The bookinfo folder: written for the user to edit, removed by `down` if nobody did.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::paths::{Paths, private_directory};

const FILES: [(&str, &str); 6] = [
    ("bookinfo.yaml", include_str!("../../samples/bookinfo/bookinfo.yaml")),
    ("destination-rules.yaml", include_str!("../../samples/bookinfo/destination-rules.yaml")),
    ("gateway.yaml", include_str!("../../samples/bookinfo/gateway.yaml")),
    ("mesh.yaml", include_str!("../../samples/bookinfo/mesh.yaml")),
    ("mtls.yaml", include_str!("../../samples/bookinfo/mtls.yaml")),
    ("reviews.yaml", include_str!("../../samples/bookinfo/reviews.yaml")),
];

/// Writes the sample's files that are not there yet; the user's edits stay.
///
/// # Errors
/// If one cannot be written.
pub(super) fn write(paths: &Paths) -> io::Result<PathBuf> {
    let folder = paths.sample();
    private_directory(&folder)?;
    let fresh = fs::read_dir(&folder)?.next().is_none();
    for (name, text) in FILES {
        let path = folder.join(name);
        // a file the user has deleted stays deleted, except what nothing runs without
        if fresh || (name == "mesh.yaml" && !path.exists()) {
            fs::write(path, text)?;
        }
    }
    Ok(folder)
}

/// Removes the folder if it holds nothing but the sample as it was written.
pub(super) fn remove_if_unedited(paths: &Paths) {
    let folder = paths.sample();
    let Ok(entries) = fs::read_dir(&folder) else { return };
    let names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    let known = |name: &std::ffi::OsString| {
        let text = fs::read_to_string(folder.join(name)).ok();
        FILES.iter().any(|(file, original)| *name == **file && text.as_deref() == Some(*original))
    };
    if names.len() == FILES.len() && names.iter().all(known) {
        let _ = fs::remove_dir_all(&folder);
    }
}

#[cfg(test)]
mod tests;
