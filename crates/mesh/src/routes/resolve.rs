//! A VirtualService with every name in it made full, and its delegates in place.

use std::sync::Arc;

use config::networking::{Destination, HttpRoute, VirtualService as Spec};
use config::{Host, Visibility};
use tables::{Level, Reads, Table};

use super::{RoutePlace, VirtualService, delegates};
use crate::exports::{audience, is_visible};
use crate::inputs::{Fact, VirtualServiceFacts};
use crate::key::ObjectKey;
use crate::settings::Settings;
use crate::world::{Ground, Named};

/// The annotation that says how generated virtual services want to be read.
const SEMANTICS: &str = "internal.istio.io/route-semantics";

/// Stage: a root virtual service; nothing for a delegate, which has no hosts
/// (as pilot/pkg/model/virtualservice_controller.go: `mergeVirtualServices`).
pub(crate) fn root<L: Level>(
    r: &Reads<L>,
    ground: Ground<'_>,
    facts: &Table<VirtualServiceFacts>,
    key: &ObjectKey,
    fact: &Fact<Spec>,
) -> Vec<(Named, VirtualService)> {
    let Some(settings) = ground.local(r, key) else { return Vec::new() };
    if fact.spec.hosts.is_empty() {
        return Vec::new();
    }
    let semantics = fact.meta.annotations.get(SEMANTICS).map_or("", |s| s);
    let spec = if semantics == "gateway" {
        (*fact.spec).clone()
    } else {
        resolved((*fact.spec).clone(), &key.namespace, &settings.domain)
    };
    let mut from = Vec::new();
    let (http, places) = if semantics.is_empty() && spec.http.iter().any(|h| h.delegate.is_some()) {
        with_delegates(r, ground, facts, settings, key, spec.http, &mut from).into_iter().unzip()
    } else {
        (spec.http, Vec::new())
    };
    let mut gateways: Vec<Arc<str>> = spec.gateways.iter().map(|g| Arc::from(&**g)).collect();
    if gateways.is_empty() {
        gateways.push("mesh".into());
    }
    let row = VirtualService {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        created: fact.meta.creation,
        hosts: spec.hosts.iter().map(|h| Host::from(h.as_str())).collect(),
        gateways,
        export_to: exports(settings, &fact.spec, &key.namespace),
        http: http.into_iter().map(Arc::new).collect(),
        tls: spec.tls.into_iter().map(Arc::new).collect(),
        tcp: spec.tcp.into_iter().map(Arc::new).collect(),
        semantics: semantics.into(),
        delegates: from,
        places,
    };
    vec![((key.namespace.clone(), key.name.clone()), row)]
}

fn exports(settings: &Settings, spec: &Spec, namespace: &str) -> std::collections::BTreeSet<Visibility> {
    let words = spec.export_to.iter().map(String::as_str);
    audience(words, &settings.mesh.default_virtual_service_export_to, namespace)
}

/// Every route that delegates gives way to the routes of its delegate; to none, if there is no such delegate or it is
/// not exported to the namespace of the root.
fn with_delegates<L: Level>(
    r: &Reads<L>,
    ground: Ground<'_>,
    facts: &Table<VirtualServiceFacts>,
    settings: &Settings,
    root: &ObjectKey,
    routes: Vec<HttpRoute>,
    from: &mut Vec<Arc<str>>,
) -> Vec<(HttpRoute, RoutePlace)> {
    let mut out = Vec::new();
    for (number, mut route) in routes.into_iter().enumerate() {
        let Some(delegate) = route.delegate.take() else {
            let matches = (0..route.r#match.len()).map(|at| (Some(at), None)).collect();
            out.push((route, RoutePlace { root: number, leaf: None, matches }));
            continue;
        };
        let namespace = if delegate.namespace.is_empty() {
            root.namespace.clone()
        } else {
            delegate.namespace.as_str().into()
        };
        let key = ObjectKey { cluster: root.cluster.clone(), namespace, name: delegate.name.as_str().into() };
        let Some(fact) = facts.get(r, &key).filter(|f| f.spec.hosts.is_empty()) else { continue };
        let audience = exports(settings, &fact.spec, &key.namespace);
        if ground.local(r, &key).is_none() || !is_visible(&audience, &key.namespace, &root.namespace) {
            continue;
        }
        from.push(format!("{}/{}", key.namespace, key.name).into());
        let leaf = resolved((*fact.spec).clone(), &key.namespace, &settings.domain);
        out.extend(delegates::merge(&route, number, leaf.http, from.len() - 1));
    }
    out
}

/// Full names for hosts, destinations and gateways
/// (as pilot/pkg/model/virtualservice.go: `ResolveVirtualServiceShortnames`).
fn resolved(mut spec: Spec, namespace: &str, domain: &str) -> Spec {
    let host = |h: &mut String| *h = config::host::resolve(h, namespace, domain);
    let destination = |d: &mut Option<Destination>| {
        if let Some(d) = d {
            host(&mut d.host);
        }
    };
    let gateways = |names: &mut Vec<String>| {
        for name in names.iter_mut().filter(|n| *n != "mesh") {
            *name = gateway(name, namespace);
        }
    };
    spec.hosts.iter_mut().for_each(host);
    gateways(&mut spec.gateways);
    for route in &mut spec.http {
        route.r#match.iter_mut().for_each(|m| gateways(&mut m.gateways));
        route.route.iter_mut().for_each(|d| destination(&mut d.destination));
        destination(&mut route.mirror);
        route.mirrors.iter_mut().for_each(|m| destination(&mut m.destination));
    }
    for route in &mut spec.tcp {
        route.r#match.iter_mut().for_each(|m| gateways(&mut m.gateways));
        route.route.iter_mut().for_each(|d| destination(&mut d.destination));
    }
    for route in &mut spec.tls {
        route.r#match.iter_mut().for_each(|m| gateways(&mut m.gateways));
        route.route.iter_mut().for_each(|d| destination(&mut d.destination));
    }
    spec
}

/// `namespace/name` of a gateway, whichever of the ways to name it was chosen
/// (as pilot/pkg/model/config.go: `resolveGatewayName`).
fn gateway(name: &str, namespace: &str) -> String {
    if let Some((before, after)) = name.split_once('/') {
        return if before == "." { format!("{namespace}/{after}") } else { name.to_owned() };
    }
    match name.split_once('.') {
        None => format!("{namespace}/{name}"),
        // the oldest way: name.namespace.svc.domain
        Some((short, rest)) => {
            let namespace = rest.split('.').next().unwrap_or(rest);
            format!("{namespace}/{short}")
        }
    }
}
