//! The mesh's trust anchors, told to agents that ask for them. As pilot/pkg/xds/pcds.go.

use std::sync::Arc;

use arc_swap::ArcSwap;
use prost::Message as _;
use proto::istio::mesh::v1alpha1::ProxyConfig;
use tables::Snapshot as _;
use xds::{Edition, Resource};

use super::{Inner, MeshCatalog};
use crate::ca::Live;

impl MeshCatalog {
    /// From now on agents that ask for it are told which roots to believe, now and whenever those of `live` change
    /// (`ISTIO_MULTIROOT_MESH`). To be called once, on a runtime.
    pub fn tell_anchors(&self, live: &Live) {
        let mut editions = live.subscribe();
        if self.0.anchors.set(ArcSwap::from(self.0.edition_of_anchors(live))).is_err() {
            return;
        }
        let (inner, live) = (Arc::downgrade(&self.0), live.clone());
        tokio::spawn(async move {
            while editions.changed().await.is_ok() {
                let Some(inner) = inner.upgrade() else { return };
                inner.renew_anchors(&live);
            }
        });
    }
}

impl Inner {
    fn edition_of_anchors(&self, live: &Live) -> Arc<Edition> {
        let mut pems: Vec<String> =
            live.anchors().roots().iter().map(identity::Certificate::to_pem).collect();
        // the order of upstream, which has none of its own
        pems.sort();
        let message = ProxyConfig { ca_certificates_pem: pems };
        let resource = Resource::new("", message.encode_to_vec());
        Edition::new(self.world.load().revision().0, vec![resource])
    }

    fn renew_anchors(&self, live: &Live) {
        let Some(anchors) = self.anchors.get() else { return };
        let next = self.edition_of_anchors(live);
        if anchors.load().iter().eq(next.iter()) {
            return;
        }
        anchors.store(next);
        for known in self.classes.lock().known.values() {
            known.tick.send_modify(|tick| *tick += 1);
        }
    }
}
