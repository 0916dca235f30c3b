//! Whom the control plane of a cluster believes, and what it tells proxies of that.

use identity::Authority;
use identity::authority::{Limits, SelfSigned};
use identity::key::Kind;
use k8s_openapi::api::core::v1::ConfigMap;
use prost::Message as _;
use proto::istio::mesh::v1alpha1::ProxyConfig;
use serde_json::json;
use testkit::api_server::ApiServer;

use super::cluster::{apply, namespace, options_of, page};
use super::*;
use crate::ca::kubernetes_signer::tests as signers;

/// The signer of certificates for servers.
const SERVERS: &str = "mesh.example/of-servers";

fn authority(name: &str) -> Authority {
    let options = SelfSigned { key: Kind::P256, ..SelfSigned::of(name) };
    Authority::self_signed(&options, Limits::default(), std::time::SystemTime::now()).unwrap()
}

async fn list_roots(client: &kube::Client, roots: &[&Authority]) {
    let entry = |root: &&Authority| json!({"pem": root.bundle().to_pem(), "certSigners": [SERVERS]});
    let listed: Vec<_> = roots.iter().map(entry).collect();
    let text = json!({"caCertificates": listed}).to_string();
    let object = json!({"metadata": {"name": "istio"}, "data": {"mesh": text}});
    apply::<ConfigMap>(client, "istio-system", object).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_are_told_the_roots_of_a_mesh_with_several_as_they_change() {
    let server = ApiServer::start().await.unwrap();
    let client = server.client().await.unwrap();
    namespace(&client, "istio-system").await;
    let (one, two) = (authority("one"), authority("two"));
    list_roots(&client, &[&one]).await;
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("xds.sock");
    let mut options = options_of(&server, folder.path(), &format!("--grpcAddr=unix://{}", socket.display()));
    options.switches.istio_multiroot_mesh = true;
    let running = start(options).await.unwrap();

    let node = Node { id: "sidecar~10.0.0.9~web.shop~shop.svc.cluster.local".into(), ..Node::default() };
    let channel = dial::unix(socket)(0).await.unwrap();
    let mut stream = Stream::new(channel, Variant::Delta, node, http::HeaderMap::new());
    stream.subscribe(&TypeUrl::ProxyConfig, &[]);
    let mut told = async || {
        let next = tokio::time::timeout(Duration::from_secs(60), stream.next()).await;
        let response = next.expect("no answer").unwrap().expect("the stream ended");
        stream.answer(&response, None, &[]);
        ProxyConfig::decode(response.resources[0].body.clone()).unwrap().ca_certificates_pem
    };
    let first = told().await;
    assert!(first.is_sorted() && first.contains(&one.bundle().to_pem()), "{first:?}");
    assert_eq!(first.len(), 2, "that of the mesh configuration, and our own");
    list_roots(&client, &[&one, &two]).await;
    let second = told().await;
    assert!(second.len() == 3 && second.contains(&two.bundle().to_pem()), "{second:?}");
    running.stop(Duration::from_secs(10)).await;
}

/// A connection to the secure port, of somebody who believes `root` alone.
pub(super) async fn connected(
    running: &Running,
    root: &identity::Certificate,
) -> Option<tokio_rustls::client::TlsStream<tokio::net::TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = tokio::net::TcpStream::connect(running.addresses[1].unwrap()).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("istiod.istio-system.svc").unwrap();
    let connecting = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp);
    tokio::time::timeout(Duration::from_secs(60), connecting).await.ok()?.ok()
}

/// The certificate that the secure port shows whoever believes `ca`.
async fn shown(running: &Running, ca: &Authority) -> Option<identity::Certificate> {
    let connected = connected(running, ca.certificate()).await?;
    let der = connected.get_ref().1.peer_certificates()?.first()?.clone().into_owned();
    identity::Certificate::from_der(der).ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signer_of_kubernetes_gives_the_control_plane_its_certificate() {
    let server = ApiServer::start().await.unwrap();
    let client = server.client().await.unwrap();
    namespace(&client, "istio-system").await;
    let (first, second) = (signers::authority(), signers::authority());
    let folder = tempfile::tempdir().unwrap();
    let options = |provider: &str| {
        let mut options = options_of(&server, folder.path(), "--grpcAddr=127.0.0.1:0");
        options.switches.pilot_cert_provider = provider.to_owned();
        // the signer signs for ninety days at most
        options.switches.citadel_self_signed_ca_cert_ttl = config::Duration::from_secs(24 * 3600);
        options
    };
    // without its root nobody could be told what to believe
    let error = start(options("k8s.io/mesh.example/of-servers")).await.err().unwrap().to_string();
    assert!(error.contains("names no root"), "{error}");
    list_roots(&client, &[&first]).await;
    let signing = tokio::spawn(signers::sign(client.clone(), first.clone()));
    let provider = format!("k8s.io/{SERVERS}");
    let running = start(options(&provider)).await.unwrap();
    let certificate = shown(&running, &first).await.unwrap();
    assert!(certificate.dns_names().contains(&"istiod.istio-system.svc".to_owned()));
    let maps: kube::Api<ConfigMap> = kube::Api::namespaced(client.clone(), "istio-system");
    let told = async |ca: &Authority| {
        testkit::eventually("the root of its certificate", PATIENCE, async || {
            let data = maps.get_opt("istio-ca-root-cert").await.ok()??.data?;
            (data["root-cert.pem"] == ca.bundle().to_pem()).then_some(())
        })
        .await
        .unwrap();
    };
    told(&first).await;

    // the signer gets another root
    signing.abort();
    let signing = tokio::spawn(signers::sign(client.clone(), second.clone()));
    list_roots(&client, &[&second]).await;
    testkit::eventually("a certificate of the new root", Duration::from_secs(60), async || {
        shown(&running, &second).await
    })
    .await
    .unwrap();
    told(&second).await;
    page(&running, "/metrics", |text| text.contains("citadel_server_root_cert_expiry_timestamp")).await;
    running.stop(Duration::from_secs(10)).await;
    let error = start(options("kubernetes")).await.err().unwrap().to_string();
    assert!(error.contains("PILOT_CERT_PROVIDER=kubernetes"), "{error}");
    signing.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_authority_the_control_plane_serves_what_needs_none() {
    let server = ApiServer::start().await.unwrap();
    let client = server.client().await.unwrap();
    namespace(&client, "istio-system").await;
    let folder = tempfile::tempdir().unwrap();
    let options = |more: &str| {
        let mut options = options_of(&server, folder.path(), &format!("--grpcAddr=127.0.0.1:0 {more}"));
        options.switches.enable_ca_server = false;
        options
    };
    let running = start(options("")).await.unwrap();
    assert_eq!(running.addresses.map(|address| address.is_some()), [true, false, true, true]);
    assert!(!folder.path().join("ca").exists(), "no root is made");
    let metrics = get(&running, 3, "/metrics").await.unwrap();
    assert!(!metrics.contains("citadel_server_root_cert_expiry"), "{metrics}");
    running.stop(Duration::from_secs(10)).await;

    // with a certificate of an operator there is xDS over TLS, but nobody signs
    let operator = authority("operator");
    let key = identity::PrivateKey::generate(Kind::P256).unwrap();
    let sans = [identity::authority::San::Dns("istiod.istio-system.svc".into())];
    let public = identity::csr::PublicKey::of(&key);
    let wanted = identity::authority::Request { key: &public, sans: &sans, ttl: None, labels: None };
    let leaf = operator.sign(&wanted, std::time::SystemTime::now()).unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("c.pem"), leaf.to_pem()).unwrap();
    fs::write(at("k.pem"), key.to_pkcs8_pem().as_str()).unwrap();
    fs::write(at("r.pem"), operator.bundle().to_pem()).unwrap();
    let flags = ["tlsCertFile=c.pem", "tlsKeyFile=k.pem", "caCertFile=r.pem"];
    let flags =
        flags.map(|flag| format!("--{}", flag.replace('=', &format!("={}/", folder.path().display()))));
    let running = start(options(&flags.join(" "))).await.unwrap();
    assert_eq!(shown(&running, &operator).await.unwrap(), leaf);
    let secrets: kube::Api<k8s_openapi::api::core::v1::Secret> =
        kube::Api::namespaced(client, "istio-system");
    assert!(secrets.get_opt("istio-ca-secret").await.unwrap().is_none());
    running.stop(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn outside_of_a_cluster_an_issuer_may_vouch_for_callers_of_the_certificate_service() {
    let key = identity::PrivateKey::generate(Kind::P256).unwrap();
    let issuer = identity::token::Issuer::new("https://issuer.example", &key).unwrap();
    let trust_domain = TrustDomain::new("cluster.local");
    let options = |vars: &[(&'static str, &'static str)]| {
        let args = Args::parse(["--configDir=.".to_owned()]).unwrap();
        Options::read(&args, &Vars::from_iter(vars.iter().copied())).unwrap().0
    };
    let all = Arc::new(crate::ca::Chain::new(Vec::new()));
    let judges =
        |options: &Options| crate::start::trust::judges_of_requests(options, &all, &trust_domain).unwrap();
    let now = std::time::SystemTime::now();
    let peer = |audience: &str| crate::ca::Peer {
        bearer: Some(issuer.mint("shop", "cart", audience, Duration::from_secs(60), now).unwrap()),
        ..crate::ca::Peer::default()
    };
    let named = ("TOKEN_ISSUER", "https://issuer.example");
    assert!(judges(&options(&[])).1.is_none());
    assert!(
        judges(&options(&[named, ("KUBERNETES_SERVICE_HOST", "10.96.0.1")])).1.is_none(),
        "reviews tell more"
    );
    for (vars, audience) in [(vec![named], "istio-ca"), (vec![named, ("AUDIENCE", "mesh")], "mesh")] {
        let (chain, tokens) = judges(&options(&vars));
        assert!(chain.authenticate(&peer(audience), now).await.is_err(), "its keys are not there yet");
        tokens.unwrap().set_keys(&issuer.jwks()).unwrap();
        let caller = chain.authenticate(&peer(audience), now).await.unwrap();
        let cart = "spiffe://cluster.local/ns/shop/sa/cart".parse().unwrap();
        assert_eq!(caller.identities, BTreeSet::from([cart]));
        assert!(chain.authenticate(&peer("other"), now).await.is_err());
        assert!(
            all.authenticate(&peer(audience), now).await.is_err(),
            "of the discovery service it proves nothing"
        );
    }
}
