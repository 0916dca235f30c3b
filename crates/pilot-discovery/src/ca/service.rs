//! The gRPC service `istio.v1.auth.IstioCertificateService`: a proven key in, a certificate of the *caller* out.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use identity::authority::{PeerLabels, Request, San};
use identity::csr::PublicKey;
use identity::spiffe::Id;
use process::clock::Clock;
use proto::google::protobuf::{Struct, value::Kind};
use proto::istio::v1::auth::istio_certificate_service_server::{
    IstioCertificateService, IstioCertificateServiceServer,
};
use proto::istio::v1::auth::{IstioCertificateRequest, IstioCertificateResponse};
use tonic::{Code, Response, Status};

use super::authenticate::{Caller, Chain, Peer};
use super::counters::Counters;
use super::impersonation::NodeAuthorizer;
use super::kubernetes_signer::{KubernetesSigner, Wanted};
use super::live::Live;

#[cfg(test)]
mod tests;

/// The scope of the service's log lines.
const SCOPE: &str = "serverca";
/// The metadata field that asks for somebody else's certificate.
const IMPERSONATED: &str = "ImpersonatedIdentity";
/// The metadata field that asks for a signer of Kubernetes.
const SIGNER: &str = "CertSigner";

/// Somebody who knows what the certificate of a workload may tell TCP peers.
pub trait Describe: Send + Sync {
    /// The labels of the workload behind an authenticated identity. `claims` is what the request says of itself
    /// (`WorkloadName`, `WorkloadIP`, ...): good for choosing among the identity's workloads, for nothing else.
    fn labels(&self, id: &Id, claims: &BTreeMap<String, String>) -> Option<PeerLabels>;
}

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    live: Live,
    authenticators: Arc<Chain>,
    counters: Counters,
    clock: Arc<dyn Clock>,
    nodes: Option<NodeAuthorizer>,
    describe: Option<Arc<dyn Describe>>,
    signer: Option<Arc<KubernetesSigner>>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Service({:?})", self.authenticators)
    }
}

impl Service {
    /// Signs with `live` for those whom `authenticators` know. Nobody may impersonate, and subjects are empty.
    #[must_use]
    pub fn new(live: Live, authenticators: Arc<Chain>, counters: Counters, clock: Arc<dyn Clock>) -> Self {
        Self { live, authenticators, counters, clock, nodes: None, describe: None, signer: None }
    }

    /// Lets trusted node accounts have certificates of what runs on their node.
    #[must_use]
    pub fn with_nodes(mut self, nodes: NodeAuthorizer) -> Self {
        self.nodes = Some(nodes);
        self
    }

    /// Writes peer labels into subjects.
    #[must_use]
    pub fn with_labels(mut self, describe: Arc<dyn Describe>) -> Self {
        self.describe = Some(describe);
        self
    }

    /// Lets somebody else sign for workloads, if there is somebody.
    #[must_use]
    pub fn with_signer(mut self, signer: Option<Arc<KubernetesSigner>>) -> Self {
        self.signer = signer;
        self
    }

    /// As a tonic service. Requests larger than any honest one are refused while being read.
    #[must_use]
    pub fn into_server(self) -> IstioCertificateServiceServer<Self> {
        IstioCertificateServiceServer::new(self).max_decoding_message_size(64 * 1024)
    }

    /// What `CreateCertificate` does, for a peer however it came. As security/pkg/server/ca/server.go:
    /// CreateCertificate.
    pub async fn create(
        &self,
        peer: &Peer,
        request: &IstioCertificateRequest,
    ) -> Result<Vec<String>, Status> {
        self.counters.requests.inc();
        let now = self.clock.now();
        let caller = self.authenticators.authenticate(peer, now).await.map_err(|failure| {
            self.counters.authentication_failures.inc();
            tracing::warn!(target: SCOPE, client = ?peer.address, "authentication failed: {failure}");
            Status::new(failure.code(), format!("request authenticate failure: {failure}"))
        })?;
        let claims = claims_of(request.metadata.as_ref());
        let ids = self.names_for(&caller, claims.get(IMPERSONATED).map(String::as_str))?;
        let key = PublicKey::from_csr_pem(&request.csr).map_err(|error| {
            self.counters.csr_errors.inc();
            tracing::warn!(target: SCOPE, client = ?peer.address, "CSR refused: {error}");
            Status::invalid_argument(format!("CSR signing error ({error})"))
        })?;
        // What is not positive asks for the default.
        let ttl = u64::try_from(request.validity_duration).ok().map(Duration::from_secs);
        let signed = match &self.signer {
            Some(signer) => {
                let signer_name = claims.get(SIGNER).map_or("", String::as_str);
                let wanted = Wanted { csr: &request.csr, key: &key, ids: &ids, ttl, signer: signer_name };
                signer.sign(&wanted).await.map_err(|error| (error.kind(), error.to_string()))
            }
            None => self.sign(&key, &ids, ttl, &claims),
        };
        let chain = signed.map_err(|((kind, code), text)| {
            self.counters.sign_error(kind);
            tracing::error!(target: SCOPE, client = ?peer.address, "CSR signing error: {text}");
            Status::new(code, format!("CSR signing error ({text})"))
        })?;
        self.counters.successes.inc();
        tracing::debug!(target: SCOPE, client = ?peer.address, ?ids, "CSR signed");
        Ok(chain)
    }

    /// Signs with our own authority.
    fn sign(
        &self,
        key: &PublicKey,
        ids: &[Id],
        ttl: Option<Duration>,
        claims: &BTreeMap<String, String>,
    ) -> Result<Vec<String>, ((&'static str, Code), String)> {
        let sans: Vec<San> = ids.iter().map(|id| San::Uri(id.to_string())).collect();
        let labels = self.describe.as_ref().zip(ids.first()).and_then(|(d, id)| d.labels(id, claims));
        let missing = || (("CA_NOT_READY", Code::Internal), "there is no certificate authority".to_owned());
        let authority = self.live.authority().ok_or_else(missing)?;
        let wanted = Request { key, sans: &sans, ttl, labels: labels.as_ref() };
        let leaf = authority.sign(&wanted, self.clock.now()).map_err(|error| {
            let code = if error.kind() == "TTL_ERROR" { Code::InvalidArgument } else { Code::Internal };
            ((error.kind(), code), error.to_string())
        })?;
        // Leaf, what leads to the root one by one, and all roots together as the last element: ztunnel counts on that.
        let mut chain = vec![leaf.to_pem()];
        chain.extend(authority.chain().iter().map(identity::Certificate::to_pem));
        chain.push(self.live.bundle().to_pem());
        Ok(chain)
    }

    /// The identities the certificate is for: the caller's own, or the one it impersonates if it may. What the request's
    /// CSR asks for plays no part.
    fn names_for(&self, caller: &Caller, impersonated: Option<&str>) -> Result<Vec<Id>, Status> {
        let Some(wanted) = impersonated.filter(|wanted| !wanted.is_empty()) else {
            return Ok(caller.identities.iter().cloned().collect());
        };
        let allowed = match (&self.nodes, wanted.parse::<Id>()) {
            (None, _) => Err("CA_TRUSTED_NODE_ACCOUNTS is not set".to_string()),
            (_, Err(error)) => Err(error.to_string()),
            (Some(nodes), Ok(id)) => nodes.may_impersonate(caller, &id).map(|()| id),
        };
        match allowed {
            Ok(id) => Ok(vec![id]),
            Err(reason) => {
                self.counters.authentication_failures.inc();
                // The caller may probe for what runs where, so it is not told the reason.
                tracing::warn!(target: SCOPE, caller = ?caller.identities, "impersonation of {wanted} refused: {reason}");
                Err(Status::unauthenticated("request impersonation authentication failure"))
            }
        }
    }
}

/// The texts among the request's metadata.
fn claims_of(metadata: Option<&Struct>) -> BTreeMap<String, String> {
    let fields = metadata.map(|m| &m.fields).into_iter().flatten();
    fields
        .filter_map(|(name, value)| match &value.kind {
            Some(Kind::StringValue(text)) => Some((name.clone(), text.clone())),
            _ => None,
        })
        .collect()
}

#[tonic::async_trait]
impl IstioCertificateService for Service {
    async fn create_certificate(
        &self,
        request: tonic::Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        self.counters.begun();
        let peer = Peer::of_grpc(&request);
        let created = self.create(&peer, request.get_ref()).await;
        self.counters.ended(created.as_ref().map_or_else(Status::code, |_| Code::Ok));
        Ok(Response::new(IstioCertificateResponse { cert_chain: created? }))
    }
}
