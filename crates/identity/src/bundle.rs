//! Trust bundles: the roots that are believed, in a stable order, each once.

use std::time::SystemTime;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::cert::{Certificate, Error, parse_chain};

#[cfg(test)]
mod tests;

/// A set of trusted roots; the first is the one of the present authority. Never holds a certificate twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle {
    roots: Vec<Certificate>,
}

impl Bundle {
    /// The bundle of these roots, in this order, doubles dropped.
    #[must_use]
    pub fn new(roots: impl IntoIterator<Item = Certificate>) -> Self {
        let mut out = Self::default();
        out.extend(roots);
        out
    }

    /// The bundle of a PEM text with one root at least.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        Ok(Self::new(parse_chain(pem)?))
    }

    /// The X.509 roots of a SPIFFE bundle document (a JWKS whose keys have `use: x509-svid` and one `x5c` certificate). As
    /// pkg/spiffe/spiffe.go: RetrieveSpiffeBundleRootCerts.
    pub fn from_spiffe_json(json: &str) -> Result<Self, Error> {
        let bad = |reason: &str| Error::Malformed(format!("SPIFFE bundle: {reason}"));
        let document: Value = serde_json::from_str(json).map_err(|e| bad(&e.to_string()))?;
        let keys =
            document.get("keys").and_then(Value::as_array).ok_or_else(|| bad("it has no list `keys`"))?;
        let mut roots = Vec::new();
        for key in keys.iter().filter(|k| k.get("use").and_then(Value::as_str) == Some("x509-svid")) {
            let listed = key.get("x5c").and_then(Value::as_array).map(Vec::as_slice);
            let Some([Value::String(text)]) = listed else {
                return Err(bad("an x509-svid key does not have exactly one certificate"));
            };
            let der = BASE64_STANDARD.decode(text).map_err(|e| bad(&e.to_string()))?;
            roots.push(Certificate::from_der(der.into())?);
        }
        if roots.is_empty() { Err(Error::None) } else { Ok(Self::new(roots)) }
    }

    /// All roots as PEM, one after the other.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.roots.iter().map(Certificate::to_pem).collect()
    }

    /// The roots.
    #[must_use]
    pub fn roots(&self) -> &[Certificate] {
        &self.roots
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// Whether `root` is one of them.
    #[must_use]
    pub fn contains(&self, root: &Certificate) -> bool {
        self.roots.contains(root)
    }

    /// Both bundles, this one's roots first.
    #[must_use]
    pub fn merged(&self, other: &Self) -> Self {
        Self::new(self.roots.iter().chain(&other.roots).cloned())
    }

    /// The roots that have not expired at `now`; those whose time is still to come stay.
    #[must_use]
    pub fn without_expired(&self, now: SystemTime) -> Self {
        Self { roots: self.roots.iter().filter(|r| now <= r.not_after()).cloned().collect() }
    }
}

impl Extend<Certificate> for Bundle {
    fn extend<I: IntoIterator<Item = Certificate>>(&mut self, roots: I) {
        for root in roots {
            if !self.contains(&root) {
                self.roots.push(root);
            }
        }
    }
}

/// Splits a PEM text into its certificates, each with a final line break; text between them is dropped. As
/// security/pkg/pki/util/crypto.go: PemCertBytestoString, but damaged sections are dropped too.
#[must_use]
pub fn split_pem(pem: &str) -> Vec<String> {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .filter_map(Result::ok)
        .map(|der| crate::key::pem_of("CERTIFICATE", &der))
        .collect()
}
