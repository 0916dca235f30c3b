//! One rule of a policy: who (principals) may do what (permissions), as Envoy's RBAC has it
//! (as pilot/pkg/security/authz/model).

use std::borrow::Cow;

use config::security::{From, Rule, To};
use proto::envoy::config::rbac::v3::{
    Permission, Policy, Principal,
    permission::{self, Rule as Allowed},
    principal::{self, Identifier},
};

use super::trust_domain::TrustDomains;
use operation::Operation;
use source::Source;

mod operation;
mod source;

/// Where and for what a rule is generated.
#[derive(Clone, Copy)]
pub(super) struct Site<'a> {
    /// Namespace of the policy.
    pub(super) namespace: &'a str,
    /// On a chain without HTTP, where only connections are seen.
    pub(super) tcp: bool,
    /// Whether a term that cannot be checked takes its rule with it. Rules that allow get narrower so; from rules that
    /// deny only the term is taken, which makes them wider: an error never lets in more.
    pub(super) strict: bool,
}

/// What permissions and principals have in common.
trait Logic: Sized {
    fn any() -> Self;
    fn all(of: Vec<Self>) -> Self;
    fn either(of: Vec<Self>) -> Self;
    fn not(self) -> Self;
}

impl Logic for Permission {
    fn any() -> Self {
        Self { rule: Some(Allowed::Any(true)) }
    }
    fn all(rules: Vec<Self>) -> Self {
        Self { rule: Some(Allowed::AndRules(permission::Set { rules })) }
    }
    fn either(rules: Vec<Self>) -> Self {
        Self { rule: Some(Allowed::OrRules(permission::Set { rules })) }
    }
    fn not(self) -> Self {
        Self { rule: Some(Allowed::NotRule(Box::new(self))) }
    }
}

impl Logic for Principal {
    fn any() -> Self {
        Self { identifier: Some(Identifier::Any(true)) }
    }
    fn all(ids: Vec<Self>) -> Self {
        Self { identifier: Some(Identifier::AndIds(principal::Set { ids })) }
    }
    fn either(ids: Vec<Self>) -> Self {
        Self { identifier: Some(Identifier::OrIds(principal::Set { ids })) }
    }
    fn not(self) -> Self {
        Self { identifier: Some(Identifier::NotId(Box::new(self))) }
    }
}

/// What the values of a term became; `None` for what cannot be checked.
enum Built<T> {
    Each(Vec<Option<T>>),
    Together(Option<T>),
}

impl<T: Logic> Built<T> {
    /// One of them: the outer `None` if the rule goes with it, the inner if nothing is left to check.
    fn either(self, strict: bool) -> Option<Option<T>> {
        match self {
            Self::Each(each) => {
                if strict && each.iter().any(Option::is_none) {
                    return None;
                }
                let good: Vec<T> = each.into_iter().flatten().collect();
                Some((!good.is_empty()).then(|| T::either(good)))
            }
            Self::Together(None) if strict => None,
            Self::Together(one) => Some(one),
        }
    }
}

/// Something that a term speaks of.
trait Attribute {
    type Out: Logic;
    fn built(&self, values: &[String], site: Site<'_>) -> Built<Self::Out>;
}

/// An attribute with the values that it has, or has not.
#[derive(Clone)]
struct Term<'a, A> {
    attribute: A,
    values: Cow<'a, [String]>,
    not_values: Cow<'a, [String]>,
}

fn term<'a, A>(attribute: A, values: &'a [String], not_values: &'a [String]) -> Term<'a, A> {
    Term { attribute, values: values.into(), not_values: not_values.into() }
}

/// All terms at once; without any, anything. `None` if the rule goes.
fn all<A: Attribute>(terms: &[Term<'_, A>], site: Site<'_>) -> Option<A::Out> {
    let mut out = Vec::new();
    for term in terms {
        if !term.values.is_empty() {
            out.extend(term.attribute.built(&term.values, site).either(site.strict)?);
        }
        if !term.not_values.is_empty() {
            let not = term.attribute.built(&term.not_values, site).either(site.strict)?;
            out.extend(not.map(Logic::not));
        }
    }
    if out.is_empty() {
        out.push(A::Out::any());
    }
    Some(A::Out::all(out))
}

/// The RBAC policy of a rule; `None` if it cannot be had here, or if a condition has a key that nobody knows.
pub(super) fn policy(rule: &Rule, domains: &TrustDomains<'_>, site: Site<'_>) -> Option<Policy> {
    let mut operations: Vec<Term<'_, Operation<'_>>> = Vec::new();
    let mut sources: Vec<Term<'_, Source<'_>>> = Vec::new();
    for when in &rule.when {
        if let Some(operation) = Operation::of(&when.key) {
            operations.push(term(operation, &when.values, &when.not_values));
        } else {
            sources.push(term(Source::of(&when.key)?, &when.values, &when.not_values));
        }
    }
    let from = |from: &From| {
        let mut terms = from.source.as_ref().map(source::terms).unwrap_or_default();
        terms.extend(sources.iter().cloned());
        terms.iter_mut().for_each(|t| source::migrate(t, domains));
        all(&terms, site)
    };
    let to = |to: &To| {
        let mut terms = to.operation.as_ref().map(operation::terms).unwrap_or_default();
        terms.extend(operations.iter().cloned());
        all(&terms, site)
    };
    let permissions = if rule.to.is_empty() {
        vec![to(&To::default())?]
    } else {
        rule.to.iter().map(to).collect::<Option<_>>()?
    };
    let principals = if rule.from.is_empty() {
        vec![from(&From::default())?]
    } else {
        rule.from.iter().map(from).collect::<Option<_>>()?
    };
    Some(Policy { permissions, principals, ..Policy::default() })
}
