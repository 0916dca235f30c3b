//! Policies attached to workloads by selector: authentication, authorization, telemetry, extensions, Envoy patches.

use std::sync::Arc;

use config::extensions::{FilterConfig, TrafficExtension};
use config::networking::EnvoyFilter;
use config::security::{AuthorizationPolicy, PeerAuthentication, RequestAuthentication};
use config::telemetry::Telemetry;
use tables::{Level, Reads};

use crate::inputs::Fact;
use crate::key::ObjectKey;
use crate::workloads::labels::{Labels, shared};
use crate::world::{Ground, Named};

/// A policy object of kind `T` with what its attachment needs. Key: `(namespace, name)`; one table per kind, with a
/// bucket per namespace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy<T> {
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
    /// Unix seconds; older wins or comes first.
    pub created: i64,
    /// Annotations that may change its meaning, those of Istio (`istio.io/dry-run`), sorted.
    pub annotations: Labels,
    /// `metadata.resourceVersion` where it goes into generated configuration (Wasm), else empty.
    pub resource_version: Arc<str>,
    /// The spec as written.
    pub spec: Arc<T>,
}

/// PeerAuthentication row.
pub type PeerPolicy = Policy<PeerAuthentication>;
/// RequestAuthentication row.
pub type RequestPolicy = Policy<RequestAuthentication>;
/// AuthorizationPolicy row.
pub type AccessPolicy = Policy<AuthorizationPolicy>;
/// Telemetry row.
pub type TelemetryPolicy = Policy<Telemetry>;
/// EnvoyFilter row.
pub type Patch = Policy<EnvoyFilter>;
/// TrafficExtension row (WasmPlugins are translated to it).
pub type Extension = Policy<TrafficExtension>;

/// Stage: the policy an object of the config cluster is.
pub(crate) fn policy<L: Level, T>(
    r: &Reads<L>,
    ground: Ground<'_>,
    key: &ObjectKey,
    fact: &Fact<T>,
) -> Vec<(Named, Policy<T>)> {
    if ground.local(r, key).is_none() {
        return Vec::new();
    }
    let row = Policy {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        created: fact.meta.creation,
        annotations: shared(fact.meta.annotations.iter().filter(|(k, _)| k.contains("istio.io/"))),
        resource_version: Arc::from(""),
        spec: fact.spec.clone(),
    };
    vec![((key.namespace.clone(), key.name.clone()), row)]
}

/// The longest Lua code a proxy is sent, in bytes.
const LUA_LIMIT: usize = 65536;

/// Stage: an extension; nothing for one that no proxy could run
/// (as pilot/pkg/model/extensions.go: `convertToTrafficExtensionWrapper`).
pub(crate) fn extension<L: Level>(
    r: &Reads<L>,
    ground: Ground<'_>,
    key: &ObjectKey,
    fact: &Fact<TrafficExtension>,
) -> Vec<(Named, Extension)> {
    let usable = match &fact.spec.filter_config {
        Some(FilterConfig::Wasm(wasm)) => !wasm.url.is_empty(),
        Some(FilterConfig::Lua(lua)) => (1..=LUA_LIMIT).contains(&lua.inline_code.len()),
        None => false,
    };
    if !usable {
        return Vec::new();
    }
    let mut rows = policy(r, ground, key, fact);
    for (_, row) in &mut rows {
        row.resource_version = fact.meta.resource_version.as_str().into();
        if let Some(FilterConfig::Wasm(wasm)) = &fact.spec.filter_config
            && !wasm.image_pull_secret.is_empty()
        {
            let mut spec = (*fact.spec).clone();
            let mut wasm = wasm.clone();
            wasm.image_pull_secret = pull_secret(&wasm.image_pull_secret, &key.namespace);
            spec.filter_config = Some(FilterConfig::Wasm(wasm));
            row.spec = Arc::new(spec);
        }
    }
    rows
}

/// The full name of a secret in the namespace of its extension, whatever namespace was written; empty if it is no
/// Secret of Kubernetes.
fn pull_secret(written: &str, namespace: &str) -> String {
    let name = match written.split_once("://") {
        Some(("kubernetes", rest)) => rest,
        Some(_) => return String::new(),
        None => written,
    };
    let name = name.rsplit('/').next().unwrap_or(name);
    format!("kubernetes://{namespace}/{name}")
}

#[cfg(test)]
mod tests;
