//! One HTTP route of a virtual service as an Envoy route (as pilot/pkg/networking/core/route/route.go:
//! `TranslateRoute`).

use config::mesh::MeshConfig;
use config::networking::{Destination, HttpMatchRequest, HttpRoute, HttpRouteDestination};
use mesh::World;
use mesh::routes::{Head, VirtualService};
use mesh::services::Service;
use mesh::workloads::LabelSet;
use proto::envoy::config::core::v3::{
    HeaderValue, HeaderValueOption, Metadata, RuntimeFractionalPercent,
    header_value_option::HeaderAppendAction,
};
use proto::envoy::config::route::v3::{
    Decorator, Route, RouteAction, WeightedCluster, route, route_action, route_match::PathSpecifier,
    weighted_cluster,
};
use proto::envoy::r#type::matcher::v3::{RegexMatchAndSubstitute, RegexMatcher};
use proto::envoy::r#type::v3::{FractionalPercent, fractional_percent::DenominatorType};
use proto::google::protobuf::{BoolValue, Struct, UInt32Value, Value, value::Kind};
use tables::{Level, Reads};

use super::places::{self, RouteAt};
use super::{actions, hash, matches, retry};
use crate::clusters::subset_key;
use crate::encoded::{duration, seconds};
use crate::provenance;
use crate::proxy::Proxy;
use crate::scope::Scope;

/// What routes depend on besides the virtual service.
pub(crate) struct Context<'a, L: Level> {
    pub(crate) r: &'a Reads<L>,
    pub(crate) world: &'a World,
    pub(crate) proxy: &'a Proxy,
    pub(crate) scope: &'a Scope,
    pub(crate) mesh: &'a MeshConfig,
    /// Port of the listener; 0 for `http_proxy` and unix sockets.
    pub(crate) port: u32,
    /// `mesh`, or the gateways whose servers share this route configuration.
    pub(crate) gateways: &'a [String],
    /// The service of a host, as the listener sees it.
    pub(crate) lookup: &'a dyn Fn(&str) -> Option<&'a Service>,
    /// Behind a TLS server.
    pub(crate) tls: bool,
    /// Advertise HTTP/3 in `alt-svc`.
    pub(crate) http3: bool,
    /// `X-Forwarded-Host` is appended on rewrites (proxy headers).
    pub(crate) forwarded_host: bool,
}

/// Whether a match applies at all: gateways, labels and namespace of the caller.
fn source_fits<L: Level>(context: &Context<'_, L>, m: &HttpMatchRequest) -> bool {
    if !m.gateways.is_empty() {
        return m.gateways.iter().any(|g| context.gateways.contains(g));
    }
    let labels = &context.proxy.labels;
    labels.has_all(&m.source_labels)
        && (m.source_namespace.is_empty() || *m.source_namespace == *context.proxy.namespace)
}

fn fits<L: Level>(context: &Context<'_, L>, m: &HttpMatchRequest) -> bool {
    (m.port == 0 || m.port == context.port) && source_fits(context, m)
}

/// Whether a virtual service has any route here.
pub(crate) fn any<L: Level>(context: &Context<'_, L>, head: &Head) -> bool {
    head.matches.iter().any(|matches| matches.is_empty() || matches.iter().any(|m| fits(context, m)))
}

/// All routes of a virtual service, up to the first that matches everything.
pub(crate) fn routes<L: Level>(context: &Context<'_, L>, virtual_service: &VirtualService) -> Vec<Route> {
    let mut out = Vec::new();
    for (number, http) in virtual_service.http.iter().enumerate() {
        let at = RouteAt { virtual_service, route: number, matched: None };
        let nth = |out: &Vec<Route>| format!("routes[{}]", out.len());
        if http.r#match.is_empty() {
            let route = provenance::within(context.r, || nth(&out), || translate(context, http, None, at));
            out.push(route);
            return out;
        }
        for (matched, m) in http.r#match.iter().enumerate().filter(|(_, m)| fits(context, m)) {
            let at = RouteAt { matched: Some(matched), ..at };
            let route = provenance::within(context.r, || nth(&out), || translate(context, http, Some(m), at));
            let all = matches::is_catch_all(&route);
            out.push(route);
            if all {
                return out;
            }
        }
    }
    out
}

fn translate<L: Level>(
    context: &Context<'_, L>,
    http: &HttpRoute,
    m: Option<&HttpMatchRequest>,
    at: RouteAt<'_>,
) -> Route {
    let virtual_service = at.virtual_service;
    provenance::notes(context.r, |say| at.tell(http, m, say));
    let mut name = http.name.clone();
    if let Some(m) = m.filter(|m| !m.name.is_empty()) {
        name = format!("{name}.{}", m.name);
    }
    let mut out = Route {
        name,
        r#match: Some(matches::translate(virtual_service, m)),
        metadata: Some(config_metadata(virtual_service)),
        stat_prefix: m.map(|m| m.stat_prefix.clone()).unwrap_or_default(),
        ..Route::default()
    };
    let mut authority = String::new();
    if let Some(headers) = &http.headers {
        let operations = actions::headers(headers);
        out.request_headers_to_add = operations.request_add;
        out.request_headers_to_remove = operations.request_remove;
        out.response_headers_to_add = operations.response_add;
        out.response_headers_to_remove = operations.response_remove;
        authority = operations.authority;
    }
    if let Some(redirect) = &http.redirect {
        out.action = actions::redirect(redirect, context.port, context.tls);
    } else if let Some(direct) = &http.direct_response {
        out.action = Some(actions::direct_response(direct));
    } else {
        destinations(context, at, http, authority, &mut out);
    }
    out.decorator =
        Some(Decorator { operation: operation(&out, virtual_service, context.port), ..Decorator::default() });
    if let Some(fault) = http.fault.as_ref().and_then(actions::fault) {
        out.typed_per_filter_config.insert("envoy.filters.http.fault".into(), proto::any(&fault));
    } else if http.fault.is_some() {
        let empty = proto::envoy::extensions::filters::http::fault::v3::HttpFault::default();
        out.typed_per_filter_config.insert("envoy.filters.http.fault".into(), proto::any(&empty));
    }
    if let Some(cors) = &http.cors_policy {
        out.typed_per_filter_config
            .insert("envoy.filters.http.cors".into(), proto::any(&actions::cors(cors)));
    }
    if http.redirect.is_none() && http.direct_response.is_none() {
        let hosts = http.route.iter().filter_map(|d| d.destination.as_ref()).map(|d| d.host.as_str());
        let services = hosts.filter_map(|h| (context.lookup)(h));
        if let Some(session) = services.filter_map(|s| super::session::of(context.r, context.world, s)).next()
        {
            out.typed_per_filter_config.insert(super::session::FILTER.into(), session);
        }
    }
    if context.http3 {
        out.response_headers_to_add.push(HeaderValueOption {
            header: Some(HeaderValue {
                key: "alt-svc".into(),
                value: format!("h3=\":{}\"; ma=86400", context.port),
                ..HeaderValue::default()
            }),
            append_action: HeaderAppendAction::AppendIfExistsOrAdd.into(),
            ..HeaderValueOption::default()
        });
    }
    out
}

/// Names the object that a route comes from (as util: `BuildConfigInfoMetadata`).
fn config_metadata(v: &VirtualService) -> Metadata {
    let path = format!("/apis/networking.istio.io/v1/namespaces/{}/virtual-service/{}", v.namespace, v.name);
    let fields = [("config".to_owned(), Value { kind: Some(Kind::StringValue(path)) })].into();
    Metadata { filter_metadata: [("istio".to_owned(), Struct { fields })].into(), ..Metadata::default() }
}

/// The cluster of a destination (as `GetDestinationCluster`).
pub(crate) fn cluster_of(destination: &Destination, service: Option<&Service>, port: u32) -> String {
    if destination.host.is_empty() {
        return "UnknownService".into();
    }
    let external = service.and_then(|s| s.external_name.as_deref());
    let port = match (&destination.port, service) {
        (Some(p), _) => p.number,
        (None, Some(s)) if s.ports.len() == 1 => s.ports[0].number,
        _ => port,
    };
    subset_key("outbound", port, &destination.subset, external.unwrap_or(&destination.host))
}

fn cluster<L: Level>(context: &Context<'_, L>, destination: Option<&Destination>) -> String {
    match destination {
        Some(d) => cluster_of(d, (context.lookup)(&d.host), context.port),
        None => "UnknownService".into(),
    }
}

/// No limit on the stream; what the client's gRPC timeout says counts only where the route has a limit.
pub(crate) fn set_timeout(action: &mut RouteAction, timeout: Option<config::Duration>) {
    let timeout = timeout.map_or(seconds(0), duration);
    action.timeout = Some(timeout);
    #[expect(deprecated, reason = "as upstream: its successor changes how a timeout is enforced")]
    {
        action.max_grpc_timeout = Some(timeout);
    }
}

/// As `applyHTTPRouteDestination`.
fn destinations<L: Level>(
    context: &Context<'_, L>,
    at: RouteAt<'_>,
    http: &HttpRoute,
    mut authority: String,
    out: &mut Route,
) {
    let mesh_retries = context.mesh.default_http_retry_policy.is_some();
    provenance::notes(context.r, |say| at.tell_action(http, mesh_retries, say));
    let mut action = RouteAction::default();
    set_timeout(&mut action, http.timeout);
    let gateway_api = &*at.virtual_service.semantics == "gateway";
    if gateway_api {
        action.cluster_not_found_response_code =
            route_action::ClusterNotFoundResponseCode::InternalServerError.into();
    }
    if let Some(rewrite) = &http.rewrite {
        action.append_x_forwarded_host = context.forwarded_host;
        if let Some(regex) = &rewrite.uri_regex_rewrite {
            action.regex_rewrite = Some(substitute(regex.r#match.clone(), regex.rewrite.clone()));
        } else if rewrite.uri == "/" && gateway_api {
            let prefix = match out.r#match.as_ref().and_then(|m| m.path_specifier.as_ref()) {
                Some(PathSpecifier::PathSeparatedPrefix(p)) => quote(p),
                _ => String::new(),
            };
            action.regex_rewrite = Some(substitute(format!("^{prefix}(/?)(.*)"), "/\\2".into()));
        } else {
            action.prefix_rewrite.clone_from(&rewrite.uri);
        }
        if !rewrite.authority.is_empty() {
            authority.clone_from(&rewrite.authority);
        }
    }
    if !authority.is_empty() {
        action.host_rewrite_specifier =
            Some(route_action::HostRewriteSpecifier::HostRewriteLiteral(authority));
    }
    mirrors(context, http, &mut action);
    let policy = http.retries.as_ref().or(context.mesh.default_http_retry_policy.as_ref());
    let mut hashed = false;
    if let [only] = &http.route[..] {
        hashed = single(context, only, out, &mut action);
    } else {
        let clusters =
            http.route.iter().filter(|d| d.weight != 0).map(|d| weighted(context, d, &mut action)).collect();
        action.cluster_specifier = Some(route_action::ClusterSpecifier::WeightedClusters(WeightedCluster {
            clusters,
            ..WeightedCluster::default()
        }));
    }
    action.retry_policy = retry::outbound(policy, hashed);
    out.action = Some(route::Action::Route(action));
}

fn substitute(pattern: String, substitution: String) -> RegexMatchAndSubstitute {
    RegexMatchAndSubstitute {
        pattern: Some(RegexMatcher { regex: pattern, ..RegexMatcher::default() }),
        substitution,
    }
}

/// Escapes what means something in a regular expression (Go's `regexp.QuoteMeta`).
fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// One destination: its headers join the route's. Whether it is chosen by consistent hash.
fn single<L: Level>(
    context: &Context<'_, L>,
    destination: &HttpRouteDestination,
    out: &mut Route,
    action: &mut RouteAction,
) -> bool {
    let name = cluster(context, destination.destination.as_ref());
    action.cluster_specifier = Some(route_action::ClusterSpecifier::Cluster(name));
    if let Some(headers) = &destination.headers {
        let operations = actions::headers(headers);
        out.request_headers_to_add.extend(operations.request_add);
        out.request_headers_to_remove.extend(operations.request_remove);
        out.response_headers_to_add.extend(operations.response_add);
        out.response_headers_to_remove.extend(operations.response_remove);
        if !operations.authority.is_empty() && action.host_rewrite_specifier.is_none() {
            action.host_rewrite_specifier =
                Some(route_action::HostRewriteSpecifier::HostRewriteLiteral(operations.authority));
        }
    }
    let hash = destination.destination.as_ref().and_then(|d| hash::of_destination(context, d));
    action.hash_policy.extend(hash.as_ref().and_then(hash::policy));
    hash.is_some()
}

fn weighted<L: Level>(
    context: &Context<'_, L>,
    destination: &HttpRouteDestination,
    action: &mut RouteAction,
) -> weighted_cluster::ClusterWeight {
    let mut out = weighted_cluster::ClusterWeight {
        name: cluster(context, destination.destination.as_ref()),
        weight: Some(UInt32Value { value: u32::try_from(destination.weight).unwrap_or(0) }),
        ..weighted_cluster::ClusterWeight::default()
    };
    if let Some(headers) = &destination.headers {
        let operations = actions::headers(headers);
        out.request_headers_to_add = operations.request_add;
        out.request_headers_to_remove = operations.request_remove;
        out.response_headers_to_add = operations.response_add;
        out.response_headers_to_remove = operations.response_remove;
        if !operations.authority.is_empty() {
            out.host_rewrite_specifier =
                Some(weighted_cluster::cluster_weight::HostRewriteSpecifier::HostRewriteLiteral(
                    operations.authority,
                ));
        }
    }
    let hash = destination.destination.as_ref().and_then(|d| hash::of_destination(context, d));
    action.hash_policy.extend(hash.as_ref().and_then(hash::policy));
    out
}

fn mirrors<L: Level>(context: &Context<'_, L>, http: &HttpRoute, action: &mut RouteAction) {
    let mut add = |destination: &Destination, percent: Option<FractionalPercent>| {
        if let Some(percent) = percent {
            action.request_mirror_policies.push(route_action::RequestMirrorPolicy {
                cluster: cluster(context, Some(destination)),
                runtime_fraction: Some(RuntimeFractionalPercent {
                    default_value: Some(percent),
                    ..RuntimeFractionalPercent::default()
                }),
                trace_sampled: Some(BoolValue { value: false }),
                disable_shadow_host_suffix_append: crate::settings(context.r, context.world)
                    .switches
                    .disable_shadow_host_suffix,
                ..route_action::RequestMirrorPolicy::default()
            });
        }
    };
    if let Some(mirror) = &http.mirror {
        let percent = match (&http.mirror_percentage, http.mirror_percent) {
            (Some(p), _) => (p.value > 0.0).then(|| millionths(p.value)),
            (None, Some(p)) => (p > 0).then(|| hundredths(p)),
            (None, None) => Some(hundredths(100)),
        };
        add(mirror, percent);
    }
    for mirror in &http.mirrors {
        let percent = match &mirror.percentage {
            Some(p) => (p.value > 0.0).then(|| millionths(p.value)),
            None => Some(hundredths(100)),
        };
        if let Some(destination) = &mirror.destination {
            add(destination, percent);
        }
    }
}

/// A percentage in parts of a million.
pub(super) fn millionths(percent: f64) -> FractionalPercent {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a percentage times 10,000")]
    FractionalPercent { numerator: (percent * 10_000.0) as u32, denominator: DenominatorType::Million.into() }
}

/// A whole percentage.
pub(super) fn hundredths(percent: u32) -> FractionalPercent {
    FractionalPercent { numerator: percent, denominator: DenominatorType::Hundred.into() }
}

/// What traces call the route (as `GetRouteOperation`).
fn operation(route: &Route, virtual_service: &VirtualService, port: u32) -> String {
    let path = match route.r#match.as_ref().and_then(|m| m.path_specifier.as_ref()) {
        Some(PathSpecifier::Prefix(p)) => format!("{p}*"),
        Some(PathSpecifier::Path(p)) => p.clone(),
        Some(PathSpecifier::SafeRegex(r)) => r.regex.clone(),
        _ => "/*".to_owned(),
    };
    if let Some(route::Action::Route(action)) = &route.action
        && let Some(route_action::ClusterSpecifier::Cluster(name)) = &action.cluster_specifier
        && let [_, port, _, host] = name.split('|').collect::<Vec<_>>()[..]
    {
        return format!("{host}:{port}{path}");
    }
    format!("{}:{port}{path}", virtual_service.name)
}

/// What the route of a service without virtual service has from where.
pub(super) fn tell_default(mesh: &MeshConfig, say: &mut dyn FnMut(&str, provenance::Origin)) {
    use provenance::Origin;
    say(
        "routes[0]",
        Origin::default("one route to the service, as no VirtualService of the proxy speaks of it"),
    );
    say("routes[0].route.timeout", Origin::default("no timeout"));
    say("routes[0].route.retry_policy", places::retries(mesh.default_http_retry_policy.is_some()));
}

/// The route of a service without virtual service (as `BuildDefaultHTTPOutboundRoute`).
pub(crate) fn default_outbound(cluster: String, operation: String, mesh: &MeshConfig) -> Route {
    let mut route = default_route(cluster, operation);
    if let Some(route::Action::Route(action)) = &mut route.action {
        action.retry_policy = retry::outbound(mesh.default_http_retry_policy.as_ref(), false);
        set_timeout(action, None);
    }
    route
}

/// The route of an inbound port (as `BuildDefaultHTTPInboundRoute`).
pub(crate) fn default_inbound(cluster: String, operation: String, grpc: bool) -> Route {
    let mut route = default_route(cluster, operation);
    if let Some(route::Action::Route(action)) = &mut route.action {
        action.timeout = Some(seconds(0));
        action.max_stream_duration = Some(route_action::MaxStreamDuration {
            max_stream_duration: Some(seconds(0)),
            grpc_timeout_header_max: Some(seconds(0)),
            ..route_action::MaxStreamDuration::default()
        });
        if !grpc {
            action.retry_policy = Some(retry::inbound());
        }
    }
    route
}

fn default_route(cluster: String, operation: String) -> Route {
    Route {
        name: "default".into(),
        r#match: Some(matches::everything()),
        decorator: Some(Decorator { operation, ..Decorator::default() }),
        action: Some(route::Action::Route(RouteAction {
            cluster_specifier: Some(route_action::ClusterSpecifier::Cluster(cluster)),
            ..RouteAction::default()
        })),
        ..Route::default()
    }
}
