//! External authorizers, which CUSTOM policies name: who is asked and what about
//! (as pilot/pkg/security/authz/builder/extauthz.go).

use config::mesh::{
    EnvoyExternalAuthorizationGrpcProvider, EnvoyExternalAuthorizationHttpProvider,
    EnvoyExternalAuthorizationRequestBody, ExtensionProviderProvider, MeshConfig,
};
use mesh::World;
use proto::envoy::config::core::v3::{
    ApiVersion, GrpcService, HeaderValue, HttpUri, grpc_service, http_uri::HttpUpstreamType,
};
use proto::envoy::config::listener::v3::{Filter, filter};
use proto::envoy::extensions::filters::http::ext_authz::v3::{
    AuthorizationRequest, AuthorizationResponse, BufferSettings, ExtAuthz, HttpService, ext_authz::Services,
};
use proto::envoy::extensions::filters::network::ext_authz::v3::ExtAuthz as NetworkExtAuthz;
use proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use proto::envoy::r#type::matcher::v3::{ListStringMatcher, MetadataMatcher, StringMatcher};
use proto::envoy::r#type::v3::{HttpStatus, StatusCode};
use tables::{Level, Reads};

use super::matchers;
use crate::encoded::{duration, seconds};
use crate::filters::{http, providers};

/// An authorizer that can be asked.
pub(super) struct External {
    pub(super) http: HttpFilter,
    /// Those of HTTP know nothing of connections.
    pub(super) tcp: Option<Filter>,
}

/// The provider of that name; `None` if there is none, two, or one that cannot be used.
pub(super) fn external<L: Level>(
    r: &Reads<L>,
    world: &World,
    mesh: &MeshConfig,
    name: &str,
) -> Option<External> {
    if !is_label(name) {
        return None;
    }
    let mut named = mesh.extension_providers.iter().filter(|p| p.name == name);
    let (provider, None) = (named.next()?, named.next()) else { return None };
    let found = |service: &str, port: u32| {
        (1..=65535).contains(&port).then(|| providers::lookup(r, world, service, port)).flatten()
    };
    match provider.provider.as_ref()? {
        ExtensionProviderProvider::EnvoyExtAuthzHttp(said) => {
            let (host, cluster) = found(&said.service, said.port)?;
            over_http(said, name, &host, cluster)
        }
        ExtensionProviderProvider::EnvoyExtAuthzGrpc(said) => {
            let (host, cluster) = found(&said.service, said.port)?;
            over_grpc(said, name, host, cluster)
        }
        _ => None,
    }
}

/// Whether it may stand in keys of metadata and names of rules.
fn is_label(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn over_http(
    said: &EnvoyExternalAuthorizationHttpProvider,
    name: &str,
    host: &str,
    cluster: String,
) -> Option<External> {
    let lists = [
        &said.include_request_headers_in_check,
        &said.include_headers_in_check,
        &said.headers_to_downstream_on_deny,
        &said.headers_to_downstream_on_allow,
        &said.headers_to_upstream_on_allow,
    ];
    let bad_prefix = !said.path_prefix.is_empty() && !said.path_prefix.starts_with('/');
    if bad_prefix || lists.iter().any(|list| list.iter().any(|h| h == "*")) {
        return None;
    }
    let additional = &said.include_additional_headers_in_check;
    let headers_to_add: Vec<HeaderValue> = additional
        .iter()
        .map(|(key, value)| HeaderValue { key: key.clone(), value: value.clone(), ..HeaderValue::default() })
        .collect();
    let response = AuthorizationResponse {
        allowed_upstream_headers: headers(&said.headers_to_upstream_on_allow),
        allowed_client_headers: headers(&said.headers_to_downstream_on_deny),
        allowed_client_headers_on_success: headers(&said.headers_to_downstream_on_allow),
        ..AuthorizationResponse::default()
    };
    let service = HttpService {
        server_uri: Some(HttpUri {
            // Required, though only the cluster counts.
            uri: format!("http://{host}"),
            timeout: Some(said.timeout.map_or(seconds(600), duration)),
            http_upstream_type: Some(HttpUpstreamType::Cluster(cluster)),
        }),
        path_prefix: said.path_prefix.clone(),
        authorization_request: (!headers_to_add.is_empty())
            .then(|| AuthorizationRequest { headers_to_add, ..AuthorizationRequest::default() }),
        authorization_response: (response != AuthorizationResponse::default()).then_some(response),
        ..HttpService::default()
    };
    let config = ExtAuthz {
        failure_mode_allow: said.fail_open,
        status_on_error: status(&said.status_on_error)?,
        with_request_body: said.include_request_body_in_check.as_ref().map(body),
        allowed_headers: headers(&said.include_request_headers_in_check)
            .or_else(|| headers(&said.include_headers_in_check)),
        services: Some(Services::HttpService(service)),
        ..asked(name)
    };
    Some(External { http: http::filter("envoy.filters.http.ext_authz", &config), tcp: None })
}

fn over_grpc(
    said: &EnvoyExternalAuthorizationGrpcProvider,
    name: &str,
    authority: String,
    cluster_name: String,
) -> Option<External> {
    let service = GrpcService {
        target_specifier: Some(grpc_service::TargetSpecifier::EnvoyGrpc(grpc_service::EnvoyGrpc {
            cluster_name,
            authority,
            ..grpc_service::EnvoyGrpc::default()
        })),
        timeout: Some(said.timeout.map_or(seconds(600), duration)),
        ..GrpcService::default()
    };
    let tcp = NetworkExtAuthz {
        stat_prefix: "tcp.".into(),
        failure_mode_allow: said.fail_open,
        transport_api_version: ApiVersion::V3.into(),
        grpc_service: Some(service.clone()),
        filter_enabled_metadata: Some(selected("envoy.filters.network.rbac", name)),
        ..NetworkExtAuthz::default()
    };
    let config = ExtAuthz {
        failure_mode_allow: said.fail_open,
        status_on_error: status(&said.status_on_error)?,
        with_request_body: said.include_request_body_in_check.as_ref().map(body),
        services: Some(Services::GrpcService(service)),
        ..asked(name)
    };
    Some(External {
        http: http::filter("envoy.filters.http.ext_authz", &config),
        tcp: Some(Filter {
            name: "envoy.filters.network.ext_authz".into(),
            config_type: Some(filter::ConfigType::TypedConfig(proto::any(&tcp))),
        }),
    })
}

/// Asked only about what the RBAC filter before it has matched.
fn asked(provider: &str) -> ExtAuthz {
    ExtAuthz {
        transport_api_version: ApiVersion::V3.into(),
        filter_enabled_metadata: Some(selected("envoy.filters.http.rbac", provider)),
        ..ExtAuthz::default()
    }
}

fn selected(filter: &str, provider: &str) -> MetadataMatcher {
    let rules = matchers::text(matchers::prefix(format!("istio-ext-authz-{provider}")));
    matchers::metadata(filter, ["istio_ext_authz_shadow_effective_policy_id"], rules)
}

/// The outer `None` for a status that HTTP has not.
fn status(said: &str) -> Option<Option<HttpStatus>> {
    if said.is_empty() {
        return Some(None);
    }
    let code = StatusCode::try_from(said.parse::<i32>().ok()?).ok()?;
    Some(Some(HttpStatus { code: code.into() }))
}

fn body(said: &EnvoyExternalAuthorizationRequestBody) -> BufferSettings {
    BufferSettings {
        max_request_bytes: said.max_request_bytes,
        allow_partial_message: said.allow_partial_message,
        pack_as_bytes: said.pack_as_bytes,
    }
}

fn headers(names: &[String]) -> Option<ListStringMatcher> {
    let one = |name: &String| StringMatcher { ignore_case: true, ..matchers::string(name) };
    (!names.is_empty()).then(|| ListStringMatcher { patterns: names.iter().map(one).collect() })
}
