//! What one written value of a rule compares with (as pilot/pkg/security/authz/matcher).

use std::net::IpAddr;

use proto::envoy::config::core::v3::CidrRange;
use proto::envoy::config::route::v3::{HeaderMatcher, header_matcher::HeaderMatchSpecifier};
use proto::envoy::r#type::matcher::v3::{
    ListMatcher, MetadataMatcher, OrMatcher, RegexMatcher, StringMatcher, ValueMatcher, list_matcher,
    metadata_matcher::{PathSegment, path_segment::Segment},
    string_matcher::MatchPattern,
    value_matcher,
};

/// Where the JWT filter leaves what a token says.
const JWT: &str = "envoy.filters.http.jwt_authn";

fn pattern(pattern: MatchPattern) -> StringMatcher {
    StringMatcher { match_pattern: Some(pattern), ..StringMatcher::default() }
}

/// A regular expression over the whole text.
pub(super) fn regex(regex: impl Into<String>) -> StringMatcher {
    pattern(MatchPattern::SafeRegex(RegexMatcher { regex: regex.into(), ..RegexMatcher::default() }))
}

/// Anything but nothing.
pub(super) fn present() -> StringMatcher {
    regex(".+")
}

/// Texts that begin so.
pub(super) fn prefix(text: impl Into<String>) -> StringMatcher {
    pattern(MatchPattern::Prefix(text.into()))
}

/// Texts that end so.
pub(super) fn suffix(text: impl Into<String>) -> StringMatcher {
    pattern(MatchPattern::Suffix(text.into()))
}

/// This text.
pub(super) fn exact(text: impl Into<String>) -> StringMatcher {
    pattern(MatchPattern::Exact(text.into()))
}

/// A value in which `*` at one end stands for anything (as `StringMatcher`). Envoy takes no empty prefix or suffix, so a
/// lone `*` asks for presence.
pub(super) fn string(value: &str) -> StringMatcher {
    after("", value)
}

/// The same behind a fixed beginning (as `StringMatcherWithPrefix`).
pub(super) fn after(beginning: &str, value: &str) -> StringMatcher {
    if value == "*" {
        return present();
    }
    match (value.strip_prefix('*'), value.strip_suffix('*')) {
        (Some(end), _) if beginning.is_empty() => suffix(end),
        (Some(end), _) => regex(format!("{beginning}.*{}", quoted(end))),
        (None, Some(start)) => prefix(format!("{beginning}{start}")),
        (None, None) => exact(format!("{beginning}{value}")),
    }
}

/// A header with such a value.
pub(super) fn header(name: &str, value: &str, ignore_case: bool) -> HeaderMatcher {
    let specifier = if value == "*" {
        HeaderMatchSpecifier::PresentMatch(true)
    } else {
        HeaderMatchSpecifier::StringMatch(StringMatcher { ignore_case, ..string(value) })
    };
    HeaderMatcher { name: name.into(), header_match_specifier: Some(specifier), ..HeaderMatcher::default() }
}

/// The text as a regular expression (as Go's `regexp.QuoteMeta`).
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// An address or a range of addresses; `None` if it is neither.
pub(super) fn cidr(value: &str) -> Option<CidrRange> {
    let (address, bits) = match value.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (value, None),
    };
    let ip: IpAddr = address.parse().ok()?;
    let longest = if ip.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        Some(bits) => number(bits).filter(|b| *b <= longest)?,
        None => longest,
    };
    Some(CidrRange { address_prefix: ip.to_string(), prefix_len: crate::encoded::u32_value(bits) })
}

/// A number of digits only.
pub(super) fn number(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn value(of: value_matcher::MatchPattern) -> ValueMatcher {
    ValueMatcher { match_pattern: Some(of) }
}

/// A text as a value of metadata.
pub(super) fn text(of: StringMatcher) -> ValueMatcher {
    value(value_matcher::MatchPattern::StringMatch(of))
}

/// A list that holds such a value.
pub(super) fn list(of: ValueMatcher) -> ValueMatcher {
    let list = ListMatcher { match_pattern: Some(list_matcher::MatchPattern::OneOf(Box::new(of))) };
    value(value_matcher::MatchPattern::ListMatch(Box::new(list)))
}

/// One of several; a single one is itself.
pub(super) fn either(mut of: Vec<ValueMatcher>) -> ValueMatcher {
    match of.pop() {
        Some(only) if of.is_empty() => only,
        last => {
            of.extend(last);
            value(value_matcher::MatchPattern::OrMatch(OrMatcher { value_matchers: of }))
        }
    }
}

/// What a filter left under a path of keys.
pub(super) fn metadata<'a>(
    filter: &str,
    path: impl IntoIterator<Item = &'a str>,
    value: ValueMatcher,
) -> MetadataMatcher {
    let segment = |key: &str| PathSegment { segment: Some(Segment::Key(key.into())) };
    MetadataMatcher {
        filter: filter.into(),
        path: path.into_iter().map(segment).collect(),
        value: Some(value),
        ..MetadataMatcher::default()
    }
}

/// A claim that is a text.
pub(super) fn claim(name: &str, of: StringMatcher) -> MetadataMatcher {
    metadata(JWT, ["payload", name], text(of))
}

/// A claim, possibly nested, that is one of these texts or a list with one of them.
pub(super) fn claims(path: &[&str], values: &[String]) -> MetadataMatcher {
    let one = either(values.iter().map(|v| text(string(v))).collect());
    let path = std::iter::once("payload").chain(path.iter().copied());
    metadata(
        JWT,
        path,
        value(value_matcher::MatchPattern::OrMatch(OrMatcher {
            value_matchers: vec![list(one.clone()), one],
        })),
    )
}
