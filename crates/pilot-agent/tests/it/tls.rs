//! The CA over TLS: trusted by the mounted root only, under the control plane's name, with the mounted token.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use identity::authority::{Authority, Limits, Request, San, SelfSigned};
use identity::csr::PublicKey;
use identity::key::Kind;
use identity::{PrivateKey, csr};
use pilot_agent::control_plane::{ControlPlane, Roots, Tls};
use pilot_agent::sds::{CaClient, IssueOptions, Issuer};
use proto::istio::v1::auth::istio_certificate_service_server::IstioCertificateServiceServer;
use tokio::net::TcpListener;

use crate::control_plane::ControlPlane as Scripted;

fn authority() -> Authority {
    let options = SelfSigned { key: Kind::P256, ..SelfSigned::of("cluster.local") };
    Authority::self_signed(&options, Limits::default(), SystemTime::now()).unwrap()
}

/// Serves the scripted CA over TLS with a certificate for `name`; gives the port.
async fn serve(scripted: &Scripted, authority: &Authority, name: &str) -> u16 {
    let key = PrivateKey::generate(Kind::P256).unwrap();
    let public = PublicKey::of(&key);
    let sans = [San::Dns(name.to_owned())];
    let request = Request { key: &public, sans: &sans, ttl: None, labels: None };
    let leaf = authority.sign(&request, SystemTime::now()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key.to_rustls())
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let incoming = xds::server::incoming::tls(listener, Arc::new(config).into());
    let service = IstioCertificateServiceServer::new(scripted.ca.clone());
    tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
    port
}

fn options() -> IssueOptions {
    IssueOptions {
        identity: "spiffe://cluster.local/ns/ns/sa/web".to_owned(),
        key: Kind::P256,
        ttl: Duration::from_secs(60),
        signer: String::new(),
        claims: Vec::new(),
        grace: 0.5,
        grace_jitter: 0.0,
        output: None,
    }
}

async fn ask(port: u16, root: &Path, token: &Path, server_name: Option<&str>) -> Result<usize, String> {
    let tls = Tls {
        roots: Roots::File(root.to_owned()),
        client: None,
        server_name: server_name.map(str::to_owned),
    };
    let address = format!("127.0.0.1:{port}");
    let client = CaClient::new(ControlPlane::new(&address, Some(tls), Some(token.to_owned()), Vec::new()));
    let key = PrivateKey::generate(Kind::P256).unwrap();
    let request = csr::make(&key, &[San::Uri("spiffe://cluster.local/ns/ns/sa/web".to_owned())]).unwrap();
    client.sign(request, &options()).await.map(|chain| chain.len()).map_err(|error| error.to_string())
}

#[tokio::test]
async fn only_the_mounted_root_and_the_right_name_are_trusted_and_the_token_is_read_afresh() {
    let dir = tempfile::tempdir().unwrap();
    let scripted = Scripted::start(dir.path(), Duration::from_secs(60));
    let trusted = authority();
    let port = serve(&scripted, &trusted, "istiod.istio-system.svc").await;
    let (root, other, token) =
        (dir.path().join("root.pem"), dir.path().join("other.pem"), dir.path().join("token"));
    std::fs::write(&root, trusted.certificate().to_pem()).unwrap();
    std::fs::write(&other, authority().certificate().to_pem()).unwrap();
    let name = Some("istiod.istio-system.svc");

    let without_token = ask(port, &root, &token, name).await.unwrap_err();
    assert!(without_token.contains("no token"), "{without_token}");
    std::fs::write(&token, "the-token").unwrap();
    assert_eq!(ask(port, &root, &token, name).await, Ok(2));

    let foreign = ask(port, &other, &token, name).await.unwrap_err();
    assert!(foreign.contains("cannot connect to the CA"), "{foreign}");
    let misnamed = ask(port, &root, &token, None).await.unwrap_err();
    assert!(misnamed.contains("cannot connect to the CA"), "{misnamed}");
}
