//! A delegating route and the routes of its delegate: both have to match.

use std::collections::BTreeMap;

use config::networking::{HttpMatchRequest, HttpRoute, MatchType, StringMatch};

use super::{MatchPlace, RoutePlace};

/// The routes of a delegate as part of the root's route, each with its place; those that can never match together are
/// left out (as pilot/pkg/model/virtualservice.go: `MergeHTTPRoutes`). `number` is that of the root's route, `from` that
/// of the delegate.
pub(super) fn merge(
    root: &HttpRoute,
    number: usize,
    delegate: Vec<HttpRoute>,
    from: usize,
) -> Vec<(HttpRoute, RoutePlace)> {
    let one = |(at, leaf)| {
        let (route, matches) = route(root, leaf)?;
        Some((route, RoutePlace { root: number, leaf: Some((from, at)), matches }))
    };
    delegate.into_iter().enumerate().filter_map(one).collect()
}

fn route(root: &HttpRoute, mut leaf: HttpRoute) -> Option<(HttpRoute, Vec<MatchPlace>)> {
    let places;
    (leaf.r#match, places) = matches(&root.r#match, std::mem::take(&mut leaf.r#match))?.into_iter().unzip();
    leaf.name = joined(&root.name, &leaf.name);
    macro_rules! inherit {
        ($($field:ident)*) => { $( if leaf.$field.is_none() { leaf.$field.clone_from(&root.$field); } )* };
    }
    inherit!(rewrite direct_response timeout retries fault mirror mirror_percent mirror_percentage cors_policy headers);
    if leaf.mirrors.is_empty() {
        leaf.mirrors.clone_from(&root.mirrors);
    }
    Some((leaf, places))
}

fn joined(root: &str, leaf: &str) -> String {
    match (root, leaf) {
        (_, "") => root.to_owned(),
        ("", _) => leaf.to_owned(),
        _ => format!("{root}-{leaf}"),
    }
}

/// Each match of the leaf within each match of the root it fits in; nothing if one of them fits nowhere.
fn matches(
    root: &[HttpMatchRequest],
    leaf: Vec<HttpMatchRequest>,
) -> Option<Vec<(HttpMatchRequest, MatchPlace)>> {
    if root.is_empty() {
        return Some(leaf.into_iter().enumerate().map(|(at, m)| (m, (None, Some(at)))).collect());
    }
    if leaf.is_empty() {
        return Some(root.iter().cloned().enumerate().map(|(at, m)| (m, (Some(at), None))).collect());
    }
    let mut out = Vec::new();
    for (at, own) in leaf.iter().enumerate() {
        let before = out.len();
        let fit = root.iter().enumerate().filter(|(_, r)| !conflict(r, own));
        out.extend(fit.map(|(number, r)| (both(r, own), (Some(number), Some(at)))));
        if out.len() == before {
            return None;
        }
    }
    Some(out)
}

fn both(root: &HttpMatchRequest, leaf: &HttpMatchRequest) -> HttpMatchRequest {
    fn union<V: Clone>(root: &BTreeMap<String, V>, leaf: &BTreeMap<String, V>) -> BTreeMap<String, V> {
        let mut out = root.clone();
        out.extend(leaf.iter().map(|(k, v)| (k.clone(), v.clone())));
        out
    }
    let text = |leaf: &String, root: &String| if leaf.is_empty() { root.clone() } else { leaf.clone() };
    let string =
        |leaf: &Option<StringMatch>, root: &Option<StringMatch>| leaf.clone().or_else(|| root.clone());
    let mut source_labels = root.source_labels.clone();
    source_labels.extend(leaf.source_labels.clone());
    HttpMatchRequest {
        name: joined(&root.name, &leaf.name),
        uri: string(&leaf.uri, &root.uri),
        scheme: string(&leaf.scheme, &root.scheme),
        method: string(&leaf.method, &root.method),
        authority: string(&leaf.authority, &root.authority),
        headers: union(&root.headers, &leaf.headers),
        without_headers: union(&root.without_headers, &leaf.without_headers),
        query_params: union(&root.query_params, &leaf.query_params),
        port: if leaf.port == 0 { root.port } else { leaf.port },
        source_labels,
        source_namespace: text(&leaf.source_namespace, &root.source_namespace),
        gateways: if leaf.gateways.is_empty() { root.gateways.clone() } else { leaf.gateways.clone() },
        stat_prefix: text(&leaf.stat_prefix, &root.stat_prefix),
        ignore_uri_case: leaf.ignore_uri_case,
    }
}

/// Whether the leaf matches something that the root does not (as `hasConflict` upstream).
fn conflict(root: &HttpMatchRequest, leaf: &HttpMatchRequest) -> bool {
    let own = [&leaf.uri, &leaf.scheme, &leaf.method, &leaf.authority];
    let theirs = [&root.uri, &root.scheme, &root.method, &root.authority];
    let strings = theirs.iter().zip(own).any(|(r, l)| outside(r.as_ref(), l.as_ref()));
    let maps = [
        (&root.headers, &leaf.headers),
        (&root.without_headers, &leaf.without_headers),
        (&root.query_params, &leaf.query_params),
    ];
    let keyed = maps.iter().any(|(r, l)| l.iter().any(|(k, v)| outside(r.get(k), Some(v))));
    let ports = root.port > 0 && leaf.port > 0 && root.port != leaf.port;
    let namespace = !root.source_namespace.is_empty() && leaf.source_namespace != root.source_namespace;
    let labels = leaf.source_labels.iter().any(|(k, v)| root.source_labels.get(k).is_some_and(|r| r != v));
    let gateways = !root.gateways.is_empty()
        && (root.gateways.len() < leaf.gateways.len()
            || leaf.gateways.iter().any(|g| !root.gateways.contains(g)));
    strings
        || keyed
        || root.ignore_uri_case != leaf.ignore_uri_case
        || ports
        || namespace
        || labels
        || gateways
}

/// Whether a text may match the leaf and not the root. Nobody can say that of two regular expressions, so those never
/// go together with anything.
fn outside(root: Option<&StringMatch>, leaf: Option<&StringMatch>) -> bool {
    let (Some(root), Some(leaf)) = (root, leaf) else { return false };
    let of = |m: &StringMatch| match &m.match_type {
        Some(MatchType::Exact(t)) if !t.is_empty() => (t.clone(), String::new(), String::new()),
        Some(MatchType::Prefix(t)) => (String::new(), t.clone(), String::new()),
        Some(MatchType::Regex(t)) => (String::new(), String::new(), t.clone()),
        _ => Default::default(),
    };
    let (exact, prefix, regex) = of(root);
    let (own_exact, own_prefix, own_regex) = of(leaf);
    let any = |a: &str, b: &str, c: &str| !a.is_empty() || !b.is_empty() || !c.is_empty();
    if !regex.is_empty() && any(&own_exact, &own_prefix, &own_regex) {
        return true;
    }
    if !own_regex.is_empty() && any(&exact, &prefix, &regex) {
        return true;
    }
    if !exact.is_empty() {
        return !own_prefix.is_empty() || own_exact != exact;
    }
    if !prefix.is_empty() && !own_prefix.is_empty() {
        return !own_prefix.starts_with(&prefix);
    }
    if !prefix.is_empty() && !own_exact.is_empty() {
        return !own_exact.starts_with(&prefix);
    }
    true
}
