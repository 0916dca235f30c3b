//! Who is let in, and what the catalog is told of them.

use std::path::Path;

use bytes::Bytes;
use futures_util::StreamExt;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::*;
use crate::client::relay;
use crate::server::incoming;

#[tokio::test]
async fn a_refused_client_is_told_why() {
    let running = Running::default();
    let mut stream = running.stream(Variant::Delta, "stranger").await;
    stream.subscribe(&TypeUrl::Cluster, &[]);
    let status = soon(stream.next()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (tonic::Code::Unauthenticated, "no credentials"));
    let mut stream = running.stream(Variant::Sotw, "").await;
    stream.subscribe(&TypeUrl::Cluster, &[]);
    let status = soon(stream.next()).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert!(running.server.connections().is_empty());
}

#[tokio::test]
async fn the_catalog_sees_token_and_headers_and_the_token_stays_hidden() {
    let running = Running::default();
    let mut headers = http::HeaderMap::new();
    headers.insert("authorization", http::HeaderValue::from_static("Bearer s3cret"));
    headers.insert("clusterid", http::HeaderValue::from_static("east"));
    let channel = (running.dial)(0).await.unwrap();
    let mut stream = client::Stream::new(channel, Variant::Delta, node("proxy"), headers);
    stream.subscribe(&TypeUrl::Cluster, &[]);
    next(&mut stream).await;
    let peer = running.catalog.peers.lock()[0].clone();
    assert_eq!(peer.token.as_ref().unwrap().reveal(), "s3cret");
    assert_eq!(peer.headers["clusterid"], "east");
    assert!(!format!("{peer:?}").contains("s3cret"), "{peer:?}");
}

#[tokio::test]
async fn a_health_report_before_the_first_request_is_passed_over() {
    let running = Running::default();
    let mut stream = running.stream(Variant::Sotw, "proxy").await;
    stream.subscribe(&TypeUrl::HealthInformation, &[]);
    // The node went with the report, so that the next request has none.
    stream.subscribe(&TypeUrl::Cluster, &[]);
    let status = soon(stream.next()).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
}

#[tokio::test]
async fn a_unix_socket_says_who_is_behind_it() {
    let folder = std::env::temp_dir().join(format!("xds-unix-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("xds.sock");
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let server = Server::new(Fake::new(), Options::default(), Metrics::default());
    let serving = server.clone();
    let task = tokio::spawn(async move {
        serving.serve_with_incoming(incoming::unix(listener), std::future::pending()).await
    });
    let channel = dial::unix(path)(0).await.unwrap();
    let mut stream = client::Stream::new(channel, Variant::Delta, node("proxy"), http::HeaderMap::new());
    stream.subscribe(&TypeUrl::Cluster, &[]);
    next(&mut stream).await;
    let unix = server.0.catalog.peers.lock()[0].unix.unwrap();
    let own = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(Path::new("/proc/self")).unwrap());
    assert_eq!((unix.uid, unix.pid), (own, i32::try_from(std::process::id()).ok()));
    task.abort();
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A CA, with certificates of its own for a server and a client.
struct Pki {
    roots: Arc<RootCertStore>,
    server: (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>),
    client: (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>),
}

fn pki() -> Pki {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let leaf = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &ca).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        (vec![certificate.der().clone()], key)
    };
    let (server, client) = (leaf("istiod.test"), leaf("client.test"));
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    Pki { roots: Arc::new(roots), server, client }
}

#[tokio::test]
async fn over_tls_the_client_certificate_is_optional_and_shown() {
    let pki = pki();
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(pki.roots.clone(), provider.clone())
        .allow_unauthenticated()
        .build()
        .unwrap();
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(pki.server.0, pki.server.1)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = Server::new(Fake::new(), Options::default(), Metrics::default());
    let serving = server.clone();
    let incoming = incoming::tls(listener, TlsAcceptor::from(Arc::new(config)));
    let task =
        tokio::spawn(async move { serving.serve_with_incoming(incoming, std::future::pending()).await });
    // A client that never shakes hands does not keep others waiting.
    let silent = tokio::net::TcpStream::connect(&address).await.unwrap();
    let builder = || {
        ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(pki.roots.clone())
    };
    let leaf = pki.client.0[0].clone();
    let with = builder().with_client_auth_cert(pki.client.0, pki.client.1).unwrap();
    for (mut config, shown) in [(with, vec![leaf]), (builder().with_no_client_auth(), vec![])] {
        config.alpn_protocols = vec![b"h2".to_vec()];
        let dial = dial::tls(vec![address.clone()], Arc::new(config), Some("istiod.test".into()));
        let channel = dial(0).await.unwrap();
        let mut stream = client::Stream::new(channel, Variant::Delta, node("proxy"), http::HeaderMap::new());
        stream.subscribe(&TypeUrl::Cluster, &[]);
        next(&mut stream).await;
        let peer = server.0.catalog.peers.lock().pop().unwrap();
        assert!(peer.tls && peer.address.is_some());
        assert_eq!(peer.certificates.to_vec(), shown);
    }
    drop(silent);
    task.abort();
}

/// Passes everything on to another server.
#[derive(Clone)]
struct PassOn(Dial, Arc<Mutex<Vec<Bytes>>>);

impl relay::Handler for PassOn {
    async fn open(
        &self,
        variant: Variant,
        request: tonic::Request<tonic::Streaming<Bytes>>,
    ) -> Result<relay::Responses, Status> {
        let channel = (self.0)(0).await.map_err(|error| Status::unavailable(error.to_string()))?;
        let seen = self.1.clone();
        let requests = request.into_inner().filter_map(move |request| {
            let request = request.ok();
            seen.lock().extend(request.clone());
            ready(request)
        });
        let responses = relay::open(channel, variant, requests, http::HeaderMap::new()).await?;
        Ok(Box::pin(responses.into_inner()))
    }
}

#[tokio::test]
async fn a_relay_passes_bytes_on_unchanged_in_both_directions() {
    let running = Running::default();
    // An unknown field of a newer version must survive: field 1000, a varint.
    let body = [0xc0, 0x3e, 0x07];
    running.catalog.set(TypeUrl::Cluster, vec![Resource::new("a", body.to_vec())]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let seen = Arc::default();
    let service = relay::Service(PassOn(running.dial.clone(), Arc::clone(&seen)));
    let task = tokio::spawn(
        tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming::tcp(listener)),
    );
    for variant in [Variant::Delta, Variant::Sotw] {
        let channel = dial::plain(vec![address.clone()])(0).await.unwrap();
        let mut stream = client::Stream::new(channel, variant, node("proxy"), http::HeaderMap::new());
        stream.subscribe(&TypeUrl::Cluster, &[]);
        let response = next(&mut stream).await;
        assert_eq!(response.resources[0].body, body[..]);
        let first = seen.lock().pop().unwrap();
        let peek = client::wire::peek_request(variant, &first).unwrap();
        assert!(peek.node);
        assert_eq!(peek.type_url, TypeUrl::Cluster.as_str());
    }
    task.abort();
}
