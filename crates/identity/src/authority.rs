//! The signing core of the certificate authority: an immutable value that turns proven keys into certificates.
//!
//! It decides nothing about *who* may have *which* name; its caller has authenticated somebody and passes their names.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use crate::bundle::Bundle;
use crate::cert::{self, Certificate, Usage, verify};
use crate::csr::PublicKey;
use crate::der::{self, oid};
use crate::key::{self, Kind, PrivateKey};

mod labels;
mod plugged;
#[cfg(test)]
mod tests;

pub use labels::PeerLabels;
pub use plugged::Parts;

/// A certificate is valid this long before it is made, for clocks that differ (as
/// security/pkg/pki/util/generate_cert.go: ClockSkewGracePeriod).
pub const CLOCK_SKEW: Duration = Duration::from_secs(120);

/// How long workload certificates live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// When nothing (or zero) is asked: `DEFAULT_WORKLOAD_CERT_TTL`.
    pub default_ttl: Duration,
    /// At most: `MAX_WORKLOAD_CERT_TTL`.
    pub max_ttl: Duration,
}

impl Default for Limits {
    /// A day, and ninety days, as upstream.
    fn default() -> Self {
        Self { default_ttl: Duration::from_secs(24 * 3600), max_ttl: Duration::from_secs(90 * 24 * 3600) }
    }
}

/// What a self-signed root looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelfSigned {
    /// The organization of its subject; upstream uses the trust domain.
    pub organization: String,
    /// Its key: `CITADEL_SELF_SIGNED_CA_RSA_KEY_SIZE`.
    pub key: Kind,
    /// Its life: `CITADEL_SELF_SIGNED_CA_CERT_TTL`.
    pub ttl: Duration,
}

impl SelfSigned {
    /// RSA 2048 and ten years, as upstream.
    #[must_use]
    pub fn of(organization: &str) -> Self {
        let ttl = Duration::from_secs(3650 * 24 * 3600);
        Self { organization: organization.to_string(), key: Kind::Rsa(2048), ttl }
    }
}

/// A name a certificate may carry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum San {
    /// A URI, in the mesh a SPIFFE identity.
    Uri(String),
    /// A host name.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

impl San {
    /// The DER GeneralNames of the names.
    pub(crate) fn names_der(sans: &[Self]) -> Vec<u8> {
        let names: Vec<u8> = sans
            .iter()
            .flat_map(|san| match san {
                Self::Uri(uri) => der::element(0x86, uri.as_bytes()),
                Self::Dns(dns) => der::element(0x82, dns.as_bytes()),
                Self::Ip(IpAddr::V4(ip)) => der::element(0x87, &ip.octets()),
                Self::Ip(IpAddr::V6(ip)) => der::element(0x87, &ip.octets()),
            })
            .collect();
        der::element(der::SEQUENCE, &names)
    }

    fn is_plain(&self) -> bool {
        match self {
            Self::Uri(text) | Self::Dns(text) => {
                !text.is_empty() && text.len() <= 2048 && text.chars().all(|c| c.is_ascii_graphic())
            }
            Self::Ip(_) => true,
        }
    }
}

/// What is to be signed. The names are those of somebody authenticated; the key is one they proved to hold.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The key of the certificate.
    pub key: &'a PublicKey,
    /// Its names; there must be one at least.
    pub sans: &'a [San],
    /// How long; `None` or zero for the default.
    pub ttl: Option<Duration>,
    /// What to tell TCP peers in the subject; `None` leaves the subject empty, as upstream.
    pub labels: Option<&'a PeerLabels>,
}

/// Why nothing is signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Longer than allowed.
    #[error("requested TTL {asked:?} is greater than the max allowed TTL {max:?}")]
    Ttl {
        /// What was asked.
        asked: Duration,
        /// What is allowed.
        max: Duration,
    },
    /// No name, or one that cannot stand in a certificate.
    #[error("cannot certify the name {0:?}")]
    Name(String),
    /// The authority itself is of no use any more.
    #[error("the signing certificate is not valid now: {0}")]
    NotReady(String),
    /// The files of a plugged-in authority do not fit together.
    #[error("{0}")]
    Plugged(String),
    /// The cryptographic library refused.
    #[error(transparent)]
    Key(#[from] key::Error),
    /// What was made cannot be read; never expected.
    #[error(transparent)]
    Certificate(#[from] cert::Error),
}

impl Error {
    /// The label upstream counts it under (`error` of `citadel_server_csr_sign_err_count`).
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Ttl { .. } => "TTL_ERROR",
            Self::NotReady(_) => "CA_NOT_READY",
            Self::Name(_) | Self::Key(_) | Self::Certificate(_) | Self::Plugged(_) => "CERT_GEN_ERROR",
        }
    }
}

/// A certificate authority at one moment of its life. Immutable; rotation gives a new one. Cheap to clone.
#[derive(Clone)]
pub struct Authority {
    signing: Certificate,
    key: Arc<PrivateKey>,
    /// From the signing certificate up to, but without, the root; empty if the signing certificate is the root.
    chain: Vec<Certificate>,
    bundle: Bundle,
    limits: Limits,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("signing", &self.signing).field("bundle", &self.bundle).finish()
    }
}

impl Authority {
    /// A new root with a new key, as security/pkg/pki/ca/ca.go: NewSelfSignedIstioCAOptions.
    pub fn self_signed(options: &SelfSigned, limits: Limits, now: SystemTime) -> Result<Self, Error> {
        let key = PrivateKey::generate(options.key)?;
        let root = root_of(&key, &options.organization, options.ttl, now)?;
        Ok(Self {
            bundle: Bundle::new([root.clone()]),
            signing: root,
            key: Arc::new(key),
            chain: Vec::new(),
            limits,
        })
    }

    /// The authority's next life: the *same key* under a new root certificate, so that what was signed before and after is
    /// believed by those who know either root (as selfsignedcarootcertrotator.go). Both roots are in its bundle, the new
    /// one first; roots that have expired at `now` are gone. Only for self-signed authorities.
    pub fn rotate(&self, options: &SelfSigned, now: SystemTime) -> Result<Self, Error> {
        if !self.is_self_signed() {
            return Err(Error::Plugged(
                "a plugged-in CA is rotated by replacing its files, not by this program".into(),
            ));
        }
        let root = root_of(&self.key, &options.organization, options.ttl, now)?;
        let old = self.bundle.without_expired(now);
        let mut next = self.clone();
        next.bundle = Bundle::new([root.clone()]).merged(&old);
        next.signing = root;
        Ok(next)
    }

    /// The same authority, trusting `roots` too. The first half of a move to a root with another key: everybody learns
    /// to believe the next root before anything is signed with it.
    #[must_use]
    pub fn trusting(&self, roots: &Bundle) -> Self {
        let mut next = self.clone();
        next.bundle = self.bundle.merged(roots);
        next
    }

    /// Whether a root should be rotated: less than `grace_percent` of its life is left at `now`, as
    /// security/pkg/util/certutil.go: GetWaitTime.
    #[must_use]
    pub fn wants_rotation(&self, grace_percent: u32, now: SystemTime) -> bool {
        let cert = &self.signing;
        let life = cert.not_after().duration_since(cert.not_before()).unwrap_or_default();
        let grace = life * grace_percent.min(100) / 100;
        cert.not_after().checked_sub(grace).is_none_or(|from| now >= from)
    }

    /// Whether the signing certificate is a root of this authority's own making.
    #[must_use]
    pub fn is_self_signed(&self) -> bool {
        self.chain.is_empty() && self.signing.is_self_issued()
    }

    /// Signs a workload or server certificate: empty subject (or peer labels), critical names, for clients and servers,
    /// from two minutes ago until its TTL or the signing certificate ends, whichever is first.
    /// As security/pkg/pki/util/generate_cert.go: genCertTemplateFromCSR.
    pub fn sign(&self, request: &Request<'_>, now: SystemTime) -> Result<Certificate, Error> {
        let ttl = request.ttl.filter(|ttl| !ttl.is_zero()).unwrap_or(self.limits.default_ttl);
        if request.ttl.is_some_and(|asked| asked > self.limits.max_ttl) {
            return Err(Error::Ttl { asked: ttl, max: self.limits.max_ttl });
        }
        self.sign_for(request, ttl, now)
    }

    fn sign_for(&self, request: &Request<'_>, ttl: Duration, now: SystemTime) -> Result<Certificate, Error> {
        if now >= self.signing.not_after() {
            return Err(Error::NotReady("it has expired".to_string()));
        }
        if request.sans.is_empty() {
            return Err(Error::Name(String::new()));
        }
        if let Some(bad) = request.sans.iter().find(|san| !san.is_plain()) {
            return Err(Error::Name(format!("{bad:?}").chars().take(300).collect()));
        }
        let units = request.labels.map(PeerLabels::units).unwrap_or_default();
        let subject: Vec<(&[u8], &str)> =
            units.iter().map(|u| (oid::ORGANIZATIONAL_UNIT, u.as_str())).collect();
        let not_after =
            now.checked_add(ttl).map_or(self.signing.not_after(), |t| t.min(self.signing.not_after()));
        let mut extensions = vec![
            // Bits digitalSignature and keyEncipherment.
            der::extension(oid::KEY_USAGE, true, &[der::BIT_STRING, 2, 5, 0xa0]),
            der::extension(
                oid::EXTENDED_KEY_USAGE,
                false,
                &der::sequence(&[oid::SERVER_AUTH, oid::CLIENT_AUTH]),
            ),
            der::extension(oid::BASIC_CONSTRAINTS, true, &der::sequence(&[])),
        ];
        if let Some(id) = self.signing.subject_key_id() {
            let content = der::sequence(&[&der::element(0x80, id)]);
            extensions.push(der::extension(oid::AUTHORITY_KEY_ID, false, &content));
        }
        extensions.push(der::extension(oid::SUBJECT_ALT_NAME, true, &San::names_der(request.sans)));
        let template = Template {
            issuer: self.signing.subject_der(),
            subject: &der::name(&subject),
            not_before: now.checked_sub(CLOCK_SKEW).unwrap_or(now),
            not_after,
            spki: request.key.spki_der(),
            extensions: &extensions,
        };
        template.signed_by(&self.key)
    }

    /// The signing certificate.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.signing
    }

    /// The secret of the authority; for whoever stores it.
    #[must_use]
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// What a peer needs between a leaf and a root; empty for a self-signed authority.
    #[must_use]
    pub fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    /// The roots to believe.
    #[must_use]
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// The TTLs it signs with.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }
}

/// A self-signed root for `key`: organization only, certificate signing only.
fn root_of(
    key: &PrivateKey,
    organization: &str,
    ttl: Duration,
    now: SystemTime,
) -> Result<Certificate, Error> {
    let subject = der::name(&[(oid::ORGANIZATION, organization)]);
    let id = &digest(&SHA256, key.spki_der()).as_ref()[..20].to_vec();
    let extensions = [
        // Bit keyCertSign.
        der::extension(oid::KEY_USAGE, true, &[der::BIT_STRING, 2, 2, 4]),
        der::extension(oid::BASIC_CONSTRAINTS, true, &der::sequence(&[&[1, 1, 0xff]])),
        der::extension(oid::SUBJECT_KEY_ID, false, &der::element(der::OCTET_STRING, id)),
    ];
    let template = Template {
        issuer: &subject,
        subject: &subject,
        not_before: now,
        not_after: now.checked_add(ttl).ok_or(Error::Ttl { asked: ttl, max: ttl })?,
        spki: key.spki_der(),
        extensions: &extensions,
    };
    template.signed_by(key)
}

/// The parts of a certificate that differ.
struct Template<'a> {
    issuer: &'a [u8],
    subject: &'a [u8],
    not_before: SystemTime,
    not_after: SystemTime,
    spki: &'a [u8],
    extensions: &'a [Vec<u8>],
}

impl Template<'_> {
    fn signed_by(&self, key: &PrivateKey) -> Result<Certificate, Error> {
        let mut serial = [0u8; 16];
        SystemRandom::new().fill(&mut serial).map_err(|_| key::Error::Library("draw a serial number"))?;
        let validity = der::sequence(&[&der::moment(self.not_before), &der::moment(self.not_after)]);
        let extensions = der::context(3, &der::element(der::SEQUENCE, &self.extensions.concat()));
        let to_sign = der::sequence(&[
            &der::context(0, &der::unsigned(&[2])),
            &der::unsigned(&serial),
            key.algorithm_der(),
            self.issuer,
            &validity,
            self.subject,
            self.spki,
            &extensions,
        ]);
        let signature = der::bit_string(&key.sign(&to_sign)?);
        let whole = der::sequence(&[&to_sign, key.algorithm_der(), &signature]);
        Ok(Certificate::from_der(whole.into())?)
    }
}

/// Signs a throw-away certificate and verifies it: the whole of key, chain, path length and roots is right, or it is not.
fn prove(authority: &Authority, now: SystemTime) -> Result<(), Error> {
    let probe = PublicKey::of(&PrivateKey::generate(Kind::P256)?);
    let sans = [San::Uri("spiffe://probe/ns/probe/sa/probe".to_string())];
    let request = Request { key: &probe, sans: &sans, ttl: None, labels: None };
    let leaf = authority.sign_for(&request, Duration::from_secs(60), now)?;
    let chain: Vec<Certificate> = std::iter::once(leaf).chain(authority.chain.iter().cloned()).collect();
    let refused = |e: cert::Error| Error::Plugged(format!("what this CA signs would not be trusted: {e}"));
    verify(&chain, &authority.bundle, Usage::Server, now).map_err(refused)
}
