//! What Istio's own agent asks of a control plane, request by request: a certificate with a token, then both variants of
//! discovery over the same port. As security/pkg/nodeagent/caclient/providers/citadel/client.go and
//! pkg/istio-agent/xds_proxy.go, xds_proxy_delta.go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::routing::get as answer;
use identity::authority::San;
use identity::csr;
use identity::key::{Kind as KeyKind, PrivateKey};
use identity::token::Issuer;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, PostParams};
use proto::envoy::config::core::v3::Node;
use proto::google::protobuf::{Struct, Value, value::Kind};
use proto::istio::v1::auth::IstioCertificateRequest;
use proto::istio::v1::auth::istio_certificate_service_client::IstioCertificateServiceClient;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use testkit::api_server::ApiServer;
use tonic::transport::Channel;
use xds::client::wire::RawResponse;
use xds::client::{Stream, dial};
use xds::{Rejection, Request, TypeUrl, Variant, Wish};

use super::*;
use crate::ca::kubernetes_signer::tests as signers;

/// The workload's own service, with an endpoint that lets its proxy have inbound listeners.
const WORKLOAD: &str = "{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: web}, spec: {hosts: [web.example], \
    addresses: [10.96.0.1], ports: [{number: 80, name: http, protocol: HTTP}], resolution: STATIC, location: MESH_INTERNAL, \
    endpoints: [{address: 10.1.0.5, serviceAccount: web, labels: {app: web}}]}}";

pub(super) fn text(text: &str) -> Value {
    Value { kind: Some(Kind::StringValue(text.into())) }
}

/// The node of a sidecar, as its bootstrap has it.
pub(super) fn node() -> Node {
    let labels = Struct { fields: [("app".to_owned(), text("web"))].into() };
    let mut fields: BTreeMap<String, Value> = [
        ("CLUSTER_ID", "Kubernetes"),
        ("DNS_CAPTURE", "true"),
        ("INSTANCE_IPS", "10.1.0.5"),
        ("INTERCEPTION_MODE", "REDIRECT"),
        ("ISTIO_VERSION", "unknown"),
        ("MESH_ID", "cluster.local"),
        ("NAME", "web-1"),
        ("NAMESPACE", "default"),
        ("SERVICE_ACCOUNT", "web"),
        ("WORKLOAD_NAME", "web"),
    ]
    .map(|(key, value)| (key.to_owned(), text(value)))
    .into();
    fields.insert("LABELS".to_owned(), Value { kind: Some(Kind::StructValue(labels)) });
    fields.insert("ENVOY_STATUS_PORT".to_owned(), Value { kind: Some(Kind::NumberValue(15021.0)) });
    Node {
        id: "sidecar~10.1.0.5~web-1.default~default.svc.cluster.local".into(),
        cluster: "web.default".into(),
        metadata: Some(Struct { fields }),
        ..Node::default()
    }
}

/// A control plane in a cluster or alone.
pub(super) async fn control_plane(
    folder: &Path,
    vars: &[(&str, &str)],
    cluster: Option<&ApiServer>,
) -> Running {
    fs::write(folder.join("web.yaml"), WORKLOAD).unwrap();
    let mut line = format!(
        "--configDir={} --grpcAddr= --secureGRPCAddr=127.0.0.1:0 --httpAddr= --monitoringAddr=127.0.0.1:0",
        folder.display()
    );
    if let Some(server) = cluster {
        let kubeconfig = folder.join(".kubeconfig");
        fs::write(&kubeconfig, server.kubeconfig().unwrap()).unwrap();
        line += &format!(" --kubeconfig={}", kubeconfig.display());
    }
    let args = Args::parse(line.split_whitespace().map(str::to_owned)).unwrap();
    let own = folder.join(".ca").display().to_string();
    let vars =
        vars.iter().copied().chain([("MELTEMI_CA_DIR", own.as_str()), ("POD_NAMESPACE", "istio-system")]);
    let (options, problems) = Options::read(&args, &Vars::from_iter(vars)).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    start(Options { review_limit: PATIENCE, ..options }).await.unwrap()
}

/// `JWT_RULE` for an issuer whose keys are to be had of a server on loopback.
pub(super) async fn rule_of(issuer: &Issuer) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let keys = format!("http://{}/keys", listener.local_addr().unwrap());
    let jwks = issuer.jwks();
    let router = Router::new().route("/keys", answer(async move || jwks));
    tokio::spawn(axum::serve(listener, router).into_future());
    serde_json::json!({ "issuer": issuer.name(), "audiences": ["istio-ca"], "jwksUri": keys }).to_string()
}

/// A connection that verifies the control plane as agents do that reach it by address (`ISTIOD_SAN`).
pub(super) async fn connect(root_cert: &[u8], running: &Running) -> Channel {
    connect_as(root_cert, running, None).await
}

/// The same with a certificate of one's own.
pub(super) async fn connect_as(
    root_cert: &[u8],
    running: &Running,
    own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Channel {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(root_cert) {
        roots.add(root.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let mut config = match own {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let address = running.addresses[1].unwrap().to_string();
    let name = Some("istiod.istio-system.svc".to_owned());
    dial::tls(vec![address], Arc::new(config), name)(0).await.unwrap()
}

pub(super) fn headers(token: &str) -> http::HeaderMap {
    let bearer = format!("Bearer {token}").parse().unwrap();
    [("authorization", bearer), ("clusterid", "Kubernetes".parse().unwrap())]
        .map(|(name, value)| (http::HeaderName::from_static(name), value))
        .into_iter()
        .collect()
}

/// Asks until it is answered, as the agent's retries do: the issuer's keys may be under way.
async fn certificate(channel: &Channel, token: &str) -> Vec<String> {
    let key = PrivateKey::generate(KeyKind::Rsa(2048)).unwrap();
    let csr = csr::make(&key, &[San::Uri("spiffe://cluster.local/ns/default/sa/web".into())]).unwrap();
    let metadata = Struct { fields: [("CertSigner".to_owned(), text(""))].into() };
    let request = IstioCertificateRequest { csr, validity_duration: 86400, metadata: Some(metadata) };
    let mut last = String::new();
    let look = async || {
        let mut asking = tonic::Request::new(request.clone());
        *asking.metadata_mut() = tonic::metadata::MetadataMap::from_headers(headers(token));
        match IstioCertificateServiceClient::new(channel.clone()).create_certificate(asking).await {
            Ok(answer) => Some(answer.into_inner().cert_chain),
            Err(status) => {
                last = status.to_string();
                None
            }
        }
    };
    let answered = testkit::eventually("a certificate", PATIENCE, look).await;
    answered.unwrap_or_else(|late| panic!("{late}: {last}"))
}

/// A first request of a type; agents' own ones carry neither node nor names.
pub(super) fn ask(variant: Variant, of: &TypeUrl, names: &[&str], error: Option<&str>) -> Request {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let wish = match variant {
        Variant::Delta => Wish::Delta { subscribe: names, unsubscribe: vec![], claims: vec![] },
        Variant::Sotw => Wish::Sotw { names },
    };
    let error = error.map(|message| Rejection { code: 13, message: message.to_owned() });
    Request { type_url: of.clone(), nonce: String::new(), error, wish }
}

pub(super) async fn next(stream: &mut Stream) -> RawResponse {
    let next = tokio::time::timeout(Duration::from_secs(120), stream.next());
    next.await.expect("no answer").unwrap().expect("the stream ended")
}

async fn exchange(channel: Channel, token: &str, variant: Variant) {
    let mut stream = Stream::new(channel, variant, node(), headers(token));
    for of in [TypeUrl::Cluster, TypeUrl::Endpoint] {
        let names: &[&str] = if of == TypeUrl::Endpoint { &["outbound|80||web.example"] } else { &[] };
        stream.send(ask(variant, &of, names, None));
        let response = next(&mut stream).await;
        assert_eq!(response.type_url, of, "{variant:?}");
        assert!(!response.resources.is_empty(), "{variant:?} {of}");
        stream.answer(&response, None, names);
    }
    // behind the first request for listeners the agent's own come at once, without waiting for answers
    stream.send(ask(variant, &TypeUrl::Listener, &[], None));
    for (of, error) in [
        (TypeUrl::NameTable, None),
        (TypeUrl::ProxyConfig, None),
        (TypeUrl::HealthInformation, Some("connection refused")),
        (TypeUrl::HealthInformation, None),
    ] {
        stream.send(ask(variant, &of, &[], error));
    }
    for of in [TypeUrl::Listener, TypeUrl::NameTable] {
        let response = next(&mut stream).await;
        assert_eq!(response.type_url, of, "{variant:?}");
        stream.answer(&response, None, &[]);
    }
    // nothing came of the others, neither an answer nor the end of the stream
    stream.send(ask(variant, &TypeUrl::Route, &["80"], None));
    assert_eq!(next(&mut stream).await.type_url, TypeUrl::Route, "{variant:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn istios_agent_gets_a_certificate_and_its_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let issuer =
        Issuer::new("https://issuer.example", &PrivateKey::generate(KeyKind::P256).unwrap()).unwrap();
    let running = control_plane(folder.path(), &[("JWT_RULE", &rule_of(&issuer).await)], None).await;
    let root = fs::read(folder.path().join(".ca/root-cert.pem")).unwrap();
    let channel = connect(&root, &running).await;
    let hour = Duration::from_secs(3600);
    let token = issuer.mint("default", "web", "istio-ca", hour, SystemTime::now()).unwrap();
    served(&channel, &token).await;
    running.stop(Duration::from_secs(10)).await;
}

/// A cluster with the namespace of the control plane and the account `web`.
struct Cluster {
    client: kube::Client,
    server: ApiServer,
}

impl Cluster {
    async fn start() -> Self {
        let server = ApiServer::start().await.unwrap();
        let client = server.client().await.unwrap();
        let post = PostParams::default();
        let web = ServiceAccount { metadata: named("web"), ..ServiceAccount::default() };
        Api::namespaced(client.clone(), "default").create(&post, &web).await.unwrap();
        let space = Namespace { metadata: named("istio-system"), ..Namespace::default() };
        Api::all(client.clone()).create(&post, &space).await.unwrap();
        Self { client, server }
    }

    async fn token(&self, audience: &str) -> String {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), "default");
        let spec =
            TokenRequestSpec { audiences: Some(vec![audience.to_owned()]), ..TokenRequestSpec::default() };
        let asked = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
        let made = accounts.create_token_request("web", &PostParams::default(), &asked).await.unwrap();
        made.status.unwrap().token.unwrap()
    }

    /// The root of the control plane, as its Secret has it.
    async fn root(&self) -> Vec<u8> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), "istio-system");
        secrets.get("istio-ca-secret").await.unwrap().data.unwrap()["root-cert.pem"].0.clone()
    }
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster_the_tokens_of_its_service_accounts_are_good() {
    let cluster = Cluster::start().await;
    let folder = tempfile::tempdir().unwrap();
    let running = control_plane(folder.path(), &[], Some(&cluster.server)).await;
    assert!(!folder.path().join(".ca").exists(), "the root is kept in the cluster");
    let channel = connect(&cluster.root().await, &running).await;
    served(&channel, &cluster.token("istio-ca").await).await;
    let elsewhere = cluster.token("https://kubernetes.default.svc").await;
    let mut stream = Stream::new(channel, Variant::Delta, node(), headers(&elsewhere));
    stream.send(ask(Variant::Delta, &TypeUrl::Cluster, &[], None));
    let refused = tokio::time::timeout(Duration::from_secs(120), stream.next()).await.unwrap().unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated, "{refused}");
    running.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signer_of_the_cluster_signs_for_workloads_if_that_is_wanted() {
    let cluster = Cluster::start().await;
    let theirs = signers::authority();
    let signing = tokio::spawn(signers::sign(cluster.client.clone(), theirs.clone()));
    let folder = tempfile::tempdir().unwrap();
    let vars = [
        ("EXTERNAL_CA", "ISTIOD_RA_KUBERNETES_API"),
        ("K8S_SIGNER", "mesh.example/honest"),
        ("CERT_SIGNER_DOMAIN", "mesh.example"),
    ];
    let running = control_plane(folder.path(), &vars, Some(&cluster.server)).await;
    let channel = connect(&cluster.root().await, &running).await;
    let chain = certificate(&channel, &cluster.token("istio-ca").await).await;
    assert_eq!((chain.len(), &chain[1]), (2, &theirs.certificate().to_pem()));
    running.stop(Duration::from_secs(10)).await;
    signing.abort();

    for (vars, why) in
        [(vars, "there is none"), ([("EXTERNAL_CA", "mine"), vars[1], vars[2]], "EXTERNAL_CA=mine")]
    {
        let vars = vars.iter().copied().chain([("MELTEMI_CA_DIR", folder.path().to_str().unwrap())]);
        let alone = Args::parse([format!("--configDir={}", folder.path().display())]).unwrap();
        let (options, _) = Options::read(&alone, &Vars::from_iter(vars)).unwrap();
        let error = start(options).await.err().unwrap().to_string();
        assert!(error.contains(why), "{error}");
    }
}

/// What an agent needs: a certificate, and the configuration of its proxy.
async fn served(channel: &Channel, token: &str) {
    let chain = certificate(channel, token).await;
    assert_eq!(chain.len(), 2, "leaf and root: agents take fewer for an empty chain");
    let leaf = identity::cert::parse_chain(&chain[0]).unwrap();
    assert_eq!(leaf[0].uris(), ["spiffe://cluster.local/ns/default/sa/web"]);
    for variant in [Variant::Delta, Variant::Sotw] {
        exchange(channel.clone(), token, variant).await;
    }
}
