//! The public keys of token issuers: JWKS documents and PEM, each key with the algorithms it may be used with.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey as ParsedKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::Error;

const RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// Why a key set cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not JSON of the right form.
    #[error("not a JWKS document: {0}")]
    Json(String),
    /// No key in it can verify a token.
    #[error("no usable RSA or EC signing key in the key set")]
    Empty,
    /// Not a public key.
    #[error("not a usable PEM public key: {0}")]
    Pem(String),
}

/// One public key.
#[derive(Clone)]
pub(super) struct Key {
    id: Option<String>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) decoding: DecodingKey,
}

/// The keys of one issuer.
#[derive(Clone, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|k| &k.id)).finish()
    }
}

impl KeySet {
    /// Reads a JWKS document. Keys that cannot verify tokens (symmetric, for encryption, of unknown kinds) are left out;
    /// an error if none is left.
    pub fn from_jwks(json: &str) -> Result<Self, KeyError> {
        let document: Value = serde_json::from_str(json).map_err(|e| KeyError::Json(e.to_string()))?;
        let listed = document.get("keys").and_then(Value::as_array);
        let listed = listed.ok_or_else(|| KeyError::Json("it has no list `keys`".to_string()))?;
        let keys: Vec<Key> = listed.iter().filter_map(key_of).collect();
        if keys.is_empty() { Err(KeyError::Empty) } else { Ok(Self { keys }) }
    }

    /// Reads every `PUBLIC KEY` of a PEM text; they have no key id and are tried for every token.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let mut keys = Vec::new();
        for der in SubjectPublicKeyInfoDer::pem_slice_iter(pem.as_bytes()) {
            let der = der.map_err(|e| KeyError::Pem(e.to_string()))?;
            keys.push(key_of_spki(der.as_ref())?);
        }
        if keys.is_empty() { Err(KeyError::Empty) } else { Ok(Self { keys }) }
    }

    /// The keys a token with this key id may be signed with: those of that id, those without any id; all if the token
    /// names none.
    pub(super) fn candidates(&self, id: Option<&str>) -> Vec<&Key> {
        let fits = |key: &&Key| match (&key.id, id) {
            (Some(have), Some(want)) => have == want,
            _ => true,
        };
        self.keys.iter().filter(fits).collect()
    }
}

/// A JWK, if it is a public key for signatures.
fn key_of(jwk: &Value) -> Option<Key> {
    let says = |name: &str| jwk.get(name).and_then(Value::as_str);
    if says("use").is_some_and(|u| u != "sig") {
        return None;
    }
    let (mut algorithms, decoding) = match says("kty")? {
        "RSA" => {
            let modulus = BASE64_URL_SAFE_NO_PAD.decode(says("n")?.trim_end_matches('=')).ok()?;
            let exponent = BASE64_URL_SAFE_NO_PAD.decode(says("e")?.trim_end_matches('=')).ok()?;
            (RSA.to_vec(), DecodingKey::from_rsa_raw_components(&modulus, &exponent))
        }
        "EC" => {
            let algorithm = match says("crv")? {
                "P-256" => Algorithm::ES256,
                "P-384" => Algorithm::ES384,
                _ => return None,
            };
            (vec![algorithm], DecodingKey::from_ec_components(says("x")?, says("y")?).ok()?)
        }
        _ => return None,
    };
    if let Some(only) = says("alg") {
        let only: Algorithm = only.parse().ok()?;
        algorithms.retain(|a| *a == only);
    }
    if algorithms.is_empty() {
        return None;
    }
    Some(Key { id: says("kid").map(str::to_string), algorithms, decoding })
}

fn key_of_spki(der: &[u8]) -> Result<Key, KeyError> {
    let bad = |reason: &str| KeyError::Pem(reason.to_string());
    let (_, spki) = SubjectPublicKeyInfo::from_der(der).map_err(|e| KeyError::Pem(e.to_string()))?;
    match spki.parsed() {
        Ok(ParsedKey::RSA(rsa)) => {
            let start = rsa.modulus.iter().position(|b| *b != 0).unwrap_or(0);
            let decoding = DecodingKey::from_rsa_raw_components(&rsa.modulus[start..], rsa.exponent);
            Ok(Key { id: None, algorithms: RSA.to_vec(), decoding })
        }
        Ok(ParsedKey::EC(point)) => {
            let algorithm = match point.key_size() {
                256 => Algorithm::ES256,
                384 => Algorithm::ES384,
                _ => return Err(bad("a curve that is not P-256 or P-384")),
            };
            let decoding = DecodingKey::from_ec_der(&spki.subject_public_key.data);
            Ok(Key { id: None, algorithms: vec![algorithm], decoding })
        }
        _ => Err(bad("not an RSA or EC key")),
    }
}

/// The part of a JWT's header that decides how it is verified.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
}

/// Reads the header by hand, so that an algorithm that must not be used is named in the refusal, and a `crit` that is not
/// understood is not overlooked.
pub(super) fn header(token: &str) -> Result<Header, Error> {
    let bad = |reason: &str| Error::Malformed(reason.to_string());
    if token.split('.').count() != 3 {
        return Err(bad("it does not have three parts"));
    }
    let first = token.split('.').next().unwrap_or_default();
    let json = BASE64_URL_SAFE_NO_PAD.decode(first).map_err(|_| bad("its header is not base64url"))?;
    let header: Value = serde_json::from_slice(&json).map_err(|_| bad("its header is not JSON"))?;
    let name = header.get("alg").and_then(Value::as_str).unwrap_or_default();
    let algorithm: Algorithm = name.parse().map_err(|_| Error::Algorithm(name.chars().take(32).collect()))?;
    if !RSA.contains(&algorithm) && !matches!(algorithm, Algorithm::ES256 | Algorithm::ES384) {
        return Err(Error::Algorithm(name.to_string()));
    }
    if header.get("crit").is_some() {
        return Err(bad("it demands extensions (`crit`) that are not known here"));
    }
    Ok(Header { algorithm, key_id: header.get("kid").and_then(Value::as_str).map(str::to_string) })
}
