//! Authorization: AuthorizationPolicies as RBAC filters of Envoy, for HTTP and for plain connections
//! (as pilot/pkg/security/authz and pilot/pkg/model/authorization.go).
//!
//! Order on a chain: CUSTOM, then AUDIT, DENY, ALLOW. Both kinds of filters belong to every Envoy.
//!
//! What a policy with `action: CUSTOM` speaks of is put to an external authorizer; where none can be asked it is denied.
//! A dry run of such a policy asks nobody (upstream denies instead).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::Kind;
use config::security::{Action, ActionDetail, AuthorizationPolicy};
use config::selector::PolicyTargetReference;
use mesh::World;
use mesh::policies::AccessPolicy;
use mesh::settings::Settings;
use mesh::workloads::LabelSet;
use proto::envoy::config::listener::v3::{Filter, filter};
use proto::envoy::config::rbac::v3::{Permission, Policy, Principal, Rbac, permission, principal, rbac};
use proto::envoy::extensions::filters::http::rbac::v3::Rbac as HttpRbac;
use proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use proto::envoy::extensions::filters::network::rbac::v3::Rbac as NetworkRbac;
use tables::{Level, Reads};

use crate::filters::http;
use crate::provenance::{self, Origin};
use crate::proxy::Proxy;
use external::External;
use rule::Site;
use trust_domain::TrustDomains;

mod external;
mod matchers;
mod rule;
#[cfg(test)]
mod tests;
mod trust_domain;

/// Policies whose rules are only reported, not enforced.
const DRY_RUN: &str = "istio.io/dry-run";
/// Names the Gateway that a workload is an instance of.
const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";
/// Behind the names of rules that are denied because nobody can be asked.
const UNASKED: &str = "-deny-due-to-bad-CUSTOM-action";

/// The filters of one proxy that let in or keep out, in their order within each list.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Authorization {
    /// CUSTOM on HTTP; before authentication.
    pub(crate) custom_http: Vec<HttpFilter>,
    /// AUDIT, DENY, ALLOW on HTTP; after authentication.
    pub(crate) http: Vec<HttpFilter>,
    /// CUSTOM, AUDIT, DENY, ALLOW on connections.
    pub(crate) tcp: Vec<Filter>,
}

impl Authorization {
    /// The filters of a proxy (full form), whose policies are those of its namespace and of the root namespace.
    pub(crate) fn of<L: Level>(r: &Reads<L>, world: &World, proxy: &Proxy) -> Self {
        let settings = crate::settings(r, world);
        let root: Arc<str> = settings.root_namespace().into();
        let mut selected: Vec<&AccessPolicy> = Vec::new();
        for namespace in BTreeSet::from([&root, &proxy.namespace]) {
            let rows = world.access_policies.bucket::<mesh::world::AccessPoliciesOf, L>(r, namespace);
            selected.extend(rows.map(|(_, row)| &**row).filter(|p| attaches(p, proxy, settings)));
        }
        provenance::notes(r, |say| selected.iter().for_each(|policy| tell(policy, say)));
        Self::built(&selected, settings, |name| external::external(r, world, &settings.mesh, name))
    }

    fn built(
        selected: &[&AccessPolicy],
        settings: &Settings,
        external: impl Fn(&str) -> Option<External>,
    ) -> Self {
        if selected.is_empty() {
            return Self::default();
        }
        let mesh = &settings.mesh;
        let domains = TrustDomains::new(&mesh.trust_domain, &mesh.trust_domain_aliases);
        let of = |action: Action| -> Vec<&AccessPolicy> {
            selected.iter().copied().filter(|p| p.spec.action == action).collect()
        };
        let custom = of(Action::Custom);
        let mut out = Self::default();
        out.ask(&by_provider(&custom, &domains, false), settings, false, &external);
        out.ask(&by_provider(&custom, &domains, true), settings, true, &external);
        let actions = [
            (Action::Audit, rbac::Action::Log),
            (Action::Deny, rbac::Action::Deny),
            (Action::Allow, rbac::Action::Allow),
        ];
        for (action, envoy) in actions {
            let policies = of(action);
            if policies.is_empty() {
                continue;
            }
            out.http.push(Rules::of(&policies, envoy, &domains, false).http());
            out.tcp.push(Rules::of(&policies, envoy, &domains, true).tcp());
        }
        out
    }

    /// Rules of CUSTOM policies by provider: matched and put to the provider, or denied.
    fn ask(
        &mut self,
        rules: &BTreeMap<&str, Rbac>,
        settings: &Settings,
        tcp: bool,
        external: &impl Fn(&str) -> Option<External>,
    ) {
        let clear = rules.len() < 2 || settings.switches.pilot_enable_multiple_custom_authz_providers;
        for (provider, rules) in rules {
            let asked = external(provider).filter(|_| clear);
            let matched = match &asked {
                Some(_) => Rules::matched(rules.clone()),
                None => Rules::denied(rules.clone()),
            };
            match (asked, tcp) {
                (asked, false) => {
                    self.custom_http.push(matched.http());
                    self.custom_http.extend(asked.map(|a| a.http));
                }
                (None, true) => self.tcp.push(matched.tcp()),
                // One that speaks HTTP is not asked about connections.
                (Some(asked), true) => {
                    if let Some(filter) = asked.tcp {
                        self.tcp.push(matched.tcp());
                        self.tcp.push(filter);
                    }
                }
            }
        }
    }
}

/// Whether a policy of the right namespace holds for a proxy: by labels; for gateways of the Gateway API by reference
/// (as pilot/pkg/model/policyattachment.go: `ShouldAttachPolicy`, without waypoints).
fn attaches(policy: &AccessPolicy, proxy: &Proxy, settings: &Settings) -> bool {
    let spec = &*policy.spec;
    let selects = || spec.selector.iter().all(|s| proxy.labels.has_all(&s.match_labels));
    let references = references(spec);
    match proxy.labels.get(GATEWAY_NAME) {
        None => references.is_empty() && selects(),
        Some(_) if references.is_empty() => {
            settings.switches.enable_selector_based_k8s_gateway_policy && selects()
        }
        Some(gateway) => {
            policy.namespace == proxy.namespace
                && references.iter().any(|to| {
                    to.group == "gateway.networking.k8s.io"
                        && to.kind == "Gateway"
                        && *to.name == **gateway
                        && (to.namespace.is_empty() || *to.namespace == *proxy.namespace)
                })
        }
    }
}

/// `targetRefs`, else the older `targetRef`.
fn references(spec: &AuthorizationPolicy) -> &[PolicyTargetReference] {
    if spec.target_refs.is_empty() { spec.target_ref.as_slice() } else { &spec.target_refs }
}

/// What Go takes for true.
fn is_dry_run(policy: &AccessPolicy) -> bool {
    matches!(policy.annotations.get(DRY_RUN).map(|v| &**v), Some("1" | "t" | "T" | "true" | "TRUE" | "True"))
}

/// Rules of one action: those that hold and those that are only reported.
#[derive(Default)]
struct Rules {
    enforced: Option<Rbac>,
    reported: Option<Rbac>,
    /// Under which results of reported rules are kept (as `shadowRuleStatPrefix`).
    prefix: &'static str,
}

impl Rules {
    fn of(policies: &[&AccessPolicy], action: rbac::Action, domains: &TrustDomains<'_>, tcp: bool) -> Self {
        let mut out = Self::default();
        for policy in policies {
            let side = if is_dry_run(policy) { &mut out.reported } else { &mut out.enforced };
            let into = side.get_or_insert_with(|| Rbac { action: action.into(), ..Rbac::default() });
            into.policies.extend(named(policy, "", action, domains, tcp));
        }
        // Without reported rules upstream has the prefix of those that allow.
        out.prefix = match out.reported.as_ref().map_or(rbac::Action::Allow, Rbac::action) {
            rbac::Action::Allow => "istio_dry_run_allow_",
            rbac::Action::Deny => "istio_dry_run_deny_",
            rbac::Action::Log => "",
        };
        out
    }

    /// Rules of CUSTOM that nobody can be asked about.
    fn denied(mut of: Rbac) -> Self {
        of.policies = of.policies.into_iter().map(|(name, rule)| (name + UNASKED, rule)).collect();
        Self { enforced: Some(of), ..Self::default() }
    }

    /// Rules of CUSTOM that only tell the next filter what to ask about.
    fn matched(of: Rbac) -> Self {
        Self { reported: Some(of), prefix: "istio_ext_authz_", ..Self::default() }
    }

    fn http(self) -> HttpFilter {
        http::filter(
            "envoy.filters.http.rbac",
            &HttpRbac {
                rules: self.enforced,
                shadow_rules: self.reported,
                shadow_rules_stat_prefix: self.prefix.into(),
                ..HttpRbac::default()
            },
        )
    }

    fn tcp(self) -> Filter {
        let config = NetworkRbac {
            rules: self.enforced,
            shadow_rules: self.reported,
            shadow_rules_stat_prefix: self.prefix.into(),
            stat_prefix: "tcp.".into(),
            ..NetworkRbac::default()
        };
        Filter {
            name: "envoy.filters.network.rbac".into(),
            config_type: Some(filter::ConfigType::TypedConfig(proto::any(&config))),
        }
    }
}

/// Says where the rules of a policy were written, by the names that [`named`] gives them.
fn tell(policy: &AccessPolicy, say: &mut dyn FnMut(&str, Origin)) {
    let named = (&*policy.namespace, &*policy.name);
    let of = |path: String| Origin::field(Kind::AuthorizationPolicy, named, path);
    let name = |rule: usize| format!("rbac.policies[{}]", rule_name("", policy, rule));
    if policy.spec.rules.is_empty() {
        say(&name(0), of("spec".to_owned()));
    }
    for rule in 0..policy.spec.rules.len() {
        say(&name(rule), of(format!("spec.rules[{rule}]")));
    }
}

/// The name of a rule (as pilot/pkg/security/authz/builder: `policyName`).
fn rule_name(prefix: &str, policy: &AccessPolicy, rule: usize) -> String {
    format!("{prefix}ns[{}]-policy[{}]-rule[{rule}]", policy.namespace, policy.name)
}

/// The rules of a policy with their names; a policy without rules has one that matches nothing.
fn named(
    policy: &AccessPolicy,
    prefix: &str,
    action: rbac::Action,
    domains: &TrustDomains<'_>,
    tcp: bool,
) -> Vec<(String, Policy)> {
    let name = |rule: usize| rule_name(prefix, policy, rule);
    if policy.spec.rules.is_empty() {
        return vec![(name(0), never())];
    }
    let site = Site { namespace: &policy.namespace, tcp, strict: action == rbac::Action::Allow };
    let rules = policy.spec.rules.iter().enumerate();
    rules.filter_map(|(i, rule)| Some((name(i), rule::policy(rule, domains, site)?))).collect()
}

/// The rules of CUSTOM policies by provider.
fn by_provider<'a>(
    policies: &[&'a AccessPolicy],
    domains: &TrustDomains<'_>,
    tcp: bool,
) -> BTreeMap<&'a str, Rbac> {
    let mut by_provider: BTreeMap<&str, Rbac> = BTreeMap::new();
    for policy in policies {
        let provider = match &policy.spec.action_detail {
            Some(ActionDetail::Provider(provider)) => provider.name.as_str(),
            None => "",
        };
        let into = by_provider
            .entry(provider)
            .or_insert_with(|| Rbac { action: rbac::Action::Deny.into(), ..Rbac::default() });
        if is_dry_run(policy) {
            continue;
        }
        let prefix = match provider {
            "" => "istio-ext-authz-".to_owned(),
            _ => format!("istio-ext-authz-{provider}-"),
        };
        into.policies.extend(named(policy, &prefix, rbac::Action::Deny, domains, tcp));
    }
    by_provider
}

/// Matches nothing.
fn never() -> Policy {
    let any = Permission { rule: Some(permission::Rule::Any(true)) };
    let anybody = Principal { identifier: Some(principal::Identifier::Any(true)) };
    Policy {
        permissions: vec![Permission { rule: Some(permission::Rule::NotRule(Box::new(any))) }],
        principals: vec![Principal { identifier: Some(principal::Identifier::NotId(Box::new(anybody))) }],
        ..Policy::default()
    }
}
