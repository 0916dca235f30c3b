//! The control plane's own certificate from a signer of Kubernetes (`PILOT_CERT_PROVIDER=k8s.io/<signer>`).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use config::mesh::MeshConfig;
use identity::authority::San;
use identity::cert::{self, Usage, parse_chain, verify};
use identity::csr;
use identity::key::{Kind, PrivateKey};
use identity::{Bundle, Certificate};
use process::clock::Clock;
use process::retry::Policy as Pace;
use tokio::sync::watch;

use super::own::{Pair, Source, half_life};
use super::{Error, Tls};
use crate::ca::kubernetes_signer::{self as signer, root_in};

/// The scope of the log lines.
const SCOPE: &str = "pkira";

/// Gets certificates for the control plane from a signer. As pilot/pkg/bootstrap/certcontroller.go: initDNSCertsK8SRA.
pub struct Signed {
    client: kube::Client,
    wanted: Wanted,
    mesh: watch::Receiver<Arc<MeshConfig>>,
    clock: Arc<dyn Clock>,
    given: Arc<ArcSwap<Pair>>,
}

/// What is asked of a signer.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The signer's full name.
    pub signer: String,
    /// The names of the certificate.
    pub names: Vec<San>,
    /// The kind of its key.
    pub key: Kind,
    /// How long it should live; the signer decides.
    pub ttl: Duration,
}

impl Signed {
    /// Gets the first certificate. `mesh` says which roots belong to the signer (`caCertificates` with `certSigners`).
    ///
    /// # Errors
    /// The signer did not sign, or what it signed is of no use.
    pub async fn begin(
        client: kube::Client,
        wanted: Wanted,
        mut mesh: watch::Receiver<Arc<MeshConfig>>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let config = mesh.borrow_and_update().clone();
        let pair = get(&client, &wanted, &config, clock.now()).await?;
        Ok(Self { client, wanted, mesh, clock, given: Arc::new(ArcSwap::from_pointee(pair)) })
    }

    /// Where the certificates are put.
    #[must_use]
    pub fn source(&self) -> Source {
        Source::Given(self.given.clone())
    }

    /// Gets a newer one after half of a certificate's life, and when the mesh configuration names other roots; `tls` serves
    /// it at once. Goes on as long as it is polled; failures are logged and tried again.
    pub async fn keep(mut self, tls: Arc<Tls>) {
        let mut delays = Pace { initial: Duration::from_secs(5), ..Pace::default() }.delays();
        let mut again = None;
        loop {
            let due = self.given.load().chain.first().map(half_life);
            let left = due.and_then(|due| due.duration_since(self.clock.now()).ok()).unwrap_or_default();
            tokio::select! {
                changed = self.mesh.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(again.unwrap_or(left)) => {}
            }
            let config = self.mesh.borrow_and_update().clone();
            let same_roots =
                roots_of(&self.wanted.signer, &config).is_ok_and(|roots| roots == self.given.load().roots);
            let is_young = due.is_some_and(|due| self.clock.now() < due);
            if same_roots && is_young {
                continue;
            }
            again = match get(&self.client, &self.wanted, &config, self.clock.now()).await {
                Ok(pair) => {
                    self.given.store(Arc::new(pair));
                    delays.reset();
                    self.serve(&tls).await;
                    None
                }
                Err(error) => {
                    let again = delays.next().unwrap_or_default();
                    tracing::error!(target: SCOPE, "{error}; the old certificate is served, again in {again:.1?}");
                    Some(again)
                }
            };
        }
    }

    async fn serve(&self, tls: &Arc<Tls>) {
        let tls = tls.clone();
        let served = tokio::task::spawn_blocking(move || tls.refresh()).await;
        let signer = &self.wanted.signer;
        match served
            .map_err(|error| error.to_string())
            .and_then(|done| done.map_err(|error| error.to_string()))
        {
            Ok(_) => {
                tracing::info!(target: SCOPE, "signer {signer} has signed a new certificate of the control plane");
            }
            Err(error) => {
                tracing::error!(target: SCOPE, "the new certificate of signer {signer} cannot be served: {error}");
            }
        }
    }
}

/// The roots of a signer.
fn roots_of(signer: &str, mesh: &MeshConfig) -> Result<Bundle, signer::Error> {
    let wrong = |reason: String| signer::Error::Answer { signer: signer.to_owned(), reason };
    let pem = root_in(mesh, signer)
        .ok_or_else(|| wrong("caCertificates of the mesh configuration names no root for it".to_owned()))?;
    Bundle::from_pem(&pem)
        .map_err(|error| wrong(format!("caCertificates of the mesh configuration: {error}")))
}

/// A new key and a certificate for it, which is what was asked for and leads to a root.
async fn get(
    client: &kube::Client,
    wanted: &Wanted,
    mesh: &MeshConfig,
    now: SystemTime,
) -> Result<Pair, Error> {
    let roots = roots_of(&wanted.signer, mesh)?;
    let key = PrivateKey::generate(wanted.key)?;
    let csr = csr::make(&key, &wanted.names)?;
    let (name, patience) = (wanted.signer.clone(), signer::PATIENCE);
    let text = signer::fetch(client, csr, name, Some(wanted.ttl), patience).await?;
    let wrong = |reason: String| signer::Error::Answer { signer: wanted.signer.clone(), reason };
    let unread = |error: cert::Error| wrong(error.to_string());
    let chain = parse_chain(&text).map_err(unread)?;
    let chain: Vec<Certificate> = chain.into_iter().filter(|c| !roots.contains(c)).collect();
    let Some(leaf) = chain.first().filter(|leaf| leaf.spki_der() == key.spki_der()) else {
        return Err(wrong("it is for another key".to_owned()).into());
    };
    let lacks = |san: &&San| matches!(san, San::Dns(name) if !leaf.dns_names().contains(name));
    if let Some(missing) = wanted.names.iter().find(lacks) {
        return Err(wrong(format!("it lacks the name {missing:?}")).into());
    }
    verify(&chain, &roots, Usage::Server, now).map_err(unread)?;
    Ok(Pair { chain, key: Arc::new(key), roots })
}
