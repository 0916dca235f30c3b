//! One CertificateSigningRequest, from its creation to its removal.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, PostParams, WatchEvent, WatchParams};
use process::retry::Policy;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::Error;

/// The scope of the log lines.
const SCOPE: &str = "pkira";

/// The condition of a request that may be signed.
const APPROVED: &str = "Approved";
/// How often a request that others change is approved again.
const ATTEMPTS: usize = 5;
/// How long the removal of a request may take, however little time it was given itself.
const REMOVAL: Duration = Duration::from_secs(20);

type Requests = Api<CertificateSigningRequest>;

/// Lets `signer` sign `csr`, which takes at most `limit`. As security/pkg/k8s/chiron/utils.go: SignCSRK8s.
pub(in crate::ca) async fn fetch(
    client: &kube::Client,
    csr: String,
    signer: String,
    ttl: Option<Duration>,
    limit: Duration,
) -> Result<String, Error> {
    let requests: Requests = Api::all(client.clone());
    let deadline = Instant::now() + limit;
    let late = |what: &str| Error::Away(format!("signer {signer}: {what} took longer than {limit:?}"));
    // named here, so that one whose answer does not come can be removed, too
    let name = name();
    let new = new(&name, csr, &signer, ttl);
    let signed = match timeout_at(deadline, requests.create(&PostParams::default(), &new)).await {
        Ok(Err(error @ kube::Error::Api(_))) => return Err(failed("create", &signer, &error)),
        Ok(Err(error)) => Err(failed("create", &signer, &error)),
        Err(_) => Err(late("the request")),
        Ok(Ok(created)) => timeout_at(deadline, signed(&requests, &signer, created))
            .await
            .unwrap_or_else(|_| Err(late("its signature"))),
    };
    remove(&requests, &name).await;
    signed
}

/// A name that nobody else has drawn.
fn name() -> String {
    format!("csr-workload-{:016x}", RandomState::new().build_hasher().finish())
}

/// Removes a request, whatever came of it, if it was made at all.
async fn remove(requests: &Requests, name: &str) {
    match timeout(REMOVAL, requests.delete(name, &DeleteParams::default())).await {
        Ok(Ok(_)) => {}
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => {}
        _ => {
            tracing::warn!(target: SCOPE, "CertificateSigningRequest {name} may be left; Kubernetes removes it in time");
        }
    }
}

fn new(name: &str, csr: String, signer: &str, ttl: Option<Duration>) -> CertificateSigningRequest {
    let usages = ["digital signature", "key encipherment", "server auth", "client auth"];
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let spec = CertificateSigningRequestSpec {
        request: ByteString(csr.into_bytes()),
        signer_name: signer.to_owned(),
        usages: Some(usages.map(str::to_owned).to_vec()),
        expiration_seconds: ttl.and_then(|ttl| i32::try_from(ttl.as_secs()).ok()),
        ..CertificateSigningRequestSpec::default()
    };
    CertificateSigningRequest { metadata, spec, status: None }
}

async fn signed(requests: &Requests, signer: &str, csr: CertificateSigningRequest) -> Result<String, Error> {
    let name = csr.metadata.name.clone().unwrap_or_default();
    let mut seen = approved(requests, signer, &name, csr).await?;
    let mut delays = Policy { max: Duration::from_secs(5), ..Policy::default() }.delays();
    loop {
        if let Some(certificate) = read(&seen, signer)? {
            return Ok(certificate);
        }
        if let Some(changed) = change(requests, &seen).await {
            seen = changed;
            continue;
        }
        // the watch has ended: look for what was missed
        sleep(delays.next().unwrap_or_default()).await;
        seen = requests.get(&name).await.map_err(|error| failed("read", signer, &error))?;
    }
}

/// Approves the request, if nobody else has; others may have changed it meanwhile.
async fn approved(
    requests: &Requests,
    signer: &str,
    name: &str,
    mut csr: CertificateSigningRequest,
) -> Result<CertificateSigningRequest, Error> {
    for _ in 0..ATTEMPTS {
        let conditions = csr.status.get_or_insert_default().conditions.get_or_insert_default();
        if conditions.iter().any(|condition| condition.type_ == APPROVED) {
            return Ok(csr);
        }
        conditions.push(CertificateSigningRequestCondition {
            type_: APPROVED.to_owned(),
            status: "True".to_owned(),
            reason: Some("IstioApproved".to_owned()),
            message: Some("the control plane has authenticated the workload".to_owned()),
            ..CertificateSigningRequestCondition::default()
        });
        match requests.replace_subresource("approval", name, &PostParams::default(), &csr).await {
            Ok(approved) => return Ok(approved),
            Err(kube::Error::Api(status)) if status.code == 409 => {
                csr = requests.get(name).await.map_err(|error| failed("read", signer, &error))?;
            }
            Err(error) => return Err(failed("approve", signer, &error)),
        }
    }
    Err(Error::Away(format!("signer {signer}: others change the request {name} all the time")))
}

/// The request after its next change; `None` if nobody tells.
async fn change(requests: &Requests, seen: &CertificateSigningRequest) -> Option<CertificateSigningRequest> {
    let (name, version) = (seen.metadata.name.as_deref()?, seen.metadata.resource_version.as_deref()?);
    let only = WatchParams::default().fields(&format!("metadata.name={name}"));
    let mut events = Box::pin(requests.watch(&only, version).await.ok()?);
    while let Some(Ok(event)) = events.next().await {
        if let WatchEvent::Added(changed) | WatchEvent::Modified(changed) = event {
            return Some(changed);
        }
    }
    None
}

/// The certificates, once they are there.
fn read(csr: &CertificateSigningRequest, signer: &str) -> Result<Option<String>, Error> {
    let Some(status) = &csr.status else { return Ok(None) };
    let ends = |c: &&CertificateSigningRequestCondition| matches!(c.type_.as_str(), "Denied" | "Failed");
    if let Some(end) = status.conditions.iter().flatten().find(ends) {
        let why = end.message.as_deref().or(end.reason.as_deref()).unwrap_or("no reason is given");
        return Err(Error::Refused(format!("signer {signer}: {}: {why}", end.type_)));
    }
    let text = status.certificate.as_ref().map(|bytes| String::from_utf8(bytes.0.clone()));
    let unread = |_| Error::Answer { signer: signer.to_owned(), reason: "it is not a text".to_owned() };
    Ok(text.transpose().map_err(unread)?.filter(|text| !text.is_empty()))
}

fn failed(what: &str, signer: &str, error: &kube::Error) -> Error {
    let text = format!("cannot {what} a CertificateSigningRequest for signer {signer}: {error}");
    match error {
        kube::Error::Api(status) if status.code < 500 => Error::Refused(text),
        _ => Error::Away(text),
    }
}
