//! Secrets that proxies ask for and are not given. As pilot/pkg/xds/sds.go, which counts them at every push.

use std::sync::Arc;

use process::metrics::Metrics;
use prometheus_client::metrics::counter::Counter;
use xds::{Catalog as _, Request, TypeUrl, Wish};

use super::{Member, MeshCatalog};

impl MeshCatalog {
    /// From now on they are counted, each time that one asks.
    pub fn count_secret_errors(&self, metrics: &Metrics) {
        let help = "Secrets that proxies asked for and are not given.";
        let counter = metrics.register("pilot_sds_certificate_errors_total", help, Counter::default());
        let _ = self.0.secret_errors.set(counter);
    }

    /// Looks whether there is what a request asks for first.
    pub(super) fn look_for_secrets(&self, client: &Arc<Member>, request: &Request) {
        let Some(errors) = self.0.secret_errors.get() else { return };
        let names = match &request.wish {
            Wish::Delta { subscribe, .. } => subscribe,
            // later requests repeat the names
            Wish::Sotw { names } if request.nonce.is_empty() => names,
            Wish::Sotw { .. } => return,
        };
        if names.is_empty() {
            return;
        }
        let edition = self.edition(client, &TypeUrl::Secret);
        let given = |name: &String| edition.as_ref().is_some_and(|edition| edition.get(name).is_some());
        for name in names.iter().filter(|name| *name != "*" && !given(name)) {
            tracing::warn!(target: "ads", "{} asks for the secret {name:?}, which it is not given", client.id);
            errors.inc();
        }
    }
}
