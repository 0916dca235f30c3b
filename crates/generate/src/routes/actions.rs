//! What a route does besides routing: redirects, direct answers, headers, faults, CORS
//! (as pilot/pkg/networking/core/route/route.go).

use std::collections::BTreeMap;

use config::networking::{
    CorsPolicy, ErrorType, Headers, HttpDelayType, HttpDirectResponse, HttpFaultInjection, HttpRedirect,
    RedirectPort, RedirectPortSelection, Specifier, UnmatchedPreflights,
};
use proto::envoy::config::core::v3::{
    DataSource, HeaderValue, HeaderValueOption, RuntimeFractionalPercent, data_source,
    header_value_option::HeaderAppendAction,
};
use proto::envoy::config::route::v3::{DirectResponseAction, RedirectAction, redirect_action, route};
use proto::envoy::extensions::filters::common::fault::v3::{FaultDelay, fault_delay};
use proto::envoy::extensions::filters::http::cors::v3::CorsPolicy as EnvoyCors;
use proto::envoy::extensions::filters::http::fault::v3::{FaultAbort, HttpFault, fault_abort};
use proto::google::protobuf::BoolValue;

use super::http::{hundredths, millionths};
use super::matches;
use crate::clusters::tls::exact_matches;
use crate::encoded::duration;

/// A redirect; `None` for a code that Envoy does not have.
pub(super) fn redirect(redirect: &HttpRedirect, port: u32, tls: bool) -> Option<route::Action> {
    use redirect_action::{PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier};
    let mut out = RedirectAction { host_redirect: redirect.authority.clone(), ..RedirectAction::default() };
    out.path_rewrite_specifier = Some(if redirect.prefix_rewrite.is_empty() {
        PathRewriteSpecifier::PathRedirect(redirect.uri.clone())
    } else {
        PathRewriteSpecifier::PrefixRewrite(redirect.prefix_rewrite.clone())
    });
    if !redirect.scheme.is_empty() {
        out.scheme_rewrite_specifier = Some(SchemeRewriteSpecifier::SchemeRedirect(redirect.scheme.clone()));
    }
    if let Some(chosen) = &redirect.redirect_port {
        out.port_redirect = match chosen {
            RedirectPort::Port(port) => *port,
            RedirectPort::DerivePort(RedirectPortSelection::FromRequestPort) => port,
            RedirectPort::DerivePort(RedirectPortSelection::FromProtocolDefault) => 0,
        };
        let scheme = match redirect.scheme.as_str() {
            "" if tls => "https",
            "" => "http",
            scheme => scheme,
        };
        // A port that goes without saying is not said.
        if matches!((out.port_redirect, scheme), (80, "http") | (443, "https")) {
            out.port_redirect = 0;
        }
    }
    let code = match redirect.redirect_code {
        0 | 301 => RedirectResponseCode::MovedPermanently,
        302 => RedirectResponseCode::Found,
        303 => RedirectResponseCode::SeeOther,
        307 => RedirectResponseCode::TemporaryRedirect,
        308 => RedirectResponseCode::PermanentRedirect,
        _ => return None,
    };
    out.response_code = code.into();
    Some(route::Action::Redirect(out))
}

/// An answer without upstream.
pub(super) fn direct_response(direct: &HttpDirectResponse) -> route::Action {
    let specifier = direct.body.as_ref().and_then(|b| b.specifier.as_ref()).map(|body| match body {
        Specifier::String(text) => data_source::Specifier::InlineString(text.clone()),
        Specifier::Bytes(bytes) => data_source::Specifier::InlineBytes(bytes.0.clone()),
    });
    route::Action::DirectResponse(DirectResponseAction {
        status: direct.status,
        body: specifier.map(|s| DataSource { specifier: Some(s), ..DataSource::default() }),
        ..DirectResponseAction::default()
    })
}

/// Header operations, with the authority they set.
#[derive(Default)]
pub(super) struct Operations {
    pub(super) request_add: Vec<HeaderValueOption>,
    pub(super) request_remove: Vec<String>,
    pub(super) response_add: Vec<HeaderValueOption>,
    pub(super) response_remove: Vec<String>,
    pub(super) authority: String,
}

fn is_internal(name: &str) -> bool {
    name.starts_with(':') || name.eq_ignore_ascii_case("host")
}

fn additions(
    headers: &BTreeMap<String, String>,
    append: HeaderAppendAction,
) -> (Vec<HeaderValueOption>, String) {
    let mut authority = String::new();
    let mut out = Vec::new();
    for (key, value) in headers {
        if key.eq_ignore_ascii_case(":authority") || key.eq_ignore_ascii_case("host") {
            authority.clone_from(value);
        }
        if !is_internal(key) {
            out.push(HeaderValueOption {
                header: Some(HeaderValue {
                    key: key.clone(),
                    value: value.clone(),
                    ..HeaderValue::default()
                }),
                append_action: append.into(),
                ..HeaderValueOption::default()
            });
        }
    }
    (out, authority)
}

/// As `TranslateHeadersOperations`.
pub(super) fn headers(headers: &Headers) -> Operations {
    let none = BTreeMap::new();
    let split = |side: Option<&config::networking::HeaderOperations>| {
        let (mut all, set) =
            additions(side.map_or(&none, |o| &o.set), HeaderAppendAction::OverwriteIfExistsOrAdd);
        let (more, add) = additions(side.map_or(&none, |o| &o.add), HeaderAppendAction::AppendIfExistsOrAdd);
        all.extend(more);
        let remove =
            side.map(|o| o.remove.iter().filter(|n| !is_internal(n)).cloned().collect()).unwrap_or_default();
        (all, remove, if set.is_empty() { add } else { set })
    };
    let (request_add, request_remove, authority) = split(headers.request.as_ref());
    let (response_add, response_remove, _) = split(headers.response.as_ref());
    Operations { request_add, request_remove, response_add, response_remove, authority }
}

/// As `TranslateFault`; `None` where nothing of it can be done.
pub(super) fn fault(fault: &HttpFaultInjection) -> Option<HttpFault> {
    let delay = fault.delay.as_ref().and_then(|d| {
        let Some(HttpDelayType::FixedDelay(time)) = &d.http_delay_type else { return None };
        let percent = match &d.percentage {
            Some(p) => millionths(p.value),
            None => hundredths(u32::try_from(d.percent).unwrap_or(0)),
        };
        Some(FaultDelay {
            percentage: Some(percent),
            fault_delay_secifier: Some(fault_delay::FaultDelaySecifier::FixedDelay(duration(*time))),
        })
    });
    let abort = fault.abort.as_ref().and_then(|a| {
        let error = match a.error_type.as_ref()? {
            ErrorType::HttpStatus(code) => {
                fault_abort::ErrorType::HttpStatus(u32::try_from(*code).unwrap_or(0))
            }
            ErrorType::GrpcStatus(name) => fault_abort::ErrorType::GrpcStatus(grpc_code(name)),
            ErrorType::Http2Error(_) => return None,
        };
        Some(FaultAbort {
            percentage: a.percentage.as_ref().map(|p| millionths(p.value)),
            error_type: Some(error),
            ..FaultAbort::default()
        })
    });
    if delay.is_none() && abort.is_none() {
        return None;
    }
    Some(HttpFault { delay, abort, ..HttpFault::default() })
}

/// The number of a gRPC status name.
fn grpc_code(name: &str) -> u32 {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    let at = NAMES.iter().position(|n| *n == name).unwrap_or(0);
    u32::try_from(at).unwrap_or(0)
}

/// As `TranslateCORSPolicy`.
pub(super) fn cors(cors: &CorsPolicy) -> EnvoyCors {
    let origins = if cors.allow_origins.is_empty() {
        exact_matches(&cors.allow_origin)
    } else {
        cors.allow_origins.iter().filter_map(matches::string).collect()
    };
    EnvoyCors {
        forward_not_matching_preflights: Some(BoolValue {
            value: cors.unmatched_preflights != UnmatchedPreflights::Ignore,
        }),
        allow_origin_string_match: origins,
        filter_enabled: Some(RuntimeFractionalPercent {
            default_value: Some(hundredths(100)),
            ..RuntimeFractionalPercent::default()
        }),
        allow_credentials: cors.allow_credentials.map(|value| BoolValue { value }),
        allow_headers: cors.allow_headers.join(","),
        allow_methods: cors.allow_methods.join(","),
        expose_headers: cors.expose_headers.join(","),
        max_age: cors.max_age.map(|d| d.seconds().to_string()).unwrap_or_default(),
        ..EnvoyCors::default()
    }
}
