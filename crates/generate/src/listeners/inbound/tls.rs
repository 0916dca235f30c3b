//! TLS that ends at a sidecar: the mesh's mutual TLS, or what a Sidecar declares
//! (as pilot/pkg/security/authn/utils: `BuildInboundTLS`).

use std::sync::Arc;

use config::mesh::TlsProtocol as MeshTls;
use config::networking::ServerTlsSettings;
use mesh::settings::Settings;
use proto::envoy::config::core::v3::{TransportSocket, transport_socket};
use proto::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, TlsParameters,
    common_tls_context, tls_parameters::TlsProtocol,
};
use proto::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};

use crate::encoded::bool_value;
use crate::gateways::tls::{self as gateway_tls, Terms, Transport};
use crate::proxy::Proxy;
use crate::secrets;

/// Cipher suites of TLS 1.2 in the mesh.
const CIPHERS: [&str; 6] = [
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-GCM-SHA256",
];

/// The mesh's mutual TLS.
pub(super) fn mutual(proxy: &Proxy, settings: &Settings, http: bool) -> TransportSocket {
    let mesh = &settings.mesh;
    let switches = &settings.switches;
    let exchanges = !http && switches.pilot_enable_metadata_exchange && !switches.pilot_disable_mx_alpn;
    let exchange = (exchanges && proxy.capabilities.metadata_exchange).then_some("istio-peer-exchange");
    let ciphers = match mesh.mesh_mtls.as_ref().map(|t| &t.cipher_suites) {
        Some(own) if !own.is_empty() => own.clone(),
        _ => CIPHERS.map(str::to_owned).to_vec(),
    };
    let newest = mesh.mesh_mtls.as_ref().is_some_and(|t| t.min_protocol_version == MeshTls::Tlsv13);
    let mut common = CommonTlsContext {
        alpn_protocols: exchange.into_iter().chain(["h2", "http/1.1"]).map(str::to_owned).collect(),
        tls_params: Some(TlsParameters {
            cipher_suites: ciphers,
            tls_minimum_protocol_version: if newest { TlsProtocol::TlSv13 } else { TlsProtocol::TlSv12 }
                .into(),
            tls_maximum_protocol_version: TlsProtocol::TlSv13.into(),
            ..TlsParameters::default()
        }),
        ..CommonTlsContext::default()
    };
    let file = |name: &str| proxy.meta(name).unwrap_or_default();
    let (certificate, key) = (file("TLS_SERVER_CERT_CHAIN"), file("TLS_SERVER_KEY"));
    let root = secrets::file_root(file("TLS_SERVER_ROOT_CERT"));
    common.tls_certificate_sds_secret_configs =
        from_workload(proxy, &secrets::file_certificate(certificate, key), secrets::DEFAULT)
            .into_iter()
            .collect();
    common.validation_context_type = Some(validation(proxy, settings, &root));
    let context = DownstreamTlsContext {
        common_tls_context: Some(common),
        require_client_certificate: bool_value(true),
        ..DownstreamTlsContext::default()
    };
    TransportSocket {
        name: "envoy.transport_sockets.tls".into(),
        config_type: Some(transport_socket::ConfigType::TypedConfig(proto::any(&context))),
    }
}

/// A file of the workload where it has one, else the mesh's own secret.
fn from_workload(proxy: &Proxy, file: &str, own: &str) -> Option<SdsSecretConfig> {
    if file.is_empty() {
        secrets::from_agent(own)
    } else {
        secrets::from_files(file, proxy.flag("file-credential"))
    }
}

#[expect(deprecated, reason = "upstream still writes match_subject_alt_names, and peers' tools look for it")]
fn validation(proxy: &Proxy, settings: &Settings, root: &str) -> common_tls_context::ValidationContextType {
    let default = CertificateValidationContext {
        match_subject_alt_names: trusted(settings),
        ..CertificateValidationContext::default()
    };
    common_tls_context::ValidationContextType::CombinedValidationContext(
        common_tls_context::CombinedCertificateValidationContext {
            default_validation_context: Some(default),
            validation_context_sds_secret_config: from_workload(proxy, root, secrets::ROOT),
            ..common_tls_context::CombinedCertificateValidationContext::default()
        },
    )
}

/// Trust domains whose callers are let in (as pilot/pkg/networking/plugin/authn: `TrustDomainsForValidation`).
fn trusted(settings: &Settings) -> Vec<StringMatcher> {
    let mesh = &settings.mesh;
    if settings.switches.pilot_skip_validate_trust_domain {
        return Vec::new();
    }
    let prefix = |domain: &String| StringMatcher {
        match_pattern: Some(MatchPattern::Prefix(format!("spiffe://{domain}/"))),
        ..StringMatcher::default()
    };
    let mut domains: Vec<&String> = Vec::new();
    let of_roots = mesh.ca_certificates.iter().flat_map(|c| &c.trust_domains);
    for domain in std::iter::once(&mesh.trust_domain).chain(&mesh.trust_domain_aliases).chain(of_roots) {
        if !domain.is_empty() && !domains.contains(&domain) {
            domains.push(domain);
        }
    }
    domains.into_iter().map(prefix).collect()
}

/// What a Sidecar declares for a port.
pub(super) fn of_server(
    tls: &ServerTlsSettings,
    proxy: &Proxy,
    settings: &Settings,
    secrets: &mut Vec<Arc<str>>,
) -> TransportSocket {
    let context = gateway_tls::context(tls, &Terms::plain(proxy, settings), Transport::Tcp, false);
    secrets.extend(gateway_tls::served(&context).into_iter().map(Arc::from));
    gateway_tls::socket(context, Transport::Tcp)
}
