//! Authentication by the certificate of a mutual TLS connection.

use std::collections::BTreeSet;
use std::time::SystemTime;

use futures_util::future::{BoxFuture, ready};
use identity::Certificate;
use identity::cert::{Usage, verify};

use super::{Authenticator, Caller, Peer, Reason, Source};
use crate::ca::live::Live;

/// Believes certificates that lead to one of the present roots. As
/// security/pkg/server/ca/authenticate/cert_authenticator.go, but verified again at the moment of the request: roots and
/// time may have moved since the handshake.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    live: Live,
}

impl ClientCertificate {
    /// Believes the roots of `live`.
    #[must_use]
    pub fn new(live: Live) -> Self {
        Self { live }
    }

    fn check(&self, peer: &Peer, now: SystemTime) -> Result<Caller, String> {
        if peer.certs.is_empty() {
            return Err("no client certificate is presented".to_string());
        }
        let chain: Result<Vec<_>, _> = peer.certs.iter().cloned().map(Certificate::from_der).collect();
        let chain = chain.map_err(|e| e.to_string())?;
        let mut reason = "the certificate carries no SPIFFE identity".to_string();
        let mut identities = BTreeSet::new();
        for id in chain.first().map(Certificate::identities).unwrap_or_default() {
            // Each name counts only if a root of its own trust domain vouches for it.
            match verify(&chain, &self.live.bundle_for(id.trust_domain()), Usage::Client, now) {
                Ok(()) => drop(identities.insert(id)),
                Err(error) => reason = error.to_string(),
            }
        }
        if identities.is_empty() {
            return Err(reason);
        }
        Ok(Caller { identities, source: Source::ClientCertificate, pod: None })
    }
}

impl Authenticator for ClientCertificate {
    fn name(&self) -> &'static str {
        "ClientCertAuthenticator"
    }

    fn authenticate<'a>(&'a self, peer: &'a Peer, now: SystemTime) -> BoxFuture<'a, Result<Caller, Reason>> {
        Box::pin(ready(self.check(peer, now).map_err(Reason::Unproven)))
    }
}
