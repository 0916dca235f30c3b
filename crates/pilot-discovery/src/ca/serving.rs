//! The TLS side of the secure port: the control plane's own certificate, renewed without a restart, and client
//! certificates that are optional but verified against the present roots.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use arc_swap::ArcSwap;
use identity::Bundle;
use identity::authority::{self, San};
use identity::key;
use parking_lot::Mutex;
use process::clock::Clock;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::UnixTime;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{RootCertStore, ServerConfig};
use tokio::sync::watch;

use super::live::Live;

mod accept;
mod own;
mod policy;
mod signed;
#[cfg(test)]
mod tests;

pub use accept::{Connection, ConnectionInfo, Incoming};
pub use own::{Files, Pair, Source};
pub use policy::Policy;
pub use signed::{Signed, Wanted};

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No serving certificate.
    #[error("cannot issue the serving certificate: {0}")]
    Issue(#[from] authority::Error),
    /// No key for it.
    #[error("cannot make the key of the serving certificate: {0}")]
    Key(#[from] key::Error),
    /// A file of the operator's.
    #[error("the control plane's own certificate: {path}: {reason}")]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A signer of Kubernetes.
    #[error("the control plane's own certificate: {0}")]
    Signer(#[from] super::kubernetes_signer::Error),
    /// There is nobody to sign it.
    #[error("there is no certificate authority to sign the control plane's own certificate")]
    NoAuthority,
    /// The TLS library refused.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// The names of the control plane's serving certificate: the services in `namespace` that lead to it (with `revision`, if
/// not empty or `default`), `custom` ones (`ISTIOD_CUSTOM_HOST`), and this machine. As
/// pilot/pkg/bootstrap/server.go: getDNSNames.
#[must_use]
pub fn default_names(namespace: &str, revision: &str, custom: &[String]) -> Vec<San> {
    let mut hosts: Vec<String> = custom.iter().filter(|h| !h.is_empty()).cloned().collect();
    let mut services = vec!["istiod".to_string(), "istiod-remote".to_string(), "istio-pilot".to_string()];
    if !revision.is_empty() && revision != "default" {
        services.push(format!("istiod-{revision}"));
    }
    for service in services {
        hosts.push(format!("{service}.{namespace}.svc"));
        hosts.push(format!("{service}.{namespace}"));
    }
    hosts.push("localhost".to_string());
    hosts.sort();
    hosts.dedup();
    let names = hosts.into_iter().map(|host| host.parse().map_or(San::Dns(host), San::Ip));
    names.chain([San::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST))]).collect()
}

/// The present TLS configuration, and how to renew it.
#[derive(Debug)]
pub struct Tls {
    live: Live,
    source: Source,
    policy: Policy,
    clock: Arc<dyn Clock>,
    config: ArcSwap<ServerConfig>,
    /// What the configuration was made from.
    made_from: Mutex<Made>,
    roots: watch::Sender<String>,
}

#[derive(Debug)]
struct Made {
    pair: Pair,
    /// What clients are verified with.
    roots: Bundle,
}

impl Tls {
    /// Gets a certificate of `source` and is ready to accept.
    pub fn new(live: Live, source: Source, policy: Policy, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let now = clock.now();
        let pair = source.newer(None, &live, policy.key(), now)?.ok_or(Error::NoAuthority)?;
        source.believe(&pair, &live);
        let roots = live.every_root().without_expired(now);
        let config = config_of(&pair, &roots, &policy, &clock)?;
        let (config, to_believe) = (ArcSwap::from_pointee(config), watch::Sender::new(pair.roots.to_pem()));
        let made_from = Mutex::new(Made { pair, roots });
        Ok(Self { live, source, policy, clock, config, made_from, roots: to_believe })
    }

    /// Takes a newer certificate of the source, and the roots if they are other ones or one has come to its end. New
    /// connections see the change, old ones go on. True if there was one. On an error everything goes on as it was, but
    /// for the roots.
    pub fn refresh(&self) -> Result<bool, Error> {
        let now = self.clock.now();
        let mut made = self.made_from.lock();
        let newer = self.source.newer(Some(&made.pair), &self.live, self.policy.key(), now);
        let (newer, failure) = match newer {
            Ok(newer) => (newer, None),
            Err(error) => (None, Some(error)),
        };
        if let Some(pair) = &newer {
            self.source.believe(pair, &self.live);
        }
        let roots = self.live.every_root().without_expired(now);
        let changed = newer.is_some() || roots != made.roots;
        if changed {
            let pair = newer.unwrap_or_else(|| made.pair.clone());
            self.config.store(Arc::new(config_of(&pair, &roots, &self.policy, &self.clock)?));
            let text = pair.roots.to_pem();
            *made = Made { pair, roots };
            self.roots.send_if_modified(|old| std::mem::replace(old, text.clone()) != text);
        }
        failure.map_or(Ok(changed), Err)
    }

    /// The configuration for the next connection.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// What callers have to believe, as PEM, now and later.
    #[must_use]
    pub fn roots(&self) -> watch::Receiver<String> {
        self.roots.subscribe()
    }
}

/// A configuration for a certificate: HTTP/2, client certificates welcome.
fn config_of(
    pair: &Pair,
    roots: &Bundle,
    policy: &Policy,
    clock: &Arc<dyn Clock>,
) -> Result<ServerConfig, Error> {
    let provider = policy.provider.clone();
    let chain = pair.chain.iter().map(|c| c.der().clone()).collect();
    let signer = provider.key_provider.load_private_key(pair.key.to_rustls())?;
    let certified = Arc::new(CertifiedKey::new(chain, signer));
    let time = Arc::new(ClockTime(clock.clone()));
    let builder = ServerConfig::builder_with_details(provider.clone(), time)
        .with_protocol_versions(&policy.versions)?
        .with_client_cert_verifier(client_verifier(roots, provider)?);
    let mut config = builder.with_cert_resolver(Arc::new(Fixed(certified)));
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// Client certificates may be absent; present ones must lead to one of the roots. As pilot/pkg/bootstrap/server.go:
/// `tls.VerifyClientCertIfGiven`.
fn client_verifier(
    roots: &Bundle,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, Error> {
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(roots.roots().iter().map(|r| r.der().clone()));
    if added == 0 {
        // Nobody can be verified, so nobody is asked.
        return Ok(Arc::new(NoClientAuth));
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|e| Error::Tls(rustls::Error::General(e.to_string())))
}

/// One certificate, whatever name the client asks for.
struct Fixed(Arc<CertifiedKey>);

impl fmt::Debug for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fixed")
    }
}

impl rustls::server::ResolvesServerCert for Fixed {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// Our clock as rustls wants it.
#[derive(Debug)]
struct ClockTime(Arc<dyn Clock>);

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        let since: Duration = self.0.now().duration_since(UNIX_EPOCH).ok()?;
        Some(UnixTime::since_unix_epoch(since))
    }
}
