//! Asking for somebody else's certificate: only node proxies may, and only for what runs on their node.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use identity::spiffe::Id;

use super::authenticate::Caller;

mod pods;
#[cfg(test)]
mod tests;

pub use pods::PodsOf;

/// What has to be known of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodFacts {
    /// Its UID, for pods come back under the same name.
    pub uid: String,
    /// The account it runs as.
    pub service_account: String,
    /// The node it runs on.
    pub node: String,
}

/// Somebody who knows the pods of the cluster.
pub trait Pods: Send + Sync {
    /// A pod by namespace and name.
    fn pod(&self, namespace: &str, name: &str) -> Option<PodFacts>;
    /// Whether a pod of this account runs on the node.
    fn runs_on(&self, node: &str, namespace: &str, service_account: &str) -> bool;
}

/// The accounts of `CA_TRUSTED_NODE_ACCOUNTS` and what they may do. Without any, nobody may impersonate.
#[derive(Clone)]
pub struct NodeAuthorizer {
    accounts: BTreeSet<(String, String)>,
    pods: Arc<dyn Pods>,
}

impl fmt::Debug for NodeAuthorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeAuthorizer({:?})", self.accounts)
    }
}

impl NodeAuthorizer {
    /// Trusts the accounts in `list` (`namespace/name,...`); items of another form are given back to be told.
    pub fn new(list: &str, pods: Arc<dyn Pods>) -> (Self, Vec<String>) {
        let (mut accounts, mut wrong) = (BTreeSet::new(), Vec::new());
        for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            match item.split_once('/') {
                Some((namespace, name)) => drop(accounts.insert((namespace.to_string(), name.to_string()))),
                None => wrong.push(item.to_string()),
            }
        }
        (Self { accounts, pods }, wrong)
    }

    /// Whether `caller` may have a certificate of `wanted`: it is a trusted node account, its pod is the one its token is
    /// bound to, and a pod of the wanted account runs on the same node. The reason otherwise is for the log, not for the
    /// caller. As security/pkg/server/ca/node_auth.go: authenticateImpersonation.
    pub fn may_impersonate(&self, caller: &Caller, wanted: &Id) -> Result<(), String> {
        let account = |id: &&Id| {
            self.accounts.contains(&(id.namespace().to_string(), id.service_account().to_string()))
        };
        let who = caller
            .identities
            .iter()
            .find(account)
            .ok_or_else(|| format!("{:?} is not a trusted node account", caller.identities))?;
        if wanted.trust_domain() != who.trust_domain() {
            return Err(format!("{wanted} is of another trust domain than {who}"));
        }
        let bound = caller.pod.as_ref().ok_or("the caller's token is not bound to a pod")?;
        let pod = self
            .pods
            .pod(who.namespace(), &bound.name)
            .ok_or_else(|| format!("pod {}/{} not found", who.namespace(), bound.name))?;
        if pod.uid != bound.uid {
            return Err(format!("pod found, but its UID is {} and not {}", pod.uid, bound.uid));
        }
        if pod.service_account != who.service_account() {
            return Err(format!("pod found, but it runs as {}", pod.service_account));
        }
        if !self.pods.runs_on(&pod.node, wanted.namespace(), wanted.service_account()) {
            return Err(format!("no instances of {wanted} on node {}", pod.node));
        }
        Ok(())
    }
}
