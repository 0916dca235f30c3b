//! Headers that proxies write about themselves (as pilot/pkg/networking/util/proxy_headers.go).

use config::mesh::{ForwardClientCertDetails, MetadataExchangeMode, ProxyConfig};
use proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::{
    ForwardClientCertDetails as Forward, ServerHeaderTransformation, SetCurrentClientCertDetails,
};
use proto::google::protobuf::BoolValue;

use super::Class;

/// Resolved for one class.
#[derive(Clone, Debug)]
pub(crate) struct Headers {
    /// `server`; empty for Envoy's own.
    pub(crate) server: String,
    /// What happens to a `server` that is there.
    pub(crate) transformation: ServerHeaderTransformation,
    /// What happens to `x-forwarded-client-cert`.
    pub(crate) forward: Forward,
    /// What is written into it.
    pub(crate) details: SetCurrentClientCertDetails,
    /// `x-request-id`; `Some(false)` if it is not made.
    pub(crate) request_id: Option<bool>,
    /// No `x-envoy-*` for debugging.
    pub(crate) suppress_debug: bool,
    /// Metadata exchange headers stay in the mesh.
    pub(crate) exchange_in_mesh: bool,
    /// `x-forwarded-port` is written.
    pub(crate) forwarded_port: bool,
}

impl Headers {
    pub(crate) fn of(config: &ProxyConfig, class: Class) -> Self {
        let none = config::mesh::ProxyHeaders::default();
        let said = config.proxy_headers.as_ref().unwrap_or(&none);
        let mut server =
            if class == Class::SidecarOutbound { String::new() } else { "istio-envoy".to_owned() };
        let mut transformation = ServerHeaderTransformation::Overwrite;
        if let Some(own) = &said.server {
            if own.disabled == Some(true) {
                server = String::new();
                transformation = ServerHeaderTransformation::PassThrough;
            } else if !own.value.is_empty() {
                server.clone_from(&own.value);
            }
        }
        let details = said.set_current_client_cert_details.clone().unwrap_or_default();
        Self {
            server,
            transformation,
            forward: forward(said.forwarded_client_cert),
            details: SetCurrentClientCertDetails {
                subject: Some(BoolValue { value: details.subject.unwrap_or(true) }),
                uri: details.uri.unwrap_or(true),
                dns: details.dns.unwrap_or(true),
                cert: details.cert.unwrap_or(false),
                chain: details.chain.unwrap_or(false),
                ..SetCurrentClientCertDetails::default()
            },
            request_id: said.request_id.as_ref().and_then(|i| i.disabled).filter(|d| *d).map(|d| !d),
            suppress_debug: said.envoy_debug_headers.as_ref().is_some_and(|d| d.disabled == Some(true)),
            exchange_in_mesh: said
                .metadata_exchange_headers
                .as_ref()
                .is_some_and(|m| m.mode == MetadataExchangeMode::InMesh),
            forwarded_port: said.x_forwarded_port.as_ref().is_some_and(|p| p.enabled == Some(true)),
        }
    }
}

/// As `MeshConfigToEnvoyForwardClientCertDetails`, with the mesh's default for what is not said.
fn forward(said: ForwardClientCertDetails) -> Forward {
    match said {
        ForwardClientCertDetails::Undefined | ForwardClientCertDetails::AppendForward => {
            Forward::AppendForward
        }
        ForwardClientCertDetails::Sanitize => Forward::Sanitize,
        ForwardClientCertDetails::ForwardOnly => Forward::ForwardOnly,
        ForwardClientCertDetails::SanitizeSet => Forward::SanitizeSet,
        ForwardClientCertDetails::AlwaysForwardOnly => Forward::AlwaysForwardOnly,
    }
}
