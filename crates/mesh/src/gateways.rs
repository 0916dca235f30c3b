//! Gateway resources, and the certificates they name.

pub(crate) mod credentials;

use std::sync::Arc;

use config::networking::Gateway;
use tables::{Level, Reads};

use crate::inputs::Fact;
use crate::key::ObjectKey;
use crate::world::{Ground, Named};

/// A Gateway object. Key: `(namespace, name)`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GatewayRow {
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
    /// Unix seconds; older wins.
    pub created: i64,
    /// The spec as written.
    pub gateway: Arc<Gateway>,
    /// `internal.istio.io/*` annotations of generated gateways (service name binding and so on), sorted.
    pub internal: Vec<(Arc<str>, Arc<str>)>,
}

/// A certificate or CA bundle that a gateway may name (Secret or ConfigMap data, decoded).
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// PEM chain (`tls.crt` or `cert`).
    pub chain: Arc<[u8]>,
    /// PEM key (`tls.key` or `key`); never printed.
    pub key: Arc<[u8]>,
    /// PEM CA bundle (`ca.crt` or `cacert`).
    pub ca: Arc<[u8]>,
    /// `ca.crl` / `crl`.
    pub crl: Arc<[u8]>,
    /// `tls.ocsp-staple`.
    pub staple: Arc<[u8]>,
    /// `.dockerconfigjson` of a Secret for pulling images (Wasm modules); never printed.
    pub docker: Arc<[u8]>,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credential(chain {} bytes, key hidden, ca {} bytes)", self.chain.len(), self.ca.len())
    }
}

/// Stage: a Gateway of the config cluster.
pub(crate) fn row<L: Level>(
    r: &Reads<L>,
    ground: Ground<'_>,
    key: &ObjectKey,
    fact: &Fact<Gateway>,
) -> Vec<(Named, GatewayRow)> {
    if ground.local(r, key).is_none() {
        return Vec::new();
    }
    let internal = fact.meta.annotations.iter().filter(|(k, _)| k.starts_with("internal.istio.io/"));
    let row = GatewayRow {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        created: fact.meta.creation,
        gateway: fact.spec.clone(),
        internal: internal.map(|(k, v)| (Arc::from(&**k), Arc::from(&**v))).collect(),
    };
    vec![((key.namespace.clone(), key.name.clone()), row)]
}

#[cfg(test)]
mod tests;
