//! Who is admitted to the discovery service and to debug pages, and as whom.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use generate::Proxy;
use identity::access::proxy_identity;
use identity::spiffe::Id;
use process::clock::Clock;
use tonic::Code;
use xds::Refusal;

use crate::ca::{Chain, Failure, Peer};

/// Who somebody proved to be; nobody knows of a plaintext caller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified(pub BTreeSet<Id>);

/// The rules.
#[derive(Debug, Clone)]
pub struct Admission {
    chain: Arc<Chain>,
    clock: Arc<dyn Clock>,
    rules: Rules,
}

/// What the switches say.
#[derive(Debug, Clone)]
pub struct Rules {
    /// `XDS_AUTH`: callers on encrypted ports prove who they are.
    pub authenticate: bool,
    /// `XDS_AUTH_PLAINTEXT`: those on plaintext ports as well.
    pub authenticate_plaintext: bool,
    /// `PILOT_ENABLE_XDS_IDENTITY_CHECK`: a node must be what its caller proved to be.
    pub check_identity: bool,
    /// `ENABLE_DEBUG_ENDPOINT_AUTH`: debug pages are for the control plane's namespaces.
    pub debug_by_namespace: bool,
    /// Namespaces whose callers may see every debug page.
    pub debug_namespaces: BTreeSet<String>,
}

/// What of the debug pages a caller may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// Everything.
    All,
    /// A few pages, about proxies of these namespaces.
    Namespaces(BTreeSet<String>),
}

impl Admission {
    /// With these authenticators.
    #[must_use]
    pub fn new(chain: Arc<Chain>, clock: Arc<dyn Clock>, rules: Rules) -> Self {
        Self { chain, clock, rules }
    }

    /// Who a client of the discovery service is; as pilot/pkg/xds/auth.go: authenticate.
    ///
    /// # Errors
    /// It had to prove who it is and could not.
    pub async fn of_peer(&self, peer: &xds::Peer) -> Result<Verified, Refusal> {
        let required = if peer.tls { self.rules.authenticate } else { self.rules.authenticate_plaintext };
        if !required {
            return Ok(Verified::default());
        }
        let header = |name: &str| peer.headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let proofs = Peer {
            certs: peer.certificates.clone(),
            bearer: peer.token.as_ref().map(|token| token.reveal().to_owned()),
            forwarded: header("x-forwarded-client-cert"),
            cluster: header("clusterid"),
            address: peer.address,
        };
        self.authenticate(&proofs).await.map_err(|failure| {
            let text = format!("authentication failure: {failure}");
            Refusal::new(failure.code(), text)
        })
    }

    async fn authenticate(&self, proofs: &Peer) -> Result<Verified, Failure> {
        let caller = self.chain.authenticate(proofs, self.clock.now()).await?;
        Ok(Verified(caller.identities))
    }

    /// Whether a caller may be this proxy, and as whom; `None` for one that is not checked. As pilot/pkg/xds/auth.go: authorize.
    ///
    /// # Errors
    /// None of its identities is the proxy's.
    pub fn check_identity<'a>(
        &self,
        verified: &'a Verified,
        proxy: &Proxy,
    ) -> Result<Option<&'a Id>, Refusal> {
        if !self.rules.check_identity || verified.0.is_empty() {
            return Ok(None);
        }
        match proxy_identity(&verified.0, &proxy.namespace, &proxy.service_account) {
            Ok(id) => Ok(Some(id)),
            Err(mismatch) => {
                let text = format!("authorization failed: {mismatch}");
                Err(Refusal::new(Code::PermissionDenied, text))
            }
        }
    }

    /// What of the debug pages a caller may see; callers on this machine see everything. As pilot/pkg/xds/debug.go:
    /// allowAuthenticatedOrLocalhost.
    ///
    /// # Errors
    /// Why it is not known.
    pub async fn sight(&self, from: Option<IpAddr>, proofs: &Peer) -> Result<Sight, Failure> {
        if from.is_some_and(|ip| ip.to_canonical().is_loopback()) {
            return Ok(Sight::All);
        }
        Ok(self.sight_within(&self.authenticate(proofs).await?))
    }

    /// What of the debug pages a client of the discovery service may see; `None` if it did not prove who it is.
    #[must_use]
    pub fn sight_of(&self, who: &Verified) -> Option<Sight> {
        (!who.0.is_empty()).then(|| self.sight_within(who))
    }

    /// Whether debug pages are for the control plane's namespaces.
    #[must_use]
    pub fn debug_by_namespace(&self) -> bool {
        self.rules.debug_by_namespace
    }

    fn sight_within(&self, who: &Verified) -> Sight {
        let namespaces: BTreeSet<String> = who.0.iter().map(|id| id.namespace().to_owned()).collect();
        let all = !self.rules.debug_by_namespace
            || namespaces.iter().any(|ns| self.rules.debug_namespaces.contains(ns));
        if all { Sight::All } else { Sight::Namespaces(namespaces) }
    }
}
