//! Certificate revocation lists: whether one can be handed to those who verify.

use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

use crate::cert::Certificate;

#[cfg(test)]
mod tests;

/// Why a revocation list is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a list.
    #[error("not a PEM certificate revocation list: {0}")]
    Malformed(String),
    /// Verifiers that have lists want one of every authority in a chain; without it they refuse all certificates.
    #[error("no list in it is signed by {0}, or that one may not sign lists")]
    Missing(String),
}

/// Checks that each list of a PEM text can be read and that each of `authorities` may sign lists and has signed one at
/// least. As security/pkg/pki/util/keycertbundle.go: Verify.
pub fn check(pem: &str, authorities: &[Certificate]) -> Result<(), Error> {
    let malformed = |reason: String| Error::Malformed(reason);
    let mut ders = Vec::new();
    for der in CertificateRevocationListDer::pem_slice_iter(pem.as_bytes()) {
        ders.push(der.map_err(|e| malformed(e.to_string()))?);
    }
    if ders.is_empty() {
        return Err(malformed("there is none in the text".to_string()));
    }
    let mut lists = Vec::new();
    for der in &ders {
        let (_, list) =
            CertificateRevocationList::from_der(der.as_ref()).map_err(|e| malformed(e.to_string()))?;
        lists.push(list);
    }
    let missing = authorities.iter().find(|authority| !lists.iter().any(|list| is_of(list, authority)));
    missing.map_or(Ok(()), |authority| Err(Error::Missing(authority.subject().to_string())))
}

fn is_of(list: &CertificateRevocationList<'_>, authority: &Certificate) -> bool {
    let Ok((_, authority)) = X509Certificate::from_der(authority.der()) else { return false };
    // whoever may not sign lists is not believed in what it revokes
    let may = authority.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.crl_sign()));
    may && list.verify_signature(authority.public_key()).is_ok()
}
