//! The authority's life: plugged-in files that an operator owns, or a root of our own, which is kept in a store and renewed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use identity::authority::{self, CLOCK_SKEW, Limits, SelfSigned};
use identity::key::{self, Kind, PrivateKey, SecretText};
use identity::token::Issuer;
use identity::{Authority, Bundle, Certificate, crl};
use parking_lot::Mutex;
use process::files::{PRIVATE, write_atomic};
use tokio::sync::watch;

use super::live::Live;
use super::store::{Folder, GENERATED, Store, Texts};

mod fetch;
#[cfg(test)]
mod tests;

/// The scope of the log lines.
const SCOPE: &str = "pkica";

/// Where the authority comes from and how it lives.
#[derive(Debug, Clone)]
pub struct Options {
    /// Our own directory: for the key of token issuers, and for a self-signed root unless `store` is another place.
    pub own: PathBuf,
    /// Where a self-signed root is kept.
    pub store: Arc<dyn Store>,
    /// The directory of plugged-in files (`ROOT_CA_DIR`, upstream `./etc/cacerts`); used instead if it holds a key.
    pub plugged: Option<PathBuf>,
    /// `USE_REMOTE_CERTS`: plugged-in files that are not complete are what an operator keeps in `store`.
    pub plugged_from_store: bool,
    /// `USE_CACERTS_FOR_SELF_SIGNED_CA`: plugged-in files that are marked as made by a control plane are those of `store`.
    pub plugged_may_be_ours: bool,
    /// What a self-signed root looks like.
    pub root: SelfSigned,
    /// How long certificates live.
    pub limits: Limits,
    /// `CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE`: a root is rotated when less of its life is left.
    pub grace_percent: u32,
    /// When a self-signed root is looked at; `None` for never.
    pub checks: Option<Checks>,
    /// `PILOT_ENABLE_CA_CRL`: the revocation list beside the plugged-in files is handed on.
    pub revocations: bool,
    /// `ISTIO_MULTIROOT_MESH`: plugged-in roots may change, as long as the old set holds the new one or the reverse.
    pub multi_root: bool,
}

/// When a self-signed root is looked at for whether it nears its end.
#[derive(Debug, Clone, Copy)]
pub struct Checks {
    /// For the first time this long after the start: replicas that start together do not all renew it at once
    /// (`CITADEL_ENABLE_JITTER_FOR_ROOT_CERT_ROTATOR`).
    pub first: Duration,
    /// And then again (`CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL`).
    pub every: Duration,
}

impl Default for Checks {
    fn default() -> Self {
        Self { first: Duration::ZERO, every: Duration::from_secs(3600) }
    }
}

impl Options {
    /// Upstream's defaults, with the root stored in `own`.
    #[must_use]
    pub fn in_dir(own: &Path, trust_domain: &str) -> Self {
        Self {
            own: own.to_path_buf(),
            store: Arc::new(Folder(own.to_path_buf())),
            plugged: None,
            plugged_from_store: false,
            plugged_may_be_ours: false,
            root: SelfSigned::of(trust_domain),
            limits: Limits::default(),
            grace_percent: 20,
            checks: Some(Checks::default()),
            revocations: true,
            multi_root: false,
        }
    }
}

impl Options {
    /// Whether plugged-in files are what a control plane made and keeps in the store.
    fn is_ours(&self, plugged: &Path) -> bool {
        self.plugged_may_be_ours && plugged.join(GENERATED).exists()
    }

    fn read(&self, kept: &Texts, now: SystemTime) -> Result<Authority, Error> {
        // a root that another replica has just made, whose clock is ahead of ours
        let begins = first_of(kept).map(|root| root.not_before());
        let now = begins.filter(|begins| *begins <= now + CLOCK_SKEW).map_or(now, |begins| begins.max(now));
        Authority::from_pem(&kept.parts(), self.limits, now).map_err(|source| self.unusable(source))
    }

    /// What is plugged in; with upstream's names of files it may have revoked something.
    fn read_plugged(&self, dir: &Path) -> Result<Option<Plugged>, Error> {
        let Some(texts) = read_texts(dir)? else { return Ok(None) };
        let has_list = self.revocations && !dir.join("tls.crt").exists();
        let crl = if has_list { read(&dir.join(REVOKED))? } else { None };
        Ok(Some(Plugged { texts, crl: crl.unwrap_or_default() }))
    }

    /// The authority of plugged-in files, if they fit together.
    fn plug(&self, dir: &Path, plugged: &Plugged, now: SystemTime) -> Result<Authority, Error> {
        let authority = Authority::from_pem(&plugged.texts.parts(), self.limits, now)
            .map_err(unusable(dir, PLUGGED_ADVICE))?;
        if !plugged.crl.trim().is_empty() {
            crl::check(&plugged.crl, &signers(&plugged.texts))
                .map_err(|source| Error::Revocations { path: dir.join(REVOKED), source })?;
        }
        Ok(authority)
    }

    fn successor(&self, of: &Authority, now: SystemTime) -> Result<Authority, Error> {
        of.rotate(&self.root, now).map_err(|source| self.unusable(source))
    }

    fn unusable(&self, source: authority::Error) -> Error {
        Error::Unusable { place: self.store.place(), source, advice: self.store.advice() }
    }
}

/// Why there is no authority, or no change of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file.
    #[error("certificate authority: {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// What is there does not make an authority.
    #[error("certificate authority in {place}: {source}. {advice}")]
    Unusable {
        /// Where.
        place: String,
        /// Why.
        source: authority::Error,
        /// What to do.
        advice: &'static str,
    },
    /// The API server that keeps it.
    #[error("certificate authority in {place}: {reason}")]
    Cluster {
        /// Where.
        place: String,
        /// Why, and what to do.
        reason: String,
        /// Whether it may go by itself.
        temporary: bool,
    },
    /// What was kept is no longer there.
    #[error("certificate authority in {place}: it is gone, but goes on until this process ends. {advice}")]
    Gone {
        /// Where.
        place: String,
        /// What to do.
        advice: &'static str,
    },
    /// The revocation list beside the plugged-in files.
    #[error(
        "{path}: {source}. Each authority in cert-chain.pem must have signed a list in it: proxies refuse all certificates otherwise"
    )]
    Revocations {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: crl::Error,
    },
    /// The new plugged-in files would change the roots in a way that cuts workloads off.
    #[error("plugged-in CA files in {0} change the roots; the old authority goes on. {1}")]
    Roots(PathBuf, &'static str),
}

const ISSUER_ADVICE: &str =
    "Restore the file from a backup, or remove it to start with a new key (tokens must then be made again)";
/// The file of what plugged-in authorities have revoked.
const REVOKED: &str = "ca-crl.pem";
const PLUGGED_ADVICE: &str = "Correct the files of the plugged-in CA";

/// What an operator plugs in.
#[derive(Debug, PartialEq, Eq)]
struct Plugged {
    texts: Texts,
    /// `ca-crl.pem`: what was revoked; empty without such a file.
    crl: String,
}

/// The stored authority.
#[derive(Debug)]
pub struct State {
    options: Options,
    /// The plugged-in files as last used; `None` if the authority is our own.
    plugged: Mutex<Option<Plugged>>,
    revoked: watch::Sender<String>,
    /// When our own is looked at next.
    next_check: Mutex<SystemTime>,
}

impl State {
    /// Loads the plugged-in authority if there is one, else our own, else makes a new root and stores it. Incomplete or
    /// damaged files are an error, never a reason to make a new root.
    pub fn open(options: Options, now: SystemTime) -> Result<(Self, Authority), Error> {
        let dir = options.plugged.as_deref();
        if let Some(dir) = dir.filter(|_| options.plugged_from_store) {
            fetch::plug_in(&*options.store, dir)?;
        }
        let plugged = dir.filter(|dir| !options.is_ours(dir)).map(|dir| options.read_plugged(dir));
        let plugged = plugged.transpose()?.flatten();
        let authority = match (&plugged, &options.plugged) {
            (Some(plugged), Some(dir)) => {
                tracing::info!(target: SCOPE, "using the plugged-in CA of {}", dir.display());
                options.plug(dir, plugged, now)?
            }
            _ => open_own(&options, now)?,
        };
        let first = options.checks.map(|checks| checks.first).unwrap_or_default();
        let next_check = Mutex::new(now + first);
        let revoked = watch::Sender::new(plugged.as_ref().map(|p| p.crl.clone()).unwrap_or_default());
        Ok((Self { options, plugged: Mutex::new(plugged), revoked, next_check }, authority))
    }

    /// What the plugged-in authorities have revoked, as PEM and perhaps empty, now and later.
    #[must_use]
    pub fn revoked(&self) -> watch::Receiver<String> {
        self.revoked.subscribe()
    }

    /// Takes over a self-signed root that another replica has put in the store, and rotates one that nears its end: stores
    /// its successor and shows it in `live`. True if there is another root now. As
    /// security/pkg/pki/ca/selfsignedcarootcertrotator.go.
    pub fn tick(&self, live: &Live, now: SystemTime) -> Result<bool, Error> {
        let plugged = self.plugged.lock();
        if plugged.is_some() {
            return Ok(false);
        }
        let store = &*self.options.store;
        let gone = || Error::Gone { place: store.place(), advice: store.advice() };
        let kept = store.load()?.ok_or_else(gone)?;
        let adopted = self.adopt(live, &kept, now)?;
        Ok(self.rotate(live, &kept, now)? || adopted)
    }

    fn adopt(&self, live: &Live, kept: &Texts, now: SystemTime) -> Result<bool, Error> {
        let Some(present) = live.authority() else { return Ok(false) };
        if first_of(kept).as_ref() == Some(present.certificate()) {
            return Ok(false);
        }
        let next = self.options.read(kept, now)?;
        // whoever is known by a root of before is believed until that ends
        let next = next.trusting(&present.bundle().without_expired(now));
        tracing::info!(target: SCOPE, "took over another root from {}; {} roots are trusted now", self.options.store.place(), next.bundle().roots().len());
        live.replace(next);
        Ok(true)
    }

    fn rotate(&self, live: &Live, kept: &Texts, now: SystemTime) -> Result<bool, Error> {
        let Some(authority) = live.authority() else { return Ok(false) };
        if !self.is_time_to_check(now) || !authority.wants_rotation(self.options.grace_percent, now) {
            return Ok(false);
        }
        let next = self.options.successor(&authority, now)?;
        // Stored before it is used: nothing is ever signed that a restart would not stand by.
        if !self.options.store.replace(kept, &Texts::of(&next))? {
            // another replica was faster: its root is taken over the next time
            return Ok(false);
        }
        tracing::info!(target: SCOPE, "rotated the self-signed root; {} roots are trusted now", next.bundle().roots().len());
        live.replace(next);
        Ok(true)
    }

    fn is_time_to_check(&self, now: SystemTime) -> bool {
        let Some(checks) = self.options.checks else { return false };
        let mut next = self.next_check.lock();
        // a clock that was set back must not put it off
        let early = now < *next && *next <= now + checks.every.max(checks.first);
        if !early {
            *next = now + checks.every;
        }
        !early
    }

    /// Reads the plugged-in files again and shows them in `live` if they are other ones. As
    /// pilot/pkg/bootstrap/istio_ca.go: handleEvent. False if nothing changed or the authority is our own.
    pub fn reload(&self, live: &Live, now: SystemTime) -> Result<bool, Error> {
        let mut present = self.plugged.lock();
        let (Some(old), Some(dir)) = (present.as_ref(), self.options.plugged.as_deref()) else {
            return Ok(false);
        };
        let Some(new) = self.options.read_plugged(dir)? else {
            let path = dir.to_path_buf();
            return Err(Error::File { path, source: io::Error::other("the plugged-in CA files are gone") });
        };
        if new == *old {
            return Ok(false);
        }
        let next = self.options.plug(dir, &new, now)?;
        if let Some(present) = live.authority() {
            self.check_roots(dir, present.bundle(), next.bundle())?;
        }
        tracing::info!(target: SCOPE, "plugged-in CA of {} reloaded", dir.display());
        let is_another = new.texts != old.texts;
        if is_another {
            live.replace(next);
        }
        self.revoked.send_if_modified(|crl| std::mem::replace(crl, new.crl.clone()) != new.crl);
        *present = Some(new);
        Ok(is_another)
    }

    fn check_roots(&self, dir: &Path, old: &Bundle, new: &Bundle) -> Result<(), Error> {
        let within = |a: &Bundle, b: &Bundle| a.roots().iter().all(|root| b.contains(root));
        let (grows, shrinks) = (within(old, new), within(new, old));
        if grows && shrinks {
            return Ok(());
        }
        if !self.options.multi_root {
            return Err(Error::Roots(
                dir.to_path_buf(),
                "Set ISTIO_MULTIROOT_MESH=true to change roots, first adding the new one to root-cert.pem",
            ));
        }
        if grows || shrinks {
            return Ok(());
        }
        let hint = "First add the new root to root-cert.pem, later remove the old one";
        Err(Error::Roots(dir.to_path_buf(), hint))
    }
}

/// The issuer `name` of service-account tokens for meshes without Kubernetes; its key is kept beside our own authority
/// (`issuer-key.pem`, readable by the owner only) and made if there is none.
pub fn token_issuer(own: &Path, name: &str) -> Result<Issuer, Error> {
    let path = own.join("issuer-key.pem");
    let unfit = |e: key::Error| {
        unusable(own, ISSUER_ADVICE)(authority::Error::Plugged(format!("issuer-key.pem: {e}")))
    };
    let key = match read(&path)?.map(SecretText::from) {
        Some(text) => PrivateKey::from_pem(&text).map_err(unfit)?,
        None => {
            let key = PrivateKey::generate(Kind::P256).map_err(unfit)?;
            let text = key.to_pkcs8_pem();
            write_atomic(&path, text.as_bytes(), PRIVATE).map_err(|source| Error::File { path, source })?;
            key
        }
    };
    Issuer::new(name, &key).map_err(unfit)
}

fn unusable<'a>(dir: &'a Path, advice: &'static str) -> impl Fn(authority::Error) -> Error + 'a {
    move |source| Error::Unusable { place: dir.display().to_string(), source, advice }
}

/// A file's text; `None` if there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { path: path.to_path_buf(), source }),
    }
}

/// A file's text, which must be there.
pub(super) fn required(path: &Path) -> Result<String, Error> {
    let missing = || io::Error::new(io::ErrorKind::NotFound, "the file is missing beside the others");
    read(path)?.ok_or_else(|| Error::File { path: path.to_path_buf(), source: missing() })
}

/// The certificates that sign for workloads: those of the chain file, as security/pkg/pki/util/keycertbundle.go: Verify has
/// it, and the one that signs.
fn signers(texts: &Texts) -> Vec<Certificate> {
    let chain = identity::cert::parse_chain(&texts.cert_chain).unwrap_or_default();
    let first = first_of(texts).filter(|first| !chain.contains(first));
    first.into_iter().chain(chain).collect()
}

/// The plugged-in files: `tls.crt`, `tls.key`, `ca.crt` if there is a `tls.crt`, else upstream's names; `None` if there is
/// neither certificate nor key. As pilot/pkg/bootstrap/istio_ca.go: detectSigningCABundleAndCRL.
fn read_texts(dir: &Path) -> Result<Option<Texts>, Error> {
    if let Some(ca_cert) = read(&dir.join("tls.crt"))? {
        let (ca_key, root_cert) = (required(&dir.join("tls.key"))?, required(&dir.join("ca.crt"))?);
        let cert_chain = ca_cert.clone();
        return Ok(Some(Texts { ca_cert, ca_key: ca_key.into(), root_cert, cert_chain }));
    }
    let names = ["ca-cert.pem", "ca-key.pem", "root-cert.pem"];
    if names.iter().all(|name| !dir.join(name).exists()) {
        return Ok(None);
    }
    Ok(Some(Texts {
        ca_cert: required(&dir.join(names[0]))?,
        ca_key: required(&dir.join(names[1]))?.into(),
        root_cert: required(&dir.join(names[2]))?,
        cert_chain: read(&dir.join("cert-chain.pem"))?.unwrap_or_default(),
    }))
}

/// The signing certificate, if it can be read.
fn first_of(kept: &Texts) -> Option<Certificate> {
    identity::cert::parse_chain(&kept.ca_cert).ok()?.into_iter().next()
}

/// The kept root, else a new one, which is kept.
fn open_own(options: &Options, now: SystemTime) -> Result<Authority, Error> {
    let store = &*options.store;
    let kept = match store.load()? {
        Some(kept) => kept,
        None => {
            let new = Authority::self_signed(&options.root, options.limits, now);
            let new = new.map_err(|source| options.unusable(source))?;
            if store.create(&Texts::of(&new))? {
                tracing::info!(target: SCOPE, "made a new self-signed root in {}", store.place());
                return Ok(new);
            }
            // another replica was faster: everybody goes on with its root
            let gone = || Error::Gone { place: store.place(), advice: store.advice() };
            store.load()?.ok_or_else(gone)?
        }
    };
    match options.read(&kept, now) {
        Ok(authority) => Ok(authority),
        Err(error) => renew(options, &kept, now, error),
    }
}

/// A root that ended while nothing was running gets its successor now, under the same key.
fn renew(options: &Options, kept: &Texts, now: SystemTime, error: Error) -> Result<Authority, Error> {
    let ended = first_of(kept).map(|root| root.not_after());
    let Some(ended) = ended.filter(|end| *end <= now) else { return Err(error) };
    let before = ended.checked_sub(Duration::from_secs(1)).unwrap_or(ended);
    let next = options.successor(&options.read(kept, before)?, now)?;
    if options.store.replace(kept, &Texts::of(&next))? {
        tracing::warn!(target: SCOPE, "the self-signed root in {} had expired and has been renewed", options.store.place());
        return Ok(next);
    }
    // another replica was faster
    match options.store.load()? {
        Some(kept) => options.read(&kept, now),
        None => Err(error),
    }
}
