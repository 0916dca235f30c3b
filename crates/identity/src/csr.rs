//! Certificate signing requests: made by those who want an identity, read from those who are not trusted yet.

use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey as ParsedKey;
use x509_parser::x509::{AttributeTypeAndValue, SubjectPublicKeyInfo};

use crate::authority::San;
use crate::der;
use crate::key::{self, PrivateKey, pem_of};

#[cfg(test)]
mod tests;

/// Bytes of a request that are looked at; the largest honest one (RSA 8192) takes about 3 kB.
pub const LARGEST: usize = 16 * 1024;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Too big to be honest.
    #[error("the CSR has {0} bytes; at most {LARGEST} are read")]
    TooLarge(usize),
    /// Not a request.
    #[error("not a PEM certificate request: {0}")]
    Malformed(String),
    /// The requester does not hold the key.
    #[error("the signature of the CSR does not fit its key")]
    Signature,
    /// Such keys get no certificate.
    #[error("the key of the CSR is not supported: {0} (want RSA of 2048 to 8192 bits, P-256 or P-384)")]
    Key(String),
    /// It asks for something that others than this authority must not be asked for.
    #[error("the CSR asks for more than the names of a workload: {0}")]
    Beyond(&'static str),
}

/// A public key somebody has proved to hold. It is all that is ever taken from a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    spki: Vec<u8>,
}

impl PublicKey {
    /// Reads an untrusted PEM request: bounded in size, its signature checked, its key of a supported kind. Names and
    /// extensions it asks for are not even returned.
    pub fn from_csr_pem(pem: &str) -> Result<Self, Error> {
        read(pem, |csr| {
            let spki = &csr.certification_request_info.subject_pki;
            check_key(spki)?;
            csr.verify_signature().map_err(|_| Error::Signature)?;
            Ok(Self { spki: spki.raw.to_vec() })
        })
    }

    /// The public half of a key of ours.
    #[must_use]
    pub fn of(key: &PrivateKey) -> Self {
        Self { spki: key.spki_der().to_vec() }
    }

    /// As DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }
}

/// Parses an untrusted request of bounded size.
fn read<T>(
    pem: &str,
    look: impl FnOnce(&X509CertificationRequest<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    if pem.len() > LARGEST {
        return Err(Error::TooLarge(pem.len()));
    }
    let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes())
        .map_err(|e| Error::Malformed(e.to_string()))?;
    let (rest, csr) =
        X509CertificationRequest::from_der(der.as_ref()).map_err(|e| Error::Malformed(e.to_string()))?;
    if !rest.is_empty() {
        return Err(Error::Malformed("bytes after the request".to_string()));
    }
    look(&csr)
}

/// A request that somebody else may be given to sign as it is: it asks for URIs and for nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plain {
    /// The request alone, without what else its text may have held.
    pub pem: String,
    /// The URIs.
    pub uris: Vec<String>,
}

impl Plain {
    /// Reads an untrusted PEM request; its key and signature are for [`PublicKey::from_csr_pem`]. An empty organization in
    /// the subject is let pass, for Istio's agents write one (as security/pkg/pki/ra/common.go: ValidateCSR).
    pub fn from_csr_pem(pem: &str) -> Result<Self, Error> {
        read(pem, |csr| {
            let pem = pem_of("CERTIFICATE REQUEST", csr.as_raw());
            Ok(Self { pem, uris: plain_uris(csr)? })
        })
    }
}

fn plain_uris(csr: &X509CertificationRequest<'_>) -> Result<Vec<String>, Error> {
    let info = &csr.certification_request_info;
    let empty = |a: &AttributeTypeAndValue<'_>| {
        a.attr_type().as_bytes() == oid_of(der::oid::ORGANIZATION) && a.as_slice().is_empty()
    };
    if !info.subject.iter_attributes().all(empty) {
        return Err(Error::Beyond("it has a subject"));
    }
    let [attribute] = info.attributes() else {
        return Err(Error::Beyond("it must have one attribute, the names"));
    };
    let extensions: Vec<_> = csr.requested_extensions().into_iter().flatten().collect();
    let [ParsedExtension::SubjectAlternativeName(names)] = extensions[..] else {
        return Err(Error::Beyond("it must have one extension, the names"));
    };
    let uri = |name: &GeneralName<'_>| match name {
        GeneralName::URI(uri) => Ok((*uri).to_owned()),
        _ => Err(Error::Beyond("a name is not a URI")),
    };
    let uris = names.general_names.iter().map(uri).collect::<Result<Vec<_>, _>>()?;
    // whoever signs may read leniently: what was read here must be all there is
    let sans: Vec<San> = uris.iter().cloned().map(San::Uri).collect();
    if ![true, false].iter().any(|critical| names_request(&sans, *critical) == attribute.value) {
        return Err(Error::Beyond("its names are written in another way than agents do"));
    }
    Ok(uris)
}

/// The content of an object identifier.
fn oid_of(encoded: &[u8]) -> &[u8] {
    encoded.get(2..).unwrap_or_default()
}

/// The value of the attribute that asks for `sans`.
fn names_request(sans: &[San], critical: bool) -> Vec<u8> {
    let names = der::extension(der::oid::SUBJECT_ALT_NAME, critical, &San::names_der(sans));
    der::element(der::SET, &der::sequence(&[&names]))
}

fn check_key(spki: &SubjectPublicKeyInfo<'_>) -> Result<(), Error> {
    match spki.parsed() {
        Ok(ParsedKey::RSA(rsa)) => match rsa.key_size() {
            2048..=8192 => Ok(()),
            bits => Err(Error::Key(format!("RSA of {bits} bits"))),
        },
        Ok(ParsedKey::EC(point)) => match point.key_size() {
            256 | 384 => Ok(()),
            bits => Err(Error::Key(format!("a curve of {bits} bits"))),
        },
        Ok(_) => Err(Error::Key("its algorithm".to_string())),
        Err(error) => Err(Error::Key(error.to_string())),
    }
}

/// Makes a PEM request for `key` that names `sans` and has an empty subject, as
/// security/pkg/pki/util/generate_csr.go: GenCSR does for workloads.
pub fn make(key: &PrivateKey, sans: &[San]) -> Result<String, key::Error> {
    let attributes = if sans.is_empty() {
        der::context(0, &[])
    } else {
        der::context(0, &der::sequence(&[der::oid::EXTENSION_REQUEST, &names_request(sans, true)]))
    };
    let info = der::sequence(&[&der::unsigned(&[0]), &der::name(&[]), key.spki_der(), &attributes]);
    let signature = der::bit_string(&key.sign(&info)?);
    Ok(pem_of("CERTIFICATE REQUEST", &der::sequence(&[&info, key.algorithm_der(), &signature])))
}
