//! Domains of virtual hosts: every way in which a client may name a service
//! (as pilot/pkg/networking/core/httproute.go: `generateVirtualHostDomains`).

use std::net::IpAddr;

use mesh::services::{Registry, Resolution, Service};
use mesh::settings::Settings;

use crate::addresses;
use crate::proxy::Proxy;

/// A domain, and whether it is a short form: those give way to services of that full name.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Domain {
    /// The text.
    pub name: String,
    /// Derived from the full name.
    pub short: bool,
}

/// `host:port`, IPv6 in brackets.
pub(crate) fn with_port(host: &str, port: u32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// IPv6 in brackets.
pub(crate) fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// Adds `host` and, where ports are part of domains, `host:port`.
fn push(out: &mut Vec<String>, host: &str, port: Option<u32>) {
    out.push(bracketed(host));
    out.extend(port.map(|p| with_port(host, p)));
}

/// All domains of a service. `port` is given where the listener serves several ports (`http_proxy`): domains then come
/// with and without it.
#[must_use]
pub(crate) fn of_service(
    settings: &Settings,
    proxy: &Proxy,
    service: &Service,
    port: Option<u32>,
) -> Vec<Domain> {
    let names = std::iter::once(service.key.hostname.as_str())
        .chain(service.aliases.iter().map(|a| a.hostname.as_str()));
    let mut domains: Vec<Domain> = Vec::new();
    for name in names {
        let mut own = Vec::new();
        push(&mut own, name, port);
        domains.extend(own.into_iter().map(|name| Domain { name, short: false }));
        let absolute = settings.switches.pilot_enable_absolute_fqdn_vhost_domain;
        domains.extend(
            alternatives(name, port, &proxy.dns_domain, absolute)
                .into_iter()
                .map(|name| Domain { name, short: true }),
        );
    }
    if service.resolution == Resolution::Passthrough && service.registry == Registry::Kubernetes {
        let wild: Vec<Domain> =
            domains.iter().map(|d| Domain { name: format!("*.{}", d.name), short: false }).collect();
        domains.extend(wild);
    }
    for address in addresses::all(settings, proxy, service) {
        if !address.is_empty() && &*address != addresses::UNSPECIFIED {
            let mut own = Vec::new();
            push(&mut own, &address, port);
            domains.extend(own.into_iter().map(|name| Domain { name, short: false }));
        }
    }
    domains
}

/// As `GenerateAltVirtualHosts`.
pub(crate) fn alternatives(host: &str, port: Option<u32>, proxy_domain: &str, absolute: bool) -> Vec<String> {
    let mut out = Vec::new();
    if absolute {
        let dotted = format!("{host}.");
        if host.parse::<IpAddr>().is_err() {
            out.push(dotted.clone());
        }
        out.extend(port.map(|p| with_port(&dotted, p)));
    }
    if let Some(at) = proxy_domain.find(".svc.") {
        if at > 0 && host.ends_with(&proxy_domain[at..]) {
            out.extend(kubernetes(host, port, &proxy_domain[..at]));
        }
        return out;
    }
    let own: Vec<&str> = host.split('.').collect();
    let theirs: Vec<&str> = proxy_domain.split('.').collect();
    let shared = own.iter().rev().zip(theirs.iter().rev()).take_while(|(a, b)| a == b).count();
    if shared == 0 {
        return out;
    }
    let unique = own[..own.len() - shared].join(".");
    push(&mut out, &unique, port);
    if own.len() - shared == 2 {
        push(&mut out, &format!("{unique}.{}", own[own.len() - shared]), port);
    }
    out
}

/// `name`, `name.ns.svc`, `name.ns`: the first only from the service's own namespace.
fn kubernetes(host: &str, port: Option<u32>, namespace: &str) -> Vec<String> {
    let (Some(svc), Some(dot)) = (host.find(".svc."), host.find('.')) else { return Vec::new() };
    if svc == 0 || dot + 1 > svc {
        return Vec::new();
    }
    let (short, own) = (&host[..svc], &host[dot + 1..svc] == namespace);
    let with_svc = format!("{short}.svc");
    let order: &[&str] = if own { &[&host[..dot], &with_svc, short] } else { &[short, &with_svc] };
    let mut out = Vec::new();
    for name in order {
        out.push((*name).to_owned());
        out.extend(port.map(|p| with_port(name, p)));
    }
    out
}
