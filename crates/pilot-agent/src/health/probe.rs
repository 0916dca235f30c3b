//! Single probes of an application: HTTP, TCP, gRPC health.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use http::header::{HOST, LOCATION};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, DigitallySignedStruct, Error as TlsError, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tonic::transport::Endpoint;

use crate::http_client::{HttpError, Target, send};

/// Followed at most, as kubelet does.
const REDIRECTS: usize = 10;
/// Probes come from here, so that redirection rules let them through to the application.
pub const PROBE_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6));
/// The same for IPv6.
pub const PROBE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6));

/// TLS for probes: whatever certificate the application has is fine, as it is for kubelet. With `http2` both versions
/// of HTTP are offered.
///
/// # Errors
/// When the cryptographic library offers no protocol version.
pub fn unverified_tls(http2: bool) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    config.alpn_protocols =
        if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    Ok(Arc::new(config))
}

/// Believes every certificate.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Asks for `path` and follows redirections on the same host. One to another host is given as it is.
///
/// # Errors
/// When nobody answers, or after ten redirections.
pub async fn http_get(
    target: &Target,
    path: &str,
    headers: &HeaderMap,
) -> Result<Response<Incoming>, HttpError> {
    let mut path = path.to_owned();
    for _ in 0..=REDIRECTS {
        let mut request = Request::builder().uri(&path).body(Empty::new())?;
        request.headers_mut().clone_from(headers);
        let response = send(target, request).await?;
        if !response.status().is_redirection() {
            return Ok(response);
        }
        match same_host(target, headers.get(HOST), response.headers().get(LOCATION)) {
            Some(next) => path = next,
            None => return Ok(response),
        }
    }
    Err(HttpError::Body(format!("stopped after {REDIRECTS} redirects")))
}

/// The path of a location on the host that was asked.
fn same_host(target: &Target, host: Option<&HeaderValue>, location: Option<&HeaderValue>) -> Option<String> {
    let uri: Uri = location?.to_str().ok()?.parse().ok()?;
    if let Some(name) = uri.host() {
        let asked: Option<Uri> = host.and_then(|host| host.to_str().ok()?.parse().ok());
        let asked = asked.as_ref().and_then(Uri::host).unwrap_or(&target.host);
        if name.trim_matches(['[', ']']) != asked.trim_matches(['[', ']']) {
            return None;
        }
    }
    uri.path_and_query().map(ToString::to_string)
}

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

const SERVING: i32 = 1;

/// Asks `grpc.health.v1.Health` whether `service` is served.
///
/// # Errors
/// When it is not, or cannot be asked; the text says which.
pub async fn grpc_health(target: &Target, service: &str, user_agent: &str) -> Result<(), String> {
    let place = target.clone();
    let connector = tower::service_fn(move |_: Uri| {
        let place = place.clone();
        async move { place.connect().await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_shared(format!("http://{}", target.authority()))
        .and_then(|endpoint| endpoint.user_agent(user_agent.to_owned()))
        .map_err(|error| error.to_string())?;
    let channel = endpoint.connect_with_connector(connector).await;
    let channel = channel.map_err(|error| format!("failed to connect to {}: {error}", target.authority()))?;
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.map_err(|error| error.to_string())?;
    let request = tonic::Request::new(HealthCheckRequest { service: service.to_owned() });
    let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
    let codec = tonic_prost::ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
    let response = grpc.unary(request, path, codec).await.map_err(|status| match status.code() {
        tonic::Code::Unimplemented => {
            format!("the server does not implement grpc.health.v1.Health: {}", status.message())
        }
        code => format!("health rpc probe failed with status {code:?}: {}", status.message()),
    })?;
    match response.into_inner().status {
        SERVING => Ok(()),
        other => Err(format!("not serving (status {other})")),
    }
}
