//! The indexes: the second ways into the tables.

use std::collections::BTreeSet;
use std::sync::Arc;

use config::{Host, Visibility};
use tables::{Def, Index};

use super::tables::*;
use crate::inputs::{NamespaceFacts, ServiceImportFacts, SliceFacts};
use crate::key::{ServiceKey, WorkloadKind};
use crate::services::{Registry, TrafficDistribution};

/// Who may see a row: the bucket names of the visibility indexes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Seen {
    /// Exported to everybody.
    Everywhere,
    /// Exported to (or private in) this namespace.
    From(Arc<str>),
}

/// Buckets for an `exportTo` of a row that lives in `namespace`; nothing for `~`.
fn seen(export_to: &BTreeSet<Visibility>, namespace: &Arc<str>, put: &mut dyn FnMut(Seen)) {
    if export_to.is_empty() || export_to.contains(&Visibility::Public) {
        return put(Seen::Everywhere);
    }
    for v in export_to {
        match v {
            Visibility::Private => put(Seen::From(namespace.clone())),
            Visibility::Namespace(n) => put(Seen::From(Arc::from(&**n))),
            Visibility::Public | Visibility::None => {}
        }
    }
}

/// Declares indexes: marker, table, bucket, and how a row says its buckets.
macro_rules! indexes {
    ($($(#[$doc:meta])* $index:ident on $def:ty, $bucket:ty, |$k:ident, $r:ident, $put:ident| $body:expr;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $index;
        impl Index for $index {
            type Of = $def;
            type Bucket = $bucket;
            const NAME: &'static str = stringify!($index);
            fn buckets($k: &<$def as Def>::Key, $r: &<$def as Def>::Row, $put: &mut dyn FnMut($bucket)) { $body }
        }
    )* };
}

indexes! {
    /// Namespaces of all clusters by name.
    NamespacesNamed on NamespaceFacts, Arc<str>, |k, _n, put| put(k.name.clone());
    /// Services by who may see them.
    ServicesSeen on Services, Seen, |_k, s, put| seen(&s.export_to, &s.key.namespace, put);
    /// Services of a namespace.
    ServicesOf on Services, Arc<str>, |k, _s, put| put(k.namespace.clone());
    /// Services by host name.
    ServicesNamed on Services, Host, |k, _s, put| put(k.hostname.clone());
    /// Workloads of a namespace.
    WorkloadsOf on Workloads, Arc<str>, |k, _w, put| put(k.object.namespace.clone());
    /// Workloads by address.
    WorkloadsAt on Workloads, Arc<str>, |_k, w, put| for a in &w.addresses { put(a.clone()); };
    /// Workloads by kind, namespace and one label each that does not say where they are: what a selector looks for, without
    /// looking at the rest.
    WorkloadsLabelled on Workloads, (WorkloadKind, Arc<str>, Arc<str>, Arc<str>), |k, w, put| {
        for (name, value) in w.labels.to_look_up() {
            put((k.kind, k.object.namespace.clone(), config::text(name), config::text(value)));
        }
    };
    /// Kubernetes Services with a selector by cluster, namespace and the first label of the selector.
    ClaimsSelecting on Claims, (Arc<str>, Arc<str>, Arc<str>, Arc<str>), |k, c, put| {
        if c.service.registry == Registry::Kubernetes && let Some((name, value)) = c.service.selector.iter().next() {
            put((k.1.object.cluster.clone(), k.1.object.namespace.clone(), name.clone(), value.clone()));
        }
    };
    /// ExternalName services by the host they stand for.
    ClaimsAliasing on Claims, Host, |_k, c, put| if let Some(n) = &c.service.external_name {
        put(Host::from(&**n));
    };
    /// Claims by host name, whatever the namespace.
    ClaimsNamed on Claims, Host, |k, _c, put| put(k.0.hostname.clone());
    /// Services that say they lead into a network; one bucket.
    NetworkClaims on Claims, (), |_k, c, put| if c.service.labels.contains_key(config::label::NETWORK) {
        put(());
    };
    /// Claims by service.
    ClaimsOn on Claims, ServiceKey, |k, _c, put| put(k.0.clone());
    /// Endpoints by who declared them (true: a ServiceEntry) and first address: whose ports a proxy serves.
    EndpointsAt on ServiceEndpoints, (bool, Arc<str>), |_k, e, put| for e in &e.endpoints {
        if let Some(a) = e.addresses.first() {
            put((e.of_service_entry(), a.clone()));
        }
    };
    /// EndpointSlices by (namespace, service name).
    SlicesOf on SliceFacts, Named, |k, s, put| if let Some(n) = s.meta.labels.get("kubernetes.io/service-name") {
        put((k.namespace.clone(), Arc::from(&**n)));
    };
    /// ServiceImports of all clusters by (namespace, name).
    ImportsOf on ServiceImportFacts, Named, |k, _i, put| put((k.namespace.clone(), k.name.clone()));
    /// Virtual services by gateway (`mesh` or `namespace/name`) and by who may see them.
    VirtualServicesSeen on VirtualServices, (Arc<str>, Seen), |_k, v, put| for g in &v.gateways {
        seen(&v.export_to, &v.namespace, &mut |s| put((g.clone(), s)));
    };
    /// The same of their heads.
    HeadsSeen on RouteHeads, (Arc<str>, Seen), |_k, v, put| for g in &v.gateways {
        seen(&v.export_to, &v.namespace, &mut |s| put((g.clone(), s)));
    };
    /// Rules before merging, by (namespace, host).
    RuleClaimsOn on RuleClaims, (Arc<str>, Host), |k, r, put| put((k.0.clone(), Host::from(r.rule.host.as_str())));
    /// Hosts of a namespace that have rules.
    RulesOf on Rules, Arc<str>, |k, _r, put| put(k.0.clone());
    /// Wildcard hosts of a namespace that have rules.
    WildcardRulesOf on Rules, Arc<str>, |k, _r, put| if k.1.is_wildcard() {
        put(k.0.clone());
    };
    /// Services whose endpoints depend on where their caller runs (traffic distribution, node-local traffic).
    ServicesAskingPlace on Services, (), |_k, s, put| if s.node_local || s.traffic_distribution != TrafficDistribution::Any {
        put(());
    };
    /// Virtual services that ask for labels of their callers.
    RoutesAskingLabels on VirtualServices, (), |_k, v, put| if v.asked_labels().next().is_some() { put(()); };
    /// Hosts whose rules ask for labels of callers (selectors, failover by label).
    RulesAskingLabels on Rules, (), |_k, r, put| if r.asked_labels().next().is_some() { put(()); };
    /// Sidecars of a namespace.
    SidecarsOf on Sidecars, Arc<str>, |k, _s, put| put(k.0.clone());
    /// Gateways of a namespace.
    GatewaysOf on Gateways, Arc<str>, |k, _s, put| put(k.0.clone());
    /// PeerAuthentications of a namespace.
    PeerPoliciesOf on PeerPolicies, Arc<str>, |k, _s, put| put(k.0.clone());
    /// RequestAuthentications of a namespace.
    RequestPoliciesOf on RequestPolicies, Arc<str>, |k, _s, put| put(k.0.clone());
    /// AuthorizationPolicies of a namespace.
    AccessPoliciesOf on AccessPolicies, Arc<str>, |k, _s, put| put(k.0.clone());
    /// Telemetries of a namespace.
    TelemetryPoliciesOf on TelemetryPolicies, Arc<str>, |k, _s, put| put(k.0.clone());
    /// EnvoyFilters of a namespace.
    PatchesOf on Patches, Arc<str>, |k, _s, put| put(k.0.clone());
    /// TrafficExtensions of a namespace.
    ExtensionsOf on Extensions, Arc<str>, |k, _s, put| put(k.0.clone());
    /// ProxyConfigs of a namespace.
    ProxyConfigsOf on ProxyConfigs, Arc<str>, |k, _s, put| put(k.0.clone());
}
