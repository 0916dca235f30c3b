//! Minting service-account tokens, for meshes without a Kubernetes that would do it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey as ParsedKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::{ACCOUNT, Error, KeyError, KeySet};
use crate::key::{self, Kind, PrivateKey};
use crate::spiffe;

/// Somebody who issues tokens: a name and a private key.
pub struct Issuer {
    name: String,
    algorithm: Algorithm,
    encoding: EncodingKey,
    key_id: String,
    jwk: Value,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Issuer({}, key {})", self.name, self.key_id)
    }
}

impl Issuer {
    /// An issuer with this `iss` and key (P-256 or P-384 is the natural choice; RSA signs RS256).
    pub fn new(name: &str, key: &PrivateKey) -> Result<Self, key::Error> {
        let (algorithm, encoding) = match key.kind() {
            Kind::P256 => (Algorithm::ES256, EncodingKey::from_ec_der(key.pkcs8_der())),
            Kind::P384 => (Algorithm::ES384, EncodingKey::from_ec_der(key.pkcs8_der())),
            Kind::Rsa(_) => {
                let pem = key.to_pkcs8_pem();
                let encoding =
                    EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(|_| key::Error::Unsupported)?;
                (Algorithm::RS256, encoding)
            }
        };
        let key_id = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, key.spki_der()));
        let jwk = jwk_of(key.spki_der(), algorithm, &key_id).ok_or(key::Error::Unsupported)?;
        Ok(Self { name: name.to_string(), algorithm, encoding, key_id, jwk })
    }

    /// The `iss` of its tokens.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Mints a token for a service account, for one audience, from `now` for `ttl`, in the shape Kubernetes gives its own.
    /// An error if the names are not fit for an identity.
    pub fn mint(
        &self,
        namespace: &str,
        service_account: &str,
        audience: &str,
        ttl: Duration,
        now: SystemTime,
    ) -> Result<String, Error> {
        spiffe::Id::new("trust.domain", namespace, service_account)
            .map_err(|e| Error::Subject(e.to_string()))?;
        let seconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let issued = seconds(now);
        let claims = json!({
            "iss": self.name,
            "sub": format!("{ACCOUNT}{namespace}:{service_account}"),
            "aud": [audience],
            "iat": issued,
            "nbf": issued,
            "exp": issued.saturating_add(ttl.as_secs()),
            "kubernetes.io": {
                "namespace": namespace,
                "serviceaccount": { "name": service_account },
            },
        });
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.key_id.clone());
        encode(&header, &claims, &self.encoding).map_err(|e| Error::Malformed(e.to_string()))
    }

    /// The public half as a JWKS document, for those who verify elsewhere.
    #[must_use]
    pub fn jwks(&self) -> String {
        json!({ "keys": [self.jwk] }).to_string()
    }

    /// The public half, for verifying here.
    pub fn key_set(&self) -> Result<KeySet, KeyError> {
        KeySet::from_jwks(&self.jwks())
    }
}

fn jwk_of(spki: &[u8], algorithm: Algorithm, id: &str) -> Option<Value> {
    let (_, spki) = SubjectPublicKeyInfo::from_der(spki).ok()?;
    let encoded = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    match spki.parsed().ok()? {
        ParsedKey::RSA(rsa) => {
            let start = rsa.modulus.iter().position(|b| *b != 0)?;
            let (n, e) = (encoded(&rsa.modulus[start..]), encoded(rsa.exponent));
            Some(json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": id, "n": n, "e": e }))
        }
        ParsedKey::EC(point) => {
            // Uncompressed: a 4, then both coordinates.
            let coordinates = point.data().strip_prefix(&[4])?;
            let (x, y) = coordinates.split_at(coordinates.len() / 2);
            let (curve, alg) =
                if algorithm == Algorithm::ES384 { ("P-384", "ES384") } else { ("P-256", "ES256") };
            Some(json!({
                "kty": "EC", "use": "sig", "alg": alg, "kid": id, "crv": curve, "x": encoded(x), "y": encoded(y),
            }))
        }
        _ => None,
    }
}
