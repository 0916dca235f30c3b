//! Signers of every character on a real API server.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::SystemTime;

use futures_util::StreamExt as _;
use identity::Authority;
use identity::authority::{Request, San, SelfSigned};
use identity::key::{Kind, PrivateKey};
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};
use kube::api::{Api, ListParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use process::clock::Real;
use testkit::api_server::ApiServer;

use super::*;
use crate::ca::serving::default_names;

const CART: &str = "spiffe://cluster.local/ns/shop/sa/cart";
const DOMAIN: &str = "mesh.example";

type Requests = Api<CertificateSigningRequest>;

pub(crate) fn authority() -> Authority {
    let options = SelfSigned { key: Kind::P256, ..SelfSigned::of("somebody else") };
    Authority::self_signed(&options, Limits::default(), SystemTime::now()).unwrap()
}

/// What a signer answers; its name says its character.
fn answer(authority: &Authority, csr: &CertificateSigningRequest) -> Option<Result<String, String>> {
    let pem = String::from_utf8(csr.spec.request.0.clone()).unwrap();
    let character = csr.spec.signer_name.strip_prefix("mesh.example/")?;
    let key = match character {
        "wrong-key" => PublicKey::of(&PrivateKey::generate(Kind::P256).unwrap()),
        _ => PublicKey::from_csr_pem(&pem).unwrap(),
    };
    let uris = || Plain::from_csr_pem(&pem).unwrap().uris.into_iter().map(San::Uri).collect();
    let mut sans: Vec<San> = match character {
        "of-servers" => default_names("istio-system", "", &[]),
        "of-others" => vec![San::Dns("elsewhere.example".into())],
        _ => uris(),
    };
    if character == "generous" {
        sans.push(San::Dns("istiod.istio-system.svc".into()));
    }
    let ttl = csr.spec.expiration_seconds.map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap()));
    let wanted = Request { key: &key, sans: &sans, ttl, labels: None };
    let leaf = authority.sign(&wanted, SystemTime::now()).unwrap().to_pem();
    match character {
        "silent" => None,
        "unwilling" => Some(Err("not on a Sunday".to_owned())),
        "bare" => Some(Ok(leaf)),
        "stranger" => Some(Ok(format!("{leaf}{}", self::authority().certificate().to_pem()))),
        _ => Some(Ok(format!("{leaf}{}", authority.certificate().to_pem()))),
    }
}

/// Signs what is approved, as the controllers of signers do.
pub(crate) async fn sign(client: kube::Client, authority: Authority) {
    let requests: Requests = Api::all(client);
    let changes = watcher(requests.clone(), watcher::Config::default()).default_backoff();
    let mut changes = changes.applied_objects().boxed();
    let mut done = BTreeSet::new();
    while let Some(change) = changes.next().await {
        let Ok(mut csr) = change else { continue };
        let status = csr.status.clone().unwrap_or_default();
        let approved = status.conditions.iter().flatten().any(|c| c.type_ == "Approved");
        let name = csr.metadata.name.clone().unwrap();
        let Some(answer) = answer(&authority, &csr).filter(|_| approved && done.insert(name.clone())) else {
            continue;
        };
        let status = csr.status.get_or_insert_default();
        match answer {
            Ok(pem) => status.certificate = Some(ByteString(pem.into_bytes())),
            Err(why) => status.conditions.get_or_insert_default().push(CertificateSigningRequestCondition {
                type_: "Failed".to_owned(),
                status: "True".to_owned(),
                message: Some(why),
                ..CertificateSigningRequestCondition::default()
            }),
        }
        if requests.replace_status(&name, &PostParams::default(), &csr).await.is_err() {
            // somebody else has changed it, which is another change
            done.remove(&name);
        }
    }
}

fn rules() -> Rules {
    let (signer, domain) = (format!("{DOMAIN}/honest"), DOMAIN.to_owned());
    Rules { signer, domain, roots: None, limits: Limits::default(), patience: Duration::from_secs(120) }
}

fn signer_with(client: &kube::Client, rules: Rules, root_of: Box<RootOf>) -> KubernetesSigner {
    KubernetesSigner::new(client.clone(), rules, root_of, Arc::new(Real::new()))
}

/// What the workload `cart` gets if it asks `signer` for `names`.
async fn ask(
    by: &KubernetesSigner,
    signer: &str,
    names: &[&str],
    ttl: Option<Duration>,
) -> Result<Vec<String>, Error> {
    let key = PrivateKey::generate(Kind::P256).unwrap();
    let sans: Vec<San> = names.iter().map(|name| San::Uri((*name).to_owned())).collect();
    let csr = csr::make(&key, &sans).unwrap();
    let ids = [CART.parse().unwrap()];
    by.sign(&Wanted { csr: &csr, key: &PublicKey::of(&key), ids: &ids, ttl, signer }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_sign_for_workloads_and_are_believed_as_far_as_they_can_be_verified() {
    let server = ApiServer::start().await.unwrap();
    let client = server.client().await.unwrap();
    let theirs = authority();
    let signing = tokio::spawn(sign(client.clone(), theirs.clone()));
    let requests: Requests = Api::all(client.clone());
    let hour = Some(Duration::from_secs(3600));
    let root = theirs.certificate().to_pem();

    let nothing: fn() -> Box<RootOf> = || Box::new(|_| None);
    let by = signer_with(&client, rules(), nothing());
    for signer in ["", "honest"] {
        let chain = ask(&by, signer, &[CART], hour).await.unwrap();
        assert_eq!((chain.len(), &chain[1]), (2, &root), "leaf and root");
        let leaf = &parse_chain(&chain[0]).unwrap()[0];
        assert_eq!(leaf.uris(), [CART]);
        let left = leaf.not_after().duration_since(SystemTime::now()).unwrap();
        assert!(left <= Duration::from_secs(3600) && left > Duration::from_secs(3000), "{left:?}");
    }
    for (signer, why) in [
        ("wrong-key", "another key"),
        ("generous", "other names"),
        ("bare", "no root"),
        ("stranger", "not signed by a trusted root"),
        ("unwilling", "not on a Sunday"),
    ] {
        let error = ask(&by, signer, &[CART], hour).await.unwrap_err();
        assert!(error.to_string().contains(why), "{signer}: {error}");
    }

    // a root that is known: by the mesh configuration for one signer, or for all of them
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (told, mesh_root) = (asked.clone(), root.clone());
    let of_mesh: Box<RootOf> = Box::new(move |signer| {
        told.lock().unwrap().push(signer.to_owned());
        (signer == "mesh.example/bare").then(|| mesh_root.clone())
    });
    let chain = ask(&signer_with(&client, rules(), of_mesh), "bare", &[CART], None).await.unwrap();
    assert_eq!(chain[1], root);
    assert_eq!(*asked.lock().unwrap(), ["mesh.example/bare"]);
    let roots = Some(Bundle::from_pem(&authority().certificate().to_pem()).unwrap());
    let strict = signer_with(&client, Rules { roots, ..rules() }, nothing());
    let error = ask(&strict, "honest", &[CART], hour).await.unwrap_err();
    assert!(error.to_string().contains("not signed by a trusted root"), "{error}");

    // one that does not answer is given up
    let hasty = signer_with(&client, Rules { patience: Duration::from_millis(500), ..rules() }, nothing());
    let error = ask(&hasty, "silent", &[CART], hour).await.unwrap_err();
    assert_eq!(error.kind(), ("CERT_GEN_ERROR", Code::Unavailable), "{error}");
    // one of the API server's own rules
    let error = ask(&by, "honest", &[CART], Some(Duration::from_secs(10))).await.unwrap_err();
    assert!(matches!(&error, Error::Refused(why) if why.contains("expirationSeconds")), "{error}");
    // one that was given up before it was answered is removed, too, which the API server may do in another order
    let none = testkit::eventually("no request is left behind", PATIENCE, async || {
        requests.list(&ListParams::default()).await.ok()?.items.is_empty().then_some(())
    });
    none.await.unwrap();
    signing.abort();
}

#[tokio::test]
async fn nobody_is_given_a_request_for_somebody_elses_name() {
    let nowhere = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
    let client = kube::Client::try_from(nowhere).unwrap();
    let by = signer_with(&client, rules(), Box::new(|_| None));
    for names in [
        vec!["spiffe://cluster.local/ns/bank/sa/admin"],
        vec![CART, "spiffe://cluster.local/ns/bank/sa/admin"],
    ] {
        let error = ask(&by, "", &names, None).await.unwrap_err();
        assert_eq!(error.kind(), ("CSR_ERROR", Code::InvalidArgument), "{error}");
    }
    assert!(matches!(ask(&by, "", &[], None).await, Err(Error::Request(csr::Error::Beyond(_)))));
    let long = ask(&by, "", &[CART], Some(Duration::from_secs(91 * 24 * 3600))).await.unwrap_err();
    assert_eq!(long.kind(), ("TTL_ERROR", Code::InvalidArgument));
    let fixed = signer_with(&client, Rules { domain: String::new(), ..rules() }, Box::new(|_| None));
    let chosen = ask(&fixed, "mine", &[CART], None).await.unwrap_err();
    assert!(chosen.to_string().contains("CERT_SIGNER_DOMAIN"), "{chosen}");
    let unset = signer_with(&client, Rules { signer: String::new(), ..rules() }, Box::new(|_| None));
    assert!(ask(&unset, "", &[CART], None).await.unwrap_err().to_string().contains("K8S_SIGNER"));
    let away = ask(&by, "", &[CART], None).await.unwrap_err();
    assert_eq!(away.kind(), ("CERT_GEN_ERROR", Code::Unavailable), "{away}");
}
