//! The workload's certificate: a fresh key and a request to the CA, again long before it expires.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use identity::PrivateKey;
use identity::authority::San;
use identity::key::Kind;
use process::clock::{Clock, Real};
use process::retry::Policy;
use proto::google::protobuf::value::Kind as ValueKind;
use proto::google::protobuf::{Struct, Value};
use proto::istio::v1::auth::IstioCertificateRequest;
use proto::istio::v1::auth::istio_certificate_service_client::IstioCertificateServiceClient;
use tokio::sync::Notify;

use super::output::write_key_and_certificate;
use super::store::SecretStore;
use crate::control_plane::ControlPlane;

/// The kinds of keys a workload may have.
pub type KeyKind = Kind;

/// How long one request to the CA may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two certificates at least, whatever lifetime a CA gives.
const FLOOR: Duration = Duration::from_millis(500);
/// A clock that goes back by less makes no certificate a thing of the future: CAs date them back by two minutes.
const SLEW: Duration = Duration::from_secs(60);

/// The clock that certificates end by. It jumps when it is set and when a machine that slept wakes up, of which a timer
/// hears nothing; so it is looked at again and again.
#[derive(Debug, Clone)]
pub struct WallClock {
    /// What it says.
    pub clock: Arc<dyn Clock>,
    /// How often it is looked at.
    pub look: Duration,
}

impl Default for WallClock {
    /// That of this machine, twice a minute.
    fn default() -> Self {
        Self { clock: Arc::new(Real::new()), look: Duration::from_secs(30) }
    }
}

/// A certificate of the CA with its key, PEM.
#[derive(Clone)]
pub struct Issued {
    /// The key.
    pub key: String,
    /// The chain, leaf first.
    pub chain: String,
    /// The roots that came with it.
    pub roots: String,
    /// When it was asked for.
    pub created: SystemTime,
    /// When the leaf expires.
    pub expires: SystemTime,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// Why the CA gave no certificate.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// No key could be made.
    #[error("cannot make a key: {0}")]
    Key(#[from] identity::key::Error),
    /// The CA cannot be reached.
    #[error("cannot connect to the CA: {}", causes(.0))]
    Connect(tonic::transport::Error),
    /// The CA refused.
    #[error("the CA refused: {}: {}", .0.code(), .0.message())]
    Refused(#[from] Box<tonic::Status>),
    /// The CA's answer makes no sense.
    #[error("the CA's answer cannot be used: {0}")]
    Answer(String),
    /// The CA did not answer.
    #[error("the CA did not answer within {0:?}")]
    Timeout(Duration),
}

/// An error with all that caused it, as a connection's own text says next to nothing.
fn causes(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !out.ends_with(&text) {
            out.push_str(": ");
            out.push_str(&text);
        }
        next = cause.source();
    }
    out
}

/// What is asked of the CA.
#[derive(Clone, Debug)]
pub struct IssueOptions {
    /// The SPIFFE id for the request; the CA decides by who is authenticated.
    pub identity: String,
    /// Kind of key.
    pub key: KeyKind,
    /// `SECRET_TTL`
    pub ttl: Duration,
    /// `ISTIO_META_CERT_SIGNER`; empty is the CA's own.
    pub signer: String,
    /// What this workload says of itself besides (`WorkloadName`, `WorkloadIP`, `ClusterID`); a CA may use it to choose
    /// among the workloads of one identity, for the subject that TCP peers see.
    pub claims: Vec<(&'static str, String)>,
    /// `SECRET_GRACE_PERIOD_RATIO`: the share of the lifetime that is left when the next one is asked for.
    pub grace: f64,
    /// `SECRET_GRACE_PERIOD_RATIO_JITTER`: up to this much more or less, so that a fleet does not ask at once.
    pub grace_jitter: f64,
    /// `OUTPUT_CERTS`
    pub output: Option<PathBuf>,
}

/// Signs requests; the CA, or a test.
pub trait Issuer: Send + Sync + 'static {
    /// The chain for a request, PEM certificates, leaf first, root last.
    fn sign(
        &self,
        csr: String,
        options: &IssueOptions,
    ) -> impl Future<Output = Result<Vec<String>, IssueError>> + Send;
}

/// The CA of the mesh over gRPC.
#[derive(Debug)]
pub struct CaClient {
    server: Arc<ControlPlane>,
}

impl CaClient {
    /// The CA at `server`; each request has a connection of its own, since there is one in half a day.
    #[must_use]
    pub fn new(server: ControlPlane) -> Self {
        Self { server: Arc::new(server) }
    }
}

impl Issuer for CaClient {
    async fn sign(&self, csr: String, options: &IssueOptions) -> Result<Vec<String>, IssueError> {
        let channel = self.server.connect().await.map_err(IssueError::Connect)?;
        let mut metadata = Struct::default();
        let signer = std::iter::once(("CertSigner", &options.signer));
        for (name, text) in signer.chain(options.claims.iter().map(|(name, text)| (*name, text))) {
            if !text.is_empty() {
                let value = Value { kind: Some(ValueKind::StringValue(text.clone())) };
                metadata.fields.insert(name.to_owned(), value);
            }
        }
        let mut request = tonic::Request::new(IstioCertificateRequest {
            csr,
            validity_duration: i64::try_from(options.ttl.as_secs()).unwrap_or(i64::MAX),
            metadata: Some(metadata),
        });
        self.server.authorize(request.metadata_mut());
        let response = IstioCertificateServiceClient::new(channel).create_certificate(request).await;
        Ok(response.map_err(Box::new)?.into_inner().cert_chain)
    }
}

async fn issue(
    issuer: &impl Issuer,
    options: &IssueOptions,
    created: SystemTime,
) -> Result<Issued, IssueError> {
    let (kind, identity) = (options.key, options.identity.clone());
    // An RSA key takes tens of milliseconds; relays must not wait for that.
    let made = tokio::task::spawn_blocking(move || {
        let key = PrivateKey::generate(kind)?;
        let csr = identity::csr::make(&key, &[San::Uri(identity)])?;
        Ok::<_, identity::key::Error>((key.to_pkcs8_pem().to_string(), csr))
    });
    let (key, csr) = made.await.map_err(|error| IssueError::Answer(error.to_string()))??;
    let signing = issuer.sign(csr, options);
    let certificates =
        tokio::time::timeout(PATIENCE, signing).await.unwrap_or(Err(IssueError::Timeout(PATIENCE)))?;
    let [leaf, .., root] = certificates.as_slice() else {
        return Err(IssueError::Answer(format!("{} certificates in the chain", certificates.len())));
    };
    let parsed = identity::cert::parse_chain(leaf).map_err(|error| IssueError::Answer(error.to_string()))?;
    let expires = parsed.first().map_or(created, identity::Certificate::not_after);
    let roots = root.clone();
    Ok(Issued { key, chain: joined(&certificates), roots, created, expires })
}

fn joined(certificates: &[String]) -> String {
    let mut out = String::new();
    for pem in certificates {
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        out.push_str(pem);
    }
    out
}

/// How long after `now` the next certificate is asked for. `draw` in `-1.0 ..= 1.0` moves it by the jitter. As
/// security/pkg/nodeagent/cache/secretcache.go: rotateTime.
#[must_use]
pub fn rotate_after(issued: &Issued, grace: f64, jitter: f64, draw: f64, now: SystemTime) -> Duration {
    let lifetime = issued.expires.duration_since(issued.created).unwrap_or_default();
    let share = (grace + draw * jitter).clamp(0.0, 1.0);
    let at = issued.expires.checked_sub(lifetime.mul_f64(share)).unwrap_or(now);
    at.duration_since(now).unwrap_or_default()
}

/// A number in `-1.0 ..= 1.0`, another one each time.
fn draw() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    random as f64 / u64::MAX as f64 * 2.0 - 1.0
}

/// Keeps the store supplied with certificates for as long as the agent lives. When the CA is away it is asked again and
/// again, with growing pauses, and the last certificate stays where it is. `renew` asks for a new one now.
pub async fn keep_issued(
    store: Arc<SecretStore>,
    issuer: impl Issuer,
    options: IssueOptions,
    renew: Arc<Notify>,
    wall: WallClock,
) {
    let mut pauses = Policy::default().delays();
    loop {
        match issue(&issuer, &options, wall.clock.now()).await {
            Ok(issued) => {
                pauses.reset();
                let (now, draw) = (wall.clock.now(), draw());
                let pause = rotate_after(&issued, options.grace, options.grace_jitter, draw, now);
                tracing::info!(
                    target: "cache",
                    "generated new workload certificate, valid for {:?}, next in {pause:?}",
                    issued.expires.duration_since(now).unwrap_or_default()
                );
                write_output(&options, &issued);
                store.set_issued(issued.clone());
                tokio::select! {
                    () = due(&issued, &options, draw, &wall) => {}
                    () = renew.notified() => {}
                }
            }
            Err(error) => {
                let pause = pauses.next().unwrap_or(Duration::from_secs(60));
                tracing::warn!(target: "cache", "failed to get a certificate, again in {pause:?}: {error}");
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// Waits until the next certificate is to be asked for, by the wall clock. One that went back to before this certificate was
/// asked for makes it due: it is not good yet.
async fn due(issued: &Issued, options: &IssueOptions, draw: f64, wall: &WallClock) {
    let mut pause = FLOOR;
    while !pause.is_zero() {
        tokio::time::sleep(pause).await;
        let now = wall.clock.now();
        if issued.created.duration_since(now).is_ok_and(|ahead| ahead > SLEW) {
            return;
        }
        pause = rotate_after(issued, options.grace, options.grace_jitter, draw, now).min(wall.look);
    }
}

fn write_output(options: &IssueOptions, issued: &Issued) {
    let Some(dir) = &options.output else { return };
    if let Err(error) = write_key_and_certificate(dir, &issued.key, &issued.chain, &issued.roots) {
        tracing::error!(target: "cache", "OUTPUT_CERTS: {error}");
    }
}

#[cfg(test)]
pub(super) mod tests;
