//! The addresses under which a proxy calls a service
//! (as pilot/pkg/model/service.go: `GetAddressForProxy`, `GetAllAddressesForProxy`).

use std::net::IpAddr;
use std::sync::Arc;

use mesh::services::Service;
use mesh::settings::Settings;

use crate::proxy::{IpMode, Proxy, ProxyKind};

/// The address that stands for none.
pub const UNSPECIFIED: &str = "0.0.0.0";

fn uses_allocated(settings: &Settings, proxy: &Proxy) -> bool {
    (proxy.dns_auto_allocate || settings.switches.pilot_enable_ip_autoallocate)
        && (proxy.dns_capture || proxy.kind == ProxyKind::Waypoint)
}

/// Whether an address (or the network part of a CIDR) is of a family the proxy has; names always are.
fn fits(proxy: &Proxy, address: &str) -> bool {
    let ip = address.split('/').next().unwrap_or(address);
    match ip.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => proxy.ip_mode != IpMode::V6,
        Ok(IpAddr::V6(_)) => proxy.ip_mode != IpMode::V4,
        Err(_) => false,
    }
}

/// Every address, most important first; `0.0.0.0` alone for headless services.
#[must_use]
pub fn all(settings: &Settings, proxy: &Proxy, service: &Service) -> Vec<Arc<str>> {
    let mut out: Vec<Arc<str>> = service.cluster_vips.get(&proxy.cluster).cloned().unwrap_or_default();
    if out.is_empty() && uses_allocated(settings, proxy) {
        out.extend(service.auto_allocated_v4.iter().chain(&service.auto_allocated_v6).cloned());
    }
    if !settings.switches.istio_dual_stack || proxy.ip_mode != IpMode::Dual {
        out.retain(|a| fits(proxy, a));
    }
    if !out.is_empty() || service.default_address.is_empty() {
        return out;
    }
    let default = service.default_address.clone();
    if service.cluster_vips.is_empty() || fits(proxy, &default) { vec![default] } else { Vec::new() }
}

/// The primary address; `0.0.0.0` if it has none.
#[must_use]
pub fn first(settings: &Settings, proxy: &Proxy, service: &Service) -> Arc<str> {
    let vip = service.cluster_vips.get(&proxy.cluster).and_then(|v| v.iter().find(|a| fits(proxy, a)));
    if let Some(vip) = vip {
        return vip.clone();
    }
    if uses_allocated(settings, proxy) && &*service.default_address == UNSPECIFIED {
        let v4 = service.auto_allocated_v4.as_ref().filter(|_| proxy.ip_mode != IpMode::V6);
        let v6 = service.auto_allocated_v6.as_ref().filter(|_| proxy.ip_mode != IpMode::V4);
        if let Some(own) = v4.or(v6) {
            return own.clone();
        }
    }
    service.default_address.clone()
}

/// All but the first.
#[must_use]
pub fn extra(settings: &Settings, proxy: &Proxy, service: &Service) -> Vec<Arc<str>> {
    all(settings, proxy, service).into_iter().skip(1).collect()
}
