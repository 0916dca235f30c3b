//! What Istio's own istioctl asks of a control plane on a discovery stream. As istioctl/pkg/xds/client.go and pkg/adsc.

use std::time::SystemTime;

use identity::key::{Kind as KeyKind, PrivateKey};
use identity::token::Issuer;
use prost::Message as _;
use proto::envoy::admin::v3::ClustersConfigDump;
use proto::envoy::service::status::v3::{ClientConfig, ConfigStatus};
use proto::google::protobuf::Struct;
use tonic::transport::Channel;

use super::upstream_agent::{ask, connect, control_plane, headers, next, node, rule_of, text};
use super::*;

const SYNCZ: &str = "istio.io/debug/syncz";
const DEBUG: &str = "istio.io/debug";
const CONFIG_DUMP: &str = "istio.io/debug/config_dump";

/// What adsc says of itself.
fn asker(namespace: &str) -> Node {
    let fields = [("GENERATOR", "event"), ("NAMESPACE", namespace), ("SERVICE_ACCOUNT", "default")];
    let fields = fields.map(|(key, value)| (key.to_owned(), text(value))).into();
    Node {
        id: "sidecar~10.9.9.9~test-1.default~default.svc.cluster.local".into(),
        metadata: Some(Struct { fields }),
        ..Node::default()
    }
}

/// One question on a stream of its own: the types and bodies of what is answered, or how the stream ended.
async fn asked(
    channel: &Channel,
    token: &str,
    namespace: &str,
    of: &str,
    names: &[&str],
) -> Result<Vec<(String, Vec<u8>)>, tonic::Status> {
    let mut stream = Stream::new(channel.clone(), Variant::Sotw, asker(namespace), headers(token));
    let mut request = ask(Variant::Sotw, &TypeUrl::parse(of), names, None);
    // adsc has a nonce in its first request already
    "2026-11-23 03:00:00".clone_into(&mut request.nonce);
    stream.send(request);
    let answer = tokio::time::timeout(Duration::from_secs(120), stream.next()).await.expect("no answer");
    let answer = answer?.expect("the stream ended");
    assert_eq!(answer.type_url.as_str(), of);
    assert!(answer.control_plane.contains("\"Component\":\"istiod\""), "{}", answer.control_plane);
    Ok(answer.resources.iter().map(|r| (r.type_url.to_string(), r.body.to_vec())).collect())
}

async fn page(channel: &Channel, token: &str, namespace: &str, page: &str) -> String {
    let answer = asked(channel, token, namespace, DEBUG, &[page]).await.unwrap();
    assert_eq!(answer.len(), 1);
    assert_eq!(answer[0].0, DEBUG);
    String::from_utf8(answer[0].1.clone()).unwrap()
}

/// The sidecar `web-1.default`, which has its clusters.
async fn proxy(channel: &Channel, token: &str) -> Stream {
    let mut node = node();
    let fields = &mut node.metadata.as_mut().unwrap().fields;
    fields.insert("PROXY_CONFIG".to_owned(), text("{}"));
    let mut stream = Stream::new(channel.clone(), Variant::Sotw, node, headers(token));
    stream.send(ask(Variant::Sotw, &TypeUrl::Cluster, &[], None));
    let response = next(&mut stream).await;
    stream.answer(&response, None, &[]);
    // behind the answer, so that this one tells that the other was read
    stream.send(ask(Variant::Sotw, &TypeUrl::Endpoint, &["outbound|80||web.example"], None));
    next(&mut stream).await;
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn istios_istioctl_sees_proxies_and_debug_pages() {
    let folder = tempfile::tempdir().unwrap();
    let issuer =
        Issuer::new("https://issuer.example", &PrivateKey::generate(KeyKind::P256).unwrap()).unwrap();
    let running = control_plane(folder.path(), &[("JWT_RULE", &rule_of(&issuer).await)], None).await;
    let root = fs::read(folder.path().join(".ca/root-cert.pem")).unwrap();
    let channel = connect(&root, &running).await;
    let mint = |namespace: &str, account: &str| {
        let hour = Duration::from_secs(3600);
        issuer.mint(namespace, account, "istio-ca", hour, SystemTime::now()).unwrap()
    };
    let ours = mint("istio-system", "default");
    // the issuer's keys may be under way
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    while let Err(status) = asked(&channel, &ours, "istio-system", SYNCZ, &[]).await {
        assert!(tokio::time::Instant::now() < deadline, "{status}");
    }
    let _stream = proxy(&channel, &mint("default", "web")).await;

    let answer = asked(&channel, &ours, "istio-system", SYNCZ, &[]).await.unwrap();
    assert_eq!(answer.len(), 1, "the proxy, and nobody who only asks");
    assert_eq!(answer[0].0, "type.googleapis.com/envoy.service.status.v3.ClientConfig");
    let config = ClientConfig::decode(&*answer[0].1).unwrap();
    assert_eq!(config.node.as_ref().unwrap().id, "web-1.default");
    let state = |of: &TypeUrl| {
        let found = config.generic_xds_configs.iter().find(|c| c.type_url == of.as_str()).unwrap();
        (found.config_status(), found.last_updated.is_some())
    };
    assert_eq!(state(&TypeUrl::Cluster), (ConfigStatus::Synced, true));
    assert_eq!(state(&TypeUrl::Endpoint), (ConfigStatus::Stale, true));

    let syncz = page(&channel, &ours, "istio-system", "syncz").await;
    assert!(syncz.contains("\"proxy\":\"web-1.default\""), "{syncz}");
    assert!(page(&channel, &ours, "istio-system", "edsz?proxyID=web-1").await.contains("web.example"));
    assert!(page(&channel, &ours, "istio-system", "edsz").await.contains("You must provide a proxyID"));
    assert!(page(&channel, &ours, "istio-system", "nothing").await.contains("404 page not found"));
    assert!(page(&channel, &ours, "istio-system", "list").await.contains("\"edsz\""));

    let dump = asked(&channel, &ours, "istio-system", CONFIG_DUMP, &["web-1.default"]).await.unwrap();
    let (_, clusters) = dump.iter().find(|(of, _)| of.ends_with("ClustersConfigDump")).unwrap();
    let clusters = ClustersConfigDump::decode(&**clusters).unwrap().dynamic_active_clusters;
    let names =
        clusters.iter().map(|c| String::from_utf8_lossy(&c.cluster.as_ref().unwrap().value).into_owned());
    assert!(names.into_iter().any(|body| body.contains("outbound|80||web.example")));
    assert!(dump.iter().any(|(of, _)| of.ends_with("ListenersConfigDump")));
    assert!(asked(&channel, &ours, "istio-system", CONFIG_DUMP, &["x"]).await.unwrap().is_empty());
    let refused = asked(&channel, &ours, "istio-system", DEBUG, &["syncz", "edsz"]).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused}");

    // others see a little, of their own proxies
    let theirs = mint("shop", "default");
    let refused = asked(&channel, &theirs, "shop", DEBUG, &["syncz"]).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied, "{refused}");
    assert!(page(&channel, &theirs, "shop", "edsz?proxyID=web-1").await.contains("Proxy not connected"));
    assert!(asked(&channel, &theirs, "shop", SYNCZ, &[]).await.unwrap().is_empty());
    assert!(asked(&channel, &theirs, "shop", CONFIG_DUMP, &["web-1.default"]).await.unwrap().is_empty());
    let neighbours = mint("default", "default");
    assert!(page(&channel, &neighbours, "default", "edsz?proxyID=web-1").await.contains("web.example"));
    assert_eq!(asked(&channel, &neighbours, "default", SYNCZ, &[]).await.unwrap().len(), 1);
    running.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_did_not_prove_who_it_is_is_told_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join(".xds.sock");
    let running = started(folder.path(), &format!("--grpcAddr=unix://{}", socket.display())).await;
    let channel = dial::unix(socket)(0).await.unwrap();
    for (of, names) in [(DEBUG, &["syncz"][..]), (SYNCZ, &[]), (CONFIG_DUMP, &["x"])] {
        let refused = asked(&channel, "none", "istio-system", of, names).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unauthenticated, "{of}: {refused}");
    }
    running.stop(Duration::from_secs(10)).await;
}
