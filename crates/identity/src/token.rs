//! Tokens: JWTs of service accounts, verified at a given moment, and minted where there is no Kubernetes to do it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Validation, decode};
use serde_json::Value;

use crate::spiffe;

mod keys;
mod mint;
#[cfg(test)]
mod tests;

pub use keys::{KeyError, KeySet};
pub use mint::Issuer;

/// Bytes of a token that are looked at.
pub const LARGEST: usize = 16 * 1024;
/// How far the issuer's clock may be ahead of ours (as go-oidc, which upstream uses).
pub const NOT_BEFORE_LEEWAY: Duration = Duration::from_secs(300);
/// The subject prefix of service accounts.
const ACCOUNT: &str = "system:serviceaccount:";

/// Why a token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a JWT that is understood here.
    #[error("not a usable JWT: {0}")]
    Malformed(String),
    /// Signed with an algorithm that is not accepted (`none` and the symmetric ones never are).
    #[error("the token's algorithm `{0}` is not accepted (want RS, PS or ES)")]
    Algorithm(String),
    /// No key of the issuer has the token's key id; the key set may be stale.
    #[error("the issuer has no key `{0}`")]
    UnknownKey(String),
    /// Not signed by the issuer.
    #[error("the token's signature is not the issuer's")]
    Signature,
    /// From somebody else.
    #[error("the token's issuer is `{found}`, not `{wanted}`")]
    Issuer {
        /// In the token.
        found: String,
        /// Configured.
        wanted: String,
    },
    /// For somebody else.
    #[error("the token is for {found:?}, not for any of {wanted:?}")]
    Audience {
        /// In the token.
        found: Vec<String>,
        /// Configured.
        wanted: Vec<String>,
    },
    /// Over.
    #[error("the token has expired")]
    Expired,
    /// Not yet.
    #[error("the token is not valid yet")]
    NotYet,
    /// Not about a service account.
    #[error("the token's subject `{0}` is not a service account")]
    Subject(String),
}

/// The pod a token is bound to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The node it runs on, if the token says so.
    pub node: Option<String>,
}

/// What a verified token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Who issued it.
    pub issuer: String,
    /// For whom it is.
    pub audiences: Vec<String>,
    /// The namespace of the service account.
    pub namespace: String,
    /// The service account.
    pub service_account: String,
    /// Until when.
    pub expires: SystemTime,
    /// The pod it is bound to, if any.
    pub pod: Option<Pod>,
}

impl Claims {
    /// The identity of the account in a trust domain.
    pub fn identity(&self, trust_domain: &str) -> Result<spiffe::Id, spiffe::Error> {
        spiffe::Id::new(trust_domain, &self.namespace, &self.service_account)
    }
}

/// Whose tokens are accepted, and for which audiences.
#[derive(Debug, Clone)]
pub struct Verifier {
    /// The only accepted `iss`.
    pub issuer: String,
    /// A token must name one of these in `aud`; with none configured no token is accepted.
    pub audiences: Vec<String>,
}

impl Verifier {
    /// Verifies signature, issuer, audience and time, and reads the service account. As
    /// security/pkg/server/ca/authenticate/oidc.go, stricter about the subject.
    pub fn verify(&self, token: &str, keys: &KeySet, now: SystemTime) -> Result<Claims, Error> {
        let payload = signed_payload(token, keys)?;
        let issuer = text(&payload, "iss");
        if issuer != self.issuer {
            return Err(Error::Issuer { found: issuer, wanted: self.issuer.clone() });
        }
        let audiences = audiences(&payload);
        if !audiences.iter().any(|a| self.audiences.contains(a)) {
            return Err(Error::Audience { found: audiences, wanted: self.audiences.clone() });
        }
        let expires = time(&payload, "exp")?.ok_or(Error::Malformed("it never expires (no exp)".into()))?;
        if now >= expires {
            return Err(Error::Expired);
        }
        if time(&payload, "nbf")?.is_some_and(|nbf| now + NOT_BEFORE_LEEWAY < nbf) {
            return Err(Error::NotYet);
        }
        let (namespace, service_account) = account(&payload)?;
        Ok(Claims { issuer, audiences, namespace, service_account, expires, pod: pod(&payload) })
    }
}

/// The `iss` of a token nobody has verified; only good for choosing who shall verify it.
#[must_use]
pub fn unverified_issuer(token: &str) -> Option<String> {
    unverified_payload(token).ok()?.get("iss")?.as_str().map(str::to_string)
}

/// The end of a token that nobody here has verified, `None` if it has none; good for forgetting in time what somebody
/// else said of it.
pub fn unverified_expiry(token: &str) -> Result<Option<SystemTime>, Error> {
    time(&unverified_payload(token)?, "exp")
}

fn unverified_payload(token: &str) -> Result<BTreeMap<String, Value>, Error> {
    check_size(token)?;
    jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|e| Error::Malformed(e.to_string()))
}

fn check_size(token: &str) -> Result<(), Error> {
    if token.len() > LARGEST {
        return Err(Error::Malformed(format!("{} bytes; at most {LARGEST} are read", token.len())));
    }
    Ok(())
}

/// Namespace and name of the service account that a user name (`system:serviceaccount:<namespace>:<name>`) is of; they
/// are fit for an identity.
pub fn service_account(user: &str) -> Result<(String, String), Error> {
    let bad = || Error::Subject(user.chars().take(300).collect());
    let rest = user.strip_prefix(ACCOUNT).ok_or_else(bad)?;
    let (namespace, name) = rest.split_once(':').ok_or_else(bad)?;
    spiffe::Id::new("trust.domain", namespace, name).map_err(|_| bad())?;
    Ok((namespace.to_string(), name.to_string()))
}

/// The payload, once one of the keys has been found to have signed it.
fn signed_payload(token: &str, keys: &KeySet) -> Result<BTreeMap<String, Value>, Error> {
    check_size(token)?;
    let header = keys::header(token)?;
    let candidates = keys.candidates(header.key_id.as_deref());
    if candidates.is_empty() {
        return Err(Error::UnknownKey(header.key_id.unwrap_or_default()));
    }
    for key in candidates {
        if !key.algorithms.contains(&header.algorithm) {
            continue;
        }
        let mut validation = Validation::new(header.algorithm);
        // Times and names are checked by the caller against its own `now`.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        if let Ok(data) = decode::<BTreeMap<String, Value>>(token, &key.decoding, &validation) {
            return Ok(data.claims);
        }
    }
    Err(Error::Signature)
}

fn text(payload: &BTreeMap<String, Value>, claim: &str) -> String {
    payload.get(claim).and_then(Value::as_str).unwrap_or_default().to_string()
}

/// `aud` is a text or a list of texts.
fn audiences(payload: &BTreeMap<String, Value>) -> Vec<String> {
    match payload.get("aud") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).map(str::to_string).collect(),
        _ => Vec::new(),
    }
}

/// A moment in seconds since 1970; present but unreadable is an error, never "no limit".
fn time(payload: &BTreeMap<String, Value>, claim: &str) -> Result<Option<SystemTime>, Error> {
    let Some(value) = payload.get(claim) else {
        return Ok(None);
    };
    let seconds = value.as_u64().or_else(|| value.as_f64().filter(|f| *f >= 0.0).map(|f| f as u64));
    let at = seconds.and_then(|s| UNIX_EPOCH.checked_add(Duration::from_secs(s)));
    at.map(Some).ok_or_else(|| Error::Malformed(format!("`{claim}` is not a time")))
}

/// The service account of the subject, which must not contradict the claims Kubernetes adds.
fn account(payload: &BTreeMap<String, Value>) -> Result<(String, String), Error> {
    let subject = text(payload, "sub");
    let (namespace, name) = service_account(&subject)?;
    if let Some(kubernetes) = payload.get("kubernetes.io") {
        let says = |pointer: &str| kubernetes.pointer(pointer).and_then(Value::as_str);
        let contradicts = says("/namespace").is_some_and(|n| n != namespace)
            || says("/serviceaccount/name").is_some_and(|n| n != name);
        if contradicts {
            return Err(Error::Subject(subject.chars().take(300).collect()));
        }
    }
    Ok((namespace, name))
}

fn pod(payload: &BTreeMap<String, Value>) -> Option<Pod> {
    let kubernetes = payload.get("kubernetes.io")?;
    let says = |pointer: &str| kubernetes.pointer(pointer).and_then(Value::as_str).map(str::to_string);
    Some(Pod { name: says("/pod/name")?, uid: says("/pod/uid")?, node: says("/node/name") })
}
