//! Where users write regular expressions: each must be one that Envoy can read.

use std::collections::BTreeMap;

use super::{Refusals, re2};
use crate::gateway_api;
use crate::networking::{HttpMatchRequest, HttpRoute, MatchType, StringMatch, VirtualService};

/// What to do about an expression that is none.
const HINT: &str = "Envoy reads Google RE2 (https://github.com/google/re2/wiki/Syntax): like Perl's expressions, but without \
                    lookaround and backreferences, and with repetitions up to 1000";

impl Refusals<'_> {
    /// Complains about a text at `field` that RE2 does not take.
    fn regex(&mut self, field: &str, text: &str) {
        if text.is_empty() {
            self.add(field, "a regular expression cannot be empty", "use .* to match everything");
        } else if let Err(flaw) = re2::check(text) {
            self.add(field, &format!("{text:?} is not a regular expression of RE2: {flaw}"), HINT);
        }
    }

    fn string_match(&mut self, field: &str, wanted: Option<&StringMatch>) {
        if let Some(MatchType::Regex(text)) = wanted.and_then(|wanted| wanted.match_type.as_ref()) {
            self.regex(&format!("{field}.regex"), text);
        }
    }

    /// As [`Refusals::string_match`] for each value of a map; there, `*` stands for any value and is no expression.
    fn string_matches(&mut self, field: &str, wanted: &BTreeMap<String, StringMatch>) {
        for (name, wanted) in wanted {
            if !matches!(&wanted.match_type, Some(MatchType::Regex(any)) if any == "*") {
                self.string_match(&format!("{field}.{name}"), Some(wanted));
            }
        }
    }
}

/// The matches, origins and rewrites of a VirtualService (as pkg/config/validation: `validateHTTPRouteMatchRequest`,
/// `validateCORSPolicy`, `validateHTTPRewrite`).
pub(super) fn virtual_service(found: &mut Refusals<'_>, spec: &VirtualService) {
    for (i, route) in spec.http.iter().enumerate() {
        let field = format!("spec.http[{i}]");
        for (m, request) in route.r#match.iter().enumerate() {
            http_match(found, request, &format!("{field}.match[{m}]"));
        }
        actions(found, route, &field);
    }
}

fn http_match(found: &mut Refusals<'_>, request: &HttpMatchRequest, field: &str) {
    for (name, wanted) in [
        ("uri", &request.uri),
        ("scheme", &request.scheme),
        ("method", &request.method),
        ("authority", &request.authority),
    ] {
        found.string_match(&format!("{field}.{name}"), wanted.as_ref());
    }
    for (name, wanted) in [
        ("headers", &request.headers),
        ("queryParams", &request.query_params),
        ("withoutHeaders", &request.without_headers),
    ] {
        found.string_matches(&format!("{field}.{name}"), wanted);
    }
}

fn actions(found: &mut Refusals<'_>, route: &HttpRoute, field: &str) {
    let origins = route.cors_policy.iter().flat_map(|policy| &policy.allow_origins);
    for (i, origin) in origins.enumerate() {
        found.string_match(&format!("{field}.corsPolicy.allowOrigins[{i}]"), Some(origin));
    }
    let rewrite = route.rewrite.as_ref().and_then(|rewrite| rewrite.uri_regex_rewrite.as_ref());
    if let Some(rewrite) = rewrite {
        found.regex(&format!("{field}.rewrite.uriRegexRewrite.match"), &rewrite.r#match);
    }
}

/// The matches of an HTTPRoute of the Gateway API that say `RegularExpression`.
pub(super) fn http_route(found: &mut Refusals<'_>, spec: &gateway_api::HttpRoute) {
    const REGEX: &str = "RegularExpression";
    for (i, rule) in spec.rules.iter().enumerate() {
        for (m, request) in rule.matches.iter().enumerate() {
            let field = format!("spec.rules[{i}].matches[{m}]");
            if let Some(path) = request.path.as_ref().filter(|path| path.match_type() == REGEX) {
                found.regex(&format!("{field}.path.value"), path.value());
            }
            for (name, wanted) in [("headers", &request.headers), ("queryParams", &request.query_params)] {
                for (n, wanted) in wanted.iter().enumerate().filter(|(_, w)| w.match_type() == REGEX) {
                    found.regex(&format!("{field}.{name}[{n}].value"), &wanted.value);
                }
            }
        }
    }
}
