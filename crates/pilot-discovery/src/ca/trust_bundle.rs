//! The trust bundle: roots of others beside our authority's, gathered from where the mesh configuration names them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use config::mesh::{
    MeshConfig, MeshConfigCertificateData as Listed, MeshConfigCertificateDataCertificateData as Data,
};
use futures_util::future::join_all;
use identity::Bundle;
use process::retry::Policy;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::live::{Live, Others};
use crate::fetch::Fetcher;

#[cfg(test)]
mod tests;

/// The scope of the log lines.
const SCOPE: &str = "trustBundle";

/// When SPIFFE bundle endpoints are asked.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// After an answer.
    pub every: Duration,
    /// After a failure.
    pub retry: Policy,
}

impl Default for Pace {
    /// Every half an hour (as pilot/pkg/trustbundle/trustbundle.go: RemoteDefaultPollPeriod), sooner after failures.
    fn default() -> Self {
        let (initial, max) = (Duration::from_secs(1), Duration::from_secs(300));
        Self {
            every: Duration::from_secs(30 * 60),
            retry: Policy { initial, max, factor: 2.0, ..Policy::default() },
        }
    }
}

/// Shows in a [`Live`] which roots of others are believed: those given once, and `caCertificates` of the mesh
/// configuration as it changes. As pilot/pkg/trustbundle/trustbundle.go, but roots that name trust domains are believed by
/// this process for those alone, and an endpoint that does not answer does not take back what it said before.
#[derive(Debug)]
pub struct TrustBundle {
    live: Live,
    given: Others,
    /// `ISTIO_MULTIROOT_MESH`.
    multi_root: bool,
    mesh: watch::Receiver<Arc<MeshConfig>>,
    fetcher: Fetcher,
    pace: Pace,
    listed: Vec<Listed>,
    pems: Others,
    endpoints: BTreeMap<String, Endpoint>,
}

/// A SPIFFE bundle endpoint.
#[derive(Debug)]
struct Endpoint {
    /// Whom its roots may vouch for, each time it is listed; empty for everybody.
    trust_domains: Vec<Vec<String>>,
    /// What it said last.
    bundle: Option<Bundle>,
    due: Instant,
    failures: u32,
}

impl TrustBundle {
    /// Shows `given` and the roots that stand in the present mesh configuration itself. Without `multi_root` the latter
    /// has no effect.
    #[must_use]
    pub fn new(
        live: Live,
        given: Others,
        multi_root: bool,
        mut mesh: watch::Receiver<Arc<MeshConfig>>,
    ) -> Self {
        let now = mesh.borrow_and_update().clone();
        let mut bundle = Self {
            live,
            given,
            multi_root,
            mesh,
            fetcher: Fetcher::default(),
            pace: Pace::default(),
            listed: Vec::new(),
            pems: Others::default(),
            endpoints: BTreeMap::new(),
        };
        bundle.follow(&now);
        bundle.show();
        bundle
    }

    /// Asks endpoints in this way and at this pace.
    #[must_use]
    pub fn asking(mut self, fetcher: Fetcher, pace: Pace) -> Self {
        (self.fetcher, self.pace) = (fetcher, pace);
        self
    }

    /// Follows the mesh configuration and asks its endpoints, until there is no more of the former. Failures are logged and
    /// tried again.
    pub async fn keep(mut self) {
        loop {
            let due = self.endpoints.values().map(|endpoint| endpoint.due).min();
            tokio::select! {
                changed = self.mesh.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let mesh = self.mesh.borrow_and_update().clone();
                    self.follow(&mesh);
                    self.show();
                }
                () = until(due) => {
                    self.ask().await;
                    self.show();
                }
            }
        }
    }

    /// Takes over what a mesh configuration says.
    fn follow(&mut self, mesh: &MeshConfig) {
        if self.listed == mesh.ca_certificates {
            return;
        }
        self.listed.clone_from(&mesh.ca_certificates);
        if !self.multi_root {
            if self.listed.iter().any(|data| data.cert_signers.is_empty()) {
                tracing::warn!(target: SCOPE, "caCertificates of the mesh configuration are not believed: set ISTIO_MULTIROOT_MESH=true");
            }
            return;
        }
        let (mut pems, mut wrong) = (Others::default(), false);
        let mut endpoints: BTreeMap<String, Endpoint> = BTreeMap::new();
        for (place, data) in self.listed.iter().enumerate() {
            match &data.certificate_data {
                Some(Data::Pem(text)) => match anchors(text) {
                    Ok(roots) => believe(&mut pems, &data.trust_domains, &roots),
                    Err(reason) => {
                        wrong = true;
                        tracing::error!(target: SCOPE, "caCertificates[{place}].pem of the mesh configuration: {reason}; what was believed before stays");
                    }
                },
                Some(Data::SpiffeBundleUrl(url)) if !url.starts_with("https://") => {
                    tracing::error!(target: SCOPE, "caCertificates[{place}].spiffeBundleUrl {url:?} of the mesh configuration: roots are fetched by HTTPS only");
                }
                Some(Data::SpiffeBundleUrl(url)) => {
                    let endpoint = endpoints
                        .entry(url.clone())
                        .or_insert_with(|| Endpoint::again(self.endpoints.remove(url)));
                    endpoint.trust_domains.push(data.trust_domains.clone());
                }
                None => {}
            }
        }
        if wrong {
            pems = joined(pems, &self.pems);
        }
        (self.pems, self.endpoints) = (pems, endpoints);
    }

    /// Asks every endpoint that is due, at the same time.
    async fn ask(&mut self) {
        let now = Instant::now();
        let due = self.endpoints.iter_mut().filter(|(_, endpoint)| endpoint.due <= now);
        let (fetcher, pace) = (&self.fetcher, &self.pace);
        join_all(due.map(|(url, endpoint)| endpoint.ask(url, fetcher, pace))).await;
    }

    fn show(&self) {
        let mut all = joined(self.given.clone(), &self.pems);
        for endpoint in self.endpoints.values() {
            let Some(roots) = &endpoint.bundle else { continue };
            for domains in &endpoint.trust_domains {
                believe(&mut all, domains, roots);
            }
        }
        self.live.trust(&all);
    }
}

impl Endpoint {
    /// One that is asked at once, believed meanwhile for what it said when it was listed `before`.
    fn again(before: Option<Self>) -> Self {
        let bundle = before.and_then(|before| before.bundle);
        Self { trust_domains: Vec::new(), bundle, due: Instant::now(), failures: 0 }
    }

    async fn ask(&mut self, url: &str, fetcher: &Fetcher, pace: &Pace) {
        let answer = fetcher.get(url).await.map_err(|error| error.to_string());
        let roots = answer.and_then(|document| {
            let text = String::from_utf8_lossy(&document);
            Bundle::from_spiffe_json(&text).map_err(|error| format!("{url}: {error}"))
        });
        let after = match roots {
            Ok(roots) => {
                if self.bundle.as_ref() != Some(&roots) {
                    tracing::info!(target: SCOPE, "{url} has {} roots", roots.roots().len());
                }
                (self.bundle, self.failures) = (Some(roots), 0);
                pace.every
            }
            Err(reason) => {
                self.failures = self.failures.saturating_add(1);
                let attempts = usize::try_from(self.failures).unwrap_or(usize::MAX);
                // the delay after so many failures; long series have the longest one
                let again = pace.retry.delays().take(attempts.min(64)).last().unwrap_or(pace.retry.max);
                let until =
                    if self.bundle.is_some() { "what it said before stays" } else { "it has no roots yet" };
                tracing::warn!(target: SCOPE, "cannot get a SPIFFE bundle ({until}), again in {again:.1?}: {reason}");
                again
            }
        };
        self.due = Instant::now() + after;
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// The roots of a PEM text, each of which must be a CA.
fn anchors(pem: &str) -> Result<Bundle, String> {
    let roots = Bundle::from_pem(pem).map_err(|error| error.to_string())?;
    match roots.roots().iter().find(|root| !root.is_ca()) {
        Some(leaf) => Err(format!("the certificate of {} is not one of a CA", leaf.name())),
        None => Ok(roots),
    }
}

fn believe(all: &mut Others, trust_domains: &[String], roots: &Bundle) {
    if trust_domains.is_empty() {
        all.anywhere = all.anywhere.merged(roots);
    }
    for domain in trust_domains {
        let scoped = all.scoped.entry(domain.clone()).or_default();
        *scoped = scoped.merged(roots);
    }
}

fn joined(mut all: Others, more: &Others) -> Others {
    believe(&mut all, &[], &more.anywhere);
    for (domain, roots) in &more.scoped {
        believe(&mut all, std::slice::from_ref(domain), roots);
    }
    all
}
