//! Proxy headers as far as routes depend on them (ProxyConfig's `proxyHeaders`,
//! as pilot/pkg/networking/util/proxy_headers.go).

use config::mesh::MeshConfig;

use crate::proxy::Proxy;

/// Whether retries count themselves in `x-envoy-attempt-count`.
pub(crate) fn counts_attempts(proxy: &Proxy, mesh: &MeshConfig) -> bool {
    let config = proxy.config.as_deref().or(mesh.default_config.as_ref());
    let disabled = config
        .and_then(|c| c.proxy_headers.as_ref())
        .and_then(|h| h.attempt_count.as_ref())
        .and_then(|a| a.disabled);
    !disabled.unwrap_or(false)
}

/// Whether the original host goes into `x-forwarded-host` on rewrites.
pub(crate) fn forwards_host(proxy: &Proxy, mesh: &MeshConfig) -> bool {
    let config = proxy.config.as_deref().or(mesh.default_config.as_ref());
    let enabled = config
        .and_then(|c| c.proxy_headers.as_ref())
        .and_then(|h| h.x_forwarded_host.as_ref())
        .and_then(|h| h.enabled);
    enabled.unwrap_or(false)
}
