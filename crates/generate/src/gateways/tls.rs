//! TLS that ends at a gateway (as pilot/pkg/networking/core/listener.go: `BuildListenerTLSContext`).

use std::collections::BTreeSet;

use config::mesh::{ExtensionProviderProvider, TlsConfig};
use config::networking::{ServerTlsSettings, ServerTlsSettingsTlsMode as Mode, TlsProtocol as Wanted};
use mesh::World;
use mesh::settings::Settings;
use proto::envoy::config::core::v3::{DataSource, TransportSocket, data_source, transport_socket};
use proto::envoy::extensions::transport_sockets::quic::v3::QuicDownstreamTransport;
use proto::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, TlsParameters,
    certificate_validation_context::TrustChainVerification, common_tls_context, tls_parameters,
};
use tables::{Level, Reads};

use crate::clusters::tls::exact_matches;
use crate::encoded::bool_value;
use crate::filters::providers;
use crate::proxy::Proxy;
use crate::secrets;

/// Cipher suites that Envoy takes; others are left out, as one of them would spoil the listener.
const CIPHERS: [&str; 15] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
    "DES-CBC3-SHA",
];
/// Those of FIPS 140.
const FIPS: [&str; 4] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
];

/// Over what a server speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Transport {
    /// TCP.
    Tcp,
    /// QUIC: HTTP/3.
    Quic,
}

/// What the TLS of all servers of one proxy depends on.
pub(crate) struct Terms<'a> {
    proxy: &'a Proxy,
    settings: &'a Settings,
    /// Host and cluster of MeshConfig's SDS provider, if it has one whose service is known.
    provider: Option<(String, String)>,
}

impl<'a> Terms<'a> {
    /// Those of a proxy that has no use for SDS providers.
    pub(crate) fn plain(proxy: &'a Proxy, settings: &'a Settings) -> Self {
        Self { proxy, settings, provider: None }
    }

    /// Those of a gateway.
    pub(super) fn of<L: Level>(
        r: &Reads<L>,
        world: &World,
        proxy: &'a Proxy,
        settings: &'a Settings,
    ) -> Self {
        let named = settings.mesh.extension_providers.iter().find_map(|p| match &p.provider {
            Some(ExtensionProviderProvider::Sds(sds)) => Some(sds),
            _ => None,
        });
        let provider = named.and_then(|s| providers::lookup(r, world, &s.service, s.port));
        Self { proxy, settings, provider }
    }

    /// A credential: names with `sds://` go to the workload's own SDS, else to the mesh's provider.
    fn credential(&self, name: &str) -> Option<SdsSecretConfig> {
        let socket = self.proxy.meta("credential") == Some("true");
        match (&self.provider, name.strip_prefix("sds://")) {
            (Some((host, cluster)), Some(rest)) if !socket => {
                Some(secrets::from_provider(rest, host, cluster))
            }
            _ => secrets::from_credential(name, socket),
        }
    }
}

/// The TLS context of a server. `stream` tells servers without HTTP.
pub(crate) fn context(
    tls: &ServerTlsSettings,
    terms: &Terms<'_>,
    transport: Transport,
    stream: bool,
) -> DownstreamTlsContext {
    let (proxy, settings) = (terms.proxy, terms.settings);
    let mutual = matches!(tls.mode, Mode::Mutual | Mode::IstioMutual);
    // Envoy cannot ask for client certificates over QUIC.
    let required = mutual && transport == Transport::Tcp;
    let validated = required || tls.mode == Mode::OptionalMutual;
    let mut common = CommonTlsContext {
        alpn_protocols: alpn(tls, proxy, settings, transport, stream),
        ..CommonTlsContext::default()
    };
    if tls.mode == Mode::IstioMutual {
        let meta = |name: &str| proxy.meta(name).unwrap_or_default();
        let own = Files {
            pairs: vec![(meta("TLS_SERVER_CERT_CHAIN"), meta("TLS_SERVER_KEY"))],
            ca: meta("TLS_SERVER_ROOT_CERT"),
        };
        from_files(&mut common, tls, proxy, &own, validated);
    } else if !tls.credential_names.is_empty() || !tls.credential_name.is_empty() {
        from_credentials(&mut common, tls, terms);
    } else {
        let mut files = Files { pairs: Vec::new(), ca: &tls.ca_certificates };
        files.pairs.extend(tls.tls_certificates.iter().map(|c| (&*c.server_certificate, &*c.private_key)));
        if files.pairs.is_empty() {
            files.pairs.push((&tls.server_certificate, &tls.private_key));
        }
        from_files(&mut common, tls, proxy, &files, validated);
    }
    if tls.mode != Mode::IstioMutual {
        if let Some(defaults) = &settings.mesh.tls_defaults {
            mesh_defaults(&mut common, defaults);
        }
        own_parameters(&mut common, tls);
    }
    comply(&mut common, &settings.switches.compliance_policy);
    DownstreamTlsContext {
        common_tls_context: Some(common),
        require_client_certificate: bool_value(required),
        ..DownstreamTlsContext::default()
    }
}

fn alpn(
    tls: &ServerTlsSettings,
    proxy: &Proxy,
    settings: &Settings,
    transport: Transport,
    stream: bool,
) -> Vec<String> {
    if transport == Transport::Quic {
        return vec!["h3".into()];
    }
    let mut out: Vec<String> = vec!["h2".into(), "http/1.1".into()];
    let exchange = !settings.switches.pilot_disable_mx_alpn && proxy.capabilities.metadata_exchange;
    if tls.mode == Mode::IstioMutual && stream && exchange {
        out.insert(0, "istio-peer-exchange".into());
    }
    out
}

/// Certificates that the workload has by file.
struct Files<'a> {
    /// Chain and key.
    pairs: Vec<(&'a str, &'a str)>,
    ca: &'a str,
}

/// A secret of the agent's: of files, or the given one.
fn file_secret(name: &str, fallback: &str, custom: bool) -> Option<SdsSecretConfig> {
    if name.is_empty() { secrets::from_agent(fallback) } else { secrets::from_files(name, custom) }
}

/// As pilot/pkg/security/model/authentication.go: `ApplyToCommonTLSContext`.
fn from_files(
    common: &mut CommonTlsContext,
    tls: &ServerTlsSettings,
    proxy: &Proxy,
    files: &Files<'_>,
    validated: bool,
) {
    let custom = proxy.meta("file-credential") == Some("true");
    let pair = |(chain, key): &(&str, &str)| {
        file_secret(&secrets::file_certificate(chain, key), secrets::DEFAULT, custom)
    };
    common.tls_certificate_sds_secret_configs = files.pairs.iter().filter_map(pair).collect();
    if !validated {
        return;
    }
    let mut validation = validation(&tls.subject_alt_names);
    if !tls.ca_crl.is_empty() {
        validation.crl = Some(DataSource {
            specifier: Some(data_source::Specifier::Filename(tls.ca_crl.clone())),
            ..DataSource::default()
        });
    }
    skip_verify(&mut validation, tls);
    let ca = file_secret(&secrets::file_root(files.ca), secrets::ROOT, custom);
    common.validation_context_type = Some(combined(validation, ca));
}

/// As `ApplyCredentialSDSToServerCommonTLSContext`.
fn from_credentials(common: &mut CommonTlsContext, tls: &ServerTlsSettings, terms: &Terms<'_>) {
    let names = if tls.credential_names.is_empty() {
        std::slice::from_ref(&tls.credential_name)
    } else {
        &tls.credential_names[..]
    };
    common.tls_certificate_sds_secret_configs =
        names.iter().filter_map(|name| terms.credential(name)).collect();
    if matches!(tls.mode, Mode::Mutual | Mode::OptionalMutual) {
        let mut validation = validation(&tls.subject_alt_names);
        validation.verify_certificate_spki.clone_from(&tls.verify_certificate_spki);
        validation.verify_certificate_hash.clone_from(&tls.verify_certificate_hash);
        skip_verify(&mut validation, tls);
        let ca = if tls.ca_cert_credential_name.is_empty() {
            // Envoy takes one CA only: the first credential's.
            format!("{}{}", names.first().map_or("", |n| n), secrets::CA_SUFFIX)
        } else {
            tls.ca_cert_credential_name.clone()
        };
        common.validation_context_type = Some(combined(validation, terms.credential(&ca)));
    } else if !tls.subject_alt_names.is_empty() {
        let validation = validation(&tls.subject_alt_names);
        common.validation_context_type =
            Some(common_tls_context::ValidationContextType::ValidationContext(validation));
    }
}

#[expect(deprecated, reason = "upstream still writes match_subject_alt_names, and peers' tools look for it")]
fn validation(names: &[String]) -> CertificateValidationContext {
    CertificateValidationContext {
        match_subject_alt_names: exact_matches(names),
        ..CertificateValidationContext::default()
    }
}

fn skip_verify(validation: &mut CertificateValidationContext, tls: &ServerTlsSettings) {
    if tls.insecure_skip_verify == Some(true) {
        validation.trust_chain_verification = TrustChainVerification::AcceptUntrusted.into();
    }
}

fn combined(
    validation: CertificateValidationContext,
    secret: Option<SdsSecretConfig>,
) -> common_tls_context::ValidationContextType {
    common_tls_context::ValidationContextType::CombinedValidationContext(
        common_tls_context::CombinedCertificateValidationContext {
            default_validation_context: Some(validation),
            validation_context_sds_secret_config: secret,
            ..common_tls_context::CombinedCertificateValidationContext::default()
        },
    )
}

fn parameters(common: &mut CommonTlsContext) -> &mut TlsParameters {
    common.tls_params.get_or_insert_default()
}

/// MeshConfig's `tlsDefaults` (as `applyDownstreamTLSDefaults`).
fn mesh_defaults(common: &mut CommonTlsContext, defaults: &TlsConfig) {
    use config::mesh::TlsProtocol as MeshProtocol;
    if !defaults.ecdh_curves.is_empty() {
        parameters(common).ecdh_curves.clone_from(&defaults.ecdh_curves);
    }
    if !defaults.cipher_suites.is_empty() {
        parameters(common).cipher_suites.clone_from(&defaults.cipher_suites);
    }
    match defaults.min_protocol_version {
        MeshProtocol::TlsAuto => {}
        MeshProtocol::Tlsv13 => {
            parameters(common).tls_minimum_protocol_version = tls_parameters::TlsProtocol::TlSv13.into();
        }
        _ => parameters(common).tls_minimum_protocol_version = tls_parameters::TlsProtocol::TlSv12.into(),
    }
}

/// What the server says itself (as `applyServerTLSSettings`).
fn own_parameters(common: &mut CommonTlsContext, tls: &ServerTlsSettings) {
    if tls.min_protocol_version != Wanted::TlsAuto {
        parameters(common).tls_minimum_protocol_version = version(tls.min_protocol_version).into();
    }
    if !tls.ecdh_curves.is_empty() {
        parameters(common).ecdh_curves.clone_from(&tls.ecdh_curves);
    }
    let mut known = BTreeSet::new();
    let ciphers: Vec<String> = tls
        .cipher_suites
        .iter()
        .filter(|c| CIPHERS.contains(&c.as_str()) && known.insert(c.as_str()))
        .cloned()
        .collect();
    if !ciphers.is_empty() {
        parameters(common).cipher_suites = ciphers;
    }
    if tls.max_protocol_version != Wanted::TlsAuto {
        parameters(common).tls_maximum_protocol_version = version(tls.max_protocol_version).into();
    }
}

fn version(wanted: Wanted) -> tls_parameters::TlsProtocol {
    use tls_parameters::TlsProtocol as Envoy;
    match wanted {
        Wanted::TlsAuto => Envoy::TlsAuto,
        Wanted::Tlsv10 => Envoy::TlSv10,
        Wanted::Tlsv11 => Envoy::TlSv11,
        Wanted::Tlsv12 => Envoy::TlSv12,
        Wanted::Tlsv13 => Envoy::TlSv13,
    }
}

/// The policy that all TLS follows (`COMPLIANCE_POLICY`, as pkg/model/fips.go: `EnforceCompliance`).
fn comply(common: &mut CommonTlsContext, policy: &str) {
    use tls_parameters::{CompliancePolicy, TlsProtocol};
    match policy {
        "fips-140-2" => {
            let out = parameters(common);
            out.tls_minimum_protocol_version = TlsProtocol::TlSv12.into();
            out.tls_maximum_protocol_version = TlsProtocol::TlSv12.into();
            out.cipher_suites.retain(|c| FIPS.contains(&c.as_str()));
            out.ecdh_curves.clear();
        }
        "fips-140-3" => parameters(common).compliance_policies = vec![CompliancePolicy::Fips202205.into()],
        "pqc" => {
            let out = parameters(common);
            out.tls_minimum_protocol_version = TlsProtocol::TlSv13.into();
            out.cipher_suites = FIPS.iter().map(|c| (*c).to_owned()).collect();
            out.ecdh_curves = vec!["X25519MLKEM768".into()];
        }
        _ => {}
    }
}

/// The socket of a filter chain.
pub(crate) fn socket(context: DownstreamTlsContext, transport: Transport) -> TransportSocket {
    let (name, packed) = match transport {
        Transport::Tcp => ("envoy.transport_sockets.tls", proto::any(&context)),
        Transport::Quic => (
            "envoy.transport_sockets.quic",
            proto::any(&QuicDownstreamTransport {
                downstream_tls_context: Some(context),
                ..QuicDownstreamTransport::default()
            }),
        ),
    };
    TransportSocket {
        name: name.into(),
        config_type: Some(transport_socket::ConfigType::TypedConfig(packed)),
    }
}

/// Names of the secrets that the control plane serves for a context.
pub(crate) fn served(context: &DownstreamTlsContext) -> Vec<String> {
    let Some(common) = &context.common_tls_context else { return Vec::new() };
    let validation = match &common.validation_context_type {
        Some(common_tls_context::ValidationContextType::CombinedValidationContext(c)) => {
            c.validation_context_sds_secret_config.as_ref()
        }
        _ => None,
    };
    let all = common.tls_certificate_sds_secret_configs.iter().chain(validation);
    all.map(|s| s.name.clone()).filter(|n| n.contains("://") && !n.starts_with("sds://")).collect()
}
