//! Authorities made elsewhere: a signing certificate and key that an operator supplies, or that we stored ourselves.

use std::sync::Arc;
use std::time::SystemTime;

use super::{Authority, Error, Limits, prove};
use crate::bundle::Bundle;
use crate::cert::parse_chain;
use crate::key::PrivateKey;

/// The PEM texts of an authority, named as in the `cacerts` secret.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// `ca-cert.pem` (or `tls.crt`): the signing certificate first.
    pub ca_cert: &'a str,
    /// `ca-key.pem` (or `tls.key`): its key.
    pub ca_key: &'a str,
    /// `root-cert.pem` (or `ca.crt`): the trusted roots.
    pub root_cert: &'a str,
    /// `cert-chain.pem`: from the signing certificate up to, not including, the root; may be empty.
    pub cert_chain: &'a str,
}

impl Authority {
    /// Puts an authority together and proves at `now` that what it signs is trusted. As
    /// security/pkg/pki/ca/ca.go: NewPluggedCertIstioCAOptions.
    pub fn from_pem(parts: &Parts<'_>, limits: Limits, now: SystemTime) -> Result<Self, Error> {
        let in_file =
            |file: &'static str| move |e: crate::cert::Error| Error::Plugged(format!("{file}: {e}"));
        let mut given = parse_chain(parts.ca_cert).map_err(in_file("ca-cert.pem"))?.into_iter();
        let Some(signing) = given.next() else {
            return Err(Error::Plugged("ca-cert.pem: no certificate".to_string()));
        };
        let key =
            PrivateKey::from_pem(parts.ca_key).map_err(|e| Error::Plugged(format!("ca-key.pem: {e}")))?;
        let bundle = Bundle::from_pem(parts.root_cert).map_err(in_file("root-cert.pem"))?;
        if !signing.is_ca() {
            return Err(Error::Plugged(
                "ca-cert.pem: the certificate is not authorized to sign other certificates".to_string(),
            ));
        }
        if signing.spki_der() != key.spki_der() {
            return Err(Error::Plugged("ca-key.pem: not the key of ca-cert.pem".to_string()));
        }
        let mut chain = Vec::new();
        if !parts.cert_chain.trim().is_empty() {
            chain = parse_chain(parts.cert_chain).map_err(in_file("cert-chain.pem"))?;
        } else if !bundle.contains(&signing) {
            // Without a chain file the certificates of ca-cert.pem itself lead to the root.
            chain.extend(given);
        }
        // The signing certificate is what a peer needs first; a chain file that leaves it out is completed, and roots
        // are never sent.
        chain.retain(|c| *c != signing && !bundle.contains(c));
        if !bundle.contains(&signing) {
            chain.insert(0, signing.clone());
        }
        let authority = Self { signing, key: Arc::new(key), chain, bundle, limits };
        prove(&authority, now)?;
        Ok(authority)
    }
}
