//! Who and where this proxy is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::args::ProxyFlags;
use crate::environment::Environment;

/// Type, addresses and names of the proxy.
#[derive(Clone, Debug)]
pub struct Place {
    /// `sidecar`, `router`, `waypoint`.
    pub node_type: String,
    /// Its addresses, the pod's own first.
    pub addresses: Vec<IpAddr>,
    /// `INSTANCE_IP`, where it is set.
    pub pod_ip: Option<IpAddr>,
    /// `--bindAddress`
    pub bind: Option<IpAddr>,
    /// `POD_NAME`
    pub pod: String,
    /// `POD_NAMESPACE`
    pub namespace: String,
    /// `--domain`
    pub domain: String,
}

impl Place {
    /// Finds out, as pilot/cmd/pilot-agent/app/cmd.go: initProxy. A proxy with an address to bind to has no other.
    #[must_use]
    pub fn find(flags: &ProxyFlags, env: &Environment, excluded_interfaces: Option<&str>) -> Self {
        let pod_ip: Option<IpAddr> = env.get("INSTANCE_IP").and_then(|ip| ip.parse().ok());
        let mut addresses: Vec<IpAddr> = pod_ip.into_iter().collect();
        match flags.bind_address {
            Some(bind) => {
                if addresses.is_empty() {
                    addresses.push(bind);
                }
            }
            None => {
                let excluded: Vec<&str> =
                    excluded_interfaces.map(|list| list.split(',').collect()).unwrap_or_default();
                let mut others = private_addresses(&excluded);
                if others.is_empty() {
                    others = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
                }
                others.retain(|ip| !addresses.contains(ip));
                addresses.extend(others);
            }
        }
        let namespace = env.text("POD_NAMESPACE", "");
        let domain = if flags.domain.is_empty() {
            format!("{namespace}.svc.cluster.local")
        } else {
            flags.domain.clone()
        };
        Self {
            node_type: flags.node_type.clone(),
            addresses,
            pod_ip,
            bind: flags.bind_address,
            pod: env.text("POD_NAME", ""),
            namespace,
            domain,
        }
    }

    /// `type~ip~name.namespace~domain`
    #[must_use]
    pub fn node_id(&self) -> String {
        let ip = self.addresses.first().map(ToString::to_string).unwrap_or_default();
        format!("{}~{ip}~{}.{}~{}", self.node_type, self.pod, self.namespace, self.domain)
    }

    /// Whether it is a sidecar.
    #[must_use]
    pub fn is_sidecar(&self) -> bool {
        self.node_type == "sidecar"
    }

    /// Whether all of its addresses are IPv6.
    #[must_use]
    pub fn is_ipv6(&self) -> bool {
        !self.addresses.is_empty() && self.addresses.iter().all(IpAddr::is_ipv6)
    }

    /// Where Envoy and the agent find each other.
    #[must_use]
    pub fn localhost(&self) -> IpAddr {
        match self.bind {
            Some(bind) => bind,
            None if self.is_ipv6() => Ipv6Addr::LOCALHOST.into(),
            None => Ipv4Addr::LOCALHOST.into(),
        }
    }

    /// Where the status server listens.
    #[must_use]
    pub fn status_address(&self) -> IpAddr {
        self.bind.unwrap_or(Ipv6Addr::UNSPECIFIED.into())
    }
}

/// The machine's own addresses, without loopback and link-local ones and those of excluded interfaces.
#[must_use]
pub fn private_addresses(excluded_interfaces: &[&str]) -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    interfaces
        .filter(|interface| !excluded_interfaces.contains(&interface.interface_name.as_str()))
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
        })
        .filter(|ip| match ip {
            IpAddr::V4(ip) => {
                !(ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || ip.is_multicast())
            }
            IpAddr::V6(ip) => {
                !(ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified() || ip.is_multicast())
            }
        })
        .collect()
}
