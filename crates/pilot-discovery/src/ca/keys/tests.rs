//! An issuer that replaces its keys, goes away, and comes back.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use identity::key::{Kind, PrivateKey};
use identity::token::Issuer;
use process::retry::Policy;

use super::{Pace, keep};
use crate::ca::TrustDomain;
use crate::ca::authenticate::{Authenticator as _, JwtAuthenticator, JwtRule, Peer};
use crate::fetch::Fetcher;

const HOUR: Duration = Duration::from_secs(3600);

/// What the issuer's server answers, by path, and the paths it was asked for.
#[derive(Default)]
struct Site {
    pages: std::collections::BTreeMap<String, String>,
    asked: Vec<String>,
}

type Shared = Arc<Mutex<Site>>;

async fn answer(State(site): State<Shared>, uri: Uri) -> Result<String, StatusCode> {
    let mut site = site.lock().unwrap();
    site.asked.push(uri.path().to_owned());
    site.pages.get(uri.path()).cloned().ok_or(StatusCode::NOT_FOUND)
}

/// A server on loopback and its address.
async fn serve(site: Shared) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, Router::new().fallback(answer).with_state(site)).into_future());
    url
}

fn issuer(name: &str) -> Issuer {
    Issuer::new(name, &PrivateKey::generate(Kind::P256).unwrap()).unwrap()
}

fn quick() -> Pace {
    let max = Duration::from_millis(20);
    let retry = Policy { initial: max, max, ..Policy::default() };
    Pace { every: HOUR, gap: Duration::from_millis(1), retry }
}

fn authenticator(rule: &serde_json::Value) -> Arc<JwtAuthenticator> {
    let rule = JwtRule::parse(&rule.to_string()).unwrap();
    Arc::new(JwtAuthenticator::of_rule(&rule, &TrustDomain::new("cluster.local")).unwrap())
}

/// Waits until a token of `issuer` is believed, as a client that tries again.
async fn believed(jwt: &JwtAuthenticator, issuer: &Issuer) {
    let now = SystemTime::now();
    let token = issuer.mint("shop", "cart", "istio-ca", HOUR, now).unwrap();
    let peer = Peer { bearer: Some(token), ..Peer::default() };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    while let Err(why) = jwt.authenticate(&peer, now).await {
        assert!(tokio::time::Instant::now() < deadline, "{why}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn keys_are_fetched_replaced_when_the_issuer_does_and_kept_when_it_is_gone() {
    let site = Shared::default();
    let url = serve(site.clone()).await;
    let (first, second) = (issuer("https://idp"), issuer("https://idp"));
    let rule = serde_json::json!({
        "issuer": "https://idp", "audiences": ["istio-ca"], "jwks_uri": format!("{url}/keys"),
    });
    let jwt = authenticator(&rule);
    let keeping = tokio::spawn(keep(jwt.clone(), Fetcher::default(), quick()));
    // the issuer is not there yet
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    while site.lock().unwrap().asked.len() < 3 {
        assert!(tokio::time::Instant::now() < deadline, "a failed fetch is not tried again");
        tokio::task::yield_now().await;
    }
    site.lock().unwrap().pages.insert("/keys".into(), first.jwks());
    believed(&jwt, &first).await;
    site.lock().unwrap().pages.insert("/keys".into(), second.jwks());
    believed(&jwt, &second).await;
    // unreadable, then gone: what was read last stays
    for page in [Some("{}".to_owned()), None] {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
        let asked = {
            let mut site = site.lock().unwrap();
            site.pages = page.map(|page| ("/keys".to_owned(), page)).into_iter().collect();
            site.asked.len()
        };
        let stranger =
            issuer("https://idp").mint("shop", "cart", "istio-ca", HOUR, SystemTime::now()).unwrap();
        let stranger = Peer { bearer: Some(stranger), ..Peer::default() };
        while site.lock().unwrap().asked.len() < asked + 2 {
            assert!(jwt.authenticate(&stranger, SystemTime::now()).await.is_err());
            assert!(tokio::time::Instant::now() < deadline, "an unknown key makes nobody look for new ones");
            tokio::task::yield_now().await;
        }
        believed(&jwt, &second).await;
    }
    keeping.abort();
}

#[tokio::test]
async fn without_a_place_the_issuers_openid_configuration_names_it() {
    let site = Shared::default();
    let url = serve(site.clone()).await;
    let own = issuer(&url);
    let configuration = |issuer: &str| {
        serde_json::json!({ "issuer": issuer, "jwks_uri": format!("{url}/deep/keys") }).to_string()
    };
    let well_known = "/.well-known/openid-configuration";
    site.lock().unwrap().pages =
        [(well_known.to_owned(), configuration("https://other")), ("/deep/keys".to_owned(), own.jwks())]
            .into();
    let jwt = authenticator(&serde_json::json!({ "issuer": url, "audiences": ["istio-ca"] }));
    let keeping = tokio::spawn(keep(jwt.clone(), Fetcher::default(), quick()));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    while site.lock().unwrap().asked.len() < 2 {
        assert!(tokio::time::Instant::now() < deadline, "the configuration is not asked for");
        tokio::task::yield_now().await;
    }
    assert!(!jwt.has_keys(), "the configuration of another issuer is not believed");
    site.lock().unwrap().pages.insert(well_known.to_owned(), configuration(&url));
    believed(&jwt, &own).await;
    keeping.abort();
}

#[tokio::test]
async fn tokens_with_unknown_keys_do_not_make_it_fetch_more_often_than_the_gap() {
    let site = Shared::default();
    let url = serve(site.clone()).await;
    let own = issuer("https://idp");
    site.lock().unwrap().pages.insert("/keys".into(), own.jwks());
    let rule = serde_json::json!({
        "issuer": "https://idp", "audiences": ["istio-ca"], "jwksUri": format!("{url}/keys"),
    });
    let jwt = authenticator(&rule);
    let fetcher = Fetcher::default();
    let keeping = tokio::spawn(keep(jwt.clone(), fetcher.clone(), Pace { gap: HOUR, ..quick() }));
    believed(&jwt, &own).await;
    let stranger = issuer("https://idp").mint("shop", "cart", "istio-ca", HOUR, SystemTime::now()).unwrap();
    let stranger = Peer { bearer: Some(stranger), ..Peer::default() };
    for _ in 0..10 {
        assert!(jwt.authenticate(&stranger, SystemTime::now()).await.is_err());
        // had the token made it fetch, that would have come to the server before this
        assert!(fetcher.get(&format!("{url}/other")).await.is_err());
    }
    let asked = site.lock().unwrap().asked.iter().filter(|path| *path == "/keys").count();
    assert_eq!(asked, 1);
    keeping.abort();
}
