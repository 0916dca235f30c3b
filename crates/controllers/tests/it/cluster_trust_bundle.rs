//! The mesh's roots as one object of the cluster.

use std::time::SystemTime;

use controllers::cluster_trust_bundle::{ClusterTrustBundle, NAME, SIGNER};
use identity::authority::{Authority, Limits, SelfSigned};
use identity::key::Kind;
use k8s_openapi::api::certificates::v1beta1::ClusterTrustBundle as Bundle;
use kube::api::{Api, DeleteParams};
use testkit::eventually;
use tokio::sync::watch;

use crate::cluster::{PATIENCE, control_plane, counting, shared};

fn root() -> String {
    let options = SelfSigned { key: Kind::P256, ..SelfSigned::of("cluster.local") };
    let authority = Authority::self_signed(&options, Limits::default(), SystemTime::now()).unwrap();
    authority.bundle().to_pem()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cluster_has_the_roots_and_they_are_written_when_they_differ() {
    let server = shared().await;
    let (client, writes) = counting(control_plane(&server, "trust-istiod").await);
    let bundles: Api<Bundle> = Api::all(server.client().await.unwrap());
    let (one, two) = (root(), root());
    let (roots, known) = watch::channel(one.clone());
    let running = tokio::spawn(ClusterTrustBundle::new(client.clone(), known.clone()).run());
    let until = async |pem: &str| {
        let look = async || bundles.get(NAME).await.ok().filter(|bundle| bundle.spec.trust_bundle == pem);
        eventually("the bundle has these roots", PATIENCE, look).await.unwrap()
    };
    assert_eq!(until(&one).await.spec.signer_name.as_deref(), Some(SIGNER));
    roots.send(two.clone()).unwrap();
    until(&two).await;
    bundles.delete(NAME, &DeleteParams::default()).await.unwrap();
    until(&two).await;
    running.abort();

    // another start finds what it would write
    let running = tokio::spawn(ClusterTrustBundle::new(client, known).run());
    roots.send(one.clone()).unwrap();
    until(&one).await;
    let methods: Vec<_> =
        writes.of("").iter().map(|write| write.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(methods, ["POST", "PUT", "POST", "PUT"]);
    running.abort();
}
