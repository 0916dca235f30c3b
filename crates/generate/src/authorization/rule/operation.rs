//! What is asked for: hosts, methods, paths, ports, the connection's name and address.

use config::security::Operation as Written;
use proto::envoy::config::core::v3::TypedExtensionConfig;
use proto::envoy::config::rbac::v3::{Permission, permission::Rule};
use proto::envoy::extensions::path::r#match::uri_template::v3::UriTemplateMatchConfig;
use proto::envoy::r#type::matcher::v3::{PathMatcher, path_matcher};

use super::{Attribute, Built, Site, Term, term};
use crate::authorization::matchers;

/// Metadata of any filter, as an experiment.
const EXPERIMENTAL: &str = "experimental.";

/// An attribute that makes permissions.
#[derive(Clone, Copy)]
pub(super) enum Operation<'a> {
    Host,
    Method,
    Path,
    Port,
    Address,
    ServerName,
    /// `envoy.filters.NAME[KEY]`.
    Metadata(&'a str),
}

impl<'a> Operation<'a> {
    /// That of a condition.
    pub(super) fn of(key: &'a str) -> Option<Self> {
        Some(match key {
            "destination.ip" => Self::Address,
            "destination.port" => Self::Port,
            "connection.sni" => Self::ServerName,
            _ => Self::Metadata(key.strip_prefix(EXPERIMENTAL).filter(|k| k.starts_with("envoy.filters."))?),
        })
    }

    fn one(self, value: &str, site: Site<'_>) -> Option<Permission> {
        let http = |rule| (!site.tcp).then_some(rule);
        let rule = match self {
            Self::Host => http(Rule::Header(matchers::header(":authority", value, true)))?,
            Self::Method => http(Rule::Header(matchers::header(":method", value, false)))?,
            Self::Path => http(path(value))?,
            Self::Port => Rule::DestinationPort(matchers::number(value).filter(|p| *p <= 65535)?),
            Self::Address => Rule::DestinationIp(matchers::cidr(value)?),
            Self::ServerName => Rule::RequestedServerName(matchers::string(value)),
            Self::Metadata(_) => return None,
        };
        Some(Permission { rule: Some(rule) })
    }
}

/// Terms of an operation, in upstream's order.
pub(super) fn terms(of: &Written) -> Vec<Term<'_, Operation<'_>>> {
    vec![
        term(Operation::Host, &of.hosts, &of.not_hosts),
        term(Operation::Method, &of.methods, &of.not_methods),
        term(Operation::Path, &of.paths, &of.not_paths),
        term(Operation::Port, &of.ports, &of.not_ports),
    ]
}

impl Attribute for Operation<'_> {
    type Out = Permission;
    fn built(&self, values: &[String], site: Site<'_>) -> Built<Permission> {
        match self {
            Self::Metadata(key) => Built::Together(metadata(key, values)),
            _ => Built::Each(values.iter().map(|v| self.one(v, site)).collect()),
        }
    }
}

/// A path, or a template with `{*}` for one segment and `{**}` for any number.
fn path(value: &str) -> Rule {
    if value.contains("{*}") || value.contains("{**}") {
        let path_template = value.replace("{*}", "*").replace("{**}", "**");
        return Rule::UriTemplate(TypedExtensionConfig {
            name: "uri-template".into(),
            typed_config: Some(proto::any(&UriTemplateMatchConfig { path_template })),
        });
    }
    Rule::UrlPath(PathMatcher { rule: Some(path_matcher::Rule::Path(matchers::string(value))) })
}

/// `FILTER[KEY]`; a value in brackets is looked for in a list.
#[expect(deprecated, reason = "as upstream; its successor only adds where metadata comes from")]
fn metadata(key: &str, values: &[String]) -> Option<Permission> {
    let (filter, name) = key.strip_suffix(']').unwrap_or(key).split_once('[')?;
    let one = |value: &String| {
        if value.starts_with('[') && value.ends_with(']') {
            matchers::list(matchers::text(matchers::string(value.trim_matches(['[', ']']))))
        } else {
            matchers::text(matchers::string(value))
        }
    };
    let value = matchers::either(values.iter().map(one).collect());
    Some(Permission { rule: Some(Rule::Metadata(matchers::metadata(filter, [name], value))) })
}
