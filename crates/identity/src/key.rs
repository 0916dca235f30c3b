//! Private keys: made, read from PEM in any of the three usual wrappings, written as PKCS#8, wiped when dropped.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    KeyPair as _, RSA_PKCS1_SHA256,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

#[cfg(test)]
mod tests;

/// A text that is wiped when dropped.
pub type SecretText = Zeroizing<String>;

/// The kinds of keys that are made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// RSA with this many bits: 2048, 3072 or 4096.
    Rsa(u32),
    /// ECDSA over NIST P-256.
    P256,
    /// ECDSA over NIST P-384.
    P384,
}

/// Why a key cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text holds no key.
    #[error("no private key in the PEM text (want PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY)")]
    Pem,
    /// The key is damaged or of a kind that is not supported.
    #[error(
        "the private key is damaged or of an unsupported kind (want RSA of 2048 to 8192 bits, P-256 or P-384)"
    )]
    Unsupported,
    /// Such keys are not made.
    #[error("RSA keys of {0} bits are not made here (want 2048, 3072 or 4096)")]
    Size(u32),
    /// The cryptographic library refused.
    #[error("the cryptographic library failed to {0}")]
    Library(&'static str),
}

enum Pair {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair, Kind),
}

/// A private key. Its `Debug` form never shows the secret.
pub struct PrivateKey {
    pair: Pair,
    pkcs8: Zeroizing<Vec<u8>>,
    spki: Vec<u8>,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({:?}, secret)", self.kind())
    }
}

impl PrivateKey {
    /// Makes a new key from the randomness of the cryptographic library.
    pub fn generate(kind: Kind) -> Result<Self, Error> {
        let failed = |_| Error::Library("make a key");
        let pair = match kind {
            Kind::Rsa(bits) => {
                let size = match bits {
                    2048 => KeySize::Rsa2048,
                    3072 => KeySize::Rsa3072,
                    4096 => KeySize::Rsa4096,
                    _ => return Err(Error::Size(bits)),
                };
                Pair::Rsa(RsaKeyPair::generate(size).map_err(failed)?)
            }
            Kind::P256 | Kind::P384 => {
                Pair::Ecdsa(EcdsaKeyPair::generate(signing_of(kind)).map_err(failed)?, kind)
            }
        };
        Self::of(pair)
    }

    /// Reads the first private key of a PEM text: PKCS#8, PKCS#1 (`RSA PRIVATE KEY`) or SEC1 (`EC PRIVATE KEY`).
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| Error::Pem)?;
        let secret = Zeroizing::new(der.secret_der().to_vec());
        let rsa = match &der {
            PrivateKeyDer::Pkcs8(_) => RsaKeyPair::from_pkcs8(&secret).ok(),
            PrivateKeyDer::Pkcs1(_) => RsaKeyPair::from_der(&secret).ok(),
            _ => None,
        };
        if let Some(pair) = rsa {
            return Self::of(Pair::Rsa(pair));
        }
        for kind in [Kind::P256, Kind::P384] {
            if let Ok(pair) = EcdsaKeyPair::from_private_key_der(signing_of(kind), &secret) {
                return Self::of(Pair::Ecdsa(pair, kind));
            }
        }
        Err(Error::Unsupported)
    }

    fn of(pair: Pair) -> Result<Self, Error> {
        let failed = |_| Error::Library("encode a key");
        let (pkcs8, spki) = match &pair {
            Pair::Rsa(rsa) => {
                let spki: PublicKeyX509Der<'_> = rsa.public_key().as_der().map_err(failed)?;
                let pkcs8: Pkcs8V1Der<'_> = rsa.as_der().map_err(failed)?;
                (pkcs8.as_ref().to_vec(), spki.as_ref().to_vec())
            }
            Pair::Ecdsa(ecdsa, _) => {
                let spki: PublicKeyX509Der<'_> = ecdsa.public_key().as_der().map_err(failed)?;
                (ecdsa.to_pkcs8v1().map_err(failed)?.as_ref().to_vec(), spki.as_ref().to_vec())
            }
        };
        Ok(Self { pair, pkcs8: Zeroizing::new(pkcs8), spki })
    }

    /// What kind of key it is; RSA keys that were read may have other sizes than those made here.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match &self.pair {
            Pair::Rsa(rsa) => Kind::Rsa(rsa.public_modulus_len() as u32 * 8),
            Pair::Ecdsa(_, kind) => *kind,
        }
    }

    /// The secret as PKCS#8 PEM.
    #[must_use]
    pub fn to_pkcs8_pem(&self) -> SecretText {
        Zeroizing::new(pem_of("PRIVATE KEY", &self.pkcs8))
    }

    /// The secret as PKCS#8 DER.
    #[must_use]
    pub fn pkcs8_der(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The secret in the form TLS libraries take.
    #[must_use]
    pub fn to_rustls(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.pkcs8.to_vec()))
    }

    /// The public half as DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// The public half as PEM (`PUBLIC KEY`).
    #[must_use]
    pub fn to_public_pem(&self) -> String {
        pem_of("PUBLIC KEY", &self.spki)
    }

    /// Signs with RSA PKCS#1 SHA-256, ECDSA SHA-256 (P-256) or ECDSA SHA-384 (P-384).
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let failed = |_| Error::Library("sign");
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(rsa) => {
                let mut signature = vec![0; rsa.public_modulus_len()];
                rsa.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            Pair::Ecdsa(ecdsa, _) => {
                ecdsa.sign(&random, message).map(|s| s.as_ref().to_vec()).map_err(failed)
            }
        }
    }

    /// The DER AlgorithmIdentifier of [`PrivateKey::sign`].
    pub(crate) fn algorithm_der(&self) -> &'static [u8] {
        match &self.pair {
            Pair::Rsa(_) => &[48, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 11, 5, 0],
            Pair::Ecdsa(_, Kind::P384) => &[48, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3],
            Pair::Ecdsa(..) => &[48, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2],
        }
    }
}

fn signing_of(kind: Kind) -> &'static EcdsaSigningAlgorithm {
    match kind {
        Kind::P384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
        Kind::P256 | Kind::Rsa(_) => &ECDSA_P256_SHA256_ASN1_SIGNING,
    }
}

/// A PEM section with lines of 64 characters and a final line break.
pub(crate) fn pem_of(label: &str, der: &[u8]) -> String {
    let text = Zeroizing::new(BASE64_STANDARD.encode(der));
    let mut out = String::with_capacity(text.len() + text.len() / 64 + 64);
    out.push_str(&format!("-----BEGIN {label}-----\n"));
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = tail;
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}
