//! The keys of a token issuer, fetched and kept fresh. What was fetched last stays until something newer can be read.

use std::sync::Arc;
use std::time::Duration;

use process::retry::Policy;
use serde::Deserialize;
use tokio::time::{Instant, sleep, sleep_until};

use super::authenticate::{JwtAuthenticator, KeySource};
use crate::fetch::{FetchError, Fetcher};

#[cfg(test)]
mod tests;

/// When keys are fetched.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Without being asked; issuers that replace keys show the new one some time before they sign with it.
    pub every: Duration,
    /// At the earliest after the last time, however many tokens with unknown keys come.
    pub gap: Duration,
    /// After a failure.
    pub retry: Policy,
}

impl Default for Pace {
    /// Every 20 minutes (as pilot/pkg/model/jwks_resolver.go), never twice within 10 seconds.
    fn default() -> Self {
        let max = Duration::from_secs(60);
        Self {
            every: Duration::from_secs(20 * 60),
            gap: Duration::from_secs(10),
            retry: Policy { max, ..Policy::default() },
        }
    }
}

/// Why there are no new keys.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A document could not be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A document is not what it should be.
    #[error("{url}: {reason}")]
    Document {
        /// Which.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// An issuer's OpenID configuration, as far as it concerns its keys.
#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

/// Keeps an authenticator's keys fresh for as long as it is polled; ends at once if they need not be fetched. Failures are
/// logged and tried again.
pub async fn keep(authenticator: Arc<JwtAuthenticator>, fetcher: Fetcher, pace: Pace) {
    let Some(source) = authenticator.key_source().cloned() else { return };
    let issuer = authenticator.issuer().to_owned();
    let mut delays = pace.retry.delays();
    loop {
        let begun = Instant::now();
        match refresh(&authenticator, &fetcher, &source).await {
            Ok(()) => {
                tracing::debug!(target: "serverca", "fetched the keys of token issuer {issuer}");
                delays.reset();
                tokio::select! {
                    () = sleep_until(begun + pace.every) => {}
                    () = authenticator.keys_wanted() => sleep_until(begun + pace.gap).await,
                }
            }
            Err(error) => {
                let again = delays.next().unwrap_or(pace.retry.max);
                let until = if authenticator.has_keys() {
                    "the old ones stay"
                } else {
                    "its tokens are not accepted yet"
                };
                tracing::warn!(target: "serverca", "cannot get the keys of token issuer {issuer} ({until}), again in {again:.1?}: {error}");
                sleep(again).await;
            }
        }
    }
}

async fn refresh(
    authenticator: &JwtAuthenticator,
    fetcher: &Fetcher,
    source: &KeySource,
) -> Result<(), Error> {
    let url = match source {
        KeySource::Jwks(url) => url.clone(),
        KeySource::Discovery { issuer } => discover(fetcher, issuer).await?,
    };
    let text = fetcher.get(&url).await?;
    let text = String::from_utf8_lossy(&text);
    authenticator.set_keys(&text).map_err(|error| Error::Document { url, reason: error.to_string() })
}

/// The place of the keys by the issuer's OpenID configuration, which must be the issuer's own (as go-oidc: NewProvider).
async fn discover(fetcher: &Fetcher, issuer: &str) -> Result<String, Error> {
    let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let text = fetcher.get(&url).await?;
    let read: Result<Configuration, _> = serde_json::from_slice(&text);
    let wrong = |reason: String| Error::Document { url: url.clone(), reason };
    let configuration = read.map_err(|error| wrong(error.to_string()))?;
    if configuration.issuer != issuer {
        return Err(wrong(format!("it is of issuer {:?}, not {issuer:?}", configuration.issuer)));
    }
    Ok(configuration.jwks_uri)
}
