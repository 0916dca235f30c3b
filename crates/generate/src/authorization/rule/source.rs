//! Who asks: identities of peers, addresses, tokens and headers of requests.

use config::security::Source as Written;
use proto::envoy::config::rbac::v3::{Principal, principal::Authenticated, principal::Identifier};
use proto::envoy::r#type::matcher::v3::{MetadataMatcher, StringMatcher};

use super::{Attribute, Built, Logic, Site, Term, term};
use crate::authorization::matchers;
use crate::authorization::trust_domain::TrustDomains;

/// Identities begin so.
const SPIFFE: &str = "spiffe://";

/// An attribute that makes principals.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// Identity without the scheme.
    Principal,
    /// `ISSUER/SUBJECT` of a token.
    RequestPrincipal,
    ServiceAccount,
    TrustDomain,
    Namespace,
    /// Address that a request says it comes from.
    RemoteAddress,
    /// Address that a connection comes from.
    Address,
    Audiences,
    Presenter,
    /// `[NAME]`.
    Header(&'a str),
    /// `[NAME]`, possibly nested.
    Claims(&'a str),
}

impl<'a> Source<'a> {
    /// That of a condition.
    pub(super) fn of(key: &'a str) -> Option<Self> {
        Some(match key {
            "source.ip" => Self::Address,
            "remote.ip" => Self::RemoteAddress,
            "source.namespace" => Self::Namespace,
            "source.trustDomain" => Self::TrustDomain,
            "source.serviceAccount" => Self::ServiceAccount,
            "source.principal" => Self::Principal,
            "request.auth.principal" => Self::RequestPrincipal,
            "request.auth.audiences" => Self::Audiences,
            "request.auth.presenter" => Self::Presenter,
            _ => match key.strip_prefix("request.headers") {
                Some(name) => Self::Header(name),
                None => Self::Claims(key.strip_prefix("request.auth.claims")?),
            },
        })
    }

    fn one(self, value: &str, site: Site<'_>) -> Option<Principal> {
        let identifier = match self {
            Self::Principal => authenticated(matchers::after(SPIFFE, value)),
            Self::ServiceAccount => {
                let (namespace, account) = value.split_once('/').unwrap_or((site.namespace, value));
                let (namespace, account) = (matchers::quoted(namespace), matchers::quoted(account));
                authenticated(matchers::regex(format!("spiffe://.+/ns/{namespace}/(.+/|)sa/{account}(/.+)?")))
            }
            Self::TrustDomain => authenticated(trust_domain(value)),
            Self::Namespace => {
                let parts: Vec<String> = value.split('*').map(matchers::quoted).collect();
                authenticated(matchers::regex(format!(".*/ns/{}/.*", parts.join(".*"))))
            }
            Self::RemoteAddress => Identifier::RemoteIp(matchers::cidr(value)?),
            Self::Address => Identifier::DirectRemoteIp(matchers::cidr(value)?),
            Self::Header(name) if !site.tcp => {
                Identifier::Header(matchers::header(in_brackets(name)?, value, false))
            }
            Self::Header(_)
            | Self::RequestPrincipal
            | Self::Audiences
            | Self::Presenter
            | Self::Claims(_) => return None,
        };
        Some(Principal { identifier: Some(identifier) })
    }
}

/// Terms of a source, in upstream's order.
pub(super) fn terms(of: &Written) -> Vec<Term<'_, Source<'_>>> {
    vec![
        term(Source::Principal, &of.principals, &of.not_principals),
        term(Source::RequestPrincipal, &of.request_principals, &of.not_request_principals),
        term(Source::ServiceAccount, &of.service_accounts, &of.not_service_accounts),
        term(Source::TrustDomain, &of.trust_domains, &of.not_trust_domains),
        term(Source::Namespace, &of.namespaces, &of.not_namespaces),
        term(Source::RemoteAddress, &of.remote_ip_blocks, &of.not_remote_ip_blocks),
        term(Source::Address, &of.ip_blocks, &of.not_ip_blocks),
    ]
}

/// Every name of the mesh for identities that name one of them.
pub(super) fn migrate(term: &mut Term<'_, Source<'_>>, domains: &TrustDomains<'_>) {
    let renamed = |values: &[String]| match term.attribute {
        Source::Principal => Some(domains.principals(values)),
        Source::TrustDomain => Some(domains.domains(values)),
        _ => None,
    };
    let (values, not_values) = (renamed(&term.values), renamed(&term.not_values));
    if let Some(values) = values {
        term.values = values.into();
    }
    if let Some(not_values) = not_values {
        term.not_values = not_values.into();
    }
}

impl Attribute for Source<'_> {
    type Out = Principal;
    fn built(&self, values: &[String], site: Site<'_>) -> Built<Principal> {
        let claims = |path: &[&str]| (!site.tcp).then(|| claimed(matchers::claims(path, values)));
        match self {
            Self::RequestPrincipal if site.tcp => Built::Together(None),
            Self::RequestPrincipal => Built::Together(request_principals(values)),
            Self::Audiences => Built::Together(claims(&["aud"])),
            Self::Presenter => Built::Together(claims(&["azp"])),
            Self::Claims(key) => Built::Together(nested(key).and_then(|path| claims(&path))),
            _ => Built::Each(values.iter().map(|v| self.one(v, site)).collect()),
        }
    }
}

/// Who has a token that says so.
#[expect(deprecated, reason = "as upstream; its successor only adds where metadata comes from")]
fn claimed(what: MetadataMatcher) -> Principal {
    Principal { identifier: Some(Identifier::Metadata(what)) }
}

fn authenticated(name: StringMatcher) -> Identifier {
    Identifier::Authenticated(Authenticated { principal_name: Some(name) })
}

fn trust_domain(value: &str) -> StringMatcher {
    match value.split_once('*') {
        Some(("", "")) => matchers::prefix(SPIFFE),
        Some((start, end)) => {
            let (start, end) = (matchers::quoted(start), matchers::quoted(end));
            matchers::regex(format!("{SPIFFE}{start}[^/]*{end}/.*"))
        }
        None => matchers::prefix(format!("{SPIFFE}{value}/")),
    }
}

/// `ISSUER/SUBJECT` with `*` at an end; an issuer may hold slashes itself.
fn request_principals(values: &[String]) -> Option<Principal> {
    let one = |value: &String| {
        let split = value.rsplit_once('/');
        let or_any = |text: &str, of: fn(&str) -> StringMatcher| {
            if text.is_empty() { matchers::present() } else { of(text) }
        };
        let (issuer, subject) = if value == "*" {
            (matchers::present(), matchers::present())
        } else if let Some(end) = value.strip_prefix('*') {
            match split {
                Some(("*", subject)) => (matchers::present(), matchers::exact(subject)),
                Some((issuer, subject)) => {
                    let end = issuer.strip_prefix('*').unwrap_or(issuer);
                    (matchers::suffix(end), matchers::exact(subject))
                }
                None => (matchers::present(), matchers::suffix(end)),
            }
        } else if let Some(start) = value.strip_suffix('*') {
            match split {
                Some((issuer, subject)) => {
                    let start = subject.strip_suffix('*').unwrap_or(subject);
                    (matchers::exact(issuer), or_any(start, |s| matchers::prefix(s)))
                }
                None => (matchers::prefix(start), matchers::present()),
            }
        } else {
            let (issuer, subject) = split.unwrap_or((value, ""));
            (matchers::exact(issuer), matchers::exact(subject))
        };
        Principal::all(vec![
            claimed(matchers::claim("iss", issuer)),
            claimed(matchers::claim("sub", subject)),
        ])
    };
    let mut of: Vec<Principal> = values.iter().map(one).collect();
    if of.len() > 1 {
        return Some(Principal::either(of));
    }
    of.pop()
}

fn in_brackets(text: &str) -> Option<&str> {
    text.strip_prefix('[')?.strip_suffix(']')
}

/// `[A][B]` is B within A; what is no such path is one name.
fn nested(text: &str) -> Option<Vec<&str>> {
    let inner = in_brackets(text)?;
    let parts: Vec<&str> = inner.split("][").collect();
    if parts.iter().any(|p| p.contains(['[', ']'])) {
        return Some(vec![inner]);
    }
    Some(parts)
}
