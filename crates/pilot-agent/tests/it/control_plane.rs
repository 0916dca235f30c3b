//! A control plane that does what the test says: every stream it gets is handed to the test.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use identity::authority::{Authority, Limits, Request as SignRequest, San, SelfSigned};
use identity::csr::PublicKey;
use identity::key::Kind;
use proto::istio::v1::auth::istio_certificate_service_server::{
    IstioCertificateService, IstioCertificateServiceServer,
};
use proto::istio::v1::auth::{IstioCertificateRequest, IstioCertificateResponse};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};
use xds::Variant;
use xds::client::relay::{Handler, Responses, Service};

pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// One stream, as the control plane sees it.
pub(crate) struct Seen {
    pub(crate) variant: Variant,
    pub(crate) metadata: MetadataMap,
    requests: Streaming<Bytes>,
    responses: mpsc::Sender<Result<Bytes, Status>>,
}

impl Seen {
    pub(crate) async fn request(&mut self) -> Option<Bytes> {
        tokio::time::timeout(PATIENCE, self.requests.next()).await.unwrap().and_then(Result::ok)
    }

    pub(crate) async fn respond(&self, message: impl Into<Bytes>) {
        self.responses.send(Ok(message.into())).await.unwrap();
    }
}

#[derive(Clone)]
struct Streams(mpsc::UnboundedSender<Seen>);

impl Handler for Streams {
    async fn open(&self, variant: Variant, request: Request<Streaming<Bytes>>) -> Result<Responses, Status> {
        let metadata = request.metadata().clone();
        let (responses, out) = mpsc::channel(4);
        let seen = Seen { variant, metadata, requests: request.into_inner(), responses };
        self.0.send(seen).map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Box::pin(ReceiverStream::new(out)))
    }
}

/// Signs whatever it is asked, for as long as the test wants.
#[derive(Clone)]
pub(crate) struct Ca {
    authority: Arc<Authority>,
    pub(crate) asked: Arc<AtomicU64>,
    ttl: Duration,
}

#[tonic::async_trait]
impl IstioCertificateService for Ca {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        let bearer = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        if bearer != Some("Bearer the-token") {
            return Err(Status::unauthenticated("no token"));
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        let key = PublicKey::from_csr_pem(&request.into_inner().csr)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let sans = [San::Uri("spiffe://cluster.local/ns/ns/sa/web".to_owned())];
        let wanted = SignRequest { key: &key, sans: &sans, ttl: Some(self.ttl), labels: None };
        let leaf = self.authority.sign(&wanted, SystemTime::now()).unwrap();
        let cert_chain = vec![leaf.to_pem(), self.authority.certificate().to_pem()];
        Ok(Response::new(IstioCertificateResponse { cert_chain }))
    }
}

/// The scripted control plane on a unix socket.
pub(crate) struct ControlPlane {
    pub(crate) socket: PathBuf,
    pub(crate) ca: Ca,
    streams: Mutex<mpsc::UnboundedReceiver<Seen>>,
    server: JoinHandle<()>,
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl ControlPlane {
    pub(crate) fn start(dir: &Path, ttl: Duration) -> Self {
        let socket = dir.join("control-plane");
        let listener = process::listen::unix(&socket, 0o600).unwrap();
        let options = SelfSigned { key: Kind::P256, ..SelfSigned::of("cluster.local") };
        let authority = Authority::self_signed(&options, Limits::default(), SystemTime::now()).unwrap();
        let ca = Ca { authority: Arc::new(authority), asked: Arc::default(), ttl };
        let (seen, streams) = mpsc::unbounded_channel();
        let router = tonic::transport::Server::builder()
            .add_service(Service(Streams(seen)))
            .add_service(IstioCertificateServiceServer::new(ca.clone()));
        let server = tokio::spawn(async move {
            router.serve_with_incoming(UnixListenerStream::new(listener)).await.unwrap();
        });
        Self { socket, ca, streams: Mutex::new(streams), server }
    }

    pub(crate) fn address(&self) -> String {
        format!("unix:{}", self.socket.display())
    }

    /// The next stream that is opened.
    pub(crate) async fn stream(&self) -> Seen {
        tokio::time::timeout(PATIENCE, async { self.streams.lock().await.recv().await })
            .await
            .unwrap()
            .unwrap()
    }
}
