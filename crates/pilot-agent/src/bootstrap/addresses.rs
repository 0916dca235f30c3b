//! Where the proxy's own listeners are bound and which address family it resolves to.

use std::net::IpAddr;

/// The addresses of Envoy's static listeners and of the agent beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Admin interface, and where Envoy finds the agent.
    pub localhost: String,
    /// Health and metrics listeners.
    pub wildcard: String,
    /// The other family's `localhost` and `wildcard`, in dual stack only.
    pub second: Option<(String, String)>,
    /// Envoy's `dns_lookup_family` for static clusters.
    pub dns_lookup_family: &'static str,
}

impl Addresses {
    /// Chooses by the families of the proxy's addresses, as pkg/bootstrap/config.go: toTemplateParams.
    /// With `bind` both are that one address, so that many proxies can live on one machine.
    #[must_use]
    pub fn of_proxy(instance_ips: &[String], dual_stack: bool, bind: Option<IpAddr>) -> Self {
        const V4: (&str, &str) = ("127.0.0.1", "0.0.0.0");
        const V6: (&str, &str) = ("::1", "::");
        let single = |pair: (&str, &str), family| Self {
            localhost: pair.0.to_owned(),
            wildcard: pair.1.to_owned(),
            second: None,
            dns_lookup_family: family,
        };
        if let Some(address) = bind {
            let text = address.to_string();
            return single((&text, &text), if address.is_ipv4() { "V4_ONLY" } else { "V6_ONLY" });
        }
        if all_v4(instance_ips) {
            return single(V4, "V4_ONLY");
        }
        if all_v6(instance_ips) {
            return single(V6, "V6_ONLY");
        }
        if !dual_stack {
            return single(V4, "V4_ONLY");
        }
        let first_is_v6 = parsed(instance_ips)
            .next()
            .is_some_and(|ip| matches!(ip, IpAddr::V6(ip) if !ip.is_unicast_link_local()));
        let (first, second) = if first_is_v6 { (V6, V4) } else { (V4, V6) };
        Self { second: Some((second.0.to_owned(), second.1.to_owned())), ..single(first, "ALL") }
    }
}

fn parsed(ips: &[String]) -> impl Iterator<Item = IpAddr> {
    ips.iter().filter_map(|ip| ip.parse().ok())
}

/// Whether no address is of the other family; addresses that cannot be read do not count.
fn all_v4(ips: &[String]) -> bool {
    parsed(ips).all(|ip| ip.is_ipv4())
}

/// Whether no address is of the other family; addresses that cannot be read do not count.
#[must_use]
pub fn all_v6(ips: &[String]) -> bool {
    parsed(ips).all(|ip| ip.is_ipv6())
}
