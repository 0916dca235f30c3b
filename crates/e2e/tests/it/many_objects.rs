//! Ten thousand pods and a thousand services that are there at the start, and five thousand Secrets that come at once.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use serde_json::{Value, json};
use testkit::api_server::{ApiServer, objects};
use testkit::check;
use testkit::eventually;
use testkit::scripted::Scripted;
use xds::TypeUrl;

use crate::replica::Replica;
use crate::secured::{may_read_secrets, namespaces, node, proxy, tokens, trusting};
use crate::stage::tell;

const WITHIN: Duration = Duration::from_secs(120);
const SERVICES: usize = 1000;
const PODS_EACH: usize = 10;
/// What a pod may take of the memory of the control plane, with all that is deduced of it and what reading it left behind.
const POD_BYTES: u64 = 5 << 10;
const SECRETS: usize = 5000;
/// Of these a gateway wants every so many-th.
const WANTED_EACH: usize = 50;
/// What the Secrets may leave in memory: their own bytes a few times.
const SECRETS_KIB: u64 = 64 << 10;

/// Tells a story on an API server of its own.
fn in_cluster(story: impl AsyncFnOnce(ApiServer, &Path)) {
    tell(async {
        let (server, directory) = (ApiServer::start().await.unwrap(), tempfile::tempdir().unwrap());
        let kubeconfig = directory.path().join("kubeconfig");
        std::fs::write(kubeconfig, server.kubeconfig().unwrap()).unwrap();
        story(server, directory.path()).await;
    });
}

async fn started(directory: &Path) -> Replica {
    let directory = directory.to_owned();
    let start = move || Replica::start(&directory, &directory.join("kubeconfig"), "istiod-a");
    tokio::task::spawn_blocking(start).await.unwrap()
}

fn service(index: usize) -> Value {
    let [high, low] = u16::try_from(index).unwrap().to_be_bytes();
    let ip = format!("10.97.{high}.{low}");
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": format!("s{index}"), "namespace": "many"},
        "spec": {
            "clusterIP": ip, "clusterIPs": [ip], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
            "selector": {"app": format!("s{index}")},
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}],
        },
    })
}

fn address(service: usize, pod: usize) -> String {
    let [high, low] = u16::try_from(service).unwrap().to_be_bytes();
    format!("10.{}.{high}.{low}", 100 + pod)
}

fn pod(service: usize, pod: usize) -> Value {
    let (app, ip) = (format!("s{service}"), address(service, pod));
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("{app}-{pod}"), "namespace": "many",
            "labels": {"app": app, "version": "v1", "pod-template-hash": "5d8c7f"},
        },
        "spec": {
            "serviceAccountName": app, "nodeName": format!("node-{pod}"),
            "containers": [{"name": "app", "image": "app", "ports": [{"containerPort": 8080}]}],
        },
        "status": {
            "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    })
}

fn slice(service: usize) -> Value {
    let endpoint = |pod: usize| {
        json!({
            "addresses": [address(service, pod)], "conditions": {"ready": true},
            "targetRef": {"kind": "Pod", "name": format!("s{service}-{pod}"), "namespace": "many"},
        })
    };
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("s{service}-1"), "namespace": "many",
            "labels": {"kubernetes.io/service-name": format!("s{service}")},
        },
        "addressType": "IPv4",
        "endpoints": (0..PODS_EACH).map(endpoint).collect::<Vec<_>>(),
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    })
}

/// How many services a proxy has with all their endpoints.
fn complete(proxy: &Scripted) -> usize {
    let names: Vec<String> = proxy.held(&TypeUrl::Endpoint).keys().map(ToString::to_string).collect();
    let endpoints = |name: &String| -> usize {
        let assignment: ClusterLoadAssignment = proxy.get(&TypeUrl::Endpoint, name).unwrap_or_default();
        assignment.endpoints.iter().map(|group| group.lb_endpoints.len()).sum()
    };
    names.iter().filter(|name| name.contains(".many.svc.") && endpoints(name) == PODS_EACH).count()
}

#[test]
fn ten_thousand_pods_and_a_thousand_services_are_all_there_before_anybody_is_served() {
    in_cluster(async |server, directory| {
        let client = server.client().await.unwrap();
        namespaces(&client, &["istio-system", "many"]).await;
        let services: Vec<Value> = (0..SERVICES).flat_map(|index| [service(index), slice(index)]).collect();
        server.store(&services).unwrap();
        let plane = started(directory).await;
        let without = plane.memory();
        let pods: Vec<Value> =
            (0..SERVICES).flat_map(|service| (0..PODS_EACH).map(move |index| pod(service, index))).collect();
        server.store(&pods).unwrap();
        let told = r#"type="Pods",event="add""#;
        let all = async || (plane.look("pilot_k8s_reg_events", told)? == pods.len() as u64).then_some(());
        eventually("every pod is told", WITHIN, all).await.unwrap();
        // what was needed to read them goes back to the system a moment later
        let per_pod = || plane.memory().saturating_sub(without) * 1024 / pods.len() as u64;
        let settled = async || (per_pod() <= POD_BYTES).then_some(());
        let settled = eventually("a pod takes little memory", WITHIN, settled).await;
        println!("{} bytes of memory per pod", per_pod());
        settled.unwrap_or_else(|late| panic!("{late}: {} bytes", per_pod()));
        drop(plane);

        // the same at a start: who is served first has all of it, once
        let begun = Instant::now();
        let plane = started(directory).await;
        let address = plane.plain.to_string();
        let mut first = Scripted::tcp(&address, check::node("sidecar", "10.9.0.1", "client", "many", &[]));
        let all = |proxy: &Scripted| proxy.count(&TypeUrl::Endpoint).resources >= SERVICES;
        first.wait_until(all, WITHIN).await.unwrap();
        assert_eq!(complete(&first), SERVICES);
        let clusters = first.count(&TypeUrl::Cluster);
        assert_eq!(clusters.messages, 1, "nothing came after the first answer: {clusters:?}");
        assert!(clusters.resources >= SERVICES, "{clusters:?}");
        // one for all of it, and a few for what we write into the cluster ourselves; the locks there are renewed every few
        // seconds, for as long as it takes
        let commits = plane.counter("pilot_pushcontext_init_seconds_count", "");
        let seconds = begun.elapsed().as_secs();
        assert!((1..=10 + seconds).contains(&commits), "{commits} commits in {seconds} s");
    });
}

/// A Secret whose content says its number.
fn secret(index: usize) -> Value {
    let text = |what: &str| BASE64_STANDARD.encode(format!("{what} {index}"));
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": format!("cert-{index}"), "namespace": "edge"},
        "data": {"tls.crt": text("CERTIFICATE"), "tls.key": text("KEY")},
    })
}

fn gateway() -> String {
    let servers: Vec<Value> = (0..SECRETS)
        .step_by(WANTED_EACH)
        .map(|index| {
            json!({
                "port": {"number": 443, "name": format!("https-{index}"), "protocol": "HTTPS"},
                "hosts": [format!("h{index}.example")],
                "tls": {"mode": "SIMPLE", "credentialName": format!("cert-{index}")},
            })
        })
        .collect();
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": {"name": "edge", "namespace": "edge"},
        "spec": {"selector": {"app": "edge"}, "servers": servers},
    })
    .to_string()
}

#[test]
fn of_five_thousand_secrets_that_come_at_once_each_gateway_gets_its_own_and_nobody_else_anything() {
    in_cluster(async |server, directory| {
        let client = server.client().await.unwrap();
        namespaces(&client, &["istio-system", "edge", "shop"]).await;
        objects::apply(&client, &gateway()).await.unwrap();
        may_read_secrets(&client, "edge", "edge").await;
        let (edge, web) = (tokens(&client, "edge", "edge", 1).await, tokens(&client, "shop", "web", 1).await);
        let plane = started(directory).await;
        let trust = trusting(&client).await;
        let mut gateway =
            proxy(&plane, &trust, node("router", "10.9.0.1", "edge-1", "edge", "edge"), &edge[0]);
        let mut sidecar = proxy(&plane, &trust, node("sidecar", "10.9.0.2", "web-1", "shop", "web"), &web[0]);
        let begun = |proxy: &Scripted| !proxy.held(&TypeUrl::Listener).is_empty();
        gateway.wait_until(begun, WITHIN).await.unwrap();
        sidecar.wait_until(begun, WITHIN).await.unwrap();
        let began = Instant::now();
        let (before, commits) = (plane.memory(), plane.counter("pilot_pushcontext_init_seconds_count", ""));
        let quiet = [TypeUrl::Cluster, TypeUrl::Listener, TypeUrl::Route, TypeUrl::Secret];
        let counts = |proxy: &Scripted| quiet.clone().map(|of| proxy.count(&of).resources);
        let known = counts(&sidecar);

        server.store(&(0..SECRETS).map(secret).collect::<Vec<_>>()).unwrap();
        let wanted: BTreeSet<String> =
            (0..SECRETS).step_by(WANTED_EACH).map(|index| format!("kubernetes://cert-{index}")).collect();
        let all = |proxy: &Scripted| proxy.held(&TypeUrl::Secret).len() >= wanted.len();
        gateway.wait_until(all, WITHIN).await.unwrap();
        let held = gateway.held(&TypeUrl::Secret);
        assert_eq!(held.keys().map(ToString::to_string).collect::<BTreeSet<_>>(), wanted);
        for (name, held) in held {
            let number = name.rsplit('-').next().unwrap();
            let says = |what: &str| {
                let text = format!("{what} {number}");
                held.body.windows(text.len()).any(|part| part == text.as_bytes())
            };
            assert!(says("CERTIFICATE") && says("KEY"), "{name} is another one");
        }
        // a change that everybody sees, to know that nothing more is to come
        objects::apply(&client, "{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: end, namespace: shop}, \
             spec: {hosts: [end.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}}")
            .await
            .unwrap();
        let end = |proxy: &Scripted| proxy.held(&TypeUrl::Cluster).contains_key("outbound|80||end.example");
        sidecar.wait_until(end, WITHIN).await.unwrap();
        assert_eq!(
            counts(&sidecar)[0],
            known[0] + 1,
            "the clusters of a sidecar have nothing to do with Secrets"
        );
        assert_eq!(counts(&sidecar)[3], 0, "a sidecar got a Secret");
        let sent = gateway.count(&TypeUrl::Secret);
        assert_eq!(sent.resources, wanted.len(), "each is sent once: {sent:?}");
        let commits = plane.counter("pilot_pushcontext_init_seconds_count", "") - commits;
        let grown = plane.memory().saturating_sub(before);
        println!(
            "{SECRETS} Secrets: {commits} commits, {} responses to the gateway, {grown} KiB more",
            sent.messages
        );
        // beside them the locks in the cluster are renewed every few seconds, for as long as it takes
        let seconds = began.elapsed().as_secs();
        assert!(commits <= 40 + seconds, "they are gathered: {commits} commits in {seconds} s");
        assert!(grown < SECRETS_KIB, "{grown} KiB");
    });
}
