//! `OUTPUT_CERTS`: key, certificates and roots as files, for those who cannot use SDS and for virtual machines.

use std::io;
use std::path::Path;

use process::files::{PRIVATE, PUBLIC, write_atomic};

/// Writes `key.pem`, `cert-chain.pem` and `root-cert.pem` into `dir`, each in one step, the key readable by its owner
/// only. As security/pkg/nodeagent/util/util.go: OutputKeyCertToDir.
///
/// # Errors
/// When a file cannot be written.
pub fn write_key_and_certificate(dir: &Path, key: &str, chain: &str, roots: &str) -> io::Result<()> {
    // The key first: who waits for the certificate finds the key.
    write_atomic(&dir.join("key.pem"), key.as_bytes(), PRIVATE)?;
    write_atomic(&dir.join("cert-chain.pem"), chain.as_bytes(), PUBLIC)?;
    write_atomic(&dir.join("root-cert.pem"), roots.as_bytes(), PUBLIC)
}
