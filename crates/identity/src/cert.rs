//! Certificates: read, asked about, and verified against trusted roots at a given moment.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

use crate::bundle::Bundle;
use crate::key::pem_of;
use crate::spiffe::{Id, PREFIX};

#[cfg(test)]
mod tests;

/// Certificates of a chain that are looked at; longer chains are refused.
const LONGEST_CHAIN: usize = 16;

/// Why a certificate is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a certificate.
    #[error("not an X.509 certificate: {0}")]
    Malformed(String),
    /// The text holds none.
    #[error("no certificate in the PEM text")]
    None,
    /// It (or one above it) is not valid at this moment.
    #[error("certificate of {subject} is not valid now: {reason}")]
    Time {
        /// Whose.
        subject: String,
        /// Too early or too late, and when.
        reason: String,
    },
    /// No trusted root leads to it.
    #[error("certificate of {subject} is not signed by a trusted root: {reason}")]
    Untrusted {
        /// Whose.
        subject: String,
        /// What webpki says.
        reason: String,
    },
}

/// What a certificate is used for in a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// The peer is the client of a connection.
    Client,
    /// The peer is the server of a connection.
    Server,
}

/// A parsed X.509 certificate with the facts that are asked of it. Parsing says nothing about trust.
#[derive(Clone)]
pub struct Certificate {
    der: CertificateDer<'static>,
    not_before: SystemTime,
    not_after: SystemTime,
    is_ca: bool,
    subject_der: Vec<u8>,
    issuer_der: Vec<u8>,
    spki_der: Vec<u8>,
    subject_key_id: Option<Vec<u8>>,
    subject: String,
    uris: Vec<String>,
    dns_names: Vec<String>,
    serial: String,
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({}, serial {})", self.name(), self.serial)
    }
}

impl Certificate {
    /// Parses one DER certificate; nothing may follow it.
    pub fn from_der(der: CertificateDer<'static>) -> Result<Self, Error> {
        let (rest, parsed) =
            X509Certificate::from_der(der.as_ref()).map_err(|e| Error::Malformed(e.to_string()))?;
        if !rest.is_empty() {
            return Err(Error::Malformed("bytes after the certificate".to_string()));
        }
        let mut out = Self {
            not_before: moment(parsed.validity().not_before.timestamp()),
            not_after: moment(parsed.validity().not_after.timestamp()),
            is_ca: parsed.is_ca(),
            subject_der: parsed.subject().as_raw().to_vec(),
            issuer_der: parsed.issuer().as_raw().to_vec(),
            spki_der: parsed.public_key().raw.to_vec(),
            subject: parsed.subject().to_string(),
            serial: parsed.raw_serial().iter().map(|b| format!("{b:02x}")).collect(),
            subject_key_id: None,
            uris: Vec::new(),
            dns_names: Vec::new(),
            der: CertificateDer::from(Vec::new()),
        };
        for extension in parsed.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => out.subject_key_id = Some(id.0.to_vec()),
                ParsedExtension::SubjectAlternativeName(names) => out.take_names(&names.general_names),
                _ => {}
            }
        }
        drop(parsed);
        out.der = der;
        Ok(out)
    }

    fn take_names(&mut self, names: &[GeneralName<'_>]) {
        for name in names {
            match name {
                GeneralName::URI(uri) => self.uris.push((*uri).to_string()),
                GeneralName::DNSName(dns) => self.dns_names.push((*dns).to_string()),
                _ => {}
            }
        }
    }

    /// The certificate as DER.
    #[must_use]
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// The certificate as one PEM section with a final line break.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem_of("CERTIFICATE", &self.der)
    }

    /// Valid from this moment on.
    #[must_use]
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// Valid up to this moment.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Whether `now` is within its validity.
    #[must_use]
    pub fn is_valid_at(&self, now: SystemTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// Whether it may sign others.
    #[must_use]
    pub fn is_ca(&self) -> bool {
        self.is_ca
    }

    /// Whether subject and issuer are the same name.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.subject_der == self.issuer_der
    }

    /// The URI names, as written.
    #[must_use]
    pub fn uris(&self) -> &[String] {
        &self.uris
    }

    /// The DNS names, as written.
    #[must_use]
    pub fn dns_names(&self) -> &[String] {
        &self.dns_names
    }

    /// The SPIFFE identities among its names. Trust them only after [`verify`].
    #[must_use]
    pub fn identities(&self) -> Vec<Id> {
        self.uris.iter().filter(|u| u.starts_with(PREFIX)).filter_map(|u| u.parse().ok()).collect()
    }

    /// The subject, as text for people.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The serial number in hexadecimal.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// The public key as DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    pub(crate) fn subject_der(&self) -> &[u8] {
        &self.subject_der
    }

    pub(crate) fn subject_key_id(&self) -> Option<&[u8]> {
        self.subject_key_id.as_deref()
    }

    /// A short name for messages: its first URI or DNS name, or else its subject.
    #[must_use]
    pub fn name(&self) -> &str {
        self.uris.first().or(self.dns_names.first()).map_or(&self.subject, String::as_str)
    }
}

fn moment(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let at = if seconds < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    at.unwrap_or(UNIX_EPOCH)
}

/// Reads every certificate of a PEM text, in order; an error if there is none or one of them is damaged.
pub fn parse_chain(pem: &str) -> Result<Vec<Certificate>, Error> {
    let mut chain = Vec::new();
    for der in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let der = der.map_err(|e| Error::Malformed(e.to_string()))?;
        chain.push(Certificate::from_der(der)?);
    }
    if chain.is_empty() { Err(Error::None) } else { Ok(chain) }
}

/// Verifies that `chain` (the leaf first, then what leads to a root) is trusted by `bundle` at `now` for `usage`. Roots
/// that are themselves not valid at `now` count as absent (webpki alone would not look).
pub fn verify(chain: &[Certificate], bundle: &Bundle, usage: Usage, now: SystemTime) -> Result<(), Error> {
    let Some((leaf, above)) = chain.split_first() else {
        return Err(Error::None);
    };
    let untrusted = |reason: String| Error::Untrusted { subject: leaf.name().to_string(), reason };
    if chain.len() > LONGEST_CHAIN {
        return Err(untrusted(format!("its chain has {} certificates", chain.len())));
    }
    check_time(leaf, now)?;
    let roots: Vec<_> = bundle
        .roots()
        .iter()
        .filter(|root| root.is_valid_at(now))
        .filter_map(|root| anchor_from_trusted_cert(root.der()).ok())
        .collect();
    if roots.is_empty() {
        return Err(untrusted("there is no root that is valid now".to_string()));
    }
    let between: Vec<_> = above.iter().map(|c| c.der().clone()).collect();
    let usage = match usage {
        Usage::Client => KeyUsage::client_auth(),
        Usage::Server => KeyUsage::server_auth(),
    };
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let end = EndEntityCert::try_from(leaf.der()).map_err(|e| untrusted(e.to_string()))?;
    let at = UnixTime::since_unix_epoch(since);
    end.verify_for_usage(ALL_VERIFICATION_ALGS, &roots, &between, at, usage, None, None)
        .map(drop)
        .map_err(|e| untrusted(e.to_string()))
}

/// The identities of a verified peer: [`verify`], then the SPIFFE names of the leaf, of which there must be one at least.
pub fn verified_identities(
    chain: &[Certificate],
    bundle: &Bundle,
    usage: Usage,
    now: SystemTime,
) -> Result<BTreeSet<Id>, Error> {
    verify(chain, bundle, usage, now)?;
    let ids: BTreeSet<Id> =
        chain.first().map(Certificate::identities).unwrap_or_default().into_iter().collect();
    if ids.is_empty() {
        return Err(Error::Malformed("the certificate carries no SPIFFE identity".to_string()));
    }
    Ok(ids)
}

fn check_time(cert: &Certificate, now: SystemTime) -> Result<(), Error> {
    let reason = if now < cert.not_before {
        "it starts later"
    } else if now > cert.not_after {
        "it has expired"
    } else {
        return Ok(());
    };
    Err(Error::Time { subject: cert.name().to_string(), reason: reason.to_string() })
}
