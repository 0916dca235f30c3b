//! Authentication by a token of Kubernetes: the API server of the caller's cluster is asked whether it believes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use futures_util::future::BoxFuture;
use identity::spiffe::Id;
use identity::token;
use parking_lot::Mutex;
use process::metrics::Metrics;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use sources::kubernetes::Directory;

use super::{Authenticator, Caller, Peer, Reason, Source};
use crate::ca::TrustDomain;

mod answers;
mod queue;
mod review;
#[cfg(test)]
mod tests;

use answers::Answers;
use queue::Queue;
use review::{Account, Verdict};

/// A token that was believed is believed again without asking for this long, and no longer than it lives: a caller that
/// connects asks for a certificate, a stream or two, and again when its connection is spread to another replica.
pub const BELIEVED: Duration = Duration::from_secs(30);
/// A token that was refused is refused again without asking for this long: one that has just become good must not wait.
pub const REFUSED: Duration = Duration::from_secs(2);
/// An API server that has not answered by then is taken for one that is away.
pub const LIMIT: Duration = Duration::from_secs(10);

/// What stands for a token, the cluster it is of and the audiences it was asked about for.
type Key = [u8; 32];

/// Who reaches the API servers of clusters.
pub trait Reviewers: Send + Sync {
    /// A client of the cluster's API server that may create TokenReviews; `None` for a cluster that is not known.
    fn client(&self, cluster: &str) -> Option<kube::Client>;
    /// The clusters that are known, for messages.
    fn clusters(&self) -> Vec<String>;
}

impl Reviewers for Directory {
    fn client(&self, cluster: &str) -> Option<kube::Client> {
        Self::client(self, cluster)
    }

    fn clusters(&self) -> Vec<String> {
        let others = self.others().into_iter().map(|status| status.id.to_string());
        std::iter::once(self.own().to_string()).chain(others).collect()
    }
}

/// Our own cluster alone.
pub struct OwnCluster(pub Directory);

impl Reviewers for OwnCluster {
    fn client(&self, cluster: &str) -> Option<kube::Client> {
        self.0.client(cluster).filter(|_| *cluster == **self.0.own())
    }

    fn clusters(&self) -> Vec<String> {
        vec![self.0.own().to_string()]
    }
}

/// What tokens are asked about.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The cluster of callers that name none (`CLUSTER_ID`).
    pub own: String,
    /// Other names of clusters (`--clusterAliases`).
    pub aliases: BTreeMap<String, String>,
    /// A token must be for one of these (`TOKEN_AUDIENCES`); with none, for the API server itself.
    pub audiences: Vec<String>,
    /// A review that has no answer by then is given up.
    pub limit: Duration,
}

impl Rules {
    /// The audiences of a comma-separated list.
    #[must_use]
    pub fn audiences(list: &str) -> Vec<String> {
        list.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    /// The aliases of a comma-separated list of `alias=id`.
    ///
    /// # Errors
    /// An item that is not of this form.
    pub fn aliases(list: &str) -> Result<BTreeMap<String, String>, String> {
        let items = list.split(',').map(str::trim).filter(|item| !item.is_empty());
        items
            .map(|item| match item.split_once('=') {
                Some((alias, id)) if !alias.is_empty() && !id.is_empty() => {
                    Ok((alias.trim().to_owned(), id.trim().to_owned()))
                }
                _ => Err(item.to_owned()),
            })
            .collect()
    }
}

/// What is counted of reviews. Clones share their values.
#[derive(Debug, Clone, Default)]
pub struct ReviewCounters {
    reviews: Family<[(&'static str, &'static str); 1], Counter>,
    remembered: Counter,
}

impl ReviewCounters {
    /// The counters, shown by `metrics`. Once per process.
    #[must_use]
    pub fn register(metrics: &Metrics) -> Self {
        let new = Self::default();
        let help = "The number of tokens an API server was asked about, by what it said";
        metrics.register("citadel_server_token_review_count", help, new.reviews.clone());
        let help = "The number of tokens judged by what an API server said a moment before";
        metrics.register("citadel_server_token_review_cache_hit_count", help, new.remembered.clone());
        new
    }

    fn reviewed(&self, verdict: &Verdict) {
        let result = match verdict {
            Ok(_) => "believed",
            Err(Reason::Unproven(_)) => "refused",
            Err(Reason::Undecided(_)) => "failed",
        };
        self.reviews.get_or_create(&[("result", result)]).inc();
    }

    /// How many came to `result`.
    #[cfg(test)]
    fn count(&self, result: &'static str) -> u64 {
        self.reviews.get_or_create(&[("result", result)]).get()
    }
}

/// Believes what API servers believe. As security/pkg/server/ca/authenticate/kubeauth/kube_jwt.go, but what was said of a
/// token is remembered for a moment, a token is asked about once however many wait for the answer, and API servers that do
/// not answer are told from those that refuse.
pub struct KubernetesTokens {
    reviewers: Arc<dyn Reviewers>,
    rules: Rules,
    trust_domain: TrustDomain,
    counters: ReviewCounters,
    /// Under which tokens are remembered: who reads our memory finds none.
    secret: hmac::Key,
    answers: Arc<Mutex<Answers>>,
    queue: Queue,
}

impl fmt::Debug for KubernetesTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KubernetesTokens({:?})", self.rules)
    }
}

impl KubernetesTokens {
    /// Believes the API servers of `reviewers`.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn new(
        reviewers: Arc<dyn Reviewers>,
        rules: Rules,
        trust_domain: &TrustDomain,
        counters: ReviewCounters,
    ) -> Result<Self, Unspecified> {
        let secret = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())?;
        let (trust_domain, answers) = (trust_domain.clone(), Arc::default());
        let queue = Queue::new(rules.limit, counters.clone());
        Ok(Self { reviewers, rules, trust_domain, counters, secret, answers, queue })
    }

    /// The cluster a caller means, and its API server. As kube_jwt.go: getKubeClient.
    fn reviewer<'a>(&'a self, claimed: &'a str) -> Result<(&'a str, kube::Client), Reason> {
        let alias = self.rules.aliases.get(claimed).map(String::as_str);
        let own = self.rules.own.as_str();
        let asked = |id: &'a str| self.reviewers.client(id).map(|client| (id, client));
        let found = if claimed.is_empty() || claimed == own || alias == Some(own) {
            asked(own)
        } else {
            asked(claimed).or_else(|| alias.and_then(asked))
        };
        found.ok_or_else(|| {
            let claimed: String = claimed.chars().take(256).collect();
            let known = self.reviewers.clusters();
            Reason::Unproven(format!(
                "client claims to be in cluster {claimed:?}, but only {known:?} are known (own cluster: {own:?})"
            ))
        })
    }

    async fn check(&self, peer: &Peer, now: SystemTime) -> Result<Caller, Reason> {
        let missing = || Reason::Unproven("no bearer token in the authorization header".to_owned());
        let token = peer.bearer.as_deref().ok_or_else(missing)?;
        if token.len() > token::LARGEST {
            let text =
                format!("the token has {} bytes; at most {} are looked at", token.len(), token::LARGEST);
            return Err(Reason::Unproven(text));
        }
        let (cluster, client) = self.reviewer(peer.cluster.as_deref().unwrap_or_default())?;
        let key = self.key(cluster, token);
        let known = self.answers.lock().find(&key, now);
        let verdict = match known {
            Some(verdict) => {
                self.counters.remembered.inc();
                verdict
            }
            None => {
                let begin = || self.review(client, token.to_owned(), key, now);
                self.queue.join(cluster, key, begin).await
            }
        };
        let account = verdict.map_err(|reason| {
            let text = format!("failed to validate the JWT from cluster {cluster:?}: {reason}");
            match reason {
                Reason::Unproven(_) => Reason::Unproven(text),
                Reason::Undecided(_) => Reason::Undecided(text),
            }
        })?;
        self.caller(account)
    }

    /// Asks about a token and remembers the answer.
    fn review(
        &self,
        client: kube::Client,
        token: String,
        key: Key,
        now: SystemTime,
    ) -> impl Future<Output = Verdict> + Send + use<> {
        let (audiences, answers) = (self.rules.audiences.clone(), self.answers.clone());
        async move {
            let verdict = review::ask(&client, &token, &audiences).await;
            answers.lock().remember(key, &verdict, now, lifetime(&token, &verdict, now));
            verdict
        }
    }

    fn caller(&self, account: Account) -> Result<Caller, Reason> {
        let id = Id::new(&self.trust_domain.get(), &account.namespace, &account.name);
        let id = id.map_err(|error| Reason::Unproven(error.to_string()))?;
        Ok(Caller { identities: BTreeSet::from([id]), source: Source::Token, pod: account.pod })
    }

    fn key(&self, cluster: &str, token: &str) -> Key {
        let mut text = hmac::Context::with_key(&self.secret);
        let parts = [cluster, token].into_iter().chain(self.rules.audiences.iter().map(String::as_str));
        for part in parts {
            // lengths between the parts: what ends one must not begin the next
            text.update(&(part.len() as u64).to_be_bytes());
            text.update(part.as_bytes());
        }
        let mut key = Key::default();
        key.copy_from_slice(text.sign().as_ref());
        key
    }
}

/// How long what was said of a token at `now` is remembered; zero for not at all.
fn lifetime(token: &str, verdict: &Verdict, now: SystemTime) -> Duration {
    match verdict {
        Ok(_) => match token::unverified_expiry(token) {
            Ok(Some(end)) => end.duration_since(now).unwrap_or_default().min(BELIEVED),
            Ok(None) => BELIEVED,
            // its end cannot be known
            Err(_) => Duration::ZERO,
        },
        Err(Reason::Unproven(_)) => REFUSED,
        Err(Reason::Undecided(_)) => Duration::ZERO,
    }
}

impl Authenticator for KubernetesTokens {
    fn name(&self) -> &'static str {
        "KubeJWTAuthenticator"
    }

    fn authenticate<'a>(&'a self, peer: &'a Peer, now: SystemTime) -> BoxFuture<'a, Result<Caller, Reason>> {
        Box::pin(self.check(peer, now))
    }
}
