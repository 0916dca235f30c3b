//! Telemetry: what the Telemetry API and MeshConfig ask of one proxy (as pilot/pkg/model/telemetry.go).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::Kind;
use config::mesh::{ExtensionProvider, MeshConfig};
use config::telemetry::{AccessLogging, Filter, Metrics, ProviderRef, Telemetry, Tracing, WorkloadMode};
use mesh::World;
use mesh::policies::TelemetryPolicy;
use mesh::workloads::LabelSet;
use mesh::world::TelemetryPoliciesOf;
use tables::{Level, Reads};

use crate::provenance::{self, Origin};
use crate::proxy::Proxy;

pub(crate) mod metrics;

/// Label by which a proxy knows the Gateway of the Gateway API that it serves.
const GATEWAY_LABEL: &str = "gateway.networking.k8s.io/gateway-name";

/// What applies to one proxy; later entries go before earlier ones.
#[derive(Default)]
pub(crate) struct Applicable<'a> {
    /// Metrics of all policies.
    pub(crate) metrics: Vec<&'a Metrics>,
    /// Access logging, one entry per policy.
    pub(crate) logging: Vec<&'a [AccessLogging]>,
    /// Tracing of all policies.
    pub(crate) tracing: Vec<&'a Tracing>,
}

impl<'a> Applicable<'a> {
    fn add<L: Level>(&mut self, r: &Reads<L>, policy: &'a TelemetryPolicy) {
        let spec = &*policy.spec;
        provenance::notes(r, |say| {
            let named = (&*policy.namespace, &*policy.name);
            let mut part = |there: bool, part: &str, field: &str| {
                if there {
                    say(part, Origin::field(Kind::Telemetry, named, field));
                }
            };
            part(!spec.metrics.is_empty(), "metrics", "spec.metrics");
            part(!spec.access_logging.is_empty(), "access_log", "spec.accessLogging");
            part(!spec.tracing.is_empty(), "tracing", "spec.tracing");
        });
        self.metrics.extend(&spec.metrics);
        if !spec.access_logging.is_empty() {
            self.logging.push(&spec.access_logging);
        }
        self.tracing.extend(&spec.tracing);
    }

    /// What the policies of a proxy say.
    pub(crate) fn of<L: Level>(r: &Reads<L>, world: &'a World, proxy: &Proxy) -> Self {
        let mut out = Self::default();
        applicable(r, world, proxy).into_iter().for_each(|policy| out.add(r, policy));
        out
    }
}

/// The policies of a proxy: the root namespace's, its namespace's, then those that select it (as
/// `applicableTelemetries`).
fn applicable<'a, L: Level>(r: &Reads<L>, world: &'a World, proxy: &Proxy) -> Vec<&'a Arc<TelemetryPolicy>> {
    let root = crate::settings(r, world).root_namespace();
    let own = sorted(r, world, &proxy.namespace);
    let apart = !root.is_empty() && *root != *proxy.namespace;
    let wide_of_root = if apart { sorted(r, world, root) } else { Vec::new() };
    let wide_of_root = wide_of_root.into_iter().find(|p| is_wide(&p.spec));
    let wide_of_own = own.iter().find(|p| is_wide(&p.spec)).copied();
    let selecting = own.iter().filter(|p| !is_wide(&p.spec) && selects(&p.spec, proxy)).copied();
    wide_of_root.into_iter().chain(wide_of_own).chain(selecting).collect()
}

/// The telemetry policies that hold for a proxy, the widest first; for pages that show them.
#[must_use]
pub fn policies_of(world: &World, proxy: &Proxy) -> Vec<Arc<TelemetryPolicy>> {
    applicable(&Reads::<crate::plan::EditionOf>::new(), world, proxy).into_iter().cloned().collect()
}

/// Policies of a namespace, oldest first.
fn sorted<'a, L: Level>(r: &Reads<L>, world: &'a World, namespace: &str) -> Vec<&'a Arc<TelemetryPolicy>> {
    let namespace = Arc::from(namespace);
    let rows = world.telemetry_policies.bucket::<TelemetryPoliciesOf, L>(r, &namespace);
    let mut out: Vec<&Arc<TelemetryPolicy>> = rows.map(|(_, row)| row).collect();
    out.sort_by_key(|p| (p.created, p.name.clone()));
    out
}

fn has_target(spec: &Telemetry) -> bool {
    spec.target_ref.is_some() || !spec.target_refs.is_empty()
}

/// Whether a policy is for its whole namespace, or from the root namespace for the whole mesh.
#[must_use]
pub fn is_wide(spec: &Telemetry) -> bool {
    spec.selector.as_ref().is_none_or(|s| s.match_labels.is_empty()) && !has_target(spec)
}

/// As pilot/pkg/model/policyattachment.go: `ShouldAttachPolicy`, for proxies that are no waypoints.
fn selects(spec: &Telemetry, proxy: &Proxy) -> bool {
    let gateway = proxy.labels.get(GATEWAY_LABEL);
    if has_target(spec) {
        let Some(gateway) = gateway else { return false };
        return spec
            .target_ref
            .iter()
            .chain(&spec.target_refs)
            .any(|t| t.kind == "Gateway" && *t.name == **gateway);
    }
    spec.selector.as_ref().is_some_and(|s| proxy.labels.has_all(&s.match_labels))
}

/// The extension provider of a name, case ignored.
pub(crate) fn provider<'a>(mesh: &'a MeshConfig, name: &str) -> Option<&'a ExtensionProvider> {
    mesh.extension_providers.iter().find(|p| p.name.eq_ignore_ascii_case(name))
}

fn names(providers: &[ProviderRef]) -> Vec<&str> {
    providers.iter().map(|p| p.name.as_str()).collect()
}

/// How one provider logs.
#[derive(Clone, Copy, Default)]
pub(crate) struct Logging<'a> {
    /// Not at all.
    pub(crate) disabled: bool,
    /// Only what this lets through.
    pub(crate) filter: Option<&'a Filter>,
}

fn applies(logging: &AccessLogging, mode: WorkloadMode) -> bool {
    logging.r#match.as_ref().is_none_or(|m| m.mode == WorkloadMode::ClientAndServer || m.mode == mode)
}

/// The providers of access logs in order of their names; `None` where nobody says anything and MeshConfig's
/// `accessLogFile` stands (as `AccessLogging`, `mergeLogs`).
pub(crate) fn logging<'a>(
    applicable: &Applicable<'a>,
    mesh: &'a MeshConfig,
    mode: WorkloadMode,
) -> Option<BTreeMap<&'a str, Logging<'a>>> {
    let defaults: Vec<&str> =
        mesh.default_providers.iter().flat_map(|d| d.access_logging.iter().map(String::as_str)).collect();
    if applicable.logging.is_empty() {
        return (!defaults.is_empty())
            .then(|| defaults.into_iter().map(|d| (d, Logging::default())).collect());
    }
    let mut in_scope: BTreeSet<&str> = defaults.iter().copied().collect();
    let mut filters: BTreeMap<&str, Logging<'_>> = BTreeMap::new();
    for policy in &applicable.logging {
        let mut named = BTreeSet::new();
        for entry in policy.iter().filter(|e| applies(e, mode)) {
            for name in names(&entry.providers) {
                named.insert(name);
                filters.insert(name, Logging { disabled: false, filter: entry.filter.as_ref() });
            }
        }
        if !named.is_empty() {
            in_scope = named;
        }
    }
    let mut out = BTreeMap::new();
    let mut parent = defaults;
    for entry in applicable.logging.iter().flat_map(|policy| policy.iter()) {
        if !entry.providers.is_empty() {
            parent = names(&entry.providers);
        }
        for name in parent.iter().filter(|n| in_scope.contains(*n) && applies(entry, mode)) {
            let disabled = Logging { disabled: true, filter: None };
            let enabled = filters.get(name).copied().unwrap_or_default();
            out.insert(*name, if entry.disabled == Some(true) { disabled } else { enabled });
        }
    }
    Some(out)
}

/// Whether listeners of a proxy may carry tracing, whose tags tell of the workload.
pub(crate) fn may_trace<L: Level>(r: &Reads<L>, world: &World, proxy: &Proxy) -> bool {
    let mesh = &crate::settings(r, world).mesh;
    mesh.enable_tracing
        || mesh.default_providers.iter().any(|d| !d.tracing.is_empty())
        || !Applicable::of(r, world, proxy).tracing.is_empty()
}
