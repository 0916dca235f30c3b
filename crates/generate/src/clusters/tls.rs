//! TLS towards upstreams: auto mTLS, ISTIO_MUTUAL, SIMPLE, MUTUAL (as pilot/pkg/networking/core/cluster_tls.go).

use config::mesh::{MeshConfig, TlsConfig};
use config::networking::{ClientTlsSettings, ClientTlsSettingsTlsMode as Mode, ProxyProtocol};
use identity::spiffe;
use mesh::services::Registry;
use proto::envoy::config::cluster::v3::cluster::{DiscoveryType, TransportSocketMatch};
use proto::envoy::config::core::v3::{
    DataSource, ProxyProtocolConfig, TransportSocket, UpstreamHttpProtocolOptions, data_source,
    transport_socket,
};
use proto::envoy::extensions::transport_sockets::proxy_protocol::v3::ProxyProtocolUpstreamTransport;
use proto::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, TlsParameters, UpstreamTlsContext, common_tls_context,
    tls_parameters::TlsProtocol,
};
use proto::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};
use proto::google::protobuf::Struct;

use super::build::{Draft, string};
use crate::authentication::MutualTls;
use crate::proxy::{Proxy, ProxyKind};
use crate::secrets;

/// What a cluster's TLS depends on besides the traffic policy.
pub(super) struct Context<'a> {
    pub(super) proxy: &'a Proxy,
    pub(super) mesh: &'a MeshConfig,
    pub(super) accounts: &'a [String],
    pub(super) sni: &'a str,
    pub(super) external: bool,
    pub(super) registry: Option<Registry>,
    pub(super) service_mode: MutualTls,
    /// The destination rule selects workloads.
    pub(super) selected: bool,
    /// `PILOT_ENABLE_METADATA_EXCHANGE` and not `PILOT_DISABLE_MX_ALPN`.
    pub(super) exchange_alpn: bool,
    /// `PREFER_DESTINATIONRULE_TLS_FOR_EXTERNAL_SERVICES`.
    pub(super) prefer_rule: bool,
}

/// A raw buffer socket.
pub(crate) fn raw_buffer() -> TransportSocket {
    socket(
        "envoy.transport_sockets.raw_buffer",
        &proto::envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer::default(),
    )
}

fn socket<M: prost::Message + prost::Name>(name: &str, message: &M) -> TransportSocket {
    TransportSocket {
        name: name.into(),
        config_type: Some(transport_socket::ConfigType::TypedConfig(proto::any(message))),
    }
}

/// Applies the policy's TLS, or auto mTLS.
pub(super) fn apply(draft: &mut Draft, tls: Option<&ClientTlsSettings>, context: &Context<'_>) {
    let Some((tls, detected)) = settings(tls, context) else { return };
    if let Some(upstream) = upstream_context(draft, &tls, context) {
        draft.cluster.transport_socket = Some(socket("envoy.transport_sockets.tls", &upstream));
    }
    let detected = detected && tls.mode == Mode::IstioMutual;
    if detected && draft.kind() != DiscoveryType::OriginalDst {
        let istio = Struct { fields: [("tlsMode".to_owned(), string("istio"))].into() };
        draft.cluster.transport_socket_matches = vec![
            TransportSocketMatch {
                name: "tlsMode-istio".into(),
                r#match: Some(istio),
                transport_socket: draft.cluster.transport_socket.take(),
            },
            TransportSocketMatch {
                name: "tlsMode-disabled".into(),
                r#match: Some(Struct::default()),
                transport_socket: Some(raw_buffer()),
            },
        ];
    }
}

/// Applies written settings to a cluster that no service stands behind.
pub(super) fn apply_plain(draft: &mut Draft, tls: &ClientTlsSettings, proxy: &Proxy, mesh: &MeshConfig) {
    let context = Context {
        proxy,
        mesh,
        accounts: &[],
        sni: "",
        external: true,
        registry: None,
        service_mode: MutualTls::Unknown,
        selected: false,
        exchange_alpn: true,
        prefer_rule: true,
    };
    if let Some(upstream) = upstream_context(draft, tls, &context) {
        draft.cluster.transport_socket = Some(socket("envoy.transport_sockets.tls", &upstream));
    }
}

/// The settings in force, and whether they were detected rather than written (as `buildUpstreamTLSSettings`).
fn settings(tls: Option<&ClientTlsSettings>, context: &Context<'_>) -> Option<(ClientTlsSettings, bool)> {
    let own = own_certificates(context.proxy);
    let Some(tls) = tls else {
        let auto = context.mesh.enable_auto_mtls.unwrap_or(false);
        if context.external
            || !auto
            || matches!(context.service_mode, MutualTls::Unknown | MutualTls::Disable)
        {
            return None;
        }
        let base = ClientTlsSettings {
            mode: Mode::IstioMutual,
            subject_alt_names: expected(context),
            sni: context.sni.to_owned(),
            ..own.clone().unwrap_or_default()
        };
        let mode = if own.is_some() { Mode::Mutual } else { Mode::IstioMutual };
        return Some((ClientTlsSettings { mode, ..base }, true));
    };
    if matches!(tls.mode, Mode::Disable | Mode::Simple) {
        return Some((tls.clone(), false));
    }
    if let Some(own) = own {
        if context.prefer_rule && context.external {
            return Some((tls.clone(), false));
        }
        let settings = ClientTlsSettings {
            mode: Mode::Mutual,
            subject_alt_names: tls.subject_alt_names.clone(),
            sni: tls.sni.clone(),
            insecure_skip_verify: tls.insecure_skip_verify,
            ..own
        };
        return Some((settings, false));
    }
    if tls.mode != Mode::IstioMutual {
        return Some((tls.clone(), false));
    }
    let names =
        if tls.subject_alt_names.is_empty() { expected(context) } else { tls.subject_alt_names.clone() };
    let sni = if tls.sni.is_empty() { context.sni.to_owned() } else { tls.sni.clone() };
    let settings = ClientTlsSettings {
        mode: Mode::IstioMutual,
        subject_alt_names: names,
        sni,
        insecure_skip_verify: tls.insecure_skip_verify,
        ..ClientTlsSettings::default()
    };
    Some((settings, false))
}

/// The identities a service's workloads may prove: those of its accounts, under every alias of the trust domain as well,
/// since a mesh that changes its trust domain has certificates of both (as pilot/pkg/model/push_context.go:
/// addServiceAccounts).
fn expected(context: &Context<'_>) -> Vec<String> {
    let accounts = context.accounts.iter().map(String::as_str);
    spiffe::expand(accounts, &context.mesh.trust_domain_aliases).into_iter().collect()
}

/// Client certificates that the proxy has by file (`TLS_CLIENT_*` metadata).
fn own_certificates(proxy: &Proxy) -> Option<ClientTlsSettings> {
    let chain = proxy.meta("TLS_CLIENT_CERT_CHAIN").filter(|c| !c.is_empty())?;
    Some(ClientTlsSettings {
        client_certificate: chain.into(),
        private_key: proxy.meta("TLS_CLIENT_KEY").unwrap_or_default().into(),
        ca_certificates: proxy.meta("TLS_CLIENT_ROOT_CERT").unwrap_or_default().into(),
        ..ClientTlsSettings::default()
    })
}

/// As `buildUpstreamClusterTLSContext`; `None` where there is no TLS.
fn upstream_context(
    draft: &mut Draft,
    tls: &ClientTlsSettings,
    context: &Context<'_>,
) -> Option<UpstreamTlsContext> {
    let secret = !tls.credential_name.is_empty() && !tls.credential_name.starts_with("configmap://");
    let sidecar = context.proxy.kind == ProxyKind::Sidecar;
    if secret && sidecar && !context.selected && matches!(tls.mode, Mode::Simple | Mode::Mutual) {
        return None;
    }
    match tls.mode {
        Mode::Disable => None,
        Mode::IstioMutual => Some(istio_mutual(draft, tls, context)),
        Mode::Simple => user_supplied(draft, tls, context, false),
        Mode::Mutual => user_supplied(draft, tls, context, true),
    }
}

fn base_context() -> CommonTlsContext {
    CommonTlsContext {
        tls_params: Some(TlsParameters {
            tls_maximum_protocol_version: TlsProtocol::TlSv13.into(),
            tls_minimum_protocol_version: TlsProtocol::TlSv12.into(),
            ..TlsParameters::default()
        }),
        ..CommonTlsContext::default()
    }
}

/// Exact matchers for subject alternative names.
pub(crate) fn exact_matches(names: &[String]) -> Vec<StringMatcher> {
    let one = |n: &String| StringMatcher {
        match_pattern: Some(MatchPattern::Exact(n.clone())),
        ..StringMatcher::default()
    };
    names.iter().map(one).collect()
}

#[expect(deprecated, reason = "upstream still writes match_subject_alt_names, and peers' tools look for it")]
fn validation(names: &[String]) -> CertificateValidationContext {
    CertificateValidationContext {
        match_subject_alt_names: exact_matches(names),
        ..CertificateValidationContext::default()
    }
}

fn combined(
    default: CertificateValidationContext,
    secret: Option<proto::envoy::extensions::transport_sockets::tls::v3::SdsSecretConfig>,
) -> common_tls_context::ValidationContextType {
    common_tls_context::ValidationContextType::CombinedValidationContext(
        common_tls_context::CombinedCertificateValidationContext {
            default_validation_context: Some(default),
            validation_context_sds_secret_config: secret,
            ..common_tls_context::CombinedCertificateValidationContext::default()
        },
    )
}

fn istio_mutual(draft: &mut Draft, tls: &ClientTlsSettings, context: &Context<'_>) -> UpstreamTlsContext {
    let mut common = base_context();
    common.tls_certificate_sds_secret_configs.extend(secrets::from_agent(secrets::DEFAULT));
    common.validation_context_type =
        Some(combined(validation(&tls.subject_alt_names), secrets::from_agent(secrets::ROOT)));
    let sni = if tls.sni.is_empty() && !draft.dynamic_forward {
        draft.cluster.name.clone()
    } else {
        tls.sni.clone()
    };
    let mut alpn = Vec::new();
    if context.exchange_alpn && context.proxy.capabilities.metadata_exchange {
        alpn.push("istio-peer-exchange".to_owned());
    }
    alpn.push("istio".to_owned());
    if draft.is_http2() {
        alpn.push("h2".to_owned());
    }
    common.alpn_protocols = alpn;
    if draft.dynamic_forward {
        automatic_names(draft, tls);
    }
    UpstreamTlsContext { common_tls_context: Some(common), sni, ..UpstreamTlsContext::default() }
}

fn user_supplied(
    draft: &mut Draft,
    tls: &ClientTlsSettings,
    context: &Context<'_>,
    mutual: bool,
) -> Option<UpstreamTlsContext> {
    let mut common = base_context();
    automatic_names(draft, tls);
    let names = if context.registry == Some(Registry::External) && tls.subject_alt_names.is_empty() {
        &expected(context)
    } else {
        &tls.subject_alt_names
    };
    let skip = tls.insecure_skip_verify.unwrap_or(false);
    if tls.credential_name.is_empty() {
        let custom = context.proxy.flag("file-credential");
        if mutual {
            let name = secrets::file_certificate(&tls.client_certificate, &tls.private_key);
            common.tls_certificate_sds_secret_configs.push(secrets::from_files(&name, custom)?);
        }
        let ca = if tls.ca_certificates.is_empty() { "system" } else { &tls.ca_certificates };
        common.validation_context_type = Some(if skip {
            common_tls_context::ValidationContextType::ValidationContext(
                CertificateValidationContext::default(),
            )
        } else {
            let mut default = validation(names);
            if !tls.ca_crl.is_empty() {
                default.crl = Some(DataSource {
                    specifier: Some(data_source::Specifier::Filename(tls.ca_crl.clone())),
                    ..DataSource::default()
                });
            }
            combined(default, secrets::from_files(&secrets::file_root(ca), custom))
        });
    } else {
        let external = context.proxy.flag("credential");
        if mutual {
            common
                .tls_certificate_sds_secret_configs
                .extend(secrets::from_credential(&tls.credential_name, external));
        }
        if !skip {
            let name = format!("{}{}", tls.credential_name, secrets::CA_SUFFIX);
            common.validation_context_type =
                Some(combined(validation(names), secrets::from_credential(&name, external)));
        }
    }
    mesh_defaults(&mut common, context.mesh.tls_defaults.as_ref());
    if draft.is_http2() {
        common.alpn_protocols = vec!["h2".into()];
    }
    Some(UpstreamTlsContext {
        common_tls_context: Some(common),
        sni: tls.sni.clone(),
        ..UpstreamTlsContext::default()
    })
}

fn mesh_defaults(common: &mut CommonTlsContext, defaults: Option<&TlsConfig>) {
    let (Some(defaults), Some(params)) = (defaults, common.tls_params.as_mut()) else { return };
    if !defaults.ecdh_curves.is_empty() {
        params.ecdh_curves.clone_from(&defaults.ecdh_curves);
    }
    if !defaults.cipher_suites.is_empty() {
        params.cipher_suites.clone_from(&defaults.cipher_suites);
    }
}

/// SNI and SAN from the request's host, where the rule names neither (as `setAutoSniAndAutoSanValidation`).
fn automatic_names(draft: &mut Draft, tls: &ClientTlsSettings) {
    let skip = tls.insecure_skip_verify.unwrap_or(false);
    let auto_sni = tls.sni.is_empty();
    let auto_san = (draft.dynamic_forward || (auto_sni && tls.subject_alt_names.is_empty())) && !skip;
    if auto_sni || auto_san {
        let options = draft
            .http()
            .upstream_http_protocol_options
            .get_or_insert_with(UpstreamHttpProtocolOptions::default);
        options.auto_sni |= auto_sni;
        options.auto_san_validation |= auto_san;
    }
    if draft.dynamic_forward && (skip || !auto_sni || !auto_san) {
        super::fixed::allow_insecure(&mut draft.cluster);
    }
}

/// Wraps sockets with the PROXY protocol (as `applyUpstreamProxyProtocol`).
pub(super) fn proxy_protocol(draft: &mut Draft, settings: Option<&ProxyProtocol>) {
    let Some(settings) = settings else { return };
    let version = settings.version as i32;
    let wrap = |inner: Option<TransportSocket>| {
        Some(socket(
            "envoy.transport_sockets.upstream_proxy_protocol",
            &ProxyProtocolUpstreamTransport {
                config: Some(ProxyProtocolConfig { version, ..ProxyProtocolConfig::default() }),
                transport_socket: inner,
                ..ProxyProtocolUpstreamTransport::default()
            },
        ))
    };
    let cluster = &mut draft.cluster;
    if cluster.transport_socket.is_none() && cluster.transport_socket_matches.is_empty() {
        cluster.transport_socket = wrap(Some(raw_buffer()));
        return;
    }
    if cluster.transport_socket.is_some() {
        cluster.transport_socket = wrap(cluster.transport_socket.take());
    }
    for m in &mut cluster.transport_socket_matches {
        m.transport_socket = wrap(m.transport_socket.take());
    }
}

#[cfg(test)]
mod tests;
