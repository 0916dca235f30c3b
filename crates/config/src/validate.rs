//! What is refused although it can be read: objects that say nothing a proxy could do.
//!
//! Only rules whose breach would reach a proxy as configuration that it refuses; the rest of upstream's validation
//! (pkg/config/validation) is advice.

mod re2;
mod regexes;

use std::collections::BTreeSet;

use crate::networking::{DestinationRule, Gateway, HttpRoute, ServiceEntry, VirtualService};
use crate::object::Object;
use crate::problem::{Problem, Severity};

#[cfg(test)]
mod tests;

/// Complaints about one object, each with its place.
struct Refusals<'a> {
    object: &'a Object,
    out: Vec<Problem>,
}

impl Refusals<'_> {
    fn add(&mut self, field: &str, message: &str, hint: &str) {
        let origin = &self.object.meta.origin;
        let at = origin.nearest(field);
        let mut problem = Problem::new(Severity::Error, &at.file, message);
        (problem.line, problem.column) = (at.line, at.column);
        problem.object = self.object.meta.to_string();
        problem.field = field.to_owned();
        problem.hint = hint.to_owned();
        self.out.push(problem);
    }

    fn needs(&mut self, there: bool, field: &str, message: &str) {
        if !there {
            self.add(field, message, "");
        }
    }
}

/// Why an object must not be used; empty if it may.
pub(crate) fn refusals(object: &Object) -> Vec<Problem> {
    let mut found = Refusals { object, out: Vec::new() };
    if let Some(spec) = object.get::<VirtualService>() {
        virtual_service(&mut found, spec);
        regexes::virtual_service(&mut found, spec);
    } else if let Some(spec) = object.get::<DestinationRule>() {
        destination_rule(&mut found, spec);
    } else if let Some(spec) = object.get::<Gateway>() {
        gateway(&mut found, spec);
    } else if let Some(spec) = object.get::<ServiceEntry>() {
        found.needs(!spec.hosts.is_empty(), "spec.hosts", "a ServiceEntry needs at least one host");
    } else if let Some(spec) = object.get::<crate::gateway_api::HttpRoute>() {
        regexes::http_route(&mut found, spec);
    }
    found.out
}

fn virtual_service(found: &mut Refusals<'_>, spec: &VirtualService) {
    for (i, route) in spec.http.iter().enumerate() {
        http_route(found, route, &format!("spec.http[{i}]"));
    }
    let layer4 = spec.tcp.iter().map(|t| ("tcp", &t.route)).chain(spec.tls.iter().map(|t| ("tls", &t.route)));
    let mut counts = [0usize; 2];
    for (kind, route) in layer4 {
        let count = &mut counts[usize::from(kind == "tls")];
        let field = format!("spec.{kind}[{count}].route");
        *count += 1;
        found.needs(!route.is_empty(), &field, "a route needs at least one destination");
        found.needs(
            route.iter().all(|d| d.destination.as_ref().is_some_and(|d| !d.host.is_empty())),
            &field,
            "a destination needs a host",
        );
    }
}

fn http_route(found: &mut Refusals<'_>, route: &HttpRoute, field: &str) {
    let acts = !route.route.is_empty()
        || route.redirect.is_some()
        || route.direct_response.is_some()
        || route.delegate.is_some();
    if !acts {
        found.add(
            field,
            "an HTTP route does nothing",
            "give it one of route, redirect, directResponse or delegate",
        );
    }
    for (i, destination) in route.route.iter().enumerate() {
        let at = format!("{field}.route[{i}]");
        found.needs(
            destination.destination.as_ref().is_some_and(|d| !d.host.is_empty()),
            &at,
            "a destination needs a host",
        );
        found.needs(destination.weight >= 0, &format!("{at}.weight"), "a weight cannot be negative");
    }
    let total: i64 = route.route.iter().map(|d| i64::from(d.weight)).sum();
    if route.route.len() > 1 && total == 0 {
        found.add(
            &format!("{field}.route"),
            "the weights of the destinations sum up to 0",
            "give each a weight",
        );
    }
    if let Some(direct) = &route.direct_response
        && !(200..600).contains(&direct.status)
    {
        let at = format!("{field}.directResponse.status");
        found.add(&at, "not a status that a response can have", "use one from 200 to 599");
    }
}

fn destination_rule(found: &mut Refusals<'_>, spec: &DestinationRule) {
    let mut names = BTreeSet::new();
    for (i, subset) in spec.subsets.iter().enumerate() {
        let field = format!("spec.subsets[{i}].name");
        found.needs(!subset.name.is_empty(), &field, "a subset needs a name");
        found.needs(names.insert(&subset.name), &field, "another subset has this name");
    }
}

fn gateway(found: &mut Refusals<'_>, spec: &Gateway) {
    for (i, server) in spec.servers.iter().enumerate() {
        let field = format!("spec.servers[{i}]");
        found.needs(
            server.port.as_ref().is_some_and(|p| p.number > 0),
            &field,
            "a server needs a port with a number",
        );
        found.needs(!server.hosts.is_empty(), &field, "a server needs at least one host");
    }
}
