//! `ProxyConfig.connectionSettings` of HTTP connection managers (as pilot/pkg/networking/core/connection_settings.go).

use config::Duration;
use config::mesh::{
    ConnectionSettings, HeadersWithUnderscoresAction as Underscores, MeshConfig,
    PathWithEscapedSlashesAction as Escaped, Profile,
};
use proto::envoy::config::core::v3::{
    Http2ProtocolOptions, HttpProtocolOptions, http_protocol_options::HeadersWithUnderscoresAction,
};
use proto::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, http_connection_manager::PathWithEscapedSlashesAction,
};
use proto::google::protobuf::UInt32Value;

use super::config_of;
use crate::encoded::duration;
use crate::proxy::{Proxy, ProxyKind};

/// The settings in force; the `EDGE` profile of gateways fills in what is best at an edge.
pub(crate) fn settings(proxy: &Proxy, mesh: &MeshConfig) -> Option<ConnectionSettings> {
    let own = config_of(proxy, mesh).connection_settings.as_ref();
    let mut out = own.or(mesh.default_config.as_ref().and_then(|c| c.connection_settings.as_ref()))?.clone();
    if out.profile == Profile::Edge && proxy.kind == ProxyKind::Router {
        edge(&mut out);
    }
    Some(out)
}

fn edge(out: &mut ConnectionSettings) {
    let or = |held: &mut Option<i32>, value| *held = held.or(Some(value));
    or(&mut out.listener_per_connection_buffer_limit_bytes, 32_768);
    or(&mut out.http_max_concurrent_streams, 100);
    or(&mut out.http2_initial_stream_window_size, 65_536);
    or(&mut out.http2_initial_connection_window_size, 1_048_576);
    let or = |held: &mut Option<Duration>, value| *held = held.or(Some(Duration::from_secs(value)));
    or(&mut out.http_idle_timeout, 3600);
    or(&mut out.http_stream_idle_timeout, 300);
    or(&mut out.http_request_timeout, 300);
    or(&mut out.http_request_headers_timeout, 60);
    if out.http_headers_with_underscores_action == Underscores::HeadersWithUnderscoresUnspecified {
        out.http_headers_with_underscores_action = Underscores::HeadersWithUnderscoresRejectRequest;
    }
    out.http_merge_slashes = out.http_merge_slashes.or(Some(true));
    if out.http_path_with_escaped_slashes_action == Escaped::PathWithEscapedSlashesUnspecified {
        out.http_path_with_escaped_slashes_action = Escaped::UnescapeAndRedirect;
    }
}

/// A size that is not negative.
pub(crate) fn size(value: Option<i32>) -> Option<UInt32Value> {
    value.and_then(|v| u32::try_from(v).ok()).map(|value| UInt32Value { value })
}

/// As `applyConnectionSettingsToHCM`.
pub(crate) fn apply(out: &mut HttpConnectionManager, said: &ConnectionSettings) {
    if said.http_idle_timeout.is_some()
        || said.http_max_connection_duration.is_some()
        || said.http_max_stream_duration.is_some()
    {
        let options = out.common_http_protocol_options.get_or_insert_with(HttpProtocolOptions::default);
        options.idle_timeout = said.http_idle_timeout.map(duration).or(options.idle_timeout);
        options.max_connection_duration =
            said.http_max_connection_duration.map(duration).or(options.max_connection_duration);
        options.max_stream_duration =
            said.http_max_stream_duration.map(duration).or(options.max_stream_duration);
    }
    out.stream_idle_timeout = said.http_stream_idle_timeout.map(duration).or(out.stream_idle_timeout);
    out.request_timeout = said.http_request_timeout.map(duration).or(out.request_timeout);
    out.request_headers_timeout =
        said.http_request_headers_timeout.map(duration).or(out.request_headers_timeout);
    out.drain_timeout = said.http_drain_timeout.map(duration).or(out.drain_timeout);
    if said.http_max_concurrent_streams.is_some()
        || said.http2_initial_stream_window_size.is_some()
        || said.http2_initial_connection_window_size.is_some()
    {
        let http2 = out.http2_protocol_options.get_or_insert_with(Http2ProtocolOptions::default);
        http2.max_concurrent_streams =
            size(said.http_max_concurrent_streams).or(http2.max_concurrent_streams);
        http2.initial_stream_window_size =
            size(said.http2_initial_stream_window_size).or(http2.initial_stream_window_size);
        http2.initial_connection_window_size =
            size(said.http2_initial_connection_window_size).or(http2.initial_connection_window_size);
    }
    let underscores = match said.http_headers_with_underscores_action {
        Underscores::HeadersWithUnderscoresUnspecified => None,
        Underscores::HeadersWithUnderscoresAllow => Some(HeadersWithUnderscoresAction::Allow),
        Underscores::HeadersWithUnderscoresRejectRequest => Some(HeadersWithUnderscoresAction::RejectRequest),
        Underscores::HeadersWithUnderscoresDropHeader => Some(HeadersWithUnderscoresAction::DropHeader),
    };
    if let Some(action) = underscores {
        let options = out.common_http_protocol_options.get_or_insert_with(HttpProtocolOptions::default);
        options.headers_with_underscores_action = action.into();
    }
    out.merge_slashes = said.http_merge_slashes.unwrap_or(out.merge_slashes);
    let escaped = match said.http_path_with_escaped_slashes_action {
        Escaped::PathWithEscapedSlashesUnspecified => return,
        Escaped::KeepUnchanged => PathWithEscapedSlashesAction::KeepUnchanged,
        Escaped::RejectRequest => PathWithEscapedSlashesAction::RejectRequest,
        Escaped::UnescapeAndRedirect => PathWithEscapedSlashesAction::UnescapeAndRedirect,
        Escaped::UnescapeAndForward => PathWithEscapedSlashesAction::UnescapeAndForward,
    };
    out.path_with_escaped_slashes_action = escaped.into();
}
