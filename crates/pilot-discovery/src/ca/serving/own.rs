//! The control plane's own certificate: who gives it, and whether there is a newer one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use identity::authority::{Request, San};
use identity::cert::{Usage, parse_chain, verify};
use identity::csr::PublicKey;
use identity::key::{Kind, PrivateKey, SecretText};
use identity::{Bundle, Certificate};

use super::{Error, Live};

/// A certificate with its key and with what callers have to believe.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate, then what leads to a root.
    pub chain: Vec<Certificate>,
    /// Its key.
    pub key: Arc<PrivateKey>,
    /// The roots that callers need.
    pub roots: Bundle,
}

impl PartialEq for Pair {
    // a certificate has one key
    fn eq(&self, other: &Self) -> bool {
        self.chain == other.chain && self.roots == other.roots
    }
}

/// Who gives the certificate.
#[derive(Debug, Clone)]
pub enum Source {
    /// Our own authority, for these names.
    Authority(Vec<San>),
    /// An operator, in files.
    Files(Files),
    /// Somebody who puts newer ones here.
    Given(Arc<ArcSwap<Pair>>),
}

impl Source {
    /// What is to be served, if it is another one than `held`: a new certificate for the same names, if the authority's
    /// roots or chain are other ones or more than half of its life is over.
    pub(super) fn newer(
        &self,
        held: Option<&Pair>,
        live: &Live,
        key: Kind,
        now: SystemTime,
    ) -> Result<Option<Pair>, Error> {
        let found = match self {
            Self::Authority(_) if held.is_some_and(|held| is_fresh(held, live, now)) => return Ok(None),
            Self::Authority(names) => issue(live, names, key, now)?,
            Self::Files(files) => files.read(now)?,
            Self::Given(given) => (**given.load()).clone(),
        };
        Ok((held != Some(&found)).then_some(found))
    }
}

impl Source {
    /// Has callers of ours believed by the roots of an operator's certificate (as pilot/pkg/bootstrap/server.go:
    /// createPeerCertVerifier).
    pub(super) fn believe(&self, pair: &Pair, live: &Live) {
        if matches!(self, Self::Files(_)) {
            live.believe_callers(&pair.roots);
        }
    }
}

/// When a certificate is to be replaced by a newer one: after half of its life.
pub(super) fn half_life(certificate: &Certificate) -> SystemTime {
    let life = certificate.not_after().duration_since(certificate.not_before()).unwrap_or_default();
    certificate.not_before() + life / 2
}

/// Whether our authority would issue the same now, and not only because time has passed.
fn is_fresh(held: &Pair, live: &Live, now: SystemTime) -> bool {
    let (Some((cert, above)), Some(authority)) = (held.chain.split_first(), live.authority()) else {
        return false;
    };
    let young = now < half_life(cert) && now >= cert.not_before();
    young && above == authority.chain() && held.roots == *authority.bundle()
}

fn issue(live: &Live, names: &[San], key: Kind, now: SystemTime) -> Result<Pair, Error> {
    let authority = live.authority().ok_or(Error::NoAuthority)?;
    let key = PrivateKey::generate(key)?;
    let (public, ttl) = (PublicKey::of(&key), Some(authority.limits().max_ttl));
    let cert = authority.sign(&Request { key: &public, sans: names, ttl, labels: None }, now)?;
    let chain = std::iter::once(cert).chain(authority.chain().iter().cloned()).collect();
    Ok(Pair { chain, key: Arc::new(key), roots: authority.bundle().clone() })
}

/// Files of an operator (`--tlsCertFile`, `--tlsKeyFile`, `--caCertFile`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The chain, the certificate first.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The roots that callers need.
    pub roots: PathBuf,
}

impl Files {
    /// Those mounted where upstream looks for them below `root`, if all are there. As pilot/pkg/bootstrap/server.go:
    /// hasCustomTLSCerts.
    #[must_use]
    pub fn well_known(root: &Path) -> Option<Self> {
        let place = root.join("var/run/secrets/istiod");
        let (cert, key) = (place.join("tls/tls.crt"), place.join("tls/tls.key"));
        let roots = [place.join("ca/root-cert.pem"), place.join("tls/ca.crt")];
        let roots = roots.into_iter().find(|path| path.is_file())?;
        (cert.is_file() && key.is_file()).then_some(Self { cert, key, roots })
    }

    /// What they say, if they belong together.
    fn read(&self, now: SystemTime) -> Result<Pair, Error> {
        let read = |path: &Path| {
            let text = std::fs::read_to_string(path);
            text.map_err(|error| Error::File { path: path.to_path_buf(), reason: error.to_string() })
        };
        let wrong = |path: &Path, reason: String| Error::File { path: path.to_path_buf(), reason };
        let chain = parse_chain(&read(&self.cert)?).map_err(|error| wrong(&self.cert, error.to_string()))?;
        let key = PrivateKey::from_pem(&SecretText::from(read(&self.key)?));
        let key = key.map_err(|error| wrong(&self.key, error.to_string()))?;
        let roots = Bundle::from_pem(&read(&self.roots)?);
        let roots = roots.map_err(|error| wrong(&self.roots, error.to_string()))?;
        if chain.first().is_none_or(|leaf| leaf.spki_der() != key.spki_der()) {
            let reason = format!("it is not the key of {}", self.cert.display());
            return Err(wrong(&self.key, reason));
        }
        if let Err(error) = verify(&chain, &roots, Usage::Server, now) {
            // callers may know better roots; these are what workloads are told to believe
            tracing::warn!(target: "serverca", "{}: {error}; who believes the roots of {} alone will not connect", self.cert.display(), self.roots.display());
        }
        Ok(Pair { chain, key: Arc::new(key), roots })
    }
}
