//! The routes: what is done with requests and connections that came in.

use super::{BackendObjectReference, ObjectReference, ParentReference};
use crate::decode::schema::spec;
use crate::duration::Duration;

spec! {
    /// `HTTPRoute`.
    pub struct HttpRoute {
        parent_refs: Vec<ParentReference>,
        hostnames: Vec<String>,
        rules: Vec<HttpRouteRule>,
        use_default_gateways: String,
    }
}

spec! {
    /// Requests and what is done with them.
    pub struct HttpRouteRule {
        name: Option<String>,
        matches: Vec<HttpRouteMatch>,
        filters: Vec<RouteFilter>,
        backend_refs: Vec<RouteBackendRef>,
        timeouts: Option<HttpRouteTimeouts>,
        retry: Option<HttpRouteRetry>,
        session_persistence: Option<SessionPersistence>,
    }
}

spec! {
    /// Which requests; all parts have to match.
    pub struct HttpRouteMatch {
        path: Option<HttpPathMatch>,
        headers: Vec<NameValueMatch>,
        query_params: Vec<NameValueMatch>,
        method: Option<String>,
    }
}

spec! {
    /// Which paths.
    pub struct HttpPathMatch {
        r#type: Option<String>,
        value: Option<String>,
    }
}

impl HttpPathMatch {
    /// `Exact`, `PathPrefix` (by default) or `RegularExpression`.
    pub fn match_type(&self) -> &str {
        self.r#type.as_deref().unwrap_or("PathPrefix")
    }

    /// The path; `/` by default.
    pub fn value(&self) -> &str {
        self.value.as_deref().unwrap_or("/")
    }
}

spec! {
    /// A header or a query parameter and its value.
    pub struct NameValueMatch {
        r#type: Option<String>,
        name: String,
        value: String,
    }
}

impl NameValueMatch {
    /// `Exact` (by default) or `RegularExpression`.
    pub fn match_type(&self) -> &str {
        self.r#type.as_deref().unwrap_or("Exact")
    }
}

spec! {
    /// One step on the way of a request; `type` says which of the other fields counts.
    pub struct RouteFilter {
        r#type: String,
        request_header_modifier: Option<HeaderFilter>,
        response_header_modifier: Option<HeaderFilter>,
        request_mirror: Option<RequestMirrorFilter>,
        request_redirect: Option<RequestRedirectFilter>,
        url_rewrite: Option<UrlRewriteFilter>,
        cors: Option<CorsFilter>,
        external_auth: Option<ExternalAuthFilter>,
        extension_ref: Option<ObjectReference>,
    }
}

spec! {
    /// Headers set, added and removed.
    pub struct HeaderFilter {
        set: Vec<HeaderValue>,
        add: Vec<HeaderValue>,
        remove: Vec<String>,
    }
}

spec! {
    /// A header and its value.
    pub struct HeaderValue {
        name: String,
        value: String,
    }
}

spec! {
    /// Where copies of requests go, and of how many.
    pub struct RequestMirrorFilter {
        backend_ref: BackendObjectReference,
        percent: Option<i32>,
        fraction: Option<Fraction>,
    }
}

spec! {
    /// A part of a whole; of 100 by default.
    pub struct Fraction {
        numerator: i32,
        denominator: Option<i32>,
    }
}

spec! {
    /// Where a client is sent instead.
    pub struct RequestRedirectFilter {
        scheme: Option<String>,
        hostname: Option<String>,
        path: Option<HttpPathModifier>,
        port: Option<i32>,
        status_code: Option<i32>,
    }
}

spec! {
    /// What a path becomes.
    pub struct HttpPathModifier {
        r#type: String,
        replace_full_path: Option<String>,
        replace_prefix_match: Option<String>,
    }
}

spec! {
    /// What host and path of a request become.
    pub struct UrlRewriteFilter {
        hostname: Option<String>,
        path: Option<HttpPathModifier>,
    }
}

spec! {
    /// Which scripts of other sites may call.
    pub struct CorsFilter {
        allow_origins: Vec<String>,
        allow_credentials: Option<bool>,
        allow_methods: Vec<String>,
        allow_headers: Vec<String>,
        expose_headers: Vec<String>,
        max_age: Option<i32>,
    }
}

spec! {
    /// A server that is asked whether a request may go on.
    pub struct ExternalAuthFilter {
        protocol: String,
        backend_ref: BackendObjectReference,
        grpc: Option<GrpcAuthConfig>,
        http: Option<HttpAuthConfig>,
        forward_body: Option<ForwardBodyConfig>,
    }
}

spec! {
    /// What the server is told over gRPC.
    pub struct GrpcAuthConfig {
        allowed_headers: Vec<String>,
    }
}

spec! {
    /// What the server is told over HTTP, and what it may add.
    pub struct HttpAuthConfig {
        path: String,
        allowed_headers: Vec<String>,
        allowed_response_headers: Vec<String>,
    }
}

spec! {
    /// How much of the body the server gets, in bytes.
    pub struct ForwardBodyConfig {
        max_size: i32,
    }
}

spec! {
    /// Where requests go, with which share, and what is done on the way.
    pub struct RouteBackendRef {
        group: Option<String>,
        kind: Option<String>,
        name: String,
        namespace: Option<String>,
        port: Option<i32>,
        weight: Option<i32>,
        filters: Vec<RouteFilter>,
    }
}

impl RouteBackendRef {
    /// The share; 1 by default.
    pub fn weight(&self) -> i32 {
        self.weight.unwrap_or(1)
    }

    /// The backend without its share.
    pub fn object(&self) -> BackendObjectReference {
        BackendObjectReference {
            group: self.group.clone(),
            kind: self.kind.clone(),
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            port: self.port,
        }
    }
}

spec! {
    /// How long a request, and one try of it, may take.
    pub struct HttpRouteTimeouts {
        request: Option<Duration>,
        backend_request: Option<Duration>,
    }
}

spec! {
    /// Which answers are tried again, how often, and after how long.
    pub struct HttpRouteRetry {
        codes: Vec<i32>,
        attempts: Option<i32>,
        backoff: Option<Duration>,
    }
}

spec! {
    /// How a client stays with its backend.
    pub struct SessionPersistence {
        session_name: Option<String>,
        r#type: Option<String>,
        absolute_timeout: Option<Duration>,
        idle_timeout: Option<Duration>,
        cookie_config: Option<CookieConfig>,
    }
}

spec! {
    /// How long the cookie lives: `Session` (by default) or `Permanent`.
    pub struct CookieConfig {
        lifetime_type: Option<String>,
    }
}

spec! {
    /// `GRPCRoute`.
    pub struct GrpcRoute {
        parent_refs: Vec<ParentReference>,
        hostnames: Vec<String>,
        rules: Vec<GrpcRouteRule>,
        use_default_gateways: String,
    }
}

spec! {
    /// Calls and what is done with them.
    pub struct GrpcRouteRule {
        name: Option<String>,
        matches: Vec<GrpcRouteMatch>,
        filters: Vec<RouteFilter>,
        backend_refs: Vec<RouteBackendRef>,
        session_persistence: Option<SessionPersistence>,
    }
}

spec! {
    /// Which calls; all parts have to match.
    pub struct GrpcRouteMatch {
        method: Option<GrpcMethodMatch>,
        headers: Vec<NameValueMatch>,
    }
}

spec! {
    /// Which services and methods.
    pub struct GrpcMethodMatch {
        r#type: Option<String>,
        service: Option<String>,
        method: Option<String>,
    }
}

spec! {
    /// `TLSRoute`.
    pub struct TlsRoute {
        parent_refs: Vec<ParentReference>,
        hostnames: Vec<String>,
        rules: Vec<StreamRouteRule>,
        use_default_gateways: String,
    }
}

spec! {
    /// `TCPRoute`.
    pub struct TcpRoute {
        parent_refs: Vec<ParentReference>,
        rules: Vec<StreamRouteRule>,
        use_default_gateways: String,
    }
}

spec! {
    /// `UDPRoute`; proxies of the mesh do not serve it.
    pub struct UdpRoute {
        parent_refs: Vec<ParentReference>,
        rules: Vec<StreamRouteRule>,
        use_default_gateways: String,
    }
}

spec! {
    /// Where connections go.
    pub struct StreamRouteRule {
        name: Option<String>,
        backend_refs: Vec<RouteBackendRef>,
    }
}
