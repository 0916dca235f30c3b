//! Where an HTTP route of a virtual service was written, and what it says there.

use config::Kind;
use config::networking::{HttpMatchRequest, HttpRoute};
use mesh::routes::VirtualService;

use crate::provenance::{Field, Origin};

/// The place of a route, and of the match of it that is meant.
#[derive(Clone, Copy)]
pub(super) struct RouteAt<'a> {
    pub(super) virtual_service: &'a VirtualService,
    /// Number of the route in the row.
    pub(super) route: usize,
    /// Number of its match.
    pub(super) matched: Option<usize>,
}

impl RouteAt<'_> {
    fn root(&self, path: String) -> Field {
        let v = self.virtual_service;
        Field { kind: Kind::VirtualService, namespace: v.namespace.clone(), name: v.name.clone(), path }
    }

    fn delegate(&self, number: usize, path: String) -> Option<Field> {
        let (namespace, name) = self.virtual_service.delegates.get(number)?.split_once('/')?;
        Some(Field { kind: Kind::VirtualService, namespace: namespace.into(), name: name.into(), path })
    }

    /// A field of the route; what a delegate leaves out is its root's.
    pub(super) fn field(&self, path: &str) -> Origin {
        let of = |route: usize| match path {
            "" => format!("spec.http[{route}]"),
            path => format!("spec.http[{route}].{path}"),
        };
        let Some(place) = self.virtual_service.places.get(self.route) else {
            return Origin::Field(vec![self.root(of(self.route))]);
        };
        let leaf = place.leaf.and_then(|(number, route)| self.delegate(number, of(route)));
        Origin::Field(leaf.into_iter().chain([self.root(of(place.root))]).collect())
    }

    /// Its match; that of a delegate stands within one of the root's.
    pub(super) fn matches(&self) -> Vec<Origin> {
        let of = |route: usize, m: usize| format!("spec.http[{route}].match[{m}]");
        let Some(matched) = self.matched else { return Vec::new() };
        let Some(place) = self.virtual_service.places.get(self.route) else {
            return vec![Origin::Field(vec![self.root(of(self.route, matched))])];
        };
        let (root, leaf) = place.matches.get(matched).copied().unwrap_or_default();
        let leaf = place.leaf.zip(leaf).and_then(|((number, route), m)| self.delegate(number, of(route, m)));
        let root = root.map(|m| self.root(of(place.root, m)));
        leaf.into_iter().chain(root).map(|field| Origin::Field(vec![field])).collect()
    }

    /// What of a route stands where, besides where it leads.
    pub(super) fn tell(
        &self,
        http: &HttpRoute,
        m: Option<&HttpMatchRequest>,
        say: &mut dyn FnMut(&str, Origin),
    ) {
        say("", self.field(""));
        match m {
            Some(_) => self.matches().into_iter().for_each(|origin| say("match", origin)),
            None => say("match", Origin::default("a route without match takes every request")),
        }
        if !http.name.is_empty() {
            say("name", self.field("name"));
        }
        let headers = http.headers.as_ref();
        for (side, name, removed) in [
            (headers.and_then(|h| h.request.as_ref()), "request", "request_headers_to_remove"),
            (headers.and_then(|h| h.response.as_ref()), "response", "response_headers_to_remove"),
        ] {
            let Some(side) = side else { continue };
            let added = format!("{name}_headers_to_add");
            if !side.set.is_empty() {
                say(&added, self.field(&format!("headers.{name}.set")));
            }
            if !side.add.is_empty() {
                say(&added, self.field(&format!("headers.{name}.add")));
            }
            if !side.remove.is_empty() {
                say(removed, self.field(&format!("headers.{name}.remove")));
            }
        }
        let parts = [
            (http.redirect.is_some(), "redirect", "redirect"),
            (http.direct_response.is_some() && http.redirect.is_none(), "direct_response", "directResponse"),
            (http.fault.is_some(), "typed_per_filter_config[envoy.filters.http.fault]", "fault"),
            (http.cors_policy.is_some(), "typed_per_filter_config[envoy.filters.http.cors]", "corsPolicy"),
        ];
        for (_, path, field) in parts.iter().filter(|(there, ..)| *there) {
            say(path, self.field(field));
        }
    }

    /// What a route says of requests that it passes on; `mesh_retries`: MeshConfig has a retry policy.
    pub(super) fn tell_action(
        &self,
        http: &HttpRoute,
        mesh_retries: bool,
        say: &mut dyn FnMut(&str, Origin),
    ) {
        say(
            "route.timeout",
            match http.timeout {
                Some(_) => self.field("timeout"),
                None => Origin::default("no timeout"),
            },
        );
        say(
            "route.retry_policy",
            if http.retries.is_some() { self.field("retries") } else { retries(mesh_retries) },
        );
        if let Some(rewrite) = &http.rewrite {
            if rewrite.uri_regex_rewrite.is_some() {
                say("route.regex_rewrite", self.field("rewrite.uriRegexRewrite"));
            } else if !rewrite.uri.is_empty() {
                say("route.prefix_rewrite", self.field("rewrite.uri"));
            }
            if !rewrite.authority.is_empty() {
                say("route.host_rewrite_literal", self.field("rewrite.authority"));
            }
        }
        if http.mirror.is_some() {
            say("route.request_mirror_policies", self.field("mirror"));
        }
        for at in 0..http.mirrors.len() {
            say("route.request_mirror_policies", self.field(&format!("mirrors[{at}]")));
        }
        match &http.route[..] {
            [_] => say("route.cluster", self.field("route[0].destination")),
            all => {
                for (number, (at, _)) in all.iter().enumerate().filter(|(_, d)| d.weight != 0).enumerate() {
                    let path = format!("route.weighted_clusters.clusters[{number}]");
                    say(&path, self.field(&format!("route[{at}].destination")));
                    say(&format!("{path}.weight"), self.field(&format!("route[{at}].weight")));
                }
            }
        }
        for (at, _) in http.route.iter().enumerate().filter(|(_, d)| d.headers.is_some()) {
            say("route.headers", self.field(&format!("route[{at}].headers")));
        }
    }
}

/// Where the retries of a route that says nothing of them come from.
pub(super) fn retries(of_mesh: bool) -> Origin {
    if of_mesh {
        return Origin::mesh("defaultHttpRetryPolicy");
    }
    Origin::default("2 retries of requests that never reached a server")
}
