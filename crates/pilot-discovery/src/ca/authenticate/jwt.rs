//! Authentication by a token of a known issuer: our own, or one named in `JWT_RULE`.

use std::collections::BTreeSet;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use futures_util::future::{BoxFuture, ready};
use identity::token::{Error, Issuer, KeyError, KeySet, Verifier, unverified_issuer};
use serde::Deserialize;
use tokio::sync::Notify;

use super::{Authenticator, Caller, Peer, Reason, Source};
use crate::ca::TrustDomain;

/// `JWT_RULE`: the JSON form of `istio.security.v1beta1.JWTRule`, as far as it concerns authentication to the control plane.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct JwtRule {
    /// The only accepted `iss`.
    pub issuer: String,
    /// A token must be for one of these; with none, no token is accepted.
    #[serde(default)]
    pub audiences: Vec<String>,
    /// Where the issuer's keys are.
    #[serde(default, rename = "jwksUri", alias = "jwks_uri", alias = "jwksURI")]
    pub jwks_uri: Option<String>,
    /// The issuer's keys themselves; used instead of `jwks_uri` if both are given.
    #[serde(default)]
    pub jwks: Option<String>,
}

/// Why a rule cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// Not JSON of the right form.
    #[error("JWT_RULE is not a JWT rule: {0}")]
    Form(String),
    /// Its keys cannot be read.
    #[error("JWT_RULE: jwks: {0}")]
    Keys(#[from] KeyError),
}

impl JwtRule {
    /// Reads the rule.
    pub fn parse(json: &str) -> Result<Self, RuleError> {
        let rule: Self = serde_json::from_str(json).map_err(|e| RuleError::Form(e.to_string()))?;
        if rule.issuer.is_empty() {
            return Err(RuleError::Form("it names no issuer".to_string()));
        }
        if rule.audiences.is_empty() {
            return Err(RuleError::Form("it names no audiences, so no token would be accepted".to_string()));
        }
        Ok(rule)
    }
}

/// Believes tokens of one issuer. Its keys may come later and change: somebody else fetches them.
#[derive(Debug)]
pub struct JwtAuthenticator {
    name: &'static str,
    verifier: Verifier,
    trust_domain: TrustDomain,
    keys: ArcSwapOption<KeySet>,
    source: Option<KeySource>,
    keys_wanted: Notify,
}

/// Where the keys of an issuer are to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A JWKS document.
    Jwks(String),
    /// The issuer's OpenID configuration, which names the JWKS document.
    Discovery {
        /// The issuer, as tokens name it.
        issuer: String,
    },
}

impl JwtAuthenticator {
    /// Believes the issuer of a rule. As security/pkg/server/ca/authenticate/oidc.go: NewJwtAuthenticator; without keys
    /// in the rule it believes nobody until [`JwtAuthenticator::set_keys`].
    pub fn of_rule(rule: &JwtRule, trust_domain: &TrustDomain) -> Result<Self, RuleError> {
        let keys = rule.jwks.as_deref().filter(|j| !j.is_empty()).map(KeySet::from_jwks).transpose()?;
        let verifier = Verifier { issuer: rule.issuer.clone(), audiences: rule.audiences.clone() };
        let source = keys.is_none().then(|| match rule.jwks_uri.clone().filter(|uri| !uri.is_empty()) {
            Some(uri) => KeySource::Jwks(uri),
            None => KeySource::Discovery { issuer: rule.issuer.clone() },
        });
        Ok(Self::with("IDTokenAuthenticator", verifier, trust_domain, keys, source))
    }

    /// Believes the issuer of this process, for `audiences` (`TOKEN_AUDIENCES`, by default `istio-ca`).
    pub fn of_issuer(
        issuer: &Issuer,
        audiences: Vec<String>,
        trust_domain: &TrustDomain,
    ) -> Result<Self, KeyError> {
        let verifier = Verifier { issuer: issuer.name().to_string(), audiences };
        Ok(Self::with("LocalTokenAuthenticator", verifier, trust_domain, Some(issuer.key_set()?), None))
    }

    fn with(
        name: &'static str,
        verifier: Verifier,
        trust_domain: &TrustDomain,
        keys: Option<KeySet>,
        source: Option<KeySource>,
    ) -> Self {
        let keys = ArcSwapOption::from_pointee(keys);
        let trust_domain = trust_domain.clone();
        Self { name, verifier, trust_domain, keys, source, keys_wanted: Notify::new() }
    }

    /// Where its keys are to be fetched from; `None` if the rule has them.
    #[must_use]
    pub fn key_source(&self) -> Option<&KeySource> {
        self.source.as_ref()
    }

    /// Whether it knows any keys.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        self.keys.load().is_some()
    }

    /// The issuer it believes.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.verifier.issuer
    }

    /// Ends when a token came that the present keys do not know: they are missing or stale. The fetcher should wait for
    /// this, no more often than it wants to fetch.
    pub async fn keys_wanted(&self) {
        self.keys_wanted.notified().await;
    }

    /// Believes the keys of this JWKS document from now on; if it cannot be read the old ones stay.
    pub fn set_keys(&self, jwks: &str) -> Result<(), KeyError> {
        self.keys.store(Some(std::sync::Arc::new(KeySet::from_jwks(jwks)?)));
        Ok(())
    }

    fn check(&self, peer: &Peer, now: SystemTime) -> Result<Caller, String> {
        let token = peer.bearer.as_deref().ok_or("no bearer token in the authorization header")?;
        let found = unverified_issuer(token).unwrap_or_default();
        if found != self.verifier.issuer {
            // Before the keys are looked at, so that a stranger's token does not make us fetch any.
            return Err(Error::Issuer { found, wanted: self.verifier.issuer.clone() }.to_string());
        }
        let Some(keys) = self.keys.load_full() else {
            self.keys_wanted.notify_one();
            return Err("the issuer's keys are not known yet; try again".to_string());
        };
        let claims = self.verifier.verify(token, &keys, now).map_err(|e| {
            // keys without ids may have been replaced, too
            if matches!(e, Error::UnknownKey(_) | Error::Signature) {
                self.keys_wanted.notify_one();
            }
            e.to_string()
        })?;
        let id = claims.identity(&self.trust_domain.get()).map_err(|e| e.to_string())?;
        Ok(Caller { identities: BTreeSet::from([id]), source: Source::Token, pod: claims.pod })
    }
}

impl Authenticator for JwtAuthenticator {
    fn name(&self) -> &'static str {
        self.name
    }

    fn authenticate<'a>(&'a self, peer: &'a Peer, now: SystemTime) -> BoxFuture<'a, Result<Caller, Reason>> {
        Box::pin(ready(self.check(peer, now).map_err(Reason::Unproven)))
    }
}
