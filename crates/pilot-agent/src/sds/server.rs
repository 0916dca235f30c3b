//! The secret discovery service: streams of whole lists and of differences, pushed when a secret changes.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use prost::Message;
use proto::envoy::config::core::v3::DataSource;
use proto::envoy::config::core::v3::data_source::Specifier;
use proto::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, Secret, TlsCertificate, secret,
};
use proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
};
use proto::envoy::service::secret::v3::secret_discovery_service_server::SecretDiscoveryService;
use proto::google::protobuf::Any;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use super::store::{SecretError, SecretItem, SecretStore};

const TYPE_URL: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/// Serves the secrets of a store.
#[derive(Clone, Debug)]
pub struct SdsService {
    store: Arc<SecretStore>,
    /// Revocations that go with roots, where this file exists.
    crl: Option<PathBuf>,
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl SdsService {
    /// Serves `store`; roots are sent with the revocation list in `crl` while that file exists.
    #[must_use]
    pub fn new(store: Arc<SecretStore>, crl: Option<PathBuf>) -> Self {
        Self { store, crl }
    }

    /// The secret as Envoy's message, and a version that is that of its bytes.
    fn resource(&self, name: &str) -> Result<(String, Any), SecretError> {
        let inline = |bytes: bytes::Bytes| {
            Some(DataSource {
                specifier: Some(Specifier::InlineBytes(bytes.to_vec())),
                ..DataSource::default()
            })
        };
        let kind = match self.store.get(name)? {
            SecretItem::Certificate { chain, key } => secret::Type::TlsCertificate(TlsCertificate {
                certificate_chain: inline(chain),
                private_key: inline(key),
                ..TlsCertificate::default()
            }),
            SecretItem::Roots(roots) => {
                let crl = self.crl.as_ref().filter(|path| path.is_file()).map(|path| DataSource {
                    specifier: Some(Specifier::Filename(path.display().to_string())),
                    ..DataSource::default()
                });
                secret::Type::ValidationContext(CertificateValidationContext {
                    trusted_ca: inline(roots),
                    crl,
                    ..CertificateValidationContext::default()
                })
            }
        };
        let message = Secret { name: name.to_owned(), r#type: Some(kind) };
        let value = message.encode_to_vec();
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        let version = format!("{:016x}", hasher.finish());
        Ok((version, Any { type_url: TYPE_URL.to_owned(), value: value.into() }))
    }

    /// Those of `names` that are there and differ from what was sent; `sent` is brought up to date.
    fn fresh(
        &self,
        names: &BTreeSet<String>,
        sent: &mut BTreeMap<String, String>,
    ) -> Vec<(String, String, Any)> {
        let mut out = Vec::new();
        for name in names {
            match self.resource(name) {
                Ok((version, any)) if sent.get(name) != Some(&version) => {
                    sent.insert(name.clone(), version.clone());
                    out.push((name.clone(), version, any));
                }
                Ok(_) => {}
                // it comes by itself; whoever asks the CA tells of its refusals
                Err(SecretError::NotYet) => {
                    tracing::debug!(target: "sds", "secret {name}: {}", SecretError::NotYet);
                }
                Err(error) => tracing::warn!(target: "sds", "secret {name} is not available: {error}"),
            }
        }
        out
    }

    async fn serve_whole(
        self,
        mut requests: Streaming<DiscoveryRequest>,
        responses: mpsc::Sender<Result<DiscoveryResponse, Status>>,
    ) {
        let mut news = self.store.news();
        let (mut names, mut sent) = (BTreeSet::new(), BTreeMap::new());
        let mut nonce = 0_u64;
        loop {
            tokio::select! {
                request = requests.next() => {
                    let Some(Ok(request)) = request else { return };
                    log_refusal(request.error_detail.as_ref().map(|detail| detail.message.as_str()));
                    if !request.response_nonce.is_empty() && request.response_nonce != nonce.to_string() {
                        continue; // about an answer that a later one has replaced
                    }
                    let wanted: BTreeSet<String> = request.resource_names.into_iter().collect();
                    sent.retain(|name, _| wanted.contains(name));
                    names = wanted;
                }
                changed = news.changed() => {
                    if changed.is_err() { return }
                }
            }
            let fresh = self.fresh(&names, &mut sent);
            if fresh.is_empty() {
                continue;
            }
            nonce += 1;
            let response = DiscoveryResponse {
                version_info: nonce.to_string(),
                type_url: TYPE_URL.to_owned(),
                nonce: nonce.to_string(),
                resources: fresh.into_iter().map(|(_, _, any)| any).collect(),
                ..DiscoveryResponse::default()
            };
            if responses.send(Ok(response)).await.is_err() {
                return;
            }
        }
    }

    async fn serve_differences(
        self,
        mut requests: Streaming<DeltaDiscoveryRequest>,
        responses: mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>,
    ) {
        let mut news = self.store.news();
        let (mut names, mut sent) = (BTreeSet::new(), BTreeMap::new());
        let mut nonce = 0_u64;
        loop {
            tokio::select! {
                request = requests.next() => {
                    let Some(Ok(request)) = request else { return };
                    log_refusal(request.error_detail.as_ref().map(|detail| detail.message.as_str()));
                    for name in request.resource_names_unsubscribe {
                        names.remove(&name);
                        sent.remove(&name);
                    }
                    for name in request.resource_names_subscribe {
                        sent.remove(&name); // who asks again wants an answer again
                        names.insert(name);
                    }
                    // What the client kept over a broken stream need not be sent again.
                    sent.extend(request.initial_resource_versions);
                }
                changed = news.changed() => {
                    if changed.is_err() { return }
                }
            }
            let fresh = self.fresh(&names, &mut sent);
            if fresh.is_empty() {
                continue;
            }
            nonce += 1;
            let resources = fresh
                .into_iter()
                .map(|(name, version, any)| Resource {
                    name,
                    version,
                    resource: Some(any),
                    ..Resource::default()
                })
                .collect();
            let response = DeltaDiscoveryResponse {
                type_url: TYPE_URL.to_owned(),
                nonce: nonce.to_string(),
                resources,
                ..DeltaDiscoveryResponse::default()
            };
            if responses.send(Ok(response)).await.is_err() {
                return;
            }
        }
    }
}

fn log_refusal(detail: Option<&str>) {
    if let Some(message) = detail {
        tracing::warn!(target: "sds", "Envoy refused a secret: {message}");
    }
}

#[tonic::async_trait]
impl SecretDiscoveryService for SdsService {
    type DeltaSecretsStream = Responses<DeltaDiscoveryResponse>;
    type StreamSecretsStream = Responses<DiscoveryResponse>;

    async fn delta_secrets(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaSecretsStream>, Status> {
        let (responses, out) = mpsc::channel(1);
        tokio::spawn(self.clone().serve_differences(request.into_inner(), responses));
        Ok(Response::new(Box::pin(ReceiverStream::new(out))))
    }

    async fn stream_secrets(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamSecretsStream>, Status> {
        let (responses, out) = mpsc::channel(1);
        tokio::spawn(self.clone().serve_whole(request.into_inner(), responses));
        Ok(Response::new(Box::pin(ReceiverStream::new(out))))
    }

    async fn fetch_secrets(
        &self,
        _request: Request<DiscoveryRequest>,
    ) -> Result<Response<DiscoveryResponse>, Status> {
        Err(Status::unimplemented("secrets are streamed only"))
    }
}

#[cfg(test)]
mod tests;
