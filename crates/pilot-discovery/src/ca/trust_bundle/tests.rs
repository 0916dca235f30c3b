//! Which roots are believed, for whom, and what stays when a source fails.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::SystemTime;

use identity::authority::{Authority, Limits, Request, San, SelfSigned};
use identity::csr::PublicKey;
use identity::key::{Kind, PrivateKey};
use testkit::eventually;

use super::*;
use crate::fetch::tests::{encrypted, ok};

const LIMIT: Duration = Duration::from_secs(120);

fn authority(name: &str) -> Authority {
    let options = SelfSigned { key: Kind::P256, ..SelfSigned::of(name) };
    Authority::self_signed(&options, Limits::default(), SystemTime::now()).unwrap()
}

fn mesh(entries: &[(Data, &[&str])]) -> Arc<MeshConfig> {
    let listed = entries.iter().map(|(data, domains)| Listed {
        trust_domains: domains.iter().map(ToString::to_string).collect(),
        certificate_data: Some(data.clone()),
        ..Listed::default()
    });
    Arc::new(MeshConfig { ca_certificates: listed.collect(), ..MeshConfig::default() })
}

fn pem(authority: &Authority) -> Data {
    Data::Pem(authority.bundle().to_pem())
}

/// The SPIFFE document of an authority.
fn document(authority: &Authority) -> String {
    let base64: String = authority.bundle().to_pem().lines().filter(|line| !line.starts_with('-')).collect();
    format!("{{\"keys\": [{{\"use\": \"x509-svid\", \"kty\": \"EC\", \"x5c\": [\"{base64}\"]}}]}}")
}

async fn shown(live: &Live, what: &str, wanted: impl Fn(&Live) -> bool) {
    eventually(what, LIMIT, async || wanted(live).then_some(())).await.unwrap();
}

#[tokio::test]
async fn roots_of_the_mesh_configuration_are_believed_as_it_says_and_follow_it() {
    let (own, open, theirs, given) =
        (authority("own"), authority("open"), authority("theirs"), authority("ra"));
    let live = Live::new(own.clone());
    let fixed = Others { anywhere: given.bundle().clone(), ..Others::default() };
    let (edit, config) = watch::channel(mesh(&[(pem(&open), &[]), (pem(&theirs), &["their.example"])]));
    let bundle = TrustBundle::new(live.clone(), fixed, true, config);
    let everywhere = own.bundle().merged(given.bundle()).merged(open.bundle());
    assert_eq!(*live.bundle(), everywhere, "before anybody is served");
    assert_eq!(live.bundle_for("their.example"), everywhere.merged(theirs.bundle()));
    assert!(!live.bundle_for("elsewhere.example").contains(theirs.certificate()));

    tokio::spawn(bundle.keep());
    // a certificate that is none of a CA, and one that is none: what was believed stays, the good ones are taken
    let key = PrivateKey::generate(Kind::P256).unwrap();
    let sans = [San::Dns("leaf.example".into())];
    let leaf = own.sign(
        &Request { key: &PublicKey::of(&key), sans: &sans, ttl: None, labels: None },
        SystemTime::now(),
    );
    let new = authority("new");
    let leaf = Data::Pem(leaf.unwrap().to_pem());
    edit.send_replace(mesh(&[(leaf, &[]), (Data::Pem("nonsense".into()), &[]), (pem(&new), &[])]));
    shown(&live, "the new root", |live| live.bundle().contains(new.certificate())).await;
    assert!(live.bundle().contains(open.certificate()));
    assert!(live.bundle_for("their.example").contains(theirs.certificate()));
    assert!(!live.every_root().roots().iter().any(|root| !root.is_ca()));

    edit.send_replace(mesh(&[]));
    let left = own.bundle().merged(given.bundle());
    shown(&live, "only what is left", |live| live.every_root() == left).await;
}

#[tokio::test]
async fn a_mesh_of_one_root_does_not_believe_others() {
    let (own, other, given) = (authority("own"), authority("other"), authority("ra"));
    let live = Live::new(own.clone());
    let (_edit, config) = watch::channel(mesh(&[(pem(&other), &[])]));
    let fixed = Others { anywhere: given.bundle().clone(), ..Others::default() };
    drop(TrustBundle::new(live.clone(), fixed, false, config));
    assert_eq!(live.every_root(), own.bundle().merged(given.bundle()));
}

#[tokio::test]
async fn a_spiffe_endpoint_is_asked_again_and_stays_believed_while_it_fails() {
    let (own, first, second) = (authority("own"), authority("first"), authority("second"));
    let (asked, well) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(true)));
    let documents = [document(&first), document(&second)];
    let page = {
        let (asked, well) = (asked.clone(), well.clone());
        move |_: &str| match (well.load(Ordering::SeqCst), asked.fetch_add(1, Ordering::SeqCst)) {
            (true, 0) => ok(&documents[0]),
            (true, _) => ok(&documents[1]),
            (false, _) => ok("{}"),
        }
    };
    let (url, ca) = encrypted(page).await;
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, ca.bundle().to_pem()).unwrap();
    let fetcher = Fetcher { roots: Some(roots), ..Fetcher::default() };
    let short = Duration::from_millis(20);
    let pace = Pace { every: short, retry: Policy { initial: short, max: short, ..Policy::default() } };

    let live = Live::new(own.clone());
    let plain = Data::SpiffeBundleUrl(url.replace("https:", "http:"));
    let endpoint = Data::SpiffeBundleUrl(format!("{url}/bundle"));
    let (edit, config) = watch::channel(mesh(&[(plain, &[]), (endpoint, &["their.example"])]));
    let bundle = TrustBundle::new(live.clone(), Others::default(), true, config).asking(fetcher, pace);
    tokio::spawn(bundle.keep());
    let of_theirs = |live: &Live| live.bundle_for("their.example");
    shown(&live, "the root it has now", |live| of_theirs(live).contains(second.certificate())).await;
    assert!(!of_theirs(&live).contains(first.certificate()), "what it says no longer is not believed");
    assert!(!live.bundle().contains(second.certificate()), "nor for others");

    well.store(false, Ordering::SeqCst);
    let now = asked.load(Ordering::SeqCst);
    shown(&live, "three failures", |_| asked.load(Ordering::SeqCst) > now + 3).await;
    assert!(of_theirs(&live).contains(second.certificate()));
    edit.send_replace(mesh(&[]));
    shown(&live, "no endpoint, no root", |live| live.every_root() == *own.bundle()).await;
}
