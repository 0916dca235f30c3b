//! What Envoy gets over SDS, when it asks and when something changes.

use std::time::{Duration, SystemTime};

use proto::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use proto::envoy::service::secret::v3::secret_discovery_service_server::SecretDiscoveryServiceServer;

use super::super::issue::Issued;
use super::super::issue::tests::{LocalCa, paths};
use super::*;
use crate::control_plane::ControlPlane;

fn issued(ca: &LocalCa, mark: &str) -> Issued {
    Issued {
        key: format!("key {mark}"),
        chain: format!("chain {mark}"),
        roots: ca.authority.certificate().to_pem(),
        created: SystemTime::now(),
        expires: SystemTime::now(),
    }
}

type Client = SecretDiscoveryServiceClient<tonic::transport::Channel>;

async fn start(store: &Arc<SecretStore>) -> (Client, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = process::listen::unix(&path, 0o600).unwrap();
    let service = SecretDiscoveryServiceServer::new(SdsService::new(Arc::clone(store), None));
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(tokio_stream::wrappers::UnixListenerStream::new(listener)),
    );
    let address = format!("unix:{}", path.display());
    let channel = Arc::new(ControlPlane::new(&address, None, None, Vec::new())).connect().await.unwrap();
    (SecretDiscoveryServiceClient::new(channel), dir)
}

async fn next<T>(stream: &mut Streaming<T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), stream.next()).await.unwrap().unwrap().unwrap()
}

fn certificate(any: &Any) -> String {
    let secret = Secret::decode(any.value.clone()).unwrap();
    let Some(secret::Type::TlsCertificate(certificate)) = secret.r#type else { panic!("{secret:?}") };
    let Some(Specifier::InlineBytes(bytes)) = certificate.certificate_chain.unwrap().specifier else {
        panic!("not inline")
    };
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_secret_comes_as_soon_as_it_is_there_and_again_when_it_changes() {
    let store = Arc::new(SecretStore::new(paths()));
    let ca = LocalCa::new();
    let (mut client, _dir) = start(&store).await;
    let (ask, requests) = mpsc::channel(4);
    let request = |nonce: &str| DiscoveryRequest {
        type_url: TYPE_URL.to_owned(),
        resource_names: vec!["default".to_owned()],
        response_nonce: nonce.to_owned(),
        ..DiscoveryRequest::default()
    };
    ask.send(request("")).await.unwrap();
    let mut answers = client.stream_secrets(ReceiverStream::new(requests)).await.unwrap().into_inner();
    store.set_issued(issued(&ca, "one"));
    let first = next(&mut answers).await;
    assert_eq!(certificate(&first.resources[0]), "chain one");
    ask.send(request(&first.nonce)).await.unwrap();
    store.set_mesh_roots(&[ca.authority.certificate().to_pem()]); // concerns roots only: no answer
    store.set_issued(issued(&ca, "two"));
    let second = next(&mut answers).await;
    assert_eq!(certificate(&second.resources[0]), "chain two");
    assert_ne!(first.nonce, second.nonce);
}

#[tokio::test]
async fn differences_carry_only_what_changed_and_what_is_asked_for_again() {
    let store = Arc::new(SecretStore::new(paths()));
    let ca = LocalCa::new();
    store.set_issued(issued(&ca, "one"));
    let (mut client, _dir) = start(&store).await;
    let (ask, requests) = mpsc::channel(4);
    let subscribe = |names: &[&str]| DeltaDiscoveryRequest {
        resource_names_subscribe: names.iter().map(|name| (*name).to_owned()).collect(),
        ..DeltaDiscoveryRequest::default()
    };
    ask.send(subscribe(&["default", "ROOTCA"])).await.unwrap();
    let mut answers = client.delta_secrets(ReceiverStream::new(requests)).await.unwrap().into_inner();
    assert_eq!(next(&mut answers).await.resources.len(), 2);
    store.set_issued(issued(&ca, "two"));
    let changed = next(&mut answers).await;
    assert_eq!(changed.resources.len(), 1);
    assert_eq!(changed.resources[0].name, "default");
    ask.send(subscribe(&["ROOTCA"])).await.unwrap();
    assert_eq!(next(&mut answers).await.resources[0].name, "ROOTCA");
}
