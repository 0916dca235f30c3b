//! Plugged-in files that an operator keeps elsewhere, fetched before they are read.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use process::files::{PRIVATE, write_atomic};

use super::{Error, SCOPE};
use crate::ca::store::Store;

/// The files of an authority; with `tls.crt` there are others of the same meaning.
const FILES: [&str; 3] = ["ca-key.pem", "ca-cert.pem", "root-cert.pem"];

/// Writes what an operator keeps in `store` as files into `dir`, unless an authority is complete there. As
/// pilot/pkg/bootstrap/istio_ca.go: loadCACerts.
pub(super) fn plug_in(store: &dyn Store, dir: &Path) -> Result<(), Error> {
    let is_there = |name: &str| dir.join(name).exists();
    if is_there("tls.crt") || FILES.into_iter().all(is_there) {
        return Ok(());
    }
    if FILES.into_iter().any(is_there) {
        tracing::warn!(target: SCOPE, "{}: the files of the plugged-in CA are not complete", dir.display());
    }
    let Some(files) = store.plugged()? else { return Ok(()) };
    tracing::info!(target: SCOPE, "{}: written from the Secret cacerts", dir.display());
    let failed = |path: &Path, error: &io::Error| Error::File {
        path: path.to_owned(),
        source: io::Error::new(
            error.kind(),
            format!("{error}; for USE_REMOTE_CERTS, ROOT_CA_DIR has to be a folder that can be written"),
        ),
    };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| failed(dir, &error))?;
    for (name, content) in files {
        let path = dir.join(name);
        write_atomic(&path, &content, PRIVATE).map_err(|error| failed(&path, &error))?;
    }
    Ok(())
}
