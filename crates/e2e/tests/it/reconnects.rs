//! Two thousand proxies that come back at once, each over TLS and with a token of its own that the API server judges.
#![expect(clippy::print_stdout, reason = "the figures are worth printing")]

use std::time::Duration;

use kube::Client;
use testkit::api_server::{ApiServer, objects};
use testkit::scripted::Scripted;
use tokio::sync::{mpsc, watch};
use xds::TypeUrl;

use crate::replica::Replica;
use crate::secured::{node, proxy, tokens, trusting};
use crate::stage::tell;

const PROXIES: usize = 2000;
const WITHIN: Duration = Duration::from_secs(400);
/// What a storm of those who come back may leave in memory that the first did not.
const GROWTH_KIB: u64 = 48 << 10;
const REVIEWS: &str = "citadel_server_token_review_count";

const MESH: &str = "\
{apiVersion: v1, kind: Namespace, metadata: {name: istio-system}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {ports: [{name: http, port: 80}]}
";

#[test]
fn two_thousand_proxies_come_back_at_once_over_tls_with_tokens_and_none_is_refused_for_good() {
    tell(storms());
}

/// The endpoint of the service, at an address that says a number.
async fn move_to(client: &Client, number: usize) {
    let slice = format!(
        "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: cart-1, namespace: shop, \
         labels: {{kubernetes.io/service-name: cart}}}}, addressType: IPv4, endpoints: [{{addresses: [10.1.0.{number}]}}], \
         ports: [{{name: http, port: 8080}}]}}"
    );
    objects::apply(client, &slice).await.unwrap();
}

fn knows(proxy: &Scripted, number: usize) -> bool {
    let address = format!("10.1.0.{number}");
    let held = proxy.held(&TypeUrl::Endpoint);
    let there = held
        .get("outbound|80||cart.shop.svc.cluster.local")
        .is_some_and(|held| held.body.windows(address.len()).any(|part| part == address.as_bytes()));
    there && !proxy.held(&TypeUrl::Listener).is_empty() && proxy.held(&TypeUrl::Route).contains_key("80")
}

/// Connects with each storm, and says when it has everything, and how often it was turned away.
async fn follow(
    mut proxy: Scripted,
    mut storms: watch::Receiver<usize>,
    done: mpsc::Sender<(usize, usize)>,
) -> Result<(), String> {
    loop {
        let storm = *storms.borrow_and_update();
        proxy.wait_until(|proxy| knows(proxy, storm), WITHIN).await?;
        let _ = done.send((storm, proxy.disconnects().len())).await;
        if storms.changed().await.is_err() {
            return Ok(());
        }
        proxy.cut();
    }
}

/// Waits until every proxy has everything: how often they were turned away in all.
async fn all_done(reports: &mut mpsc::Receiver<(usize, usize)>, storm: usize) -> usize {
    let deadline = tokio::time::Instant::now() + WITHIN;
    let (mut left, mut turned_away) = (PROXIES, 0);
    while left > 0 {
        match tokio::time::timeout_at(deadline, reports.recv()).await {
            Ok(Some((of, times))) if of == storm => {
                left -= 1;
                turned_away += times;
            }
            Ok(Some(_)) => {}
            _ => panic!("{left} proxies do not have everything after storm {storm}"),
        }
    }
    turned_away
}

async fn storms() {
    let (server, directory) = (ApiServer::start().await.unwrap(), tempfile::tempdir().unwrap());
    let client = server.client().await.unwrap();
    objects::apply(&client, MESH).await.unwrap();
    move_to(&client, 1).await;
    let kubeconfig = directory.path().join("kubeconfig");
    std::fs::write(&kubeconfig, server.kubeconfig().unwrap()).unwrap();
    let place = directory.path().to_owned();
    let starting = tokio::task::spawn_blocking(move || Replica::start(&place, &kubeconfig, "istiod-a"));
    let (plane, tokens) = tokio::join!(starting, tokens(&client, "shop", "web", PROXIES));
    let plane = plane.unwrap();
    let trust = trusting(&client).await;

    let (announce, storms) = watch::channel(1);
    let (done, mut reports) = mpsc::channel(PROXIES);
    let mut following = tokio::task::JoinSet::new();
    for (index, token) in tokens.into_iter().enumerate() {
        let ip = format!("10.9.{}.{}", index / 250, index % 250 + 1);
        let node = node("sidecar", &ip, &format!("web-{index}"), "shop", "web");
        let proxy = proxy(&plane, &trust, node, &token);
        following.spawn(follow(proxy, storms.clone(), done.clone()));
    }
    let refused_first = all_done(&mut reports, 1).await;
    let (memory, reviews) = (plane.memory(), plane.counter(REVIEWS, "believed"));
    assert!((1..=PROXIES as u64).contains(&reviews), "{reviews} reviews: each token is reviewed once");
    let _ = announce.send(2);
    // what changes while nobody is connected is there when they come back
    move_to(&client, 2).await;
    let refused = all_done(&mut reports, 2).await - refused_first;
    let (after, again) = (plane.memory(), plane.counter(REVIEWS, "believed") - reviews);
    println!(
        "{PROXIES} proxies: {reviews} reviews, {again} when they came back, {memory} KiB, then {after}, {refused_first} \
         attempts put off, then {refused}"
    );
    assert!(again <= PROXIES as u64, "{again} reviews: each token is reviewed once a storm");
    assert_eq!(plane.counter(REVIEWS, "refused"), 0, "a good token was refused");
    assert!(after < memory + GROWTH_KIB, "memory grows with every storm: {memory} KiB, then {after}");
    drop(announce);
    while let Some(ended) = following.join_next().await {
        ended.unwrap().unwrap();
    }
}
