//! Everything the controllers look at, read from the API server.

use std::collections::BTreeSet;
use std::fmt::Debug;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Namespace, Pod, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{Api, ListParams};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;

/// The objects, each kind in the order of its names.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) slices: Vec<EndpointSlice>,
    pub(super) services: Vec<Service>,
    pub(super) pods: Vec<Pod>,
    pub(super) replica_sets: Vec<ReplicaSet>,
    pub(super) deployments: Vec<Deployment>,
    pub(super) accounts: Vec<ServiceAccount>,
    pub(super) namespaces: Vec<Namespace>,
}

impl Listing {
    /// Reads them: what is owned before its owners, so that nothing looks abandoned that was made in between.
    pub(super) async fn read(client: &Client) -> kube::Result<Self> {
        let mut listing = Self {
            slices: all(client).await?,
            services: all(client).await?,
            pods: all(client).await?,
            replica_sets: all(client).await?,
            deployments: all(client).await?,
            accounts: all(client).await?,
            namespaces: all(client).await?,
        };
        listing.leave_going_namespaces();
        Ok(listing)
    }
}

impl Listing {
    /// In a namespace that is deleted nothing is made any more: what would want something there is not seen. Pods are,
    /// because they have to end.
    fn leave_going_namespaces(&mut self) {
        let going: BTreeSet<String> = self
            .namespaces
            .iter()
            .filter(|namespace| is_going(&namespace.metadata))
            .map(|namespace| place(&namespace.metadata).1.to_owned())
            .collect();
        let stays = |meta: &ObjectMeta| !going.contains(place(meta).0);
        self.slices.retain(|slice| stays(&slice.metadata));
        self.services.retain(|service| stays(&service.metadata));
        self.replica_sets.retain(|set| stays(&set.metadata));
        self.deployments.retain(|deployment| stays(&deployment.metadata));
    }
}

async fn all<K>(client: &Client) -> kube::Result<Vec<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::all(client.clone());
    Ok(api.list(&ListParams::default()).await?.items)
}

/// The owner that controls an object, if it is of this kind.
pub(super) fn controller<'a>(meta: &'a ObjectMeta, kind: &str) -> Option<&'a OwnerReference> {
    let mut owners = meta.owner_references.iter().flatten();
    owners.find(|owner| owner.controller == Some(true) && owner.kind == kind)
}

/// Whether it was deleted and is still there.
pub(super) fn is_going(meta: &ObjectMeta) -> bool {
    meta.deletion_timestamp.is_some()
}

/// Namespace and name.
pub(super) fn place(meta: &ObjectMeta) -> (&str, &str) {
    (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
}
