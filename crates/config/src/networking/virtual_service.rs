//! The virtual service declarations of networking.istio.io: what its fields are and how they are read.

use std::collections::BTreeMap;

use crate::decode::schema::{spec, spec_enum, spec_oneof};
use crate::duration::Duration;
use crate::labels::Labels;
use crate::value::Bytes;

spec! {
    /// `VirtualService` of networking.istio.io.
    pub struct VirtualService {
        hosts: Vec<String>,
        gateways: Vec<String>,
        http: Vec<HttpRoute>,
        tls: Vec<TlsRoute>,
        tcp: Vec<TcpRoute>,
        export_to: Vec<String>,
    }
}

spec! {
    /// `Destination` of networking.istio.io.
    pub struct Destination {
        host: String,
        subset: String,
        port: Option<PortSelector>,
    }
}

spec! {
    /// `HTTPRoute` of networking.istio.io.
    pub struct HttpRoute {
        name: String,
        r#match: Vec<HttpMatchRequest>,
        route: Vec<HttpRouteDestination>,
        redirect: Option<HttpRedirect>,
        direct_response: Option<HttpDirectResponse>,
        delegate: Option<Delegate>,
        rewrite: Option<HttpRewrite>,
        timeout: Option<Duration>,
        retries: Option<HttpRetry>,
        fault: Option<HttpFaultInjection>,
        mirror: Option<Destination>,
        mirrors: Vec<HttpMirrorPolicy>,
        mirror_percent: Option<u32>,
        mirror_percentage: Option<Percent>,
        cors_policy: Option<CorsPolicy>,
        headers: Option<Headers>,
    }
}

spec! {
    /// `Delegate` of networking.istio.io.
    pub struct Delegate {
        name: String,
        namespace: String,
    }
}

spec! {
    /// `Headers` of networking.istio.io.
    pub struct Headers {
        request: Option<HeaderOperations>,
        response: Option<HeaderOperations>,
    }
}

spec! {
    /// `Headers.HeaderOperations` of networking.istio.io.
    pub struct HeaderOperations {
        set: BTreeMap<String, String>,
        add: BTreeMap<String, String>,
        remove: Vec<String>,
    }
}

spec! {
    /// `TLSRoute` of networking.istio.io.
    pub struct TlsRoute {
        r#match: Vec<TlsMatchAttributes>,
        route: Vec<RouteDestination>,
    }
}

spec! {
    /// `TCPRoute` of networking.istio.io.
    pub struct TcpRoute {
        r#match: Vec<L4MatchAttributes>,
        route: Vec<RouteDestination>,
    }
}

spec! {
    /// `HTTPMatchRequest` of networking.istio.io.
    pub struct HttpMatchRequest {
        name: String,
        uri: Option<StringMatch>,
        scheme: Option<StringMatch>,
        method: Option<StringMatch>,
        authority: Option<StringMatch>,
        headers: BTreeMap<String, StringMatch>,
        port: u32,
        source_labels: Labels,
        gateways: Vec<String>,
        query_params: BTreeMap<String, StringMatch>,
        ignore_uri_case: bool,
        without_headers: BTreeMap<String, StringMatch>,
        source_namespace: String,
        stat_prefix: String,
    }
}

spec! {
    /// `HTTPRouteDestination` of networking.istio.io.
    pub struct HttpRouteDestination {
        destination: Option<Destination>,
        weight: i32,
        headers: Option<Headers>,
    }
}

spec! {
    /// `RouteDestination` of networking.istio.io.
    pub struct RouteDestination {
        destination: Option<Destination>,
        weight: i32,
    }
}

spec! {
    /// `L4MatchAttributes` of networking.istio.io.
    pub struct L4MatchAttributes {
        destination_subnets: Vec<String>,
        port: u32,
        source_subnet: String,
        source_labels: Labels,
        gateways: Vec<String>,
        source_namespace: String,
    }
}

spec! {
    /// `TLSMatchAttributes` of networking.istio.io.
    pub struct TlsMatchAttributes {
        sni_hosts: Vec<String>,
        destination_subnets: Vec<String>,
        port: u32,
        source_labels: Labels,
        gateways: Vec<String>,
        source_namespace: String,
    }
}

spec! {
    /// `HTTPRedirect` of networking.istio.io.
    pub struct HttpRedirect {
        uri: String,
        authority: String,
        scheme: String,
        redirect_code: u32,
        prefix_rewrite: String,
    } oneof {
        redirect_port: RedirectPort,
    }
}

spec_oneof! {
    /// The one choice of `redirect_port` in `HTTPRedirect` of networking.istio.io.
    pub enum RedirectPort {
        Port(u32): port,
        DerivePort(RedirectPortSelection): derive_port,
    }
}

spec_enum! {
    /// `HTTPRedirect.RedirectPortSelection` of networking.istio.io.
    pub enum RedirectPortSelection {
        FromProtocolDefault = 0 "FROM_PROTOCOL_DEFAULT",
        FromRequestPort = 1 "FROM_REQUEST_PORT",
    }
}

spec! {
    /// `HTTPDirectResponse` of networking.istio.io.
    pub struct HttpDirectResponse {
        status: u32,
        body: Option<HttpBody>,
    }
}

spec! {
    /// `HTTPBody` of networking.istio.io.
    pub struct HttpBody {
    } oneof {
        specifier: Specifier,
    }
}

spec_oneof! {
    /// The one choice of `specifier` in `HTTPBody` of networking.istio.io.
    pub enum Specifier {
        String(String): string,
        Bytes(Bytes): bytes,
    }
}

spec! {
    /// `HTTPRewrite` of networking.istio.io.
    pub struct HttpRewrite {
        uri: String,
        authority: String,
        uri_regex_rewrite: Option<RegexRewrite>,
    }
}

spec! {
    /// `RegexRewrite` of networking.istio.io.
    pub struct RegexRewrite {
        r#match: String,
        rewrite: String,
    }
}

spec! {
    /// `StringMatch` of networking.istio.io.
    pub struct StringMatch {
    } oneof {
        match_type: MatchType,
    }
}

spec_oneof! {
    /// The one choice of `match_type` in `StringMatch` of networking.istio.io.
    pub enum MatchType {
        Exact(String): exact,
        Prefix(String): prefix,
        Regex(String): regex,
    }
}

spec! {
    /// `HTTPRetry` of networking.istio.io.
    pub struct HttpRetry {
        attempts: i32,
        per_try_timeout: Option<Duration>,
        retry_on: String,
        retry_remote_localities: Option<bool>,
        retry_ignore_previous_hosts: Option<bool>,
        backoff: Option<Duration>,
    }
}

spec! {
    /// `CorsPolicy` of networking.istio.io.
    pub struct CorsPolicy {
        allow_origin: Vec<String>,
        allow_origins: Vec<StringMatch>,
        allow_methods: Vec<String>,
        allow_headers: Vec<String>,
        expose_headers: Vec<String>,
        max_age: Option<Duration>,
        allow_credentials: Option<bool>,
        unmatched_preflights: UnmatchedPreflights,
    }
}

spec_enum! {
    /// `CorsPolicy.UnmatchedPreflights` of networking.istio.io.
    pub enum UnmatchedPreflights {
        Unspecified = 0 "UNSPECIFIED",
        Forward = 1 "FORWARD",
        Ignore = 2 "IGNORE",
    }
}

spec! {
    /// `HTTPFaultInjection` of networking.istio.io.
    pub struct HttpFaultInjection {
        delay: Option<Delay>,
        abort: Option<Abort>,
    }
}

spec! {
    /// `HTTPFaultInjection.Delay` of networking.istio.io.
    pub struct Delay {
        percent: i32,
        percentage: Option<Percent>,
    } oneof {
        http_delay_type: HttpDelayType,
    }
}

spec_oneof! {
    /// The one choice of `http_delay_type` in `HTTPFaultInjection.Delay` of networking.istio.io.
    pub enum HttpDelayType {
        FixedDelay(Duration): fixed_delay,
        ExponentialDelay(Duration): exponential_delay,
    }
}

spec! {
    /// `HTTPFaultInjection.Abort` of networking.istio.io.
    pub struct Abort {
        percentage: Option<Percent>,
    } oneof {
        error_type: ErrorType,
    }
}

spec_oneof! {
    /// The one choice of `error_type` in `HTTPFaultInjection.Abort` of networking.istio.io.
    pub enum ErrorType {
        HttpStatus(i32): http_status,
        GrpcStatus(String): grpc_status,
        Http2Error(String): http2_error,
    }
}

spec! {
    /// `HTTPMirrorPolicy` of networking.istio.io.
    pub struct HttpMirrorPolicy {
        destination: Option<Destination>,
        percentage: Option<Percent>,
    }
}

spec! {
    /// `PortSelector` of networking.istio.io.
    pub struct PortSelector {
        number: u32,
    }
}

spec! {
    /// `Percent` of networking.istio.io.
    pub struct Percent {
        value: f64,
    }
}
