//! Certificates mounted as files: read when they fit together, watched for changes.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use identity::{Certificate, PrivateKey};

use super::store::{SecretError, SecretItem};

/// Reads a chain and its key; both must be readable and belong together, which they do not while they are replaced.
pub(super) fn certificate(chain: &Path, key: &Path) -> Result<SecretItem, SecretError> {
    let (chain_pem, key_pem) = (read(chain)?, read(key)?);
    let bad = |path: &Path, reason: String| SecretError::File { path: path.to_owned(), reason };
    let certificates: Vec<Certificate> =
        identity::cert::parse_chain(&chain_pem).map_err(|error| bad(chain, error.to_string()))?;
    let key_of = PrivateKey::from_pem(&key_pem).map_err(|error| bad(key, error.to_string()))?;
    if certificates.first().is_none_or(|leaf| leaf.spki_der() != key_of.spki_der()) {
        return Err(bad(key, format!("is not the key of the certificate in {}", chain.display())));
    }
    Ok(SecretItem::Certificate { chain: chain_pem.into_bytes().into(), key: key_pem.into_bytes().into() })
}

/// Reads a bundle of roots; damaged ones are left out as long as one is left.
pub(super) fn roots(path: &Path) -> Result<String, SecretError> {
    let text = read(path)?;
    let valid: String = identity::bundle::split_pem(&text)
        .into_iter()
        .filter(|pem| identity::cert::parse_chain(pem).is_ok())
        .collect();
    if valid.is_empty() {
        return Err(SecretError::File { path: path.to_owned(), reason: "holds no certificate".to_owned() });
    }
    Ok(valid)
}

fn read(path: &Path) -> Result<String, SecretError> {
    std::fs::read_to_string(path)
        .map_err(|error| SecretError::File { path: path.to_owned(), reason: error.to_string() })
}

/// What a file looks like from outside. Symbolic links are followed, so a swap of Kubernetes' `..data` is a change.
type Look = Option<(u64, u64, i64, i64, u64)>;

fn look(path: &Path) -> Look {
    let of = |data: Metadata| (data.dev(), data.ino(), data.mtime(), data.mtime_nsec(), data.len());
    std::fs::metadata(path).ok().map(of)
}

/// The files that somebody was served from.
#[derive(Debug, Default)]
pub(super) struct Watched(BTreeMap<PathBuf, Look>);

impl Watched {
    /// Watches a file from now on.
    pub(super) fn add(&mut self, path: &Path) {
        self.0.entry(path.to_owned()).or_insert_with(|| look(path));
    }

    /// Whether a watched file has changed since the last call.
    pub(super) fn changed(&mut self) -> bool {
        let mut changed = false;
        for (path, last) in &mut self.0 {
            let now = look(path);
            if now != *last {
                tracing::info!(target: "cache", "file certificate {} changed", path.display());
                *last = now;
                changed = true;
            }
        }
        changed
    }
}
