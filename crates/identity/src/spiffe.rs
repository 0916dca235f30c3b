//! SPIFFE identities: `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

#[cfg(test)]
mod tests;

/// How every SPIFFE identity starts.
pub const PREFIX: &str = "spiffe://";

/// The identity of a workload. Its parts hold only letters, digits, `.`, `-`, `_`, so an identity that is written and read
/// again is the same identity, whoever supplied the parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    trust_domain: String,
    namespace: String,
    service_account: String,
}

/// Why a text is not an identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not of the form at all.
    #[error(
        "`{0}` is not an identity of the form spiffe://<trust domain>/ns/<namespace>/sa/<service account>"
    )]
    Form(String),
    /// A part is empty, too long, or holds a character that would change the meaning of the whole.
    #[error(
        "`{value}` cannot be the {part} of an identity: letters, digits, `.`, `-`, `_`, at most 253 of them"
    )]
    Part {
        /// Which part.
        part: &'static str,
        /// What it was.
        value: String,
    },
}

impl Id {
    /// Puts an identity together. An `@` in the trust domain becomes a dot (as pkg/spiffe/spiffe.go: sanitizeTrustDomain).
    pub fn new(trust_domain: &str, namespace: &str, service_account: &str) -> Result<Self, Error> {
        let trust_domain = trust_domain.replace('@', ".");
        check("trust domain", &trust_domain)?;
        check("namespace", namespace)?;
        check("service account", service_account)?;
        Ok(Self {
            trust_domain,
            namespace: namespace.to_string(),
            service_account: service_account.to_string(),
        })
    }

    /// Who vouches for it.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// The namespace of the workload.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The service account of the workload.
    #[must_use]
    pub fn service_account(&self) -> &str {
        &self.service_account
    }

    /// The same workload as another trust domain names it.
    pub fn in_trust_domain(&self, trust_domain: &str) -> Result<Self, Error> {
        Self::new(trust_domain, &self.namespace, &self.service_account)
    }
}

fn check(part: &'static str, value: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let fine = (1..=253).contains(&value.len()) && value.chars().all(plain) && value != "." && value != "..";
    if fine { Ok(()) } else { Err(Error::Part { part, value: value.chars().take(300).collect() }) }
}

impl FromStr for Id {
    type Err = Error;

    /// As pkg/spiffe/spiffe.go: ParseIdentity, but stricter about the characters of the parts.
    fn from_str(text: &str) -> Result<Self, Error> {
        let form = || Error::Form(text.chars().take(300).collect());
        let rest = text.strip_prefix(PREFIX).ok_or_else(form)?;
        let parts: Vec<&str> = rest.split('/').take(6).collect();
        let [trust_domain, "ns", namespace, "sa", service_account] = parts.as_slice() else {
            return Err(form());
        };
        if trust_domain.contains('@') {
            return Err(form());
        }
        Self::new(trust_domain, namespace, service_account)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}/ns/{}/sa/{}", self.trust_domain, self.namespace, self.service_account)
    }
}

/// The trust domain of any SPIFFE URI, whatever its path; `None` if it is not one.
#[must_use]
pub fn trust_domain_of(uri: &str) -> Option<&str> {
    let rest = uri.strip_prefix(PREFIX)?;
    let domain = rest.split('/').next()?;
    (!domain.is_empty()).then_some(domain)
}

/// The identities, and each of them under every alias of the trust domain. Texts that are not identities (DNS names,
/// other SPIFFE paths) stay as they are. As pkg/spiffe/spiffe.go: ExpandWithTrustDomains.
#[must_use]
pub fn expand<'a>(ids: impl IntoIterator<Item = &'a str>, aliases: &[String]) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for id in ids {
        out.insert(id.to_string());
        let Ok(parsed) = id.parse::<Id>() else { continue };
        out.extend(aliases.iter().filter_map(|a| parsed.in_trust_domain(a).ok()).map(|i| i.to_string()));
    }
    out
}
