//! Replicas of a control plane on a real API server; only the clock is ours.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use identity::Authority;
use identity::authority::{Limits, San, SelfSigned};
use identity::key::Kind;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use process::clock::Virtual;
use process::metrics::Metrics;
use serde_json::json;
use testkit::api_server::ApiServer;

use super::*;
use crate::ca::Ca;
use crate::ca::live::Live;
use crate::ca::state::{Checks, Options, State};
use crate::ca::{Own, Policy, Source};

const DAY: Duration = Duration::from_secs(24 * 3600);
const NAMESPACE: &str = "istio-system";

fn root() -> SelfSigned {
    SelfSigned { key: Kind::P256, ttl: 100 * DAY, ..SelfSigned::of("cluster.local") }
}

fn options(client: &kube::Client, cacerts: bool) -> Options {
    let store = InSecret::new(client.clone(), NAMESPACE, cacerts, Handle::current());
    // a folder that cannot be written: nothing may be kept there
    let nowhere = Path::new("/dev/null/nowhere");
    Options { store: Arc::new(store), root: root(), ..Options::in_dir(nowhere, "cluster.local") }
}

/// As the program does it: off the async workers.
async fn off<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

async fn open(options: Options, now: SystemTime) -> Result<(Arc<State>, Live), Error> {
    let (state, authority) = off(move || State::open(options, now)).await?;
    Ok((Arc::new(state), Live::new(authority)))
}

async fn tick(replica: &(Arc<State>, Live), now: SystemTime) -> Result<bool, Error> {
    let (state, live) = replica.clone();
    off(move || state.tick(&live, now)).await
}

async fn cluster() -> (ApiServer, kube::Client, Api<Secret>) {
    let server = ApiServer::start().await.unwrap();
    let client = server.client().await.unwrap();
    let space: Namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}})).unwrap();
    Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &space).await.unwrap();
    let secrets = Api::namespaced(client.clone(), NAMESPACE);
    (server, client, secrets)
}

fn text(secret: &Secret, key: &str) -> String {
    String::from_utf8(secret.data.as_ref().unwrap()[key].0.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operators_secret_is_plugged_in_where_no_files_are() {
    let (_server, client, secrets) = cluster().await;
    let (now, folder) = (SystemTime::now(), tempfile::tempdir().unwrap());
    let mounted = folder.path().join("etc/cacerts");
    let remote =
        || Options { plugged: Some(mounted.clone()), plugged_from_store: true, ..options(&client, false) };
    let own = open(remote(), now).await.unwrap().1.authority().unwrap();
    assert!(
        !mounted.exists() && secrets.get_opt("istio-ca-secret").await.unwrap().is_some(),
        "nothing to plug in"
    );

    let operators = Authority::self_signed(&root(), Limits::default(), now).unwrap();
    let texts = Texts::of(&operators);
    let secret = json!({"metadata": {"name": "cacerts"}, "stringData": {
        "ca-cert.pem": texts.ca_cert, "ca-key.pem": texts.ca_key.as_str(), "root-cert.pem": texts.root_cert, "cert-chain.pem": "",
    }});
    secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    let without = Options { plugged_from_store: false, ..remote() };
    assert_eq!(open(without, now).await.unwrap().1.authority().unwrap().certificate(), own.certificate());
    let plugged = open(remote(), now).await.unwrap().1.authority().unwrap();
    assert_eq!(plugged.certificate(), operators.certificate());
    let mode = |path: &Path| {
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions()) & 0o777
    };
    assert_eq!((mode(&mounted), mode(&mounted.join("ca-key.pem"))), (0o700, 0o600));

    // what is complete here is not written over
    let here = Texts::of(&Authority::self_signed(&root(), Limits::default(), now).unwrap());
    for (name, text) in [
        ("ca-cert.pem", &here.ca_cert),
        ("ca-key.pem", &here.ca_key.as_str().to_owned()),
        ("root-cert.pem", &here.root_cert),
    ] {
        std::fs::write(mounted.join(name), text).unwrap();
    }
    let kept = open(remote(), now).await.unwrap().1.authority().unwrap();
    assert_eq!(kept.certificate().to_pem(), here.ca_cert);

    let nowhere = Options { plugged: Some("/dev/null/cacerts".into()), ..remote() };
    let error = open(nowhere, now).await.map(drop).unwrap_err().to_string();
    assert!(error.contains("ROOT_CA_DIR"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_share_one_root_and_each_notices_that_another_has_renewed_it() {
    let (mut server, client, secrets) = cluster().await;
    let now = SystemTime::now();

    // many that start at once end up with one root
    let opening = (0..6).map(|_| open(options(&client, false), now));
    let replicas: Vec<_> =
        futures_util::future::join_all(opening).await.into_iter().map(Result::unwrap).collect();
    let first = replicas[0].1.authority().unwrap();
    assert!(replicas.iter().all(|(_, live)| live.authority().unwrap().certificate() == first.certificate()));
    let secret = secrets.get("istio-ca-secret").await.unwrap();
    assert_eq!(secret.type_.as_deref(), Some("istio.io/ca-root"));
    let keys: Vec<_> = secret.data.as_ref().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["ca-cert.pem", "ca-key.pem", "cert-chain.pem", "key.pem", "root-cert.pem"]);
    assert_eq!(text(&secret, "ca-cert.pem"), first.certificate().to_pem());
    assert!(!tick(&replicas[0], now + DAY).await.unwrap(), "nothing to do");

    let behind = open(options(&client, false), now - Duration::from_secs(60)).await.unwrap();
    assert_eq!(behind.1.authority().unwrap().certificate(), first.certificate(), "clocks differ");

    // one renews it, however many try at once; the others take it over
    let late = now + 90 * DAY;
    let ticks = futures_util::future::join_all(replicas.iter().map(|replica| tick(replica, late))).await;
    assert!(ticks.iter().any(|rotated| matches!(rotated, Ok(true))), "{ticks:?}");
    for replica in &replicas {
        tick(replica, late).await.unwrap();
    }
    let second = replicas[0].1.authority().unwrap();
    assert_ne!(second.certificate(), first.certificate());
    assert_eq!(second.key().spki_der(), first.key().spki_der());
    for (_, live) in &replicas {
        assert_eq!(live.authority().unwrap().certificate(), second.certificate());
        assert!(
            live.authority().unwrap().bundle().contains(first.certificate()),
            "whoever has an old certificate is believed"
        );
    }
    let restarted = open(options(&client, false), late).await.unwrap().1.authority().unwrap();
    assert_eq!(restarted.certificate(), second.certificate());
    assert!(restarted.bundle().contains(first.certificate()));

    // a store that is away or empty ends nothing, and never makes a new root behind the back of those that run
    secrets.delete("istio-ca-secret", &kube::api::DeleteParams::default()).await.unwrap();
    assert!(matches!(tick(&replicas[0], late).await, Err(Error::Gone { .. })));
    server.kill();
    assert!(matches!(tick(&replicas[0], late).await, Err(Error::Cluster { temporary: true, .. })));
    assert!(matches!(open(options(&client, false), late).await, Err(Error::Cluster { temporary: true, .. })));
    assert_eq!(replicas[0].1.authority().unwrap().certificate(), second.certificate());
}

/// What istiod leaves: after a rotation, `root-cert.pem` is still the first root, and its key is of PKCS#1.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_secret_of_an_istiod_is_gone_on_with() {
    let (_server, client, secrets) = cluster().await;
    let now = SystemTime::now();
    let first = Authority::self_signed(&root(), Limits::default(), now).unwrap();
    let second = first.rotate(&root(), now + DAY).unwrap();
    let data = json!({
        "ca-cert.pem": second.certificate().to_pem(), "ca-key.pem": first.key().to_pkcs8_pem().as_str(),
        "root-cert.pem": first.certificate().to_pem(), "cert-chain.pem": "", "key.pem": "",
    });
    let secret = json!({"metadata": {"name": "istio-ca-secret", "labels": {"kept": "yes"}}, "stringData": data, "type": "istio.io/ca-root"});
    secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();

    let replica = open(options(&client, true), now + DAY).await.unwrap();
    let found = replica.1.authority().unwrap();
    assert_eq!(found.certificate(), second.certificate(), "before a Secret cacerts is thought of");
    assert!(found.bundle().contains(first.certificate()));
    assert!(tick(&replica, now + 95 * DAY).await.unwrap());
    let kept = secrets.get("istio-ca-secret").await.unwrap();
    assert_eq!(text(&kept, "ca-cert.pem"), replica.1.authority().unwrap().certificate().to_pem());
    assert_eq!(kept.metadata.labels.unwrap()["kept"], "yes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_cannot_be_used_is_told_and_left_alone() {
    let (_server, client, secrets) = cluster().await;
    let now = SystemTime::now();
    let operators = Authority::self_signed(&root(), Limits::default(), now).unwrap();
    let foreign = json!({"metadata": {"name": "cacerts"}, "stringData": {
        "ca-cert.pem": operators.certificate().to_pem(), "ca-key.pem": operators.key().to_pkcs8_pem().as_str(),
    }});
    secrets.create(&PostParams::default(), &serde_json::from_value(foreign).unwrap()).await.unwrap();
    let error = open(options(&client, true), now).await.unwrap_err().to_string();
    assert!(error.contains("cacerts") && error.contains("ROOT_CA_DIR"), "{error}");
    secrets.delete("cacerts", &kube::api::DeleteParams::default()).await.unwrap();

    let made = open(options(&client, true), now).await.unwrap();
    let kept = secrets.get("cacerts").await.unwrap();
    assert!(kept.data.as_ref().unwrap().contains_key(GENERATED), "marked as ours");
    let again = open(options(&client, true), now).await.unwrap();
    assert_eq!(again.1.authority().unwrap().certificate(), made.1.authority().unwrap().certificate());

    let damaged = json!({"metadata": {"name": "istio-ca-secret"}, "stringData": {"ca-cert.pem": "nonsense"}});
    secrets.create(&PostParams::default(), &serde_json::from_value(damaged).unwrap()).await.unwrap();
    for cacerts in [true, false] {
        let error = open(options(&client, cacerts), now).await.unwrap_err();
        assert!(matches!(error, Error::Unusable { .. }), "{error}");
        assert!(error.to_string().contains("ca-key.pem: missing"), "{error}");
    }
    assert_eq!(text(&secrets.get("istio-ca-secret").await.unwrap(), "ca-cert.pem"), "nonsense");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_control_plane_mounts_of_its_own_is_no_plugged_in_ca() {
    let (_server, client, _) = cluster().await;
    let now = SystemTime::now();
    let made = open(options(&client, true), now).await.unwrap().1.authority().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let other = Authority::self_signed(&root(), Limits::default(), now).unwrap();
    for (name, text) in [
        ("ca-cert.pem", other.certificate().to_pem()),
        ("root-cert.pem", other.certificate().to_pem()),
        ("ca-key.pem", other.key().to_pkcs8_pem().as_str().to_owned()),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let mounted = Options {
        plugged: Some(folder.path().to_owned()),
        plugged_may_be_ours: true,
        checks: Some(Checks { first: DAY, ..Checks::default() }),
        ..options(&client, true)
    };
    let plugged = open(mounted.clone(), now).await.unwrap().1.authority().unwrap();
    assert_eq!(plugged.certificate(), other.certificate(), "not marked: an operator's");
    std::fs::write(folder.path().join(GENERATED), "").unwrap();
    let replica = open(mounted, now + 99 * DAY).await.unwrap();
    assert_eq!(replica.1.authority().unwrap().certificate(), made.certificate());
    assert!(!tick(&replica, now + 99 * DAY).await.unwrap(), "its first look is a day away");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_serving_certificate_is_renewed_though_the_store_is_away() {
    let (mut server, client, _) = cluster().await;
    let clock = Virtual::new(SystemTime::now());
    let source = Source::Authority(vec![San::Dns("localhost".into())]);
    let own = Some(Own { source, policy: Policy::default() });
    let (options, of_ca) = (Some(options(&client, false)), Arc::new(clock.clone()));
    let ca = off(move || Ca::open(options, own, of_ca, &Metrics::new())).await.unwrap();
    let before = ca.tls().unwrap().config();
    server.kill();
    clock.advance(50 * DAY);
    let ticked = {
        let ca = ca.clone();
        off(move || ca.tick()).await
    };
    assert!(ticked.unwrap_err().is_temporary());
    assert!(!Arc::ptr_eq(&before, &ca.tls().unwrap().config()));
}
