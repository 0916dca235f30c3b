//! Secrets that a proxy is not given, because its service account may not read them itself. As pilot/pkg/xds/sds.go:
//! filterAuthorizedResources.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use generate::secrets::CA_SUFFIX;
use identity::access::proxy_identity;
use parking_lot::Mutex;
use process::metrics::Metrics;
use xds::Edition;

use super::{Inner, Member, MeshCatalog};
use crate::ca::authenticate::Reviewers;
use crate::secret_access::{Account, Right, SecretAccess};

/// What one client may see of Secrets.
#[derive(Default)]
pub(super) struct Secrets {
    /// The right of its account; asked for when something depends on it.
    right: OnceLock<Arc<Right>>,
    /// Of which edition something was left out last, and what remained.
    rest: Mutex<Option<(u64, Arc<Edition>)>>,
}

impl MeshCatalog {
    /// From now on proxies are served Secrets only if their service accounts may list them in their namespaces: the API
    /// servers of their clusters are asked every `pace`. To be called once, on the runtime that asks.
    pub fn judge_secrets(
        &self,
        reviewers: Arc<dyn Reviewers>,
        aliases: BTreeMap<String, String>,
        pace: Duration,
        metrics: &Metrics,
    ) {
        let inner = Arc::downgrade(&self.0);
        let changed = move |account: &Account| {
            if let Some(inner) = Weak::upgrade(&inner) {
                inner.wake(account);
            }
        };
        let _ = self.0.secrets.set(SecretAccess::new(reviewers, aliases, pace, metrics, Box::new(changed)));
    }
}

/// Whether it takes a right to see a Secret of this name. CA certificates and ConfigMaps are no secrets, and what a Gateway of
/// the Gateway API names is served only where the namespaces agree.
fn is_guarded(name: &str) -> bool {
    name.starts_with("kubernetes://") && !name.ends_with(CA_SUFFIX)
}

impl Inner {
    /// Has the proxies that may be of an account look at their editions again.
    fn wake(&self, account: &Account) {
        let classes = self.classes.lock();
        let of_account = classes.known.iter().filter(|(class, _)| {
            class.cluster == account.cluster
                && class.namespace == account.namespace
                && (class.service_account.is_empty() || class.service_account == account.name)
        });
        for (_, known) in of_account {
            known.tick.send_modify(|tick| *tick += 1);
        }
    }

    /// What of its class's edition of secrets a client may see. Who did not prove who it is sees none.
    pub(super) fn permitted(&self, client: &Member, edition: Arc<Edition>) -> Arc<Edition> {
        let Some(access) = self.secrets.get() else { return edition };
        let Some(account) = account_of(client) else { return Edition::empty() };
        if !edition.iter().any(|resource| is_guarded(&resource.name)) {
            return edition;
        }
        let right = client.secrets.right.get_or_init(|| access.right_of(&account));
        if right.is_given() {
            return edition;
        }
        let mut rest = client.secrets.rest.lock();
        if let Some((_, kept)) = rest.as_ref().filter(|(of, _)| *of == edition.id()) {
            return kept.clone();
        }
        let open = edition.iter().filter(|resource| !is_guarded(&resource.name)).cloned().collect();
        let made = Edition::new(edition.revision(), open);
        *rest = Some((edition.id(), made.clone()));
        made
    }
}

/// The account a client proved to be of, which is its proxy's.
fn account_of(client: &Member) -> Option<Account> {
    let class = &client.class;
    let id = proxy_identity(&client.verified.0, &class.namespace, &class.service_account).ok()?;
    (*id.namespace() == *class.namespace).then(|| Account {
        cluster: class.cluster.clone(),
        namespace: class.namespace.clone(),
        name: id.service_account().into(),
    })
}
