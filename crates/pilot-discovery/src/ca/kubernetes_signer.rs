//! Certificates of somebody else's CA: asked for with a CertificateSigningRequest of Kubernetes, approved and fetched.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use config::mesh::{MeshConfig, MeshConfigCertificateDataCertificateData as Data};
use identity::authority::Limits;
use identity::cert::{self, Usage, parse_chain, verify};
use identity::csr::{self, Plain, PublicKey};
use identity::spiffe::Id;
use identity::{Bundle, Certificate};
use process::clock::Clock;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tonic::Code;

mod request;
pub(super) use request::fetch;
#[cfg(test)]
pub(crate) mod tests;

/// How long signers have, as security/pkg/k8s/chiron/utils.go: certWatchTimeout.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Requests under way at once; more wait.
const AT_ONCE: usize = 64;

/// Who signs, and what is believed of it.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The signer of those who ask for none (`K8S_SIGNER`).
    pub signer: String,
    /// The domain of the signers that callers may ask for (`CERT_SIGNER_DOMAIN`); empty if they may not.
    pub domain: String,
    /// The roots of all signers, as PEM (`./etc/external-ca-cert/root-cert.pem`); `None` to look for one per signer.
    pub roots: Option<Bundle>,
    /// How long certificates may live.
    pub limits: Limits,
    /// A request that has no certificate by then is given up.
    pub patience: Duration,
}

/// What `caCertificates` of a mesh configuration says of a signer, as PEM.
#[must_use]
pub fn root_in(mesh: &MeshConfig, signer: &str) -> Option<String> {
    let of_signer = mesh.ca_certificates.iter().filter(|data| data.cert_signers.iter().any(|s| s == signer));
    of_signer
        .filter_map(|data| match &data.certificate_data {
            Some(Data::Pem(pem)) => Some(pem.clone()),
            _ => None,
        })
        .next()
}

/// Tells the root of a signer, as PEM, if the mesh configuration does (`caCertificates` with `certSigners`).
pub type RootOf = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Longer than allowed.
    #[error("requested TTL {asked:?} is greater than the max allowed TTL {max:?}")]
    Ttl {
        /// What was asked.
        asked: Duration,
        /// What is allowed.
        max: Duration,
    },
    /// The request cannot be given to others.
    #[error(transparent)]
    Request(#[from] csr::Error),
    /// It names nobody, or somebody else than the caller.
    #[error("the CSR names {0:?}, which is not the caller's identity")]
    Names(Vec<String>),
    /// The caller asked for a signer.
    #[error("CERT_SIGNER_DOMAIN is required for signer {0:?}")]
    Signer(String),
    /// The API server or the signer did not do it.
    #[error("{0}")]
    Refused(String),
    /// The API server or the signer did not answer.
    #[error("{0}")]
    Away(String),
    /// What came is not what was asked for.
    #[error("the certificate of signer {signer}: {reason}")]
    Answer {
        /// Whose.
        signer: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// The label upstream counts it under, and the status a caller gets. As security/pkg/pki/error/error.go, but who may
    /// try again is told so.
    #[must_use]
    pub fn kind(&self) -> (&'static str, Code) {
        match self {
            Self::Ttl { .. } => ("TTL_ERROR", Code::InvalidArgument),
            Self::Request(_) | Self::Names(_) => ("CSR_ERROR", Code::InvalidArgument),
            Self::Signer(_) | Self::Refused(_) => ("CERT_GEN_ERROR", Code::Internal),
            Self::Answer { .. } => ("CSR_ERROR", Code::Internal),
            Self::Away(_) => ("CERT_GEN_ERROR", Code::Unavailable),
        }
    }
}

/// What is to be signed for a caller.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The request, as PEM; unlike with an authority of our own, its names are what is signed.
    pub csr: &'a str,
    /// The key it proved to hold.
    pub key: &'a PublicKey,
    /// Who the caller is: the request must name one of these at least, and nobody else.
    pub ids: &'a [Id],
    /// How long; `None` or zero for what the signer thinks.
    pub ttl: Option<Duration>,
    /// The signer the caller wants (`CertSigner` of its metadata); empty for the configured one.
    pub signer: &'a str,
}

/// Lets signers of Kubernetes sign for workloads (`EXTERNAL_CA=ISTIOD_RA_KUBERNETES_API`). As security/pkg/pki/ra/k8s_ra.go,
/// but every certificate is verified before it is handed on.
pub struct KubernetesSigner {
    client: kube::Client,
    rules: Rules,
    root_of: Box<RootOf>,
    clock: Arc<dyn Clock>,
    places: Arc<Semaphore>,
}

impl fmt::Debug for KubernetesSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KubernetesSigner({:?})", self.rules)
    }
}

impl KubernetesSigner {
    /// Asks the API server behind `client`, which must let us create, approve and delete requests for the signers.
    #[must_use]
    pub fn new(client: kube::Client, rules: Rules, root_of: Box<RootOf>, clock: Arc<dyn Clock>) -> Self {
        Self { client, rules, root_of, clock, places: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// The chain of a new certificate: leaf, what leads to the root one by one, and the roots together as the last.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn sign(&self, wanted: &Wanted<'_>) -> Result<Vec<String>, Error> {
        let ttl = wanted.ttl.filter(|ttl| !ttl.is_zero());
        if let Some(asked) = ttl.filter(|ttl| *ttl > self.rules.limits.max_ttl) {
            return Err(Error::Ttl { asked, max: self.rules.limits.max_ttl });
        }
        let plain = Plain::from_csr_pem(wanted.csr)?;
        let ours = |uri: &String| wanted.ids.iter().any(|id| id.to_string() == *uri);
        if plain.uris.is_empty() || !plain.uris.iter().all(ours) {
            return Err(Error::Names(plain.uris));
        }
        let signer = self.signer(wanted.signer)?;
        let certificates = self.fetch(&plain.pem, &signer, ttl).await?;
        self.check(wanted.key, &plain.uris, &signer, &certificates)
    }

    /// The full name of the signer that a caller wants. As k8s_ra.go: kubernetesSign.
    fn signer(&self, wanted: &str) -> Result<String, Error> {
        match (wanted, self.rules.domain.as_str()) {
            ("", _) if self.rules.signer.is_empty() => {
                Err(Error::Refused("K8S_SIGNER is not set, and the request names no signer".to_owned()))
            }
            ("", _) => Ok(self.rules.signer.clone()),
            (wanted, "") => Err(Error::Signer(wanted.chars().take(256).collect())),
            (wanted, domain) => Ok(format!("{domain}/{wanted}")),
        }
    }

    async fn fetch(&self, csr: &str, signer: &str, ttl: Option<Duration>) -> Result<String, Error> {
        let limit = self.rules.patience;
        let late = || Error::Away(format!("signer {signer} has not signed within {limit:?}"));
        let place = timeout(limit, self.places.clone().acquire_owned()).await;
        let place = place.map_err(|_| late())?;
        let (client, csr, name) = (self.client.clone(), csr.to_owned(), signer.to_owned());
        // a task of its own: a caller that leaves does not leave its request behind
        let work = tokio::spawn(async move {
            let _place = place;
            fetch(&client, csr, name, ttl, limit).await
        });
        work.await.unwrap_or_else(|_| Err(late()))
    }

    /// The answer, once it is what was asked for and leads to a root.
    fn check(
        &self,
        key: &PublicKey,
        uris: &[String],
        signer: &str,
        certificates: &str,
    ) -> Result<Vec<String>, Error> {
        let wrong = |reason: String| Error::Answer { signer: signer.to_owned(), reason };
        let unread = |error: cert::Error| wrong(error.to_string());
        let chain = parse_chain(certificates).map_err(unread)?;
        let Some(leaf) = chain.first() else { return Err(wrong("there is none".to_owned())) };
        if leaf.spki_der() != key.spki_der() {
            return Err(wrong("it is for another key".to_owned()));
        }
        if leaf.uris() != uris || !leaf.dns_names().is_empty() || leaf.is_ca() {
            return Err(wrong("it is for other names or uses than were asked for".to_owned()));
        }
        let roots = self.roots(signer, &chain)?;
        let above: Vec<Certificate> = chain.iter().filter(|c| !roots.contains(c)).cloned().collect();
        verify(&above, &roots, Usage::Client, self.clock.now()).map_err(unread)?;
        let above = above.iter().map(Certificate::to_pem);
        Ok(above.chain([roots.to_pem()]).collect())
    }

    /// The roots of a signer: the file's, else the mesh configuration's, else the one it sent along. As k8s_ra.go:
    /// SignWithCertChain.
    fn roots(&self, signer: &str, chain: &[Certificate]) -> Result<Bundle, Error> {
        if let Some(roots) = &self.rules.roots {
            return Ok(roots.clone());
        }
        let wrong = |reason: String| Error::Answer { signer: signer.to_owned(), reason };
        if let Some(pem) = (self.root_of)(signer) {
            let unread = |error| wrong(format!("caCertificates of the mesh configuration: {error}"));
            return Bundle::from_pem(&pem).map_err(unread);
        }
        let last = chain.last().filter(|last| chain.len() > 1 && last.is_self_issued() && last.is_ca());
        let missing =
            || wrong("no root is in its chain, nor in caCertificates of the mesh configuration".to_owned());
        Ok(Bundle::new([last.cloned().ok_or_else(missing)?]))
    }
}
