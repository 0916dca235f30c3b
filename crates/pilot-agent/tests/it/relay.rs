//! The xDS relay between a scripted Envoy and a scripted control plane.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pilot_agent::ads::{HEALTH_INFO, LISTENER, LocalTypes, NAME_TABLE, Relay};
use pilot_agent::control_plane::ControlPlane as Upstream;
use pilot_agent::dns::{Family, LookupTable, Naming, Resolver, ResolverOptions};
use process::name_servers::Forwarder;
use prost::Message;
use proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
};
use proto::google::protobuf::Any;
use proto::istio::networking::nds::v1::NameTable;
use proto::istio::networking::nds::v1::name_table::NameInfo;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use xds::Variant;
use xds::client::relay::open;

use crate::control_plane::{ControlPlane, PATIENCE};

const ROUTE: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
const VIRTUAL_HOST: &str = "type.googleapis.com/envoy.config.route.v3.VirtualHost";
const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";

struct Envoy {
    requests: mpsc::Sender<Bytes>,
    responses: Streaming<Bytes>,
}

impl Envoy {
    async fn connect(socket: &Path, variant: Variant, first: Bytes) -> Self {
        let address = format!("unix:{}", socket.display());
        let channel = Arc::new(Upstream::new(&address, None, None, Vec::new())).connect().await.unwrap();
        let (requests, sent) = mpsc::channel(4);
        requests.send(first).await.unwrap();
        let headers = http::HeaderMap::new();
        let responses = open(channel, variant, ReceiverStream::new(sent), headers).await.unwrap();
        Self { requests, responses: responses.into_inner() }
    }

    async fn next(&mut self) -> Option<Result<Bytes, tonic::Status>> {
        tokio::time::timeout(PATIENCE, self.responses.next()).await.unwrap()
    }
}

struct Setup {
    dir: tempfile::TempDir,
    control_plane: ControlPlane,
    relay: Relay,
    serving: JoinHandle<()>,
}

impl Drop for Setup {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Setup {
    fn new(local: LocalTypes) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let control_plane = ControlPlane::start(dir.path(), Duration::from_secs(3600));
        let token = dir.path().join("token");
        std::fs::write(&token, "the-token\n").unwrap();
        let headers = vec![("ClusterID".to_owned(), "c1".to_owned())];
        let upstream = Upstream::new(&control_plane.address(), None, Some(token), headers);
        let relay = Relay::new(upstream, local);
        let serving = relay.serve(&dir.path().join("XDS"), 0o600).unwrap();
        let serving = tokio::spawn(async move { serving.await.unwrap() });
        Self { dir, control_plane, relay, serving }
    }

    async fn envoy(&self, variant: Variant, first: Bytes) -> Envoy {
        Envoy::connect(&self.dir.path().join("XDS"), variant, first).await
    }
}

fn delta(type_url: &str) -> Bytes {
    DeltaDiscoveryRequest { type_url: type_url.to_owned(), ..Default::default() }.encode_to_vec().into()
}

/// A field that this program has never heard of.
fn with_unknown_field(message: &[u8]) -> Bytes {
    let mut out = message.to_vec();
    prost::encoding::string::encode(3000, &"from the future".to_owned(), &mut out);
    out.into()
}

#[tokio::test]
async fn bytes_pass_unchanged_in_both_directions_and_both_variants() {
    let setup = Setup::new(LocalTypes::default());
    for variant in [Variant::Delta, Variant::Sotw] {
        let request = match variant {
            Variant::Delta => delta(CLUSTER),
            Variant::Sotw => {
                DiscoveryRequest { type_url: CLUSTER.to_owned(), ..Default::default() }.encode_to_vec().into()
            }
        };
        let request = with_unknown_field(&request);
        let mut envoy = setup.envoy(variant, request.clone()).await;
        let mut seen = setup.control_plane.stream().await;
        assert_eq!(seen.variant, variant);
        assert_eq!(seen.metadata.get("authorization").unwrap(), "Bearer the-token");
        assert_eq!(seen.metadata.get("clusterid").unwrap(), "c1");
        assert_eq!(seen.request().await.unwrap(), request);
        let response = DiscoveryResponse {
            type_url: CLUSTER.to_owned(),
            resources: vec![Any { type_url: CLUSTER.to_owned(), value: vec![7; 5 << 20].into() }],
            ..Default::default()
        };
        let response = with_unknown_field(&response.encode_to_vec());
        seen.respond(response.clone()).await;
        assert!(envoy.next().await.unwrap().unwrap() == response, "the response was changed");
    }
}

/// Istio's control plane ends a stream that asks for virtual hosts, and Envoy asks for those it has on every new stream.
#[tokio::test]
async fn an_envoy_with_virtual_hosts_of_their_own_can_go_back_to_a_control_plane_without_them() {
    let setup = Setup::new(LocalTypes::default());
    let envoy = setup.envoy(Variant::Delta, delta(CLUSTER)).await;
    let mut seen = setup.control_plane.stream().await;
    assert_eq!(seen.request().await.unwrap(), delta(CLUSTER));
    for of in [VIRTUAL_HOST, ROUTE, VIRTUAL_HOST, LISTENER] {
        envoy.requests.send(delta(of)).await.unwrap();
    }
    assert_eq!(seen.request().await.unwrap(), delta(ROUTE));
    assert_eq!(seen.request().await.unwrap(), delta(LISTENER));
}

#[tokio::test]
async fn the_end_of_the_control_plane_ends_envoys_stream_and_the_next_one_says_what_envoy_has() {
    let setup = Setup::new(LocalTypes::default());
    let mut envoy = setup.envoy(Variant::Delta, delta(CLUSTER)).await;
    let mut seen = setup.control_plane.stream().await;
    seen.request().await.unwrap();
    drop(seen);
    assert!(envoy.next().await.is_none_or(|message| message.is_err()));
    drop(envoy);
    let again = DeltaDiscoveryRequest {
        type_url: CLUSTER.to_owned(),
        initial_resource_versions: [("a".to_owned(), "1".to_owned())].into(),
        ..Default::default()
    };
    let again: Bytes = again.encode_to_vec().into();
    let _envoy = setup.envoy(Variant::Delta, again.clone()).await;
    assert_eq!(setup.control_plane.stream().await.request().await.unwrap(), again);
}

#[tokio::test]
async fn envoys_leaving_ends_the_stream_to_the_control_plane() {
    let setup = Setup::new(LocalTypes::default());
    let envoy = setup.envoy(Variant::Delta, delta(CLUSTER)).await;
    let mut seen = setup.control_plane.stream().await;
    seen.request().await.unwrap();
    drop(envoy);
    assert!(seen.request().await.is_none());
}

#[tokio::test]
async fn a_second_stream_takes_the_place_of_the_first() {
    let setup = Setup::new(LocalTypes::default());
    let mut first = setup.envoy(Variant::Delta, delta(CLUSTER)).await;
    let _kept = setup.control_plane.stream().await;
    let _second = setup.envoy(Variant::Delta, delta(CLUSTER)).await;
    assert!(first.next().await.is_none_or(|message| message.is_err()));
}

#[tokio::test]
async fn the_name_table_stays_with_the_agent_and_is_answered() {
    let resolver = Arc::new(Resolver::new(ResolverOptions {
        naming: Naming::new("ns", "ns.svc.cluster.local", &[]),
        forwarder: Forwarder::new(Vec::new(), false, Duration::from_secs(1)),
        forward_before_names: false,
    }));
    let setup = Setup::new(LocalTypes { names: Some(Arc::clone(&resolver)), roots: None });
    setup.relay.set_health(Err("not yet".to_owned()));
    let mut envoy = setup.envoy(Variant::Delta, delta(CLUSTER)).await;
    let mut seen = setup.control_plane.stream().await;
    seen.request().await.unwrap();
    envoy.requests.send(delta(LISTENER)).await.unwrap();
    let mut types = Vec::new();
    for _ in 0..3 {
        let request = DeltaDiscoveryRequest::decode(seen.request().await.unwrap()).unwrap();
        types.push(request.type_url);
        if types.last().is_some_and(|last| last == HEALTH_INFO) {
            assert_eq!(request.error_detail.unwrap().message, "not yet");
        }
    }
    assert_eq!(types, [LISTENER, NAME_TABLE, HEALTH_INFO]);

    let mut table = NameTable::default();
    table
        .table
        .insert("a.test".to_owned(), NameInfo { ips: vec!["10.0.0.1".to_owned()], ..Default::default() });
    let response = |nonce: &str, value: Vec<u8>| DeltaDiscoveryResponse {
        type_url: NAME_TABLE.to_owned(),
        nonce: nonce.to_owned(),
        resources: vec![Resource {
            resource: Some(Any { type_url: NAME_TABLE.to_owned(), value: value.into() }),
            ..Default::default()
        }],
        ..Default::default()
    };
    seen.respond(response("n1", table.encode_to_vec()).encode_to_vec()).await;
    let answer = DeltaDiscoveryRequest::decode(seen.request().await.unwrap()).unwrap();
    assert_eq!((answer.type_url.as_str(), answer.response_nonce.as_str()), (NAME_TABLE, "n1"));
    assert!(answer.error_detail.is_none());
    let names = resolver.name_table().unwrap();
    let found = LookupTable::new(&names, &Naming::default()).lookup("a.test.", Family::V4).unwrap();
    assert_eq!(found.addresses, [Ipv4Addr::new(10, 0, 0, 1)]);

    seen.respond(response("n2", vec![0xff; 3]).encode_to_vec()).await;
    let refused = DeltaDiscoveryRequest::decode(seen.request().await.unwrap()).unwrap();
    assert_eq!(refused.response_nonce, "n2");
    assert!(refused.error_detail.is_some());

    // Envoy never saw any of it: the first thing it gets is its own.
    let clusters = DeltaDiscoveryResponse { type_url: CLUSTER.to_owned(), ..Default::default() };
    seen.respond(clusters.encode_to_vec()).await;
    let got = DeltaDiscoveryResponse::decode(envoy.next().await.unwrap().unwrap()).unwrap();
    assert_eq!(got.type_url, CLUSTER);
}

#[tokio::test]
async fn without_a_control_plane_envoy_is_told_and_may_try_again() {
    let setup = Setup::new(LocalTypes::default());
    std::fs::remove_file(&setup.control_plane.socket).unwrap();
    let address = format!("unix:{}", setup.dir.path().join("XDS").display());
    let channel = Arc::new(Upstream::new(&address, None, None, Vec::new())).connect().await.unwrap();
    let (requests, sent) = mpsc::channel(1);
    requests.send(delta(CLUSTER)).await.unwrap();
    let opened = open(channel, Variant::Delta, ReceiverStream::new(sent), http::HeaderMap::new()).await;
    assert_eq!(opened.err().unwrap().code(), tonic::Code::Unavailable);
}
