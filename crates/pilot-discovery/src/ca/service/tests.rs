//! Tests of the certificate service: above all, nobody gets a certificate of anybody else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use identity::authority::{PeerLabels, Request, San, SelfSigned};
use identity::cert::{Usage, parse_chain, verified_identities};
use identity::csr::{self, PublicKey};
use identity::key::{Kind, PrivateKey};
use identity::spiffe::Id;
use identity::token::Issuer;
use process::clock::{Clock, Virtual};
use process::metrics::Metrics;
use proto::google::protobuf::{Struct, Value, value};
use proto::istio::v1::auth::IstioCertificateRequest;
use tonic::{Code, Status};

use super::{Describe, Service};
use crate::ca::authenticate::{Chain, ClientCertificate, JwtAuthenticator, Peer};
use crate::ca::impersonation::{NodeAuthorizer, PodFacts, Pods};
use crate::ca::live::Others;
use crate::ca::state::token_issuer;
use crate::ca::{Ca, Options, TrustDomain};

const HOUR: Duration = Duration::from_secs(3600);
const CART: &str = "spiffe://cluster.local/ns/shop/sa/cart";
const ADMIN: &str = "spiffe://cluster.local/ns/bank/sa/admin";

struct Mesh {
    ca: Ca,
    service: Service,
    issuer: Issuer,
    clock: Virtual,
    metrics: Metrics,
    _dir: tempfile::TempDir,
}

fn mesh() -> Mesh {
    let dir = tempfile::tempdir().unwrap();
    let clock = Virtual::new(UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let metrics = Metrics::new();
    let root = SelfSigned { key: Kind::P256, ..SelfSigned::of("cluster.local") };
    let options = Options { root, ..Options::in_dir(dir.path(), "cluster.local") };
    let ca = Ca::open(Some(options), None, Arc::new(clock.clone()), &metrics).unwrap();
    let issuer = token_issuer(dir.path(), "https://mesh").unwrap();
    let jwt =
        JwtAuthenticator::of_issuer(&issuer, vec!["istio-ca".into()], &TrustDomain::new("cluster.local"))
            .unwrap();
    let certs = ClientCertificate::new(ca.live().clone());
    let service = ca.service(Arc::new(Chain::new(vec![Arc::new(certs), Arc::new(jwt)]))).unwrap();
    Mesh { ca, service, issuer, clock, metrics, _dir: dir }
}

impl Mesh {
    fn now(&self) -> SystemTime {
        self.clock.now()
    }

    fn token(&self, namespace: &str, account: &str) -> Peer {
        with_token(self.issuer.mint(namespace, account, "istio-ca", HOUR, self.now()).unwrap())
    }

    async fn create(&self, peer: &Peer, csr: String) -> Result<Vec<String>, Status> {
        self.service.create(peer, &request(csr, 0, &[])).await
    }

    /// The identities of what was issued, verified against the roots that came with it.
    fn identities(&self, chain: &[String]) -> Vec<String> {
        let (root, leaf) = chain.split_last().unwrap();
        let bundle = identity::Bundle::from_pem(root).unwrap();
        assert_eq!(bundle, *self.ca.live().bundle());
        let chain = parse_chain(&leaf.concat()).unwrap();
        let ids = verified_identities(&chain, &bundle, Usage::Client, self.now()).unwrap();
        assert_eq!(chain[0].uris().len(), ids.len(), "nothing but identities");
        ids.iter().map(ToString::to_string).collect()
    }

    fn metric(&self, name: &str) -> f64 {
        let text = self.metrics.render();
        let line = text
            .lines()
            .find(|l| l.starts_with(&format!("{name} ")))
            .unwrap_or_else(|| panic!("{name}: {text}"));
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    }
}

fn with_token(token: String) -> Peer {
    Peer { bearer: Some(token), ..Peer::default() }
}

fn csr_for(wish: &str) -> String {
    let key = PrivateKey::generate(Kind::P256).unwrap();
    let sans = if wish.is_empty() { Vec::new() } else { vec![San::Uri(wish.into())] };
    csr::make(&key, &sans).unwrap()
}

fn request(csr: String, validity_duration: i64, metadata: &[(&str, &str)]) -> IstioCertificateRequest {
    let text = |v: &str| Value { kind: Some(value::Kind::StringValue(v.to_string())) };
    let fields = metadata.iter().map(|(k, v)| (k.to_string(), text(v))).collect();
    IstioCertificateRequest { csr, validity_duration, metadata: Some(Struct { fields }) }
}

#[tokio::test]
async fn the_certificate_is_of_the_caller_whatever_the_csr_asks() {
    let mesh = mesh();
    for wish in ["", CART, ADMIN, "spiffe://cluster.local/ns/shop/sa/cart/admin", "https://x"] {
        let chain = mesh.create(&mesh.token("shop", "cart"), csr_for(wish)).await.unwrap();
        assert_eq!(mesh.identities(&chain), [CART], "{wish}");
    }
    let chain = mesh.create(&mesh.token("bank", "admin"), csr_for(CART)).await.unwrap();
    assert_eq!(mesh.identities(&chain), [ADMIN]);
    assert_eq!(mesh.metric("citadel_server_csr_count"), 6.0);
    assert_eq!(mesh.metric("citadel_server_success_cert_issuance_count"), 6.0);
    assert_eq!(mesh.metric("citadel_server_authentication_failure_count"), 0.0);
}

#[tokio::test]
async fn tokens_that_prove_nothing_get_nothing() {
    let mesh = mesh();
    let now = mesh.now();
    let thief_key = PrivateKey::generate(Kind::P256).unwrap();
    let thief = Issuer::new("https://mesh", &thief_key).unwrap();
    let stranger = Issuer::new("https://evil", &thief_key).unwrap();
    let good = mesh.issuer.mint("shop", "cart", "istio-ca", HOUR, now).unwrap();
    let parts: Vec<&str> = good.split('.').collect();
    let other = mesh.issuer.mint("bank", "admin", "istio-ca", HOUR, now).unwrap();
    let other_payload = other.split('.').nth(1).unwrap();
    // {"alg":"none"}
    let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", parts[1]);
    for (what, token) in [
        ("wrong audience", mesh.issuer.mint("shop", "cart", "api", HOUR, now).unwrap()),
        ("wrong issuer", stranger.mint("shop", "cart", "istio-ca", HOUR, now).unwrap()),
        ("wrong key", thief.mint("shop", "cart", "istio-ca", HOUR, now).unwrap()),
        ("expired", mesh.issuer.mint("shop", "cart", "istio-ca", HOUR, now - 2 * HOUR).unwrap()),
        ("not yet", mesh.issuer.mint("shop", "cart", "istio-ca", HOUR, now + HOUR).unwrap()),
        ("alg none", unsigned),
        ("another's payload", format!("{}.{other_payload}.{}", parts[0], parts[2])),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("nonsense", "nonsense".to_string()),
        ("empty", String::new()),
    ] {
        let refused = mesh.create(&with_token(token), csr_for(CART)).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{what}");
        assert!(refused.message().starts_with("request authenticate failure"), "{what}: {refused}");
    }
    let nobody = mesh.create(&Peer::default(), csr_for(CART)).await.unwrap_err();
    assert_eq!(nobody.code(), Code::Unauthenticated);
    assert_eq!(mesh.metric("citadel_server_authentication_failure_count"), 11.0);
    assert_eq!(mesh.metric("citadel_server_success_cert_issuance_count"), 0.0);
}

#[tokio::test]
async fn a_certificate_renews_itself_and_only_itself() {
    let mesh = mesh();
    let chain = mesh.create(&mesh.token("shop", "cart"), csr_for("")).await.unwrap();
    let leaf = parse_chain(&chain[0]).unwrap().remove(0);
    let peer = Peer { certs: Arc::from([leaf.der().clone()]), ..Peer::default() };
    let renewed = mesh.create(&peer, csr_for(ADMIN)).await.unwrap();
    assert_eq!(mesh.identities(&renewed), [CART]);
    mesh.clock.advance(25 * HOUR);
    let late = mesh.create(&peer, csr_for("")).await.unwrap_err();
    assert_eq!(late.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_bad_csr_is_the_callers_fault_and_is_counted() {
    let mesh = mesh();
    let small = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n".to_string();
    for csr in [String::new(), "x".into(), small, "x".repeat(20_000)] {
        let refused = mesh.create(&mesh.token("shop", "cart"), csr).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains("CSR"), "{refused}");
    }
    assert_eq!(mesh.metric("citadel_server_csr_parsing_err_count"), 4.0);
}

#[tokio::test]
async fn the_ttl_asked_for_is_given_within_the_maximum() {
    let mesh = mesh();
    for (asked, given) in [(0, 24 * HOUR), (-5, 24 * HOUR), (600, Duration::from_secs(600))] {
        let wanted = request(csr_for(""), asked, &[]);
        let chain = mesh.service.create(&mesh.token("shop", "cart"), &wanted).await.unwrap();
        assert_eq!(parse_chain(&chain[0]).unwrap()[0].not_after(), mesh.now() + given, "{asked}");
    }
    for asked in [91 * 24 * 3600, i64::MAX] {
        let wanted = request(csr_for(""), asked, &[]);
        let refused = mesh.service.create(&mesh.token("shop", "cart"), &wanted).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains("max allowed TTL"), "{refused}");
    }
    assert_eq!(mesh.metric("citadel_server_csr_sign_err_count{error=\"TTL_ERROR\"}"), 2.0);
}

struct OneNode;

impl Pods for OneNode {
    fn pod(&self, namespace: &str, name: &str) -> Option<PodFacts> {
        let here = (namespace, name) == ("mesh", "ztunnel-1");
        here.then(|| PodFacts { uid: "u1".into(), service_account: "ztunnel".into(), node: "n1".into() })
    }

    fn runs_on(&self, _: &str, namespace: &str, account: &str) -> bool {
        (namespace, account) == ("shop", "cart")
    }
}

#[tokio::test]
async fn impersonation_is_refused_to_all_but_trusted_nodes() {
    let mesh = mesh();
    let wanted = request(csr_for(""), 0, &[("ImpersonatedIdentity", CART)]);
    let (nodes, _) = NodeAuthorizer::new("mesh/ztunnel", Arc::new(OneNode));
    let trusting = mesh.service.clone().with_nodes(nodes);
    for service in [&mesh.service, &trusting] {
        // Even an own identity is not given when it is asked for as an impersonation, nor to an unbound token.
        for (namespace, account) in [("bank", "admin"), ("shop", "cart"), ("mesh", "ztunnel")] {
            let peer = mesh.token(namespace, account);
            let refused = service.create(&peer, &wanted).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unauthenticated);
            assert_eq!(refused.message(), "request impersonation authentication failure");
        }
        let nonsense = request(csr_for(""), 0, &[("ImpersonatedIdentity", "nonsense")]);
        assert!(service.create(&mesh.token("mesh", "ztunnel"), &nonsense).await.is_err());
    }
    let empty = request(csr_for(""), 0, &[("ImpersonatedIdentity", "")]);
    let chain = trusting.create(&mesh.token("bank", "admin"), &empty).await.unwrap();
    assert_eq!(mesh.identities(&chain), [ADMIN]);
}

struct Labels;

impl Describe for Labels {
    fn labels(&self, id: &Id, claims: &BTreeMap<String, String>) -> Option<PeerLabels> {
        let workload = claims.get("WorkloadName").filter(|_| id.to_string() == CART)?.clone();
        Some(PeerLabels { workload, ..PeerLabels::default() })
    }
}

#[tokio::test]
async fn labels_are_written_for_whom_they_are_known() {
    let mesh = mesh();
    let labelled = mesh.service.clone().with_labels(Arc::new(Labels));
    let wanted = request(csr_for(""), 0, &[("WorkloadName", "cart-v1")]);
    for (namespace, account, subject) in [("shop", "cart", "OU=w:cart-v1"), ("bank", "admin", "")] {
        let chain = labelled.create(&mesh.token(namespace, account), &wanted).await.unwrap();
        assert_eq!(parse_chain(&chain[0]).unwrap()[0].subject(), subject);
        mesh.identities(&chain);
    }
}

#[tokio::test]
async fn rotation_keeps_old_certificates_good_and_hands_out_both_roots() {
    let mesh = mesh();
    let before = mesh.create(&mesh.token("shop", "cart"), csr_for("")).await.unwrap();
    let life =
        mesh.ca.live().authority().unwrap().certificate().not_after().duration_since(mesh.now()).unwrap();
    assert!(!mesh.ca.tick().unwrap());
    mesh.clock.advance(life * 8 / 10 + HOUR);
    assert!(mesh.ca.tick().unwrap());
    let after = mesh.create(&mesh.token("shop", "cart"), csr_for("")).await.unwrap();
    assert_eq!(mesh.identities(&after), [CART]);
    let roots = parse_chain(after.last().unwrap()).unwrap();
    assert_eq!(roots.len(), 2);
    assert!(roots.contains(&parse_chain(before.last().unwrap()).unwrap()[0]));
    assert!(mesh.metric("citadel_server_root_cert_expiry_seconds") > 3_000.0 * 24.0 * 3600.0);
}

#[tokio::test]
async fn a_certificate_of_a_foreign_mesh_is_a_stranger_until_its_root_is_trusted() {
    let (ours, theirs) = (mesh(), mesh());
    let key = PublicKey::of(&PrivateKey::generate(Kind::P256).unwrap());
    let sans = [San::Uri(ADMIN.into())];
    let wanted = Request { key: &key, sans: &sans, ttl: None, labels: None };
    let cert = theirs.ca.live().authority().unwrap().sign(&wanted, theirs.now()).unwrap();
    let peer = Peer { certs: Arc::from([cert.der().clone()]), ..Peer::default() };
    assert!(ours.create(&peer, csr_for("")).await.is_err());
    let anywhere = (*theirs.ca.live().bundle()).clone();
    ours.ca.live().trust(&Others { anywhere, ..Others::default() });
    assert_eq!(ours.identities(&ours.create(&peer, csr_for("")).await.unwrap()), [ADMIN]);
}

#[tokio::test]
async fn upkeep_rotates_what_is_due_without_being_asked() {
    let mesh = mesh();
    let life =
        mesh.ca.live().authority().unwrap().certificate().not_after().duration_since(mesh.now()).unwrap();
    mesh.clock.advance(life * 9 / 10);
    let mut changed = mesh.ca.live().subscribe();
    let upkeep = tokio::spawn(mesh.ca.clone().keep(HOUR, |_, _| {}));
    let told = tokio::time::timeout(Duration::from_secs(120), changed.changed()).await;
    upkeep.abort();
    told.unwrap().unwrap();
    assert_eq!(mesh.ca.live().bundle().roots().len(), 2);
}
