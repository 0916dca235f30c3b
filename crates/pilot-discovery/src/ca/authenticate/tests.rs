//! Tests of the authenticators.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{Extensions, HeaderMap, HeaderValue};
use identity::authority::{Authority, Limits, Request, San, SelfSigned};
use identity::csr::PublicKey;
use identity::key::{Kind, PrivateKey};
use identity::token::Issuer;

use super::{
    Chain, ClientCertificate, ForwardedCertificate, JwtAuthenticator, JwtRule, KeySource, Peer, Source,
};
use crate::ca::TrustDomain;
use crate::ca::live::{Live, Others};
use crate::ca::serving::ConnectionInfo;

const HOUR: Duration = Duration::from_secs(3600);

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn authority() -> Authority {
    let options = SelfSigned { key: Kind::P256, ..SelfSigned::of("cluster.local") };
    Authority::self_signed(&options, Limits::default(), now()).unwrap()
}

fn issuer(name: &str) -> Issuer {
    Issuer::new(name, &PrivateKey::generate(Kind::P256).unwrap()).unwrap()
}

fn with_cert(ca: &Authority, uri: &str) -> Peer {
    let key = PublicKey::of(&PrivateKey::generate(Kind::P256).unwrap());
    let sans = [San::Uri(uri.into())];
    let cert = ca.sign(&Request { key: &key, sans: &sans, ttl: None, labels: None }, now()).unwrap();
    Peer { certs: Arc::from([cert.der().clone()]), ..Peer::default() }
}

fn with_token(token: String) -> Peer {
    Peer { bearer: Some(token), ..Peer::default() }
}

#[tokio::test]
async fn a_certificate_proves_its_identity_while_its_root_is_believed() {
    let ca = authority();
    let live = Live::new(ca.clone());
    let chain = Chain::new(vec![Arc::new(ClientCertificate::new(live.clone()))]);
    let peer = with_cert(&ca, "spiffe://cluster.local/ns/shop/sa/cart");
    let caller = chain.authenticate(&peer, now()).await.unwrap();
    assert_eq!(caller.source, Source::ClientCertificate);
    assert_eq!(caller.identities.first().unwrap().to_string(), "spiffe://cluster.local/ns/shop/sa/cart");
    let expired = chain.authenticate(&peer, now() + 25 * HOUR).await.unwrap_err();
    assert!(expired.to_string().contains("expired"), "{expired}");
    live.replace(authority());
    assert!(chain.authenticate(&peer, now()).await.is_err(), "the root is not believed any more");
}

#[tokio::test]
async fn certificates_of_strangers_and_without_identity_prove_nothing() {
    let ca = authority();
    let chain = Chain::new(vec![Arc::new(ClientCertificate::new(Live::new(ca.clone())))]);
    let foreign = with_cert(&authority(), "spiffe://cluster.local/ns/shop/sa/cart");
    for peer in [Peer::default(), foreign, with_cert(&ca, "https://example.com")] {
        assert!(chain.authenticate(&peer, now()).await.is_err());
    }
    let garbage = Peer { certs: Arc::from([vec![1, 2, 3].into()]), ..Peer::default() };
    assert!(chain.authenticate(&garbage, now()).await.is_err());
}

#[tokio::test]
async fn the_first_who_knows_the_peer_decides_and_failures_are_all_told() {
    let ca = authority();
    let ours = issuer("https://mesh");
    let jwt = JwtAuthenticator::of_issuer(&ours, vec!["istio-ca".into()], &TrustDomain::new("cluster.local"))
        .unwrap();
    let chain = Chain::new(vec![Arc::new(ClientCertificate::new(Live::new(ca.clone()))), Arc::new(jwt)]);
    let token = ours.mint("shop", "web", "istio-ca", HOUR, now()).unwrap();
    let caller = chain.authenticate(&with_token(token.clone()), now()).await.unwrap();
    assert_eq!(caller.source, Source::Token);
    let both = Peer { bearer: Some(token), ..with_cert(&ca, "spiffe://cluster.local/ns/shop/sa/cart") };
    let caller = chain.authenticate(&both, now()).await.unwrap();
    assert_eq!(caller.identities.len(), 1, "proofs are not added up");
    assert_eq!(caller.source, Source::ClientCertificate);
    let failure = chain.authenticate(&Peer::default(), now()).await.unwrap_err().to_string();
    assert!(failure.contains("no client certificate") && failure.contains("no bearer token"), "{failure}");
    assert!(Chain::default().authenticate(&both, now()).await.is_err());
}

#[tokio::test]
async fn a_rules_issuer_is_believed_once_its_keys_are_there() {
    let theirs = issuer("https://idp");
    let rule = r#"{"issuer":"https://idp","jwks_uri":"https://idp/keys","audiences":["istio-ca"]}"#;
    let rule = JwtRule::parse(rule).unwrap();
    let trust_domain = TrustDomain::new("cluster.local");
    let jwt = Arc::new(JwtAuthenticator::of_rule(&rule, &trust_domain).unwrap());
    assert_eq!(jwt.key_source(), Some(&KeySource::Jwks("https://idp/keys".into())));
    let chain = Chain::new(vec![jwt.clone()]);
    let peer = with_token(theirs.mint("shop", "cart", "istio-ca", HOUR, now()).unwrap());
    assert!(chain.authenticate(&peer, now()).await.is_err());
    jwt.keys_wanted().await;
    jwt.set_keys(&issuer("https://idp").jwks()).unwrap();
    assert!(chain.authenticate(&peer, now()).await.is_err(), "a stale key set");
    jwt.keys_wanted().await;
    assert!(jwt.set_keys("{}").is_err());
    jwt.set_keys(&theirs.jwks()).unwrap();
    let caller = chain.authenticate(&peer, now()).await.unwrap();
    assert_eq!(caller.identities.first().unwrap().to_string(), "spiffe://cluster.local/ns/shop/sa/cart");
    trust_domain.set("new.example");
    let caller = chain.authenticate(&peer, now()).await.unwrap();
    assert_eq!(caller.identities.first().unwrap().to_string(), "spiffe://new.example/ns/shop/sa/cart");
    let stranger = with_token(issuer("https://evil").mint("shop", "cart", "istio-ca", HOUR, now()).unwrap());
    let refused = chain.authenticate(&stranger, now()).await.unwrap_err().to_string();
    assert!(refused.contains("https://evil"), "{refused}");
}

#[test]
fn rules_that_would_accept_nobody_or_anybody_are_refused() {
    for bad in ["", "{}", "[]", r#"{"issuer":""}"#, r#"{"issuer":"x"}"#, r#"{"issuer":"x","audiences":[]}"#] {
        assert!(JwtRule::parse(bad).is_err(), "{bad}");
    }
    let td = TrustDomain::new("td");
    let rule = r#"{"issuer":"x","audiences":["a"],"jwks":"nonsense"}"#;
    assert!(JwtAuthenticator::of_rule(&JwtRule::parse(rule).unwrap(), &td).is_err());
    let jwks =
        serde_json::json!({ "issuer": "x", "audiences": ["a"], "jwks": issuer("x").jwks(), "jwksUri": "u" });
    let rule = JwtRule::parse(&jwks.to_string()).unwrap();
    assert_eq!(JwtAuthenticator::of_rule(&rule, &td).unwrap().key_source(), None, "nothing to fetch");
    let rule = JwtRule::parse(r#"{"issuer":"https://x","audiences":["a"]}"#).unwrap();
    let by_discovery = KeySource::Discovery { issuer: "https://x".into() };
    assert_eq!(JwtAuthenticator::of_rule(&rule, &td).unwrap().key_source(), Some(&by_discovery));
}

#[test]
fn proofs_are_read_from_headers_and_connection() {
    let mut headers = HeaderMap::new();
    headers.append("authorization", HeaderValue::from_static("Basic x"));
    headers.append("authorization", HeaderValue::from_static("Bearer a.b.c"));
    headers.append("clusterid", HeaderValue::from_static("east"));
    let mut extensions = Extensions::new();
    let bare = Peer::of(&headers, &extensions);
    assert!(bare.certs.is_empty());
    assert_eq!(bare.bearer.as_deref(), Some("a.b.c"));
    assert_eq!(bare.cluster.as_deref(), Some("east"));
    extensions.insert(ConnectionInfo { certs: Arc::from([vec![1].into()]), address: None });
    assert_eq!(Peer::of(&headers, &extensions).certs.len(), 1);
}

#[tokio::test]
async fn a_foreign_root_vouches_for_its_own_trust_domain_only() {
    let (ours, theirs) = (authority(), authority());
    let live = Live::new(ours);
    let scoped = [("their.domain".to_string(), theirs.bundle().clone())].into();
    live.trust(&Others { scoped, ..Others::default() });
    let chain = Chain::new(vec![Arc::new(ClientCertificate::new(live))]);
    let guest = with_cert(&theirs, "spiffe://their.domain/ns/shop/sa/cart");
    assert!(chain.authenticate(&guest, now()).await.is_ok());
    let impostor = with_cert(&theirs, "spiffe://cluster.local/ns/shop/sa/cart");
    assert!(chain.authenticate(&impostor, now()).await.is_err());
}

#[tokio::test]
async fn a_forwarded_certificate_counts_only_from_a_trusted_gateway() {
    let (trusting, wrong) = ForwardedCertificate::new("10.0.0.0/8, nonsense,fd00::/8");
    assert_eq!(wrong, ["nonsense"]);
    let chain = Chain::new(vec![Arc::new(trusting)]);
    let from = |address: &str, header: &str| Peer {
        forwarded: Some(header.to_string()),
        address: Some(format!("{address}:1").parse().unwrap()),
        ..Peer::default()
    };
    let cart =
        "By=x;Hash=1;Subject=\"O=a,CN=b;URI=spiffe://td/ns/bank/sa/admin\";URI=spiffe://td/ns/shop/sa/cart";
    for address in ["10.1.2.3", "[::ffff:10.1.2.3]", "127.0.0.1", "[fd00::1]"] {
        let caller = chain.authenticate(&from(address, cart), now()).await.unwrap();
        let ids: Vec<String> = caller.identities.iter().map(ToString::to_string).collect();
        assert_eq!(ids, ["spiffe://td/ns/shop/sa/cart"], "{address}");
    }
    for address in ["11.0.0.1", "[2001:db8::1]"] {
        assert!(chain.authenticate(&from(address, cart), now()).await.is_err(), "{address}");
    }
    let told_by_others = format!("URI=spiffe://td/ns/bank/sa/admin,{cart}");
    let caller = chain.authenticate(&from("10.0.0.1", &told_by_others), now()).await.unwrap();
    assert_eq!(caller.identities.len(), 1);
    for bad in ["", "URI=", "DNS=a", "URI=https://x", ",", "\"", "URI=spiffe://td/ns/a/sa/b,"] {
        assert!(chain.authenticate(&from("10.0.0.1", bad), now()).await.is_err(), "{bad}");
    }
    for open in ["\"", "x=\"\\\"", "x=\"a\\", "x=\\\"", "x=\"\"\\"] {
        // The caller leaves something open before the gateway appends who the caller is.
        let swallowing = format!("URI=spiffe://td/ns/bank/sa/admin;{open},{cart}");
        let caller = chain.authenticate(&from("10.0.0.1", &swallowing), now()).await;
        let admin = "spiffe://td/ns/bank/sa/admin".parse().unwrap();
        assert!(caller.is_err() || !caller.unwrap().identities.contains(&admin), "{open}");
    }
    let nowhere = Peer { address: None, ..from("10.0.0.1", cart) };
    assert!(chain.authenticate(&nowhere, now()).await.is_err());
}
