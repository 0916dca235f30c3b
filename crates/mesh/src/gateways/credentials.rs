//! Certificates in Secrets and ConfigMaps: which of their keys mean what.

use std::collections::BTreeMap;
use std::sync::Arc;

use tables::{Def, Level, Reads};

use super::Credential;
use crate::key::MaterialKey;
use crate::world::{Credentials, Ground};

/// What the data of a Secret holds, if it may be a certificate. Upstream's own key names (`cert`, `key`, `cacert`,
/// `crl`) go before those of Kubernetes (as pilot/pkg/credentials/kube/secrets.go: `ExtractCertInfo`, `ExtractRoot`).
pub(crate) fn of_secret(data: &BTreeMap<String, config::Bytes>) -> Option<Credential> {
    of(|name| data.get(name).map(|b| b.0.as_slice()).filter(|b| !b.is_empty()))
}

/// What the data of a ConfigMap holds: a CA bundle, or nothing.
pub(crate) fn of_config_map(data: &BTreeMap<String, String>) -> Option<Credential> {
    let all = of(|name| data.get(name).map(String::as_bytes).filter(|t| !t.is_empty()))?;
    (!all.ca.is_empty()).then(|| Credential {
        chain: empty(),
        key: empty(),
        staple: empty(),
        docker: empty(),
        ..all
    })
}

fn empty() -> Arc<[u8]> {
    Arc::from([].as_slice())
}

fn of<'d>(value: impl Fn(&str) -> Option<&'d [u8]>) -> Option<Credential> {
    let bytes = |name: &str| value(name).map_or_else(empty, Arc::from);
    let generic = value("cert").and(value("key")).is_some();
    let tls = !generic && value("tls.crt").and(value("tls.key")).is_some();
    let (chain, key, staple) = match (generic, tls) {
        (true, _) => (bytes("cert"), bytes("key"), empty()),
        (false, true) => (bytes("tls.crt"), bytes("tls.key"), bytes("tls.ocsp-staple")),
        _ => (empty(), empty(), empty()),
    };
    let own_ca = value("cacert").is_some();
    let ca = if own_ca { bytes("cacert") } else { bytes("ca.crt") };
    let docker = bytes(".dockerconfigjson");
    if chain.is_empty() && ca.is_empty() && docker.is_empty() {
        return None;
    }
    let own = if chain.is_empty() { own_ca } else { generic };
    let crl = if own { bytes("crl") } else { bytes("ca.crl") };
    Some(Credential { chain, key, ca, crl, staple, docker })
}

/// Stage: the certificates of the config cluster, and those in Secrets of other clusters, which gateways there may name
/// (as pilot/pkg/credentials/kube/multicluster.go).
pub(crate) fn row<L: Level>(
    r: &Reads<L>,
    ground: Ground<'_>,
    key: &MaterialKey,
    credential: &Credential,
) -> Vec<(<Credentials as Def>::Key, Credential)> {
    let Some(settings) = ground.seen(r, &key.object) else { return Vec::new() };
    let is_ours = key.object.cluster == settings.cluster;
    let is_theirs = !key.config_map && settings.switches.pilot_enable_remote_credentials_controller;
    if is_ours || is_theirs { vec![(key.clone(), credential.clone())] } else { Vec::new() }
}
