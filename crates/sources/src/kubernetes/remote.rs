//! Secrets that name other clusters: which there are, and how each is reached.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::{Kind, Problem, Severity};
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::Api;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher::Event;
use tokio::sync::mpsc;

use super::pace::Pace;
use super::{connect, watch};
use crate::verdict::{Regarded, Ruling, Verdict};

/// The label of a Secret whose entries are kubeconfigs of other clusters.
pub const LABEL: &str = "istio/multiCluster=true";

/// How another cluster is reached, as one entry of a Secret or a file says.
#[derive(Clone)]
pub(crate) struct Remote {
    /// `namespace/name` of the Secret, or the path of the file.
    pub(crate) secret: Arc<str>,
    /// What that is. Another Secret that says the same is no change.
    pub(crate) origin: Origin,
    /// The kubeconfig.
    pub(crate) kubeconfig: Arc<[u8]>,
}

/// Where it is said how another cluster is reached.
#[derive(Clone)]
pub(crate) enum Origin {
    /// In a Secret of our own cluster, with this unique id.
    Secret(Arc<str>),
    /// In a Secret elsewhere, which nobody writes to.
    SecretElsewhere,
    /// In a file.
    File,
}

impl PartialEq for Remote {
    fn eq(&self, other: &Self) -> bool {
        (&self.secret, &self.kubeconfig) == (&other.secret, &other.kubeconfig)
    }
}

impl Remote {
    /// What became of the Secret, for cluster `id`, without `trouble` if it can be read; nobody can be told of what
    /// stands elsewhere.
    pub(crate) fn verdict(&self, id: &str, trouble: Option<(String, bool)>) -> Option<Verdict> {
        let (namespace, name) = self.secret.split_once('/').unwrap_or(("", &self.secret));
        let Origin::Secret(uid) = &self.origin else { return None };
        let uid = uid.to_string();
        let object = Regarded { kind: Kind::Secret, namespace: namespace.into(), name: name.into(), uid };
        let ruling = match trouble {
            Some((_, kept)) => Ruling::Refused { kept },
            None => Ruling::Accepted,
        };
        let told = |(text, _)| Problem::new(Severity::Error, "", format!("cluster {id}: {text}"));
        let problems = trouble.map(told).into_iter().collect();
        Some(Verdict { part: id.to_owned(), problems, ..Verdict::new(object, ruling) })
    }
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl std::fmt::Display for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let named_by = if matches!(self.origin, Origin::File) { "kubeconfig" } else { "Secret" };
        write!(f, "{named_by} {}", self.secret)
    }
}

/// All clusters that Secrets name. Key: cluster id.
pub(crate) type Remotes = BTreeMap<Arc<str>, Remote>;

/// Follows the Secrets of a namespace and tells all clusters that are named whenever that has changed; for the first time
/// when the list is complete. They are Secrets of the cluster `own`, unless they are `elsewhere`.
pub(crate) async fn follow<T>(
    client: Client,
    elsewhere: bool,
    namespace: String,
    own: Arc<str>,
    tell: mpsc::Sender<T>,
    wrap: impl Fn(Remotes) -> T,
) {
    let secrets: Api<Secret> = Api::namespaced(client, &namespace);
    let mut config = watch::config(false);
    config.label_selector = Some(LABEL.to_owned());
    let mut events = std::pin::pin!(watch::events(secrets, config));
    let mut seen: BTreeMap<String, Secret> = BTreeMap::new();
    let mut complete = false;
    let mut told = None;
    while let Some(event) = events.next().await {
        let named = |secret: Secret| (secret.metadata.name.clone().unwrap_or_default(), secret);
        match event {
            Ok(Event::Init) => {
                complete = false;
                seen.clear();
            }
            Ok(Event::InitApply(secret) | Event::Apply(secret)) => seen.extend([named(secret)]),
            Ok(Event::Delete(secret)) => drop(seen.remove(&named(secret).0)),
            Ok(Event::InitDone) => complete = true,
            Err(error) => {
                tracing::warn!(target: "kube", "Secrets of other clusters in {namespace}: {error}; trying again");
            }
        }
        if !complete {
            continue;
        }
        let all = remotes(&namespace, &own, elsewhere, &seen);
        if told.as_ref() != Some(&all) {
            told = Some(all.clone());
            if tell.send(wrap(all)).await.is_err() {
                return;
            }
        }
    }
}

/// The clusters that these Secrets name; of two with one id that of the Secret which is the first by name. Our own cluster is
/// not another one.
fn remotes(namespace: &str, own: &Arc<str>, elsewhere: bool, secrets: &BTreeMap<String, Secret>) -> Remotes {
    let mut all = Remotes::new();
    for (name, secret) in secrets {
        let from: Arc<str> = format!("{namespace}/{name}").into();
        for (cluster, kubeconfig) in secret.data.iter().flatten() {
            if **cluster == **own {
                tracing::info!(target: "kube", "Secret {from}: {cluster} is the cluster this control plane reads already; it is left out");
                continue;
            }
            let uid = secret.metadata.uid.as_deref().unwrap_or_default();
            let origin = if elsewhere { Origin::SecretElsewhere } else { Origin::Secret(uid.into()) };
            let remote = Remote { secret: from.clone(), origin, kubeconfig: kubeconfig.0.as_slice().into() };
            if let Some(first) = all.get(cluster.as_str()) {
                tracing::warn!(target: "kube", "Secret {from}: cluster {cluster} is named by Secret {} already; that one is used", first.secret);
                continue;
            }
            all.insert(cluster.as_str().into(), remote);
        }
    }
    all
}

/// Why a kubeconfig is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It is none.
    #[error("it is not a kubeconfig: {0}")]
    Form(String),
    /// It names programs or files of this machine; whoever may write a Secret could so run or read them here.
    #[error(
        "its user {user} has {what}, which is not allowed; PILOT_INSECURE_MULTICLUSTER_KUBECONFIG_OPTIONS={option} allows it"
    )]
    Unsafe {
        /// Of the kubeconfig.
        user: String,
        /// What it has.
        what: &'static str,
        /// The word that allows it.
        option: String,
    },
    /// No client can be made of it.
    #[error("{0}")]
    Client(String),
}

/// A client of another cluster. `allowed` are the words of PILOT_INSECURE_MULTICLUSTER_KUBECONFIG_OPTIONS. As
/// pkg/kube/util.go: NewUntrustedRestConfig.
///
/// # Errors
/// Why there is none.
pub(crate) async fn client(kubeconfig: &[u8], allowed: &str, pace: Pace) -> Result<Client, Unusable> {
    let text = std::str::from_utf8(kubeconfig).map_err(|e| Unusable::Form(e.to_string()))?;
    // the parser's own words may cite what it read, which are credentials
    let kubeconfig = Kubeconfig::from_yaml(text)
        .map_err(|_| Unusable::Form("its YAML cannot be read, or has another form".to_owned()))?;
    check(&kubeconfig, allowed)?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let config = config.map_err(|e| Unusable::Form(e.to_string()))?;
    connect::client(config, pace).map_err(|e| Unusable::Client(e.to_string()))
}

fn check(kubeconfig: &Kubeconfig, allowed: &str) -> Result<(), Unusable> {
    let allows = |option: &str| allowed.split(',').any(|word| word.trim() == option);
    for named in &kubeconfig.auth_infos {
        let Some(user) = &named.auth_info else { continue };
        for (option, what) in unsafe_parts(user) {
            if !allows(&option) {
                return Err(Unusable::Unsafe { user: named.name.clone(), what, option });
            }
        }
    }
    for named in &kubeconfig.clusters {
        let file = named.cluster.as_ref().and_then(|cluster| cluster.certificate_authority.as_ref());
        if file.is_some() && !allows("certificateAuthority") {
            let (user, option) = (named.name.clone(), "certificateAuthority".to_owned());
            return Err(Unusable::Unsafe { user, what: "a file with certificates", option });
        }
    }
    Ok(())
}

/// What of a user runs or reads something here, with the word that allows it.
fn unsafe_parts(user: &AuthInfo) -> Vec<(String, &'static str)> {
    let mut parts = Vec::new();
    let mut part = |there: bool, option: &str, what| {
        if there {
            parts.push((option.to_owned(), what));
        }
    };
    part(user.exec.is_some(), "exec", "a program to run");
    part(user.token_file.is_some(), "tokenFile", "a file with a token");
    part(user.client_certificate.is_some(), "clientCertificate", "a file with a certificate");
    part(user.client_key.is_some(), "clientKey", "a file with a key");
    // as upstream: OpenID Connect reads no files and runs nothing
    if let Some(provider) = user.auth_provider.as_ref().filter(|provider| provider.name != "oidc") {
        part(true, &provider.name, "an authentication provider");
    }
    parts
}
