//! Who is calling: the proofs a peer brings, and the chain of those who can check them.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::future::BoxFuture;
use http::{Extensions, HeaderMap};
use identity::spiffe::Id;
use identity::token::Pod;
use rustls::pki_types::CertificateDer;

use super::serving::ConnectionInfo;

mod client_certificate;
mod forwarded;
mod jwt;
#[cfg(test)]
mod tests;
pub mod token_review;

pub use client_certificate::ClientCertificate;
pub use forwarded::ForwardedCertificate;
pub use jwt::{JwtAuthenticator, JwtRule, KeySource, RuleError};
pub use token_review::{KubernetesTokens, OwnCluster, ReviewCounters, Reviewers};

/// What a peer brings to prove who it is.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// The certificates of its TLS connection, its own first; empty if it gave none or there is no TLS.
    pub certs: Arc<[CertificateDer<'static>]>,
    /// The token of its `authorization: Bearer` header.
    pub bearer: Option<String>,
    /// Its `x-forwarded-client-cert` header; worth nothing unless a trusted gateway wrote it.
    pub forwarded: Option<String>,
    /// The cluster it says it is in (`clusterid` header); a claim, not a proof.
    pub cluster: Option<String>,
    /// Where it calls from, for messages.
    pub address: Option<SocketAddr>,
}

impl Peer {
    /// The peer of a request, from its headers and what the listener attached to its connection. As
    /// pkg/security/security.go: ExtractBearerToken.
    #[must_use]
    pub fn of(headers: &HeaderMap, extensions: &Extensions) -> Self {
        let connection = extensions.get::<ConnectionInfo>();
        let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_string);
        let mut authorizations = headers.get_all("authorization").iter().filter_map(|v| v.to_str().ok());
        Self {
            certs: connection.map(|c| c.certs.clone()).unwrap_or_default(),
            bearer: authorizations.find_map(|v| v.strip_prefix("Bearer ")).map(str::to_string),
            forwarded: text("x-forwarded-client-cert"),
            cluster: text("clusterid"),
            address: connection.and_then(|c| c.address),
        }
    }

    /// The peer of a gRPC request.
    #[must_use]
    pub fn of_grpc<T>(request: &tonic::Request<T>) -> Self {
        Self::of(request.metadata().as_ref(), request.extensions())
    }
}

/// How a caller proved who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// With the certificate of its connection.
    ClientCertificate,
    /// With a token.
    Token,
}

/// Somebody authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who it is; never empty.
    pub identities: BTreeSet<Id>,
    /// How it proved that.
    pub source: Source,
    /// The pod its token is bound to, if the token says so.
    pub pod: Option<Pod>,
}

/// Why one authenticator does not know a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The proof is missing, of another kind, or wrong.
    Unproven(String),
    /// Whoever could judge the proof did not answer: the same proof may do later.
    Undecided(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Unproven(text) | Self::Undecided(text)) = self;
        f.write_str(text)
    }
}

/// Why a peer is not authenticated: what each authenticator said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Failure(pub Vec<(&'static str, Reason)>);

impl Failure {
    /// Whether the same proofs may do later, because somebody who could judge them did not answer.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        self.0.iter().any(|(_, reason)| matches!(reason, Reason::Undecided(_)))
    }

    /// The status a gRPC call with these proofs ends with: upstream says `UNAUTHENTICATED` to all of them, but clients
    /// that believe that of a good token would look for another one instead of trying again.
    #[must_use]
    pub fn code(&self) -> tonic::Code {
        if self.is_undecided() { tonic::Code::Unavailable } else { tonic::Code::Unauthenticated }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no authenticator is configured");
        }
        for (place, (name, reason)) in self.0.iter().enumerate() {
            let separator = if place == 0 { "" } else { "; " };
            write!(f, "{separator}{name}: {reason}")?;
        }
        Ok(())
    }
}

/// Somebody who can check one kind of proof. It may have to ask others (a token review), so it may wait.
pub trait Authenticator: Send + Sync {
    /// Its name in messages and metrics.
    fn name(&self) -> &'static str;
    /// Who the peer is, or why that cannot be said. Ends in bounded time; may be dropped before.
    fn authenticate<'a>(&'a self, peer: &'a Peer, now: SystemTime) -> BoxFuture<'a, Result<Caller, Reason>>;
}

/// Authenticators in order; the first that knows the peer decides.
#[derive(Clone, Default)]
pub struct Chain(Vec<Arc<dyn Authenticator>>);

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|a| a.name())).finish()
    }
}

impl Chain {
    /// The chain of these, in this order.
    #[must_use]
    pub fn new(authenticators: Vec<Arc<dyn Authenticator>>) -> Self {
        Self(authenticators)
    }

    /// These, and behind them another one.
    #[must_use]
    pub fn with(&self, last: Arc<dyn Authenticator>) -> Self {
        Self(self.0.iter().cloned().chain([last]).collect())
    }

    /// Asks one after the other. As pkg/security/security.go: Authenticate.
    pub async fn authenticate(&self, peer: &Peer, now: SystemTime) -> Result<Caller, Failure> {
        let mut reasons = Vec::new();
        for authenticator in &self.0 {
            match authenticator.authenticate(peer, now).await {
                Ok(caller) if !caller.identities.is_empty() => return Ok(caller),
                Ok(_) => {
                    reasons.push((authenticator.name(), Reason::Unproven("no identity".to_string())));
                }
                Err(reason) => reasons.push((authenticator.name(), reason)),
            }
        }
        Err(Failure(reasons))
    }
}
