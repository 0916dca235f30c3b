//! The TLS side of the secure port: a certificate of our own authority, renewed without a restart, and client
//! certificates that are optional but verified against the present roots.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use arc_swap::ArcSwap;
use identity::authority::{self, Request, San};
use identity::csr::PublicKey;
use identity::key::{self, Kind, PrivateKey};
use identity::{Bundle, Certificate};
use parking_lot::Mutex;
use process::clock::Clock;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::UnixTime;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{RootCertStore, ServerConfig};

use super::live::Live;

mod accept;
#[cfg(test)]
mod tests;

pub use accept::{Connection, ConnectionInfo, Incoming};

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No serving certificate.
    #[error("cannot issue the serving certificate: {0}")]
    Issue(#[from] authority::Error),
    /// No key for it.
    #[error("cannot make the key of the serving certificate: {0}")]
    Key(#[from] key::Error),
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
    names: Vec<San>,
    clock: Arc<dyn Clock>,
    config: ArcSwap<ServerConfig>,
    /// What the configuration was made from.
    made_from: Mutex<Made>,
}

#[derive(Debug)]
struct Made {
    cert: Certificate,
    signing: Certificate,
    roots: Bundle,
}

impl Tls {
    /// Issues a certificate for `names` and is ready to accept.
    pub fn new(live: Live, names: Vec<San>, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let (config, made) = make(&live, &names, &clock)?;
        let (config, made_from) = (ArcSwap::from_pointee(config), Mutex::new(made));
        Ok(Self { live, names, clock, config, made_from })
    }

    /// Renews the certificate and the roots if the authority or the roots are other ones, a root has come to its end, or
    /// more than half of the certificate's life is over. New connections see the change, old ones go on. True if renewed.
    pub fn refresh(&self) -> Result<bool, Error> {
        let now = self.clock.now();
        let mut made = self.made_from.lock();
        let life = made.cert.not_after().duration_since(made.cert.not_before()).unwrap_or_default();
        let young = now < made.cert.not_before() + life / 2 && now >= made.cert.not_before();
        let same = made.signing == *self.live.authority().certificate()
            && made.roots == self.live.every_root().without_expired(now);
        if young && same {
            return Ok(false);
        }
        let (config, new) = make(&self.live, &self.names, &self.clock)?;
        self.config.store(Arc::new(config));
        *made = new;
        Ok(true)
    }

    /// The configuration for the next connection.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }
}

/// A configuration with a new key and certificate: TLS 1.2 or newer, HTTP/2, client certificates welcome.
fn make(live: &Live, names: &[San], clock: &Arc<dyn Clock>) -> Result<(ServerConfig, Made), Error> {
    let now = clock.now();
    let authority = live.authority();
    let roots = live.every_root().without_expired(now);
    let private = PrivateKey::generate(Kind::P256)?;
    let ttl = Some(authority.limits().max_ttl);
    let public = PublicKey::of(&private);
    let cert = authority.sign(&Request { key: &public, sans: names, ttl, labels: None }, now)?;

    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain = std::iter::once(&cert).chain(authority.chain()).map(|c| c.der().clone()).collect();
    let signer = provider.key_provider.load_private_key(private.to_rustls())?;
    let certified = Arc::new(CertifiedKey::new(chain, signer));
    let time = Arc::new(ClockTime(clock.clone()));
    let builder = ServerConfig::builder_with_details(provider.clone(), time)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(client_verifier(&roots, provider)?);
    let mut config = builder.with_cert_resolver(Arc::new(Fixed(certified)));
    config.alpn_protocols = vec![b"h2".to_vec()];
    let made = Made { cert, signing: authority.certificate().clone(), roots };
    Ok((config, made))
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
