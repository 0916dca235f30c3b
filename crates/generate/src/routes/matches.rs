//! Route matches (as pilot/pkg/networking/core/route/route.go: `TranslateRouteMatch`).

use config::networking::{HttpMatchRequest, MatchType, StringMatch};
use mesh::routes::VirtualService;
use proto::envoy::config::route::v3::{
    HeaderMatcher, QueryParameterMatcher, Route, RouteMatch, header_matcher::HeaderMatchSpecifier,
    query_parameter_matcher::QueryParameterMatchSpecifier, route_match::PathSpecifier,
};
use proto::envoy::r#type::matcher::v3::{
    ListMatcher, MetadataMatcher, OrMatcher, RegexMatcher, StringMatcher, ValueMatcher, list_matcher,
    metadata_matcher, string_matcher::MatchPattern, value_matcher,
};
use proto::google::protobuf::BoolValue;

/// `prefix: /`.
pub(super) fn everything() -> RouteMatch {
    RouteMatch { path_specifier: Some(PathSpecifier::Prefix("/".into())), ..RouteMatch::default() }
}

/// A match of a virtual service, or everything.
pub(super) fn translate(virtual_service: &VirtualService, m: Option<&HttpMatchRequest>) -> RouteMatch {
    let mut out = everything();
    let Some(m) = m else { return out };
    for (name, want) in &m.headers {
        match claim(name, want) {
            Some(metadata) => out.dynamic_metadata.push(metadata),
            None => out.headers.push(header(name, want)),
        }
    }
    for (name, want) in &m.without_headers {
        if let Some(metadata) = claim(name, want) {
            out.dynamic_metadata.push(MetadataMatcher { invert: true, ..metadata });
        } else {
            let mut matcher = header(name, want);
            matcher.invert_match = true;
            matcher.treat_missing_header_as_empty = !is_presence(want);
            out.headers.push(matcher);
        }
    }
    out.headers.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(uri) = m.uri.as_ref().and_then(|u| u.match_type.as_ref()) {
        let separated = !virtual_service.semantics.is_empty();
        out.path_specifier = Some(match uri {
            MatchType::Exact(path) => PathSpecifier::Path(path.clone()),
            MatchType::Prefix(prefix) if separated && prefix != "/" => {
                PathSpecifier::PathSeparatedPrefix(prefix.strip_suffix('/').unwrap_or(prefix).to_owned())
            }
            MatchType::Prefix(prefix) => PathSpecifier::Prefix(prefix.clone()),
            MatchType::Regex(regex) => {
                PathSpecifier::SafeRegex(RegexMatcher { regex: regex.clone(), ..RegexMatcher::default() })
            }
        });
    }
    out.case_sensitive = Some(BoolValue { value: !m.ignore_uri_case });
    for (name, want) in [(":method", &m.method), (":authority", &m.authority), (":scheme", &m.scheme)] {
        out.headers.extend(want.as_ref().map(|want| header(name, want)));
    }
    out.query_parameters.extend(m.query_params.iter().map(|(name, want)| query(name, want)));
    out
}

/// Exact, prefix or regex as Envoy has it; `None` where nothing is said.
pub(crate) fn string(want: &StringMatch) -> Option<StringMatcher> {
    let pattern = match want.match_type.as_ref()? {
        MatchType::Exact(text) => MatchPattern::Exact(text.clone()),
        MatchType::Prefix(text) => MatchPattern::Prefix(text.clone()),
        MatchType::Regex(regex) => {
            MatchPattern::SafeRegex(RegexMatcher { regex: regex.clone(), ..RegexMatcher::default() })
        }
    };
    Some(StringMatcher { match_pattern: Some(pattern), ..StringMatcher::default() })
}

fn is_presence(want: &StringMatch) -> bool {
    match &want.match_type {
        None => true,
        Some(MatchType::Regex(regex)) => regex == "*",
        Some(_) => false,
    }
}

fn header(name: &str, want: &StringMatch) -> HeaderMatcher {
    let specifier = if is_presence(want) {
        Some(HeaderMatchSpecifier::PresentMatch(true))
    } else {
        string(want).map(HeaderMatchSpecifier::StringMatch)
    };
    HeaderMatcher { name: name.into(), header_match_specifier: specifier, ..HeaderMatcher::default() }
}

fn query(name: &str, want: &StringMatch) -> QueryParameterMatcher {
    let specifier = if is_presence(want) {
        Some(QueryParameterMatchSpecifier::PresentMatch(true))
    } else {
        string(want).map(QueryParameterMatchSpecifier::StringMatch)
    };
    QueryParameterMatcher { name: name.into(), query_parameter_match_specifier: specifier }
}

/// `@request.auth.claims.<name>` or `@request.auth.claims[<name>][..]`: a claim of a verified token
/// (as pkg/jwt: `ToRoutingClaim`).
fn claim(name: &str, want: &StringMatch) -> Option<MetadataMatcher> {
    const PREFIX: &str = "@request.auth.claims";
    let head = name.get(..PREFIX.len())?;
    if !head.eq_ignore_ascii_case(PREFIX) {
        return None;
    }
    let rest = &name[PREFIX.len()..];
    let claims: Vec<&str> = if let Some(path) = rest.strip_prefix('.').filter(|p| !p.is_empty()) {
        path.split('.').collect()
    } else {
        let inner = rest.strip_prefix('[')?.strip_suffix(']').filter(|p| !p.is_empty())?;
        inner.split("][").collect()
    };
    let segment = |key: &str| metadata_matcher::PathSegment {
        segment: Some(metadata_matcher::path_segment::Segment::Key(key.into())),
    };
    // A claim is a string or a list of strings.
    let one = ValueMatcher { match_pattern: string(want).map(value_matcher::MatchPattern::StringMatch) };
    let list = ListMatcher { match_pattern: Some(list_matcher::MatchPattern::OneOf(Box::new(one.clone()))) };
    let list = ValueMatcher { match_pattern: Some(value_matcher::MatchPattern::ListMatch(Box::new(list))) };
    let either = OrMatcher { value_matchers: vec![list, one] };
    Some(MetadataMatcher {
        filter: "envoy.filters.http.jwt_authn".into(),
        path: std::iter::once("payload").chain(claims).map(segment).collect(),
        value: Some(ValueMatcher { match_pattern: Some(value_matcher::MatchPattern::OrMatch(either)) }),
        ..MetadataMatcher::default()
    })
}

/// Whether a route matches every request (as `IsCatchAllRoute`).
pub(crate) fn is_catch_all(route: &Route) -> bool {
    let Some(m) = &route.r#match else { return true };
    let path = match &m.path_specifier {
        Some(PathSpecifier::Prefix(p) | PathSpecifier::PathSeparatedPrefix(p)) => p == "/",
        Some(PathSpecifier::SafeRegex(r)) => r.regex == ".*",
        _ => false,
    };
    path && m.headers.is_empty() && m.query_parameters.is_empty() && m.dynamic_metadata.is_empty()
}
