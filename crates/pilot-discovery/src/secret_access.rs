//! Whose proxies are served the Secrets of their namespace: the API server of a proxy's cluster is asked whether its service
//! account may list them, and asked again as long as a proxy of the account is connected that wants one. As
//! pilot/pkg/credentials/kube/secrets.go: Authorize, where the answer is waited for; here a proxy is woken by it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use kube::api::{Api, PostParams};
use parking_lot::Mutex;
use process::metrics::Metrics;
use process::retry::Policy;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::ca::authenticate::Reviewers;

#[cfg(test)]
mod tests;

/// How long an answer counts before it is asked for again.
pub const PACE: Duration = Duration::from_secs(60);
/// An API server that has not answered by then is taken for one that is away.
const LIMIT: Duration = Duration::from_secs(10);
/// Reviews under way at once, of all clusters.
const AT_ONCE: usize = 16;

/// A service account of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Account {
    /// The cluster, by the id its proxies have.
    pub cluster: Arc<str>,
    /// Its namespace, whose Secrets it is about.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "service account {}/{} of cluster {}", self.namespace, self.name, self.cluster)
    }
}

/// Told of each account whose right is another one now.
pub type Changed = Box<dyn Fn(&Account) + Send + Sync>;

/// Who asks API servers.
pub struct SecretAccess(Arc<Inner>);

struct Inner {
    reviewers: Arc<dyn Reviewers>,
    /// Other names of clusters (`--clusterAliases`).
    aliases: BTreeMap<String, String>,
    pace: Duration,
    reviews: Family<[(&'static str, &'static str); 1], Counter>,
    permits: Semaphore,
    rights: Mutex<HashMap<Account, Weak<Right>>>,
    changed: Changed,
    runtime: Handle,
}

impl fmt::Debug for SecretAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretAccess({:?})", self.0.reviewers.clusters())
    }
}

/// What an account may; followed as long as somebody has this.
#[derive(Debug)]
pub struct Right {
    allowed: Arc<AtomicBool>,
    task: AbortHandle,
}

impl Right {
    /// Whether Secrets may be served: no as long as nobody has said yes.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.allowed.load(Ordering::SeqCst)
    }
}

impl Drop for Right {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SecretAccess {
    /// Asks the API servers of `reviewers` every `pace`, on this thread's runtime, and tells `changed`. Once per process,
    /// for what `metrics` shows.
    #[must_use]
    pub fn new(
        reviewers: Arc<dyn Reviewers>,
        aliases: BTreeMap<String, String>,
        pace: Duration,
        metrics: &Metrics,
        changed: Changed,
    ) -> Self {
        let reviews = Family::<[(&'static str, &'static str); 1], Counter>::default();
        let help = "The number of access reviews for the Secrets of proxies, by what the API server said";
        metrics.register("pilot_sds_access_review_count", help, reviews.clone());
        let (permits, runtime) = (Semaphore::new(AT_ONCE), Handle::current());
        let rights = Mutex::default();
        Self(Arc::new(Inner { reviewers, aliases, pace, reviews, permits, rights, changed, runtime }))
    }

    /// The right of an account: that of all who ask for it, first asked about now if nobody has it yet.
    #[must_use]
    pub fn right_of(&self, account: &Account) -> Arc<Right> {
        let mut rights = self.0.rights.lock();
        if let Some(right) = rights.get(account).and_then(Weak::upgrade) {
            return right;
        }
        // at most one entry stays for each account that is connected, and as many again
        if rights.len() > 64 && rights.len().is_power_of_two() {
            rights.retain(|_, right| right.strong_count() > 0);
        }
        let allowed = Arc::new(AtomicBool::new(false));
        let task = self.0.runtime.spawn(self.0.clone().follow(account.clone(), allowed.clone()));
        let right = Arc::new(Right { allowed, task: task.abort_handle() });
        rights.insert(account.clone(), Arc::downgrade(&right));
        right
    }
}

impl Inner {
    /// Asks again and again, until the task is aborted. What was answered last stands while nobody answers.
    async fn follow(self: Arc<Self>, account: Account, allowed: Arc<AtomicBool>) {
        let retries = Policy { max: self.pace, ..Policy::default() };
        let mut delays = retries.delays();
        let mut refused = None;
        loop {
            let answer = self.review(&account).await;
            self.count(&answer);
            let pause = match answer {
                Ok(verdict) => {
                    delays.reset();
                    let given = verdict.is_ok();
                    let why = verdict.err();
                    if why.is_some() && why != refused {
                        let why = why.as_deref().unwrap_or_default();
                        tracing::warn!(target: "ads", "{account} is not served Secrets: {why}");
                    }
                    refused = why;
                    if allowed.swap(given, Ordering::SeqCst) != given {
                        (self.changed)(&account);
                    }
                    self.pace
                }
                Err(why) => {
                    tracing::warn!(target: "ads", "whether {account} may list Secrets is not known: {why}");
                    delays.next().unwrap_or(self.pace)
                }
            };
            sleep(pause).await;
        }
    }

    fn count(&self, answer: &Answer) {
        let result = match answer {
            Ok(Ok(())) => "allowed",
            Ok(Err(_)) => "denied",
            Err(_) => "failed",
        };
        self.reviews.get_or_create(&[("result", result)]).inc();
    }

    async fn review(&self, account: &Account) -> Answer {
        let alias = self.aliases.get(&*account.cluster);
        let client = self.reviewers.client(&account.cluster);
        let Some(client) = client.or_else(|| self.reviewers.client(alias?)) else {
            let known = self.reviewers.clusters();
            return Ok(Err(format!("its cluster is none of {known:?}")));
        };
        let _permit = self.permits.acquire().await.map_err(|error| error.to_string())?;
        match timeout(LIMIT, ask(client, account)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("the API server did not answer within {LIMIT:?}")),
        }
    }
}

/// The right, or why there is none; or why neither can be said.
type Answer = Result<Result<(), String>, String>;

async fn ask(client: kube::Client, account: &Account) -> Answer {
    let wanted = ResourceAttributes {
        namespace: Some(account.namespace.to_string()),
        verb: Some("list".to_owned()),
        resource: Some("secrets".to_owned()),
        ..ResourceAttributes::default()
    };
    let user = format!("system:serviceaccount:{}:{}", account.namespace, account.name);
    let spec = SubjectAccessReviewSpec {
        resource_attributes: Some(wanted),
        user: Some(user),
        ..SubjectAccessReviewSpec::default()
    };
    let asked = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let reviews: Api<SubjectAccessReview> = Api::all(client);
    match reviews.create(&PostParams::default(), &asked).await {
        Ok(answer) => Ok(read(&answer.status.unwrap_or_default())),
        Err(kube::Error::Api(status)) if matches!(status.code, 401 | 403) => Err(format!(
            "the API server does not let this control plane create SubjectAccessReviews ({}); give its service account \
             the ClusterRole system:auth-delegator or one with that right",
            status.message
        )),
        Err(error) => Err(error.to_string()),
    }
}

fn read(status: &SubjectAccessReviewStatus) -> Result<(), String> {
    if status.allowed {
        return Ok(());
    }
    let reason = status.reason.as_deref().filter(|reason| !reason.is_empty());
    let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
    Err(format!("it may not list secrets in its namespace{reason}; give it a Role with that right"))
}
