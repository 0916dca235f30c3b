//! The certificate service: who may have which certificate, where the authority's secrets live, and how they are served.
//!
//! [`Ca`] puts the parts together: [`state`] keeps the authority in a [`store`] and renews it, [`live`] shows the present one to
//! everybody, [`service`] signs, or lets a [`kubernetes_signer`] sign, [`serving`] is the TLS side of the secure port, [`authenticate`] says who is calling, [`keys`] fetches what
//! token issuers sign with, [`trust_bundle`] gathers the roots of others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use process::clock::Clock;
use process::metrics::Metrics;
use tokio::sync::watch;

pub mod authenticate;
pub mod counters;
pub mod impersonation;
pub mod keys;
pub mod kubernetes_signer;
pub mod live;
pub mod service;
pub mod serving;
pub mod state;
pub mod store;
#[cfg(test)]
mod tests;
pub mod trust_bundle;
pub mod trust_domain;

pub use authenticate::{Authenticator, Caller, Chain, Failure, Peer, Reason};
pub use kubernetes_signer::KubernetesSigner;
pub use live::{Live, Others};
pub use service::Service;
pub use serving::{Connection, Policy, Source, Tls};
pub use state::{Options, State};
pub use trust_bundle::TrustBundle;
pub use trust_domain::TrustDomain;

/// A piece of what keeps an authority fresh; whether it changed something.
type Upkeep = fn(&Ca) -> Result<bool, Error>;

/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Why the certificate service cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The authority's files.
    #[error(transparent)]
    State(#[from] state::Error),
    /// The serving certificate.
    #[error(transparent)]
    Serving(#[from] serving::Error),
}

impl Error {
    /// Whether it may go by itself: an API server is away.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::State(state::Error::Cluster { temporary: true, .. }))
    }
}

/// Who gives the control plane's own certificate, and which TLS is spoken with it.
#[derive(Debug, Clone)]
pub struct Own {
    /// Who gives it.
    pub source: Source,
    /// What is spoken.
    pub policy: Policy,
}

/// The certificate authority of this process with all that hangs on it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ca {
    state: Option<Arc<State>>,
    live: Live,
    tls: Option<Arc<Tls>>,
    counters: counters::Counters,
    clock: Arc<dyn Clock>,
}

impl Ca {
    /// Loads or creates the authority, unless there is to be none, gets the control plane's own certificate, unless nobody
    /// gives it, and registers the `citadel_server_*` metrics. Blocks on files or on an API server; call it before serving,
    /// and not in an async worker.
    pub fn open(
        options: Option<Options>,
        own: Option<Own>,
        clock: Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Result<Self, Error> {
        let opened = options.map(|options| State::open(options, clock.now())).transpose()?;
        let (state, authority) = opened.map(|(state, authority)| (Arc::new(state), authority)).unzip();
        let live = Live::new(authority);
        let tls = |own: Own| Tls::new(live.clone(), own.source, own.policy, clock.clone()).map(Arc::new);
        let tls = own.map(tls).transpose()?;
        let counters = counters::Counters::register(metrics, &live, clock.clone());
        Ok(Self { state, live, tls, counters, clock })
    }

    /// The present authority and roots, as everybody sees them.
    #[must_use]
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// What plugged-in authorities have revoked, as PEM and perhaps empty, now and later; `None` without an authority.
    #[must_use]
    pub fn revoked(&self) -> Option<watch::Receiver<String>> {
        Some(self.state.as_ref()?.revoked())
    }

    /// The TLS side of the secure port; `None` if the control plane has no certificate of its own.
    #[must_use]
    pub fn tls(&self) -> Option<&Arc<Tls>> {
        self.tls.as_ref()
    }

    /// The clock everything here goes by.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// The gRPC service that signs for those whom `authenticators` know; `None` without an authority.
    #[must_use]
    pub fn service(&self, authenticators: Arc<Chain>) -> Option<Service> {
        self.state.as_ref()?;
        Some(Service::new(self.live.clone(), authenticators, self.counters.clone(), self.clock.clone()))
    }

    /// What has to be done from time to time (each minute: so soon is noticed what another replica has done): a
    /// self-signed root that nears its end gets a successor, and the serving certificate is renewed. True if anybody has to
    /// be told about new roots. On an error everything goes on as it was. Blocks as [`Ca::open`] does.
    pub fn tick(&self) -> Result<bool, Error> {
        let rotated = self.state.as_ref().map(|state| state.tick(&self.live, self.clock.now()));
        // whatever came of it: a store that is away must not let our own certificate end
        self.refresh()?;
        Ok(rotated.transpose()?.unwrap_or(false))
    }

    /// Reads an operator's files again. True if the authority or our own certificate is another one now. On an error everything goes on as it was. Blocks on files.
    pub fn reload(&self) -> Result<bool, Error> {
        let reloaded = self.state.as_ref().map(|state| state.reload(&self.live, self.clock.now()));
        let renewed = self.refresh()?;
        Ok(reloaded.transpose()?.unwrap_or(false) || renewed)
    }

    /// Renews the serving certificate, and takes over which roots clients are verified with, if that is due.
    fn refresh(&self) -> Result<bool, Error> {
        Ok(self.tls.as_ref().map(|tls| tls.refresh()).transpose()?.unwrap_or(false))
    }

    /// Keeps the authority fresh for as long as it is polled: looks at the ends of certificates and at what other replicas
    /// did every `every`, at files every two seconds, and serves by other roots as soon as there are some. Failures are
    /// logged, once each, and tried again the next time; `tell` is given each time what could not be done and why, or that it
    /// could be done.
    pub async fn keep(self, every: Duration, tell: impl Fn(&'static str, Option<&str>)) {
        let mut ticks = tokio::time::interval(every.max(Duration::from_secs(1)));
        let mut looks = tokio::time::interval(LOOK_EVERY);
        let mut editions = self.live.subscribe();
        let mut told: BTreeMap<&str, String> = BTreeMap::new();
        loop {
            let (what, work): (_, Upkeep) = tokio::select! {
                _ = ticks.tick() => ("renew", Self::tick),
                _ = looks.tick() => ("reload", Self::reload),
                _ = editions.changed() => ("serve by the new roots of", Self::refresh),
            };
            let ca = self.clone();
            let done = match tokio::task::spawn_blocking(move || work(&ca)).await {
                Ok(done) => done.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            tell(what, done.as_ref().err().map(String::as_str));
            match done {
                Ok(_) => drop(told.remove(what)),
                Err(error) if told.get(what) == Some(&error) => {}
                Err(error) => {
                    tracing::error!(target: "pkica", "cannot {what} the certificate authority: {error}");
                    told.insert(what, error);
                }
            }
        }
    }
}
