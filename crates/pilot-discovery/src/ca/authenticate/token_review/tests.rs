//! Real tokens, judged by real API servers; only the clock is ours.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::api::{Api, DeleteParams, PostParams};
use kube::{Client, Config};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use testkit::api_server::ApiServer;

use super::{BELIEVED, KubernetesTokens, REFUSED, ReviewCounters, Reviewers, Rules};
use crate::ca::TrustDomain;
use crate::ca::authenticate::{Authenticator as _, Caller, Peer, Reason};

/// How long an API server may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn object<T: DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap()
}

/// The namespace `shop` with the accounts `cart` and `web`, and the pod `cart-0` of the first.
async fn shop(client: &Client) -> String {
    let post = PostParams::default();
    let space = object(json!({"metadata": {"name": "shop"}}));
    Api::<Namespace>::all(client.clone()).create(&post, &space).await.unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "shop");
    for name in ["cart", "web"] {
        accounts.create(&post, &object(json!({"metadata": {"name": name}}))).await.unwrap();
    }
    let pod = object(json!({"metadata": {"name": "cart-0"}, "spec": {
        "serviceAccountName": "cart", "nodeName": "n1", "containers": [{"name": "c", "image": "i"}],
    }}));
    let pod = Api::<Pod>::namespaced(client.clone(), "shop").create(&post, &pod).await.unwrap();
    pod.metadata.uid.unwrap()
}

async fn token(client: &Client, account: &str, spec: Value) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "shop");
    let asked: TokenRequest = object(json!({"metadata": {}, "spec": spec}));
    let made = accounts.create_token_request(account, &PostParams::default(), &asked).await.unwrap();
    made.status.unwrap().token.unwrap()
}

fn for_us() -> Value {
    json!({"audiences": ["istio-ca"]})
}

/// Clusters by id.
struct Clusters(BTreeMap<&'static str, Client>);

impl Reviewers for Clusters {
    fn client(&self, cluster: &str) -> Option<Client> {
        self.0.get(cluster).cloned()
    }

    fn clusters(&self) -> Vec<String> {
        self.0.keys().map(|id| (*id).to_owned()).collect()
    }
}

/// Believes these clusters, of which `one` is its own.
fn judge(clusters: Clusters) -> (KubernetesTokens, ReviewCounters) {
    let (counters, aliases) = (ReviewCounters::default(), Rules::aliases("uno=one,due=two").unwrap());
    let rules =
        Rules { own: "one".to_owned(), aliases, audiences: vec!["istio-ca".to_owned()], limit: PATIENCE };
    let trust_domain = TrustDomain::new("cluster.local");
    let judge = KubernetesTokens::new(Arc::new(clusters), rules, &trust_domain, counters.clone()).unwrap();
    (judge, counters)
}

fn of(cluster: &str, token: &str) -> Peer {
    let cluster = (!cluster.is_empty()).then(|| cluster.to_owned());
    Peer { bearer: Some(token.to_owned()), cluster, ..Peer::default() }
}

fn why(judged: Result<Caller, Reason>) -> String {
    match judged {
        Err(Reason::Unproven(why)) => why,
        other => panic!("want a refusal, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_worth_what_its_api_server_says_of_it() {
    let mut server = ApiServer::start().await.unwrap();
    let client = server.client().await.unwrap();
    let uid = shop(&client).await;
    let now = SystemTime::now();
    let (judge, counters) = judge(Clusters([("one", client.clone())].into()));
    let ask = async |token: &str, at: SystemTime| judge.authenticate(&of("", token), at).await;

    // one bound to a pod, many at once
    let bound = json!({"audiences": ["istio-ca"], "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "cart-0"}});
    let bound = token(&client, "cart", bound).await;
    let peer = of("uno", &bound);
    let all = futures_util::future::join_all((0..20).map(|_| judge.authenticate(&peer, now))).await;
    let caller = all[0].clone().unwrap();
    assert!(all.into_iter().all(|judged| judged.as_ref() == Ok(&caller)));
    assert_eq!(caller.identities.first().unwrap().to_string(), "spiffe://cluster.local/ns/shop/sa/cart");
    let pod = caller.pod.unwrap();
    assert_eq!(
        (pod.name.as_str(), pod.uid.as_str(), pod.node.as_deref()),
        ("cart-0", uid.as_str(), Some("n1"))
    );
    assert_eq!(counters.count("believed"), 1, "a review for all of them");
    let before = counters.remembered.get();
    assert!(ask(&bound, now + BELIEVED / 2).await.is_ok());
    let after = (counters.count("believed"), counters.remembered.get());
    assert_eq!(after, (1, before + 1), "the other name, the same cluster");

    let web = token(&client, "web", for_us()).await;
    assert!(ask(&web, now).await.unwrap().pod.is_none());
    let elsewhere = token(&client, "cart", json!({"audiences": ["https://kubernetes.default.svc"]})).await;
    assert!(why(ask(&elsewhere, now).await).contains("failed to validate the JWT from cluster \"one\""));
    assert!(why(ask("garbage", now).await).contains("cluster \"one\""));
    let refused = counters.count("refused");
    why(ask("garbage", now).await);
    assert_eq!(counters.count("refused"), refused, "remembered, too");
    why(ask("garbage", now + REFUSED).await);
    assert_eq!(counters.count("refused"), refused + 1, "for a moment");
    assert!(why(ask(&"x".repeat(20_000), now).await).contains("20000 bytes"));
    assert!(why(judge.authenticate(&Peer::default(), now).await).contains("no bearer token"));
    assert!(why(judge.authenticate(&of("mars", &web), now).await).contains("\"mars\", but only [\"one\"]"));

    // what was believed is believed for its moment, and then no more
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "shop");
    accounts.delete("web", &DeleteParams::default()).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(client.clone(), "shop");
    pods.delete("cart-0", &DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() })
        .await
        .unwrap();
    for (token, which) in [(&web, "account"), (&bound, "pod")] {
        assert!(ask(token, now).await.is_ok(), "{which}: still remembered");
        // the API server itself remembers for ten seconds whom it believed
        let mut later = now;
        let gone = testkit::eventually(which, PATIENCE, async || {
            later += BELIEVED;
            // on a busy machine it may be too late to say
            ask(token, later).await.err().filter(|why| matches!(why, Reason::Unproven(_)))
        });
        gone.await.unwrap();
    }

    server.kill();
    let other = ask("never seen before", now).await;
    assert!(matches!(&other, Err(Reason::Undecided(why)) if why.contains("not to be asked")), "{other:?}");
    assert!(counters.count("failed") > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_only_good_for_the_cluster_that_made_it() {
    let (one, two) = tokio::join!(ApiServer::start(), ApiServer::start());
    let (one, two) = (one.unwrap(), two.unwrap());
    let (first, second) = (one.client().await.unwrap(), two.client().await.unwrap());
    tokio::join!(shop(&first), shop(&second));
    let now = SystemTime::now();
    let (judge, counters) = judge(Clusters([("one", first.clone()), ("two", second.clone())].into()));
    let token = token(&second, "cart", for_us()).await;
    for cluster in ["two", "due"] {
        assert!(judge.authenticate(&of(cluster, &token), now).await.is_ok(), "{cluster}");
    }
    assert_eq!(counters.count("believed"), 1);
    for cluster in ["", "one", "uno"] {
        assert!(
            why(judge.authenticate(&of(cluster, &token), now).await).contains("cluster \"one\""),
            "{cluster}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_that_may_not_ask_says_so() {
    let server = ApiServer::start().await.unwrap();
    let client = server.client().await.unwrap();
    shop(&client).await;
    let mut config: Config = server.config().await.unwrap();
    config.auth_info.token = Some(token(&client, "web", json!({})).await.into());
    let (judge, _) = judge(Clusters([("one", Client::try_from(config).unwrap())].into()));
    let token = token(&client, "cart", for_us()).await;
    let judged = judge.authenticate(&of("", &token), SystemTime::now()).await;
    assert!(
        matches!(&judged, Err(Reason::Undecided(why)) if why.contains("system:auth-delegator")),
        "{judged:?}"
    );
}

#[test]
fn a_token_is_remembered_no_longer_than_it_lives() {
    let now = SystemTime::now();
    let believed = Ok(super::Account { namespace: "shop".into(), name: "cart".into(), pod: None });
    let key = identity::key::PrivateKey::generate(identity::key::Kind::P256).unwrap();
    let issuer = identity::token::Issuer::new("https://mesh", &key).unwrap();
    let lifetime = |lives: u64| {
        let token = issuer.mint("shop", "cart", "istio-ca", Duration::from_secs(lives), now).unwrap();
        super::lifetime(&token, &believed, now)
    };
    assert_eq!(lifetime(3600), BELIEVED);
    assert!(lifetime(9) <= Duration::from_secs(9) && lifetime(9) > Duration::from_secs(7));
    assert_eq!(super::lifetime("opaque", &believed, now), Duration::ZERO);
    let undecided = Err(Reason::Undecided(String::new()));
    assert_eq!(super::lifetime("opaque", &undecided, now), Duration::ZERO);
}

#[test]
fn lists_of_aliases_and_audiences_are_read() {
    let aliases = Rules::aliases("a=b, c=d,").unwrap();
    assert_eq!(aliases, [("a", "b"), ("c", "d")].map(|(a, b)| (a.to_owned(), b.to_owned())).into());
    for wrong in ["a", "a=", "=b"] {
        assert_eq!(Rules::aliases(wrong), Err(wrong.to_owned()));
    }
    assert_eq!(Rules::audiences("istio-ca, x,"), ["istio-ca", "x"]);
}
