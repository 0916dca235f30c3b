//! Persistent sessions: the per-route override for services that ask for them by label
//! (as pilot/pkg/networking/util/util.go: `MaybeBuildStatefulSessionFilterConfig`).

use mesh::World;
use mesh::services::Service;
use proto::envoy::config::core::v3::TypedExtensionConfig;
use proto::envoy::extensions::filters::http::stateful_session::v3::{
    StatefulSession, StatefulSessionPerRoute, stateful_session_per_route::Override,
};
use proto::envoy::extensions::http::stateful_session::cookie::v3::CookieBasedSessionState;
use proto::envoy::extensions::http::stateful_session::header::v3::HeaderBasedSessionState;
use proto::envoy::r#type::http::v3::Cookie;
use proto::google::protobuf::Any;
use tables::{Level, Reads};

/// Name of the filter.
pub(crate) const FILTER: &str = "envoy.filters.http.stateful_session";

/// The override of a service; `None` where it asks for nothing or the filter is switched off.
pub(crate) fn of<L: Level>(r: &Reads<L>, world: &World, service: &Service) -> Option<Any> {
    let switches = &crate::settings(r, world).switches;
    if !switches.pilot_enable_persistent_session_filter {
        return None;
    }
    let label = |name: &str| service.labels.get(name).filter(|v| !v.is_empty());
    let state = if let Some(cookie) = label(&switches.pilot_persistent_session_label) {
        let (name, path) = cookie.split_once(':').unwrap_or((cookie, "/"));
        TypedExtensionConfig {
            name: "envoy.http.stateful_session.cookie".into(),
            typed_config: Some(proto::any(&CookieBasedSessionState {
                cookie: Some(Cookie { name: name.into(), path: path.into(), ..Cookie::default() }),
            })),
        }
    } else {
        let header = label(&switches.pilot_persistent_session_header_label)?;
        TypedExtensionConfig {
            name: "envoy.http.stateful_session.header".into(),
            typed_config: Some(proto::any(&HeaderBasedSessionState { name: header.to_string() })),
        }
    };
    let session = StatefulSession { session_state: Some(state), ..StatefulSession::default() };
    Some(proto::any(&StatefulSessionPerRoute { r#override: Some(Override::StatefulSession(session)) }))
}
