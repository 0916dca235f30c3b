//! SDS: how secrets are named in configuration, and the secrets that the control plane itself serves.

use proto::envoy::config::core::v3::{
    AggregatedConfigSource, ApiConfigSource, ApiVersion, ConfigSource, GrpcService, api_config_source,
    config_source::ConfigSourceSpecifier, grpc_service,
};
use proto::envoy::extensions::transport_sockets::tls::v3::SdsSecretConfig;

use crate::encoded::seconds;

mod serve;

pub(crate) use serve::namespace_of;
pub use serve::resource;

/// The workload's own certificate.
pub const DEFAULT: &str = "default";
/// The mesh's root certificates.
pub const ROOT: &str = "ROOTCA";
/// Suffix of the CA half of a credential.
pub const CA_SUFFIX: &str = "-cacert";
/// Cluster of the agent's SDS.
const AGENT_CLUSTER: &str = "sds-grpc";
/// Cluster of a file-serving SDS beside the agent.
const FILE_CLUSTER: &str = "sds-files-grpc";

/// A gRPC source at a bootstrap cluster.
fn grpc_source(cluster: &str, authority: &str, block: bool) -> ConfigSource {
    ConfigSource {
        config_source_specifier: Some(ConfigSourceSpecifier::ApiConfigSource(ApiConfigSource {
            api_type: api_config_source::ApiType::Grpc.into(),
            set_node_on_first_message_only: true,
            transport_api_version: ApiVersion::V3.into(),
            grpc_services: vec![GrpcService {
                target_specifier: Some(grpc_service::TargetSpecifier::EnvoyGrpc(grpc_service::EnvoyGrpc {
                    cluster_name: cluster.into(),
                    authority: authority.into(),
                    ..grpc_service::EnvoyGrpc::default()
                })),
                ..GrpcService::default()
            }],
            ..ApiConfigSource::default()
        })),
        initial_fetch_timeout: block.then_some(seconds(0)),
        resource_api_version: ApiVersion::V3.into(),
        ..ConfigSource::default()
    }
}

/// A secret that the agent serves: the workload certificate and roots (waited for without limit), or files
/// (as pkg/model/authentication.go: `ConstructSdsSecretConfig`). `None` for an empty name.
#[must_use]
pub fn from_agent(name: &str) -> Option<SdsSecretConfig> {
    let block = name == DEFAULT || name == ROOT;
    (!name.is_empty()).then(|| SdsSecretConfig {
        name: name.into(),
        sds_config: Some(grpc_source(AGENT_CLUSTER, "", block)),
    })
}

/// A file secret, from the custom file SDS where the proxy has one.
#[must_use]
pub fn from_files(name: &str, custom: bool) -> Option<SdsSecretConfig> {
    if !custom {
        return from_agent(name);
    }
    (!name.is_empty()).then(|| SdsSecretConfig {
        name: name.into(),
        sds_config: Some(grpc_source(FILE_CLUSTER, "", false)),
    })
}

/// A credential by name: built-in, external (`sds://`), or from the control plane over ADS
/// (as pilot/pkg/security/model/authentication.go: `ConstructSdsSecretConfigForCredential`).
#[must_use]
pub fn from_credential(name: &str, socket: bool) -> Option<SdsSecretConfig> {
    match name {
        "" => return None,
        "builtin://" => return from_agent(DEFAULT),
        "builtin://-cacert" => return from_agent(ROOT),
        _ => {}
    }
    if let Some(rest) = name.strip_prefix("sds://") {
        if socket {
            return Some(SdsSecretConfig {
                name: name.into(),
                sds_config: Some(grpc_source("sds-external", "", false)),
            });
        }
        return Some(over_ads(rest));
    }
    Some(over_ads(name))
}

/// A secret of a server that the mesh names as its SDS provider.
#[must_use]
pub(crate) fn from_provider(name: &str, host: &str, cluster: &str) -> SdsSecretConfig {
    SdsSecretConfig { name: name.into(), sds_config: Some(grpc_source(cluster, host, false)) }
}

fn over_ads(name: &str) -> SdsSecretConfig {
    SdsSecretConfig {
        name: resource_name(name),
        sds_config: Some(ConfigSource {
            config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource::default())),
            resource_api_version: ApiVersion::V3.into(),
            ..ConfigSource::default()
        }),
    }
}

/// As pilot/pkg/model/credentials/resource.go: `ToResourceName`.
#[must_use]
pub fn resource_name(name: &str) -> String {
    if name.starts_with("builtin://") {
        return DEFAULT.into();
    }
    if name.starts_with("invalid://") {
        return "invalid://".into();
    }
    if ["configmap://", "kubernetes://", "kubernetes-gateway://"].iter().any(|p| name.starts_with(p)) {
        return name.into();
    }
    format!("kubernetes://{name}")
}

/// `file-cert:CERT~KEY`.
#[must_use]
pub fn file_certificate(certificate: &str, key: &str) -> String {
    if certificate.is_empty() || key.is_empty() {
        String::new()
    } else {
        format!("file-cert:{certificate}~{key}")
    }
}

/// `file-root:CA`.
#[must_use]
pub fn file_root(ca: &str) -> String {
    if ca.is_empty() { String::new() } else { format!("file-root:{ca}") }
}
