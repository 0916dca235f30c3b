//! Tests of the secure port: a real listener on loopback, a real TLS client, the certificate service behind it.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper_util::rt::TokioIo;
use identity::authority::{Authority, Limits, Request, San, SelfSigned};
use identity::csr::{self, PublicKey};
use identity::key::{Kind, PrivateKey};
use process::clock::{Clock, Virtual};
use process::metrics::Metrics;
use proto::istio::v1::auth::IstioCertificateRequest;
use proto::istio::v1::auth::istio_certificate_service_client::IstioCertificateServiceClient;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::Code;
use tonic::transport::{Channel, Endpoint, Server};

use super::{Files, Pair, Policy, Source, default_names};
use crate::ca::authenticate::{Chain, ClientCertificate, JwtAuthenticator};
use crate::ca::live::Others;
use crate::ca::state::token_issuer;
use crate::ca::{Ca, Options, Own, TrustDomain};

const CART: &str = "spiffe://cluster.local/ns/shop/sa/cart";

struct Running {
    ca: Ca,
    clock: Virtual,
    address: SocketAddr,
    server: tokio::task::JoinHandle<()>,
    dir: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn running() -> Running {
    let dir = tempfile::tempdir().unwrap();
    // The client's TLS library goes by the system's clock, so the virtual one starts there.
    let clock = Virtual::new(SystemTime::now());
    let root = SelfSigned { key: Kind::P256, ..SelfSigned::of("cluster.local") };
    let options = Options { root, ..Options::in_dir(dir.path(), "cluster.local") };
    let source = Source::Authority(default_names("istio-system", "", &[]));
    running_with(dir, clock, Some(options), Own { source, policy: Policy::default() }).await
}

async fn running_with(dir: tempfile::TempDir, clock: Virtual, options: Option<Options>, own: Own) -> Running {
    let ca = Ca::open(options, Some(own), Arc::new(clock.clone()), &Metrics::new()).unwrap();
    let issuer = token_issuer(dir.path(), "https://mesh").unwrap();
    let jwt =
        JwtAuthenticator::of_issuer(&issuer, vec!["istio-ca".into()], &TrustDomain::new("cluster.local"))
            .unwrap();
    let certs = ClientCertificate::new(ca.live().clone());
    let chain = Arc::new(Chain::new(vec![Arc::new(certs), Arc::new(jwt)]));
    let listener = process::listen::tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = ca.tls().unwrap().incoming(listener);
    let service = ca.service(chain).map(crate::ca::Service::into_server);
    let server = tokio::spawn(async move {
        Server::builder().add_optional_service(service).serve_with_incoming(incoming).await.unwrap();
    });
    Running { ca, clock, address, server, dir }
}

/// A client that believes `ca` and shows `cert`, if any.
fn client(ca: &Authority, cert: Option<(&identity::Certificate, &PrivateKey)>, alpn: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for root in ca.bundle().roots() {
        roots.add(root.der().clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match cert {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            builder.with_client_auth_cert(vec![cert.der().clone()], key.to_rustls()).unwrap()
        }
    };
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    TlsConnector::from(Arc::new(config))
}

async fn channel(
    running: &Running,
    connector: TlsConnector,
    name: &'static str,
) -> Result<Channel, tonic::transport::Error> {
    let address = running.address;
    let connect = tower::service_fn(move |_| {
        let connector = connector.clone();
        async move {
            let tcp = TcpStream::connect(address).await?;
            let tls = connector.connect(ServerName::try_from(name).unwrap(), tcp).await?;
            Ok::<_, std::io::Error>(TokioIo::new(tls))
        }
    });
    let endpoint = Endpoint::from_static("http://control-plane").timeout(Duration::from_secs(60));
    endpoint.connect_with_connector(connect).await
}

async fn bounded<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(120), future).await.expect("in time")
}

async fn ask(channel: Channel, token: Option<&str>) -> Result<Vec<String>, tonic::Status> {
    let key = PrivateKey::generate(Kind::P256).unwrap();
    let csr = csr::make(&key, &[San::Uri("spiffe://cluster.local/ns/bank/sa/admin".into())]).unwrap();
    let mut request =
        tonic::Request::new(IstioCertificateRequest { csr, validity_duration: 60, metadata: None });
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    let mut client = IstioCertificateServiceClient::new(channel);
    bounded(client.create_certificate(request)).await.map(|r| r.into_inner().cert_chain)
}

fn workload(ca: &Authority, uri: &str, now: SystemTime) -> (identity::Certificate, PrivateKey) {
    let key = PrivateKey::generate(Kind::P256).unwrap();
    let sans = [San::Uri(uri.into())];
    let request = Request { key: &PublicKey::of(&key), sans: &sans, ttl: None, labels: None };
    (ca.sign(&request, now).unwrap(), key)
}

fn identity_of(chain: &[String]) -> String {
    identity::cert::parse_chain(&chain[0]).unwrap()[0].uris().join(",")
}

#[tokio::test]
async fn a_token_is_enough_under_every_name_of_the_control_plane() {
    let running = running().await;
    let authority = running.ca.live().authority().unwrap();
    let issuer = token_issuer(running.dir.path(), "https://mesh").unwrap();
    let now = running.clock.now();
    let token = issuer.mint("shop", "cart", "istio-ca", Duration::from_secs(60), now).unwrap();
    for name in ["istiod.istio-system.svc", "istio-pilot.istio-system.svc", "localhost", "127.0.0.1"] {
        let channel = bounded(channel(&running, client(&authority, None, "h2"), name)).await.unwrap();
        let chain = ask(channel.clone(), Some(&token)).await.unwrap();
        assert_eq!(identity_of(&chain), CART);
        let nobody = ask(channel, None).await.unwrap_err();
        assert_eq!(nobody.code(), Code::Unauthenticated);
    }
    assert!(bounded(channel(&running, client(&authority, None, "h2"), "evil.example")).await.is_err());
}

#[tokio::test]
async fn a_client_certificate_speaks_for_itself_and_strangers_fail_the_handshake() {
    let running = running().await;
    let authority = running.ca.live().authority().unwrap();
    let now = running.clock.now();
    let (cert, key) = workload(&authority, CART, now);
    let connector = client(&authority, Some((&cert, &key)), "h2");
    let channel_of_cart = bounded(channel(&running, connector, "localhost")).await.unwrap();
    assert_eq!(identity_of(&ask(channel_of_cart, None).await.unwrap()), CART);

    let root = SelfSigned { key: Kind::P256, ..SelfSigned::of("cluster.local") };
    let foreign = Authority::self_signed(&root, Limits::default(), now).unwrap();
    let (cert, key) = workload(&foreign, CART, now);
    let connector = client(&authority, Some((&cert, &key)), "h2");
    let refused = match bounded(channel(&running, connector, "localhost")).await {
        Ok(channel) => ask(channel, None).await.is_err(),
        Err(_) => true,
    };
    assert!(refused);
}

#[tokio::test]
async fn new_roots_and_a_new_certificate_are_served_without_a_restart() {
    let running = running().await;
    let old = running.ca.live().authority().unwrap();
    let now = running.clock.now();
    assert!(!running.ca.tls().unwrap().refresh().unwrap(), "nothing to do");
    let root = SelfSigned { key: Kind::P256, ..SelfSigned::of("elsewhere") };
    let friend = Authority::self_signed(&root, Limits::default(), now).unwrap();
    let anywhere = friend.bundle().clone();
    running.ca.live().trust(&Others { anywhere, ..Others::default() });
    assert!(running.ca.tls().unwrap().refresh().unwrap());
    let (cert, key) = workload(&friend, CART, now);
    let connector = client(&old, Some((&cert, &key)), "h2");
    let channel = bounded(channel(&running, connector, "localhost")).await.unwrap();
    assert_eq!(identity_of(&ask(channel, None).await.unwrap()), CART);
    assert!(!running.ca.tls().unwrap().refresh().unwrap());
    running.clock.advance(Duration::from_secs(46 * 24 * 3600));
    assert!(running.ca.tls().unwrap().refresh().unwrap(), "half of its ninety days are over");
    assert!(running.dir.path().join("ca-key.pem").exists());
}

#[tokio::test]
async fn only_http2_is_spoken() {
    let running = running().await;
    let authority = running.ca.live().authority().unwrap();
    let tcp = TcpStream::connect(running.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let refused = bounded(client(&authority, None, "http/1.1").connect(name, tcp)).await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn peers_that_talk_nonsense_or_nothing_hold_up_nobody() {
    let running = running().await;
    let authority = running.ca.live().authority().unwrap();
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(running.address).await.unwrap());
    }
    let mut loud = TcpStream::connect(running.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut loud, b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let channel = bounded(channel(&running, client(&authority, None, "h2"), "localhost")).await.unwrap();
    assert_eq!(ask(channel, None).await.unwrap_err().code(), Code::Unauthenticated);
}

#[test]
fn the_names_are_those_upstream_serves_under() {
    let names = default_names("istio-system", "canary", &["discovery.example.com".into(), "10.0.0.1".into()]);
    for host in
        ["istiod.istio-system.svc", "istiod-canary.istio-system.svc", "istiod.istio-system", "localhost"]
    {
        assert!(names.contains(&San::Dns(host.into())), "{host} in {names:?}");
    }
    assert!(names.contains(&San::Dns("discovery.example.com".into())));
    assert!(names.contains(&San::Ip("10.0.0.1".parse().unwrap())));
    assert!(names.contains(&San::Ip("127.0.0.1".parse().unwrap())));
}

/// A certificate of `ca` for this machine, as an operator would make it.
fn pair_of(ca: &Authority, now: SystemTime) -> Pair {
    let key = PrivateKey::generate(Kind::P256).unwrap();
    let sans = [San::Dns("localhost".into())];
    let request = Request { key: &PublicKey::of(&key), sans: &sans, ttl: None, labels: None };
    let chain = vec![ca.sign(&request, now).unwrap()];
    Pair { chain, key: Arc::new(key), roots: ca.bundle().clone() }
}

fn write(files: &Files, pair: &Pair) {
    let chain: String = pair.chain.iter().map(identity::Certificate::to_pem).collect();
    std::fs::write(&files.cert, chain).unwrap();
    std::fs::write(&files.key, pair.key.to_pkcs8_pem().as_str()).unwrap();
    std::fs::write(&files.roots, pair.roots.to_pem()).unwrap();
}

fn named(name: &str) -> Authority {
    let root = SelfSigned { key: Kind::P256, ..SelfSigned::of(name) };
    Authority::self_signed(&root, Limits::default(), SystemTime::now()).unwrap()
}

/// The certificate that a new connection is shown.
async fn shown(running: &Running, ca: &Authority) -> Result<identity::Certificate, std::io::Error> {
    let tcp = TcpStream::connect(running.address).await?;
    let connected = client(ca, None, "h2").connect(ServerName::try_from("localhost").unwrap(), tcp).await?;
    let der = connected.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned();
    Ok(identity::Certificate::from_der(der).unwrap())
}

#[tokio::test]
async fn the_certificate_of_an_operator_is_served_and_followed_while_connections_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let files = Files { cert: at("tls.crt"), key: at("tls.key"), roots: at("ca.crt") };
    let (operator, successor, now) = (named("operator"), named("successor"), SystemTime::now());
    let (first, second) = (pair_of(&operator, now), pair_of(&successor, now));
    write(&files, &first);
    let root = SelfSigned { key: Kind::P256, ..SelfSigned::of("cluster.local") };
    let options = Options { root, ..Options::in_dir(dir.path(), "cluster.local") };
    let own = Own { source: Source::Files(files.clone()), policy: Policy::default() };
    let running = running_with(dir, Virtual::new(now), Some(options), own).await;
    let tls = running.ca.tls().unwrap();
    let roots = tls.roots();
    assert_eq!(*roots.borrow(), operator.bundle().to_pem(), "what workloads are told to believe");
    assert_eq!(bounded(shown(&running, &operator)).await.unwrap(), first.chain[0]);
    // whom its root vouches for is known, as those of our own authority are
    let ours = running.ca.live().authority().unwrap();
    let (cert, key) = workload(&operator, CART, now);
    let of_operator = client(&operator, Some((&cert, &key)), "h2");
    let long = bounded(channel(&running, of_operator, "localhost")).await.unwrap();
    assert_eq!(identity_of(&ask(long.clone(), None).await.unwrap()), CART);
    let (cert, key) = workload(&ours, CART, now);
    let of_ours = bounded(channel(&running, client(&operator, Some((&cert, &key)), "h2"), "localhost")).await;
    assert_eq!(identity_of(&ask(of_ours.unwrap(), None).await.unwrap()), CART);
    assert!(
        !running.ca.live().bundle().contains(operator.certificate()),
        "workloads do not believe it of each other"
    );

    // half of a change: the old certificate stays
    std::fs::write(&files.key, second.key.to_pkcs8_pem().as_str()).unwrap();
    let error = tls.refresh().unwrap_err().to_string();
    assert!(error.contains("tls.key") && error.contains("not the key"), "{error}");
    assert_eq!(bounded(shown(&running, &operator)).await.unwrap(), first.chain[0]);

    write(&files, &second);
    let upkeep = tokio::spawn(running.ca.clone().keep(Duration::from_secs(3600), |_, _| {}));
    let look = async || bounded(shown(&running, &successor)).await.ok();
    let seen = testkit::eventually("the new certificate", Duration::from_secs(120), look).await.unwrap();
    upkeep.abort();
    assert_eq!(seen, second.chain[0]);
    assert!(bounded(shown(&running, &operator)).await.is_err());
    assert_eq!(*roots.borrow(), successor.bundle().to_pem());
    let (cert, key) = workload(&successor, CART, now);
    let next = bounded(channel(&running, client(&successor, Some((&cert, &key)), "h2"), "localhost")).await;
    assert_eq!(identity_of(&ask(next.unwrap(), None).await.unwrap()), CART);
    // the connection of before goes on; what its caller proved is no longer believed, and it is told so on it
    assert_eq!(ask(long, None).await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_new_certificate_of_our_own_does_not_end_connections() {
    let running = running().await;
    let authority = running.ca.live().authority().unwrap();
    let first = bounded(shown(&running, &authority)).await.unwrap();
    let (cert, key) = workload(&authority, CART, running.clock.now());
    let before = bounded(channel(&running, client(&authority, Some((&cert, &key)), "h2"), "localhost")).await;
    let before = before.unwrap();
    assert_eq!(identity_of(&ask(before.clone(), None).await.unwrap()), CART);
    // a root under the same key, as upkeep makes one: our certificate is issued anew
    let root = SelfSigned { key: Kind::P256, ..SelfSigned::of("cluster.local") };
    running.ca.live().replace(authority.rotate(&root, running.clock.now()).unwrap());
    assert!(running.ca.tls().unwrap().refresh().unwrap());
    let second = bounded(shown(&running, &authority)).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(identity_of(&ask(before, None).await.unwrap()), CART);
}

#[tokio::test]
async fn files_that_do_not_belong_together_do_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let files = Files { cert: at("c.pem"), key: at("k.pem"), roots: at("r.pem") };
    let open = || {
        let own = Own { source: Source::Files(files.clone()), policy: Policy::default() };
        let clock = Arc::new(Virtual::new(SystemTime::now()));
        Ca::open(None, Some(own), clock, &Metrics::new()).map(drop).map_err(|e| e.to_string())
    };
    assert!(open().unwrap_err().contains("c.pem"), "missing");
    let pair = pair_of(&named("operator"), SystemTime::now());
    for (path, name) in [(&files.cert, "c.pem"), (&files.key, "k.pem"), (&files.roots, "r.pem")] {
        write(&files, &pair);
        assert_eq!(open(), Ok(()));
        std::fs::write(path, "nonsense").unwrap();
        assert!(open().unwrap_err().contains(name));
    }
    assert!(Files::well_known(dir.path()).is_none());
    let mounted = dir.path().join("var/run/secrets/istiod/tls");
    std::fs::create_dir_all(&mounted).unwrap();
    for name in ["tls.crt", "tls.key", "ca.crt"] {
        assert!(Files::well_known(dir.path()).is_none());
        std::fs::write(mounted.join(name), "").unwrap();
    }
    assert_eq!(Files::well_known(dir.path()).unwrap().roots, mounted.join("ca.crt"));
}
