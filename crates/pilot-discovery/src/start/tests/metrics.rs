//! Every metric that is declared is on the page of a running control plane, and no other one.

use std::collections::BTreeMap;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Secret, Service, ServiceAccount};
use kube::api::{Api, PostParams};
use proto::istio::v1::auth::IstioCertificateRequest;
use proto::istio::v1::auth::istio_certificate_service_client::IstioCertificateServiceClient;
use serde_json::json;
use testkit::api_server::{ApiServer, objects};

use super::cluster::{apply, namespace, options_of, page};
use super::trust::connected;
use super::*;
use crate::metric_names;

/// What does not happen in this story: a plugged-in CA, another cluster, a Gateway's Secret that a proxy may not see.
const QUIET: &[&str] = &[
    "citadel_server_cert_chain_expiry_seconds",
    "citadel_server_cert_chain_expiry_timestamp",
    "istiod_remote_cluster_sync_status",
    "pilot_sds_access_review_count",
];

/// Of each metric on a page: its type, and the labels of its samples.
fn read(page: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut all: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    for line in page.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').unwrap();
            let twice = all.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
            assert!(twice.is_none(), "{name} is registered twice");
        }
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        let (sample, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = sample.trim_end_matches('}').split_once('{').unwrap_or((sample, ""));
        let of = |suffix: &str| name.strip_suffix(suffix).filter(|name| all.contains_key(*name));
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| of(suffix));
        let name = if all.contains_key(name) { name } else { of_histogram.unwrap_or(name) };
        let labels = labels.split("\",").filter_map(|pair| Some(pair.split_once("=\"")?.0.to_owned()));
        let labels = labels.filter(|label| label != "le");
        let entry = all.get_mut(name).unwrap_or_else(|| panic!("{line} has no type"));
        entry.1.extend(labels);
    }
    all
}

/// A token of an account in the namespace `shop`, for the control plane.
async fn token_of(client: &kube::Client, account: &str) -> String {
    apply::<ServiceAccount>(client, "shop", json!({"metadata": {"name": account}})).await;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "shop");
    let spec =
        TokenRequestSpec { audiences: Some(vec!["istio-ca".to_owned()]), ..TokenRequestSpec::default() };
    let wanted = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
    let made = accounts.create_token_request(account, &PostParams::default(), &wanted).await.unwrap();
    made.status.unwrap().token.unwrap()
}

/// What is declared is there, in that form, and nothing else.
fn are_all_declared(found: &BTreeMap<String, (String, BTreeSet<String>)>) {
    for metric in metric_names::ALL.iter().filter(|metric| !QUIET.contains(&metric.name)) {
        let Some((kind, labels)) = found.get(metric.name) else { panic!("{} is missing", metric.name) };
        assert_eq!(kind, metric.kind, "{}", metric.name);
        let declared =
            metric.labels.split(',').filter(|label| !label.is_empty()).map(str::to_owned).collect();
        assert_eq!(*labels, declared, "{}", metric.name);
    }
    for name in found.keys() {
        assert!(metric_names::ALL.iter().any(|metric| metric.name == name), "{name} is not declared");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_is_there_with_its_type_and_its_labels() {
    let mut server = ApiServer::start().await.unwrap();
    let client = server.client().await.unwrap();
    namespace(&client, "istio-system").await;
    namespace(&client, "shop").await;
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("xds.sock");
    let more = format!("--grpcAddr=unix://{}", socket.display());
    let running = start(options_of(&server, folder.path(), &more)).await.unwrap();

    // a proxy that refuses what it is sent, and answers what it was not
    let id = "sidecar~10.0.0.9~web.shop~shop.svc.cluster.local";
    let channel = dial::unix(socket)(0).await.unwrap();
    let node = Node { id: id.to_owned(), ..Node::default() };
    let mut stream = Stream::new(channel, Variant::Sotw, node, http::HeaderMap::new());
    let service = json!({"metadata": {"name": "cart"}, "spec": {"ports": [{"name": "http", "port": 80}]}});
    apply::<Service>(&client, "shop", service).await;
    page(&running, "/debug/registryz", |text| text.contains("cart.shop.svc.cluster.local")).await;
    let names = |of: &TypeUrl| match of {
        TypeUrl::Endpoint => vec!["outbound|80||cart.shop.svc.cluster.local".to_owned()],
        TypeUrl::Route => vec!["80".to_owned()],
        _ => Vec::new(),
    };
    for of in [TypeUrl::Cluster, TypeUrl::Endpoint, TypeUrl::Listener, TypeUrl::Route] {
        let names = names(&of);
        stream.subscribe(&of, &names.iter().map(String::as_str).collect::<Vec<_>>());
        let next = tokio::time::timeout(Duration::from_secs(120), stream.next());
        let response = next.await.expect("no answer").unwrap().expect("the stream ended");
        stream.answer(&response, Some("not like this"), &[]);
        let stale = RawResponse { nonce: "of another time".to_owned(), ..response };
        stream.answer(&stale, None, &[]);
    }
    stream.subscribe(&TypeUrl::Secret, &["kubernetes://missing"]);
    page(&running, "/metrics", |text| text.contains("pilot_sds_certificate_errors_total 1\n")).await;
    page(&running, "/metrics", |text| text.contains("pilot_xds_rds_reject{")).await;

    objects::apply(&client, &SERVICE.replace("{name: a}", "{name: a, namespace: shop}")).await.unwrap();
    page(&running, "/metrics", |text| text.contains("pilot_k8s_cfg_events{")).await;
    // the mesh configuration, and a caller of the certificate service that cannot prove anything
    let mesh = json!({"metadata": {"name": "istio"}, "data": {"mesh": "connectTimeout: 3s\n"}});
    apply::<k8s_openapi::api::core::v1::ConfigMap>(&client, "istio-system", mesh).await;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "istio-system");
    let root = secrets.get("istio-ca-secret").await.unwrap().data.unwrap()["root-cert.pem"].0.clone();
    let root = identity::Bundle::from_pem(std::str::from_utf8(&root).unwrap()).unwrap().roots()[0].clone();
    let connection = connected(&running, &root).await.unwrap();
    let mut connection = Some(hyper_util::rt::TokioIo::new(connection));
    let connect = tower::service_fn(move |_: http::Uri| {
        std::future::ready(connection.take().ok_or_else(|| std::io::Error::other("there is one")))
    });
    let endpoint = tonic::transport::Endpoint::from_static("http://istiod.istio-system.svc:15012");
    let channel = endpoint.connect_with_connector(connect).await.unwrap();
    let mut calls = IstioCertificateServiceClient::new(channel);
    let refused = calls.create_certificate(IstioCertificateRequest::default()).await;
    assert_eq!(refused.unwrap_err().code(), tonic::Code::Unauthenticated);
    let token = token_of(&client, "web").await;
    let mut ask = async |seconds: i64| {
        let key = identity::PrivateKey::generate(identity::key::Kind::P256).unwrap();
        let csr = identity::csr::make(&key, &[]).unwrap();
        let asked = IstioCertificateRequest { csr, validity_duration: seconds, metadata: None };
        let mut asked = tonic::Request::new(asked);
        asked.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        calls.create_certificate(asked).await
    };
    assert!(ask(3600).await.is_ok());
    assert!(ask(1_000_000_000).await.is_err(), "nobody gets one for thirty years");
    let other = json!({
        "metadata": {"name": "other", "labels": {"istio/multiCluster": "true"}},
        "stringData": {"other": "no kubeconfig"},
    });
    apply::<Secret>(&client, "istio-system", other).await;
    page(&running, "/metrics", |text| text.contains("remote_cluster_secret_events_total{")).await;
    page(&running, "/metrics", |text| text.contains("pilot_push_triggers{type=\"global\"}")).await;

    server.kill();
    page(&running, "/metrics", |text| text.contains("controller_sync_errors_total{")).await;
    are_all_declared(&read(&get(&running, 3, "/metrics").await.unwrap()));
    running.stop(Duration::from_secs(10)).await;
}
