//! Where the operating system keeps the certificates it trusts.

use std::path::PathBuf;

/// The places of the distributions; the first that is there counts (as Go's crypto/x509).
const PLACES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The operating system's file of trusted roots, PEM, if it has one.
#[must_use]
pub fn system() -> Option<PathBuf> {
    PLACES.iter().map(PathBuf::from).find(|path| path.is_file())
}
