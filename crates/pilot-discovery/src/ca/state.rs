//! Where the authority lives on disk: plugged-in files that an operator owns, or a directory of our own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use identity::authority::{self, Limits, Parts, SelfSigned};
use identity::key::{self, Kind, PrivateKey, SecretText};
use identity::token::Issuer;
use identity::{Authority, Bundle};
use parking_lot::Mutex;
use process::files::{PRIVATE, PUBLIC, write_atomic};

use super::live::Live;

#[cfg(test)]
mod tests;

/// The scope of the log lines.
const SCOPE: &str = "pkica";

/// Where the authority comes from and how it lives.
#[derive(Debug, Clone)]
pub struct Options {
    /// Our own directory: a self-signed root is stored there (`ca-key.pem` readable by the owner only).
    pub own: PathBuf,
    /// The directory of plugged-in files (`ROOT_CA_DIR`, upstream `./etc/cacerts`); used instead if it holds a key.
    pub plugged: Option<PathBuf>,
    /// What a self-signed root looks like.
    pub root: SelfSigned,
    /// How long certificates live.
    pub limits: Limits,
    /// `CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE`: a root is rotated when less of its life is left.
    pub grace_percent: u32,
    /// `ISTIO_MULTIROOT_MESH`: plugged-in roots may change, as long as the old set holds the new one or the reverse.
    pub multi_root: bool,
}

impl Options {
    /// Upstream's defaults, with the root stored in `own`.
    #[must_use]
    pub fn in_dir(own: &Path, trust_domain: &str) -> Self {
        Self {
            own: own.to_path_buf(),
            plugged: None,
            root: SelfSigned::of(trust_domain),
            limits: Limits::default(),
            grace_percent: 20,
            multi_root: false,
        }
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
    /// The files do not make an authority.
    #[error("certificate authority in {dir}: {source}. {hint}")]
    Unusable {
        /// Where.
        dir: PathBuf,
        /// Why.
        source: authority::Error,
        /// What to do.
        hint: &'static str,
    },
    /// The new plugged-in files would change the roots in a way that cuts workloads off.
    #[error("plugged-in CA files in {0} change the roots; the old authority goes on. {1}")]
    Roots(PathBuf, &'static str),
}

const OWN_HINT: &str = "Restore the files from a backup, or remove the directory to start with a new root (workloads must then be restarted)";
const PLUGGED_HINT: &str = "Correct the files of the plugged-in CA";

/// The texts of an authority's files.
#[derive(Clone, PartialEq, Eq)]
struct Texts {
    ca_cert: String,
    ca_key: SecretText,
    root_cert: String,
    cert_chain: String,
}

impl Texts {
    fn parts(&self) -> Parts<'_> {
        Parts {
            ca_cert: &self.ca_cert,
            ca_key: &self.ca_key,
            root_cert: &self.root_cert,
            cert_chain: &self.cert_chain,
        }
    }
}

/// The stored authority.
#[derive(Debug)]
pub struct State {
    options: Options,
    /// The plugged-in files as last used; `None` if the authority is our own.
    plugged: Mutex<Option<Plugged>>,
}

struct Plugged(Texts);

impl std::fmt::Debug for Plugged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Plugged(secret)")
    }
}

impl State {
    /// Loads the plugged-in authority if there is one, else our own, else makes a new root and stores it. Incomplete or
    /// damaged files are an error, never a reason to make a new root.
    pub fn open(options: Options, now: SystemTime) -> Result<(Self, Authority), Error> {
        let plugged = options.plugged.as_deref().map(read_plugged).transpose()?.flatten();
        let authority = match (&plugged, &options.plugged) {
            (Some(texts), Some(dir)) => {
                tracing::info!(target: SCOPE, "using the plugged-in CA of {}", dir.display());
                Authority::from_pem(&texts.parts(), options.limits, now)
                    .map_err(unusable(dir, PLUGGED_HINT))?
            }
            _ => open_own(&options, now)?,
        };
        Ok((Self { options, plugged: Mutex::new(plugged.map(Plugged)) }, authority))
    }

    /// Our own directory.
    #[must_use]
    pub fn own_dir(&self) -> &Path {
        &self.options.own
    }

    /// Rotates a self-signed root that nears its end, stores it and shows it in `live`. True if it did. As
    /// security/pkg/pki/ca/selfsignedcarootcertrotator.go.
    pub fn tick(&self, live: &Live, now: SystemTime) -> Result<bool, Error> {
        let plugged = self.plugged.lock();
        let authority = live.authority();
        if plugged.is_some() || !authority.wants_rotation(self.options.grace_percent, now) {
            return Ok(false);
        }
        let dir = &self.options.own;
        let next = authority.rotate(&self.options.root, now).map_err(unusable(dir, OWN_HINT))?;
        // Stored before it is used: nothing is ever signed that a restart would not stand by.
        store(dir, &next)?;
        tracing::info!(target: SCOPE, "rotated the self-signed root; {} roots are trusted now", next.bundle().roots().len());
        live.replace(next);
        Ok(true)
    }

    /// Reads the plugged-in files again and shows them in `live` if they are other ones. As
    /// pilot/pkg/bootstrap/istio_ca.go: handleEvent. False if nothing changed or the authority is our own.
    pub fn reload(&self, live: &Live, now: SystemTime) -> Result<bool, Error> {
        let mut present = self.plugged.lock();
        let (Some(old), Some(dir)) = (present.as_ref(), self.options.plugged.as_deref()) else {
            return Ok(false);
        };
        let Some(texts) = read_plugged(dir)? else {
            let path = dir.to_path_buf();
            return Err(Error::File { path, source: io::Error::other("the plugged-in CA files are gone") });
        };
        if texts == old.0 {
            return Ok(false);
        }
        let next = Authority::from_pem(&texts.parts(), self.options.limits, now)
            .map_err(unusable(dir, PLUGGED_HINT))?;
        self.check_roots(dir, live.authority().bundle(), next.bundle())?;
        tracing::info!(target: SCOPE, "plugged-in CA of {} reloaded", dir.display());
        live.replace(next);
        *present = Some(Plugged(texts));
        Ok(true)
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
    let unfit =
        |e: key::Error| unusable(own, OWN_HINT)(authority::Error::Plugged(format!("issuer-key.pem: {e}")));
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

fn unusable<'a>(dir: &'a Path, hint: &'static str) -> impl Fn(authority::Error) -> Error + 'a {
    move |source| Error::Unusable { dir: dir.to_path_buf(), source, hint }
}

/// A file's text; `None` if there is no such file.
fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { path: path.to_path_buf(), source }),
    }
}

fn required(path: &Path) -> Result<String, Error> {
    let missing = || io::Error::new(io::ErrorKind::NotFound, "the file is missing beside the others");
    read(path)?.ok_or_else(|| Error::File { path: path.to_path_buf(), source: missing() })
}

/// The plugged-in files: `tls.crt`, `tls.key`, `ca.crt` if there is a `tls.crt`, else upstream's names; `None` if there is
/// neither certificate nor key. As pilot/pkg/bootstrap/istio_ca.go: detectSigningCABundleAndCRL.
fn read_plugged(dir: &Path) -> Result<Option<Texts>, Error> {
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

fn open_own(options: &Options, now: SystemTime) -> Result<Authority, Error> {
    let dir = &options.own;
    // `ca-cert.pem` is written last: without it the others are what a process that died while making them left.
    let Some(ca_cert) = read(&dir.join("ca-cert.pem"))? else {
        let new =
            Authority::self_signed(&options.root, options.limits, now).map_err(unusable(dir, OWN_HINT))?;
        store(dir, &new)?;
        tracing::info!(target: SCOPE, "made a new self-signed root in {}", dir.display());
        return Ok(new);
    };
    let texts = Texts {
        ca_cert,
        ca_key: required(&dir.join("ca-key.pem"))?.into(),
        root_cert: required(&dir.join("root-cert.pem"))?,
        cert_chain: String::new(),
    };
    let loaded = Authority::from_pem(&texts.parts(), options.limits, now);
    let error = match loaded {
        Ok(authority) => return Ok(authority),
        Err(error) => error,
    };
    // A root that ended while nothing was running gets its successor now, under the same key.
    let ended = identity::cert::parse_chain(&texts.ca_cert)
        .ok()
        .and_then(|c| c.first().map(identity::Certificate::not_after));
    let Some(ended) = ended.filter(|end| *end <= now) else {
        return Err(unusable(dir, OWN_HINT)(error));
    };
    let before = ended.checked_sub(Duration::from_secs(1)).unwrap_or(ended);
    let next = Authority::from_pem(&texts.parts(), options.limits, before)
        .and_then(|old| old.rotate(&options.root, now))
        .map_err(unusable(dir, OWN_HINT))?;
    store(dir, &next)?;
    tracing::warn!(target: SCOPE, "the self-signed root in {} had expired and has been renewed", dir.display());
    Ok(next)
}

/// Stores the authority: the key first, the signing certificate last, each file in one step.
fn store(dir: &Path, authority: &Authority) -> Result<(), Error> {
    let put = |name: &str, text: &str, mode: u32| {
        let path = dir.join(name);
        write_atomic(&path, text.as_bytes(), mode).map_err(|source| Error::File { path, source })
    };
    put("ca-key.pem", &authority.key().to_pkcs8_pem(), PRIVATE)?;
    put("root-cert.pem", &authority.bundle().to_pem(), PUBLIC)?;
    put("ca-cert.pem", &authority.certificate().to_pem(), PUBLIC)
}
