//! Consistent hashing: which request property picks the endpoint
//! (as pilot/pkg/networking/core/route/route.go: `HashForHTTPDestination`, `ConsistentHashToHashPolicy`).

use config::networking::{
    ConsistentHashLb, Destination, HashKey, LbPolicy, LoadBalancerSettings, TrafficPolicy,
};
use mesh::rules::Rule;
use proto::envoy::config::route::v3::route_action::{HashPolicy, hash_policy};
use tables::{Level, Reads};

use super::http::Context;
use crate::encoded::duration;
use crate::provenance::{self, Origin};

fn of(lb: Option<&LoadBalancerSettings>) -> Option<&ConsistentHashLb> {
    match lb?.lb_policy.as_ref()? {
        LbPolicy::ConsistentHash(hash) => Some(hash),
        _ => None,
    }
}

fn of_port(policy: Option<&TrafficPolicy>, port: u32) -> Option<&ConsistentHashLb> {
    let own =
        policy?.port_level_settings.iter().find(|p| p.port.as_ref().is_some_and(|s| s.number == port))?;
    of(own.load_balancer.as_ref())
}

fn rule<L: Level>(context: &Context<'_, L>, host: &str) -> Option<Rule> {
    let scoped = context.scope.service(host)?;
    let service = context.world.services.get(context.r, &scoped.key)?;
    mesh::rules::for_host(context.r, context.world, &context.proxy.namespace, service, &context.proxy.labels)
}

/// The hash of a destination: its subset's for the port, its subset's, the port's, the rule's.
pub(super) fn of_destination<L: Level>(
    context: &Context<'_, L>,
    d: &Destination,
) -> Option<ConsistentHashLb> {
    let rule = rule(context, &d.host)?;
    let whole = rule.rule.traffic_policy.as_ref();
    let subset =
        rule.rule.subsets.iter().find(|s| s.name == d.subset).and_then(|s| s.traffic_policy.as_ref());
    let port = d.port.as_ref().map(|p| p.number);
    let subset_port = port.and_then(|p| of_port(subset, p));
    let rule_port = port.and_then(|p| of_port(whole, p));
    let subset_hash = of(subset.and_then(|p| p.load_balancer.as_ref()));
    let hash = subset_port.or(subset_hash).or(rule_port);
    let hash = hash.or_else(|| of(whole.and_then(|p| p.load_balancer.as_ref())));
    if hash.is_some() {
        provenance::note(context.r, || ("route.hash_policy", written(&rule, &d.subset, port)));
    }
    hash.cloned()
}

/// Where the hash of a subset (if it has a name) and a port was written, in order of precedence.
fn written(rule: &Rule, subset: &str, port: Option<u32>) -> Origin {
    let own = format!("spec.subsets[name={subset}].trafficPolicy");
    let places = [Some(own).filter(|_| !subset.is_empty()), Some("spec.trafficPolicy".to_owned())];
    let paths = places.into_iter().flatten().flat_map(|policy| {
        let of_port = port.map(|p| format!("{policy}.portLevelSettings[port.number={p}]"));
        of_port.into_iter().chain([policy]).map(|at| format!("{at}.loadBalancer.consistentHash"))
    });
    Origin::rule(rule, paths)
}

/// The hash of a service's port that no virtual service speaks of.
pub(super) fn of_service<L: Level>(r: &Reads<L>, rule: &Rule, port: u32) -> Option<ConsistentHashLb> {
    let whole = rule.rule.traffic_policy.as_ref();
    let hash = of_port(whole, port).or_else(|| of(whole.and_then(|p| p.load_balancer.as_ref())));
    if hash.is_some() {
        provenance::note(r, || ("routes[0].route.hash_policy", written(rule, "", Some(port))));
    }
    hash.cloned()
}

/// Envoy's form; `None` where no key is named.
pub(super) fn policy(hash: &ConsistentHashLb) -> Option<HashPolicy> {
    use hash_policy::{
        ConnectionProperties, Cookie, CookieAttribute, Header, PolicySpecifier, QueryParameter,
    };
    let specifier = match hash.hash_key.as_ref()? {
        HashKey::HttpHeaderName(name) => {
            PolicySpecifier::Header(Header { header_name: name.clone(), ..Header::default() })
        }
        HashKey::HttpCookie(cookie) => PolicySpecifier::Cookie(Cookie {
            name: cookie.name.clone(),
            path: cookie.path.clone(),
            ttl: cookie.ttl.map(duration),
            attributes: cookie
                .attributes
                .iter()
                .map(|a| CookieAttribute { name: a.name.clone(), value: a.value.clone() })
                .collect(),
        }),
        HashKey::UseSourceIp(source_ip) => {
            PolicySpecifier::ConnectionProperties(ConnectionProperties { source_ip: *source_ip })
        }
        HashKey::HttpQueryParameterName(name) => {
            PolicySpecifier::QueryParameter(QueryParameter { name: name.clone() })
        }
    };
    Some(HashPolicy { policy_specifier: Some(specifier), ..HashPolicy::default() })
}
