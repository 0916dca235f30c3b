//! Services are exported to other clusters, all that are not local to theirs.

use std::sync::Arc;

use config::Kind;
use config::host;
use config::mesh::{MeshConfig, is_cluster_local};
use k8s_openapi::api::core::v1::Service;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher;
use serde_json::json;
use tokio::sync::watch;

use crate::mirror::{Key, Mirror};
use crate::namespaces::{Namespaces, Scope};
use crate::news;
use crate::queue::{Outcome, Queue};

/// Which services are exported, and how the API server knows an export.
#[derive(Debug, Clone)]
pub struct Options {
    /// In which namespaces.
    pub scope: Scope,
    /// The domain of the cluster.
    pub domain: String,
    /// MeshConfig, whose `serviceSettings` say what is local to its cluster.
    pub mesh: watch::Receiver<Arc<MeshConfig>>,
    /// `MCS_API_GROUP`.
    pub group: String,
    /// `MCS_API_VERSION`.
    pub version: String,
}

/// Makes a ServiceExport for every Service that is not local to its cluster
/// (as pilot/pkg/serviceregistry/kube/controller/autoserviceexportcontroller.go). Runs under
/// [`crate::leader::Work::SERVICE_EXPORTS`].
///
/// The Service owns its export, so that Kubernetes deletes both. An export that somebody deleted is made again; what is to
/// stay in a cluster is said in `serviceSettings`. Nothing is done while the API server has no such kind, and no export is
/// ever deleted here.
pub struct ServiceExporter {
    client: Client,
    resource: ApiResource,
    domain: String,
    mesh: watch::Receiver<Arc<MeshConfig>>,
    namespaces: Namespaces,
    /// What names a Service as an owner; `None` for one that is being deleted.
    services: Mirror<PartialObjectMeta<Service>, Option<String>>,
    exports: Mirror<DynamicObject, ()>,
    queue: Queue<Key>,
}

impl ServiceExporter {
    /// One that has seen nothing yet.
    #[must_use]
    pub fn new(client: Client, options: Options) -> Self {
        let resource = ApiResource {
            api_version: format!("{}/{}", options.group, options.version),
            group: options.group,
            version: options.version,
            kind: Kind::ServiceExport.name().to_owned(),
            plural: Kind::ServiceExport.plural().to_owned(),
        };
        let only = options.scope.only.as_deref();
        let services =
            only.map_or_else(|| Api::all(client.clone()), |ns| Api::namespaced(client.clone(), ns));
        let exports = match only {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let all = watcher::Config::default();
        let owner = |service: PartialObjectMeta<Service>| {
            service.metadata.uid.filter(|_| service.metadata.deletion_timestamp.is_none())
        };
        Self {
            services: Mirror::new("Services", services, all.clone(), owner),
            exports: Mirror::new("ServiceExports", exports, all, drop),
            namespaces: Namespaces::new(&client, options.scope),
            queue: Queue::new("exporting Service"),
            mesh: options.mesh,
            domain: options.domain,
            resource,
            client,
        }
    }

    /// Runs until it is dropped. Trouble with the cluster is logged and tried again.
    pub async fn run(mut self) {
        loop {
            let synced = self.services.synced() && self.exports.synced() && self.namespaces.synced();
            tokio::select! {
                keys = self.services.changed() => keys.into_iter().for_each(|key| self.queue.add(key)),
                keys = self.exports.changed() => keys.into_iter().for_each(|key| self.queue.add(key)),
                names = self.namespaces.changed() => self.add_all(|key| names.contains(&key.namespace)),
                () = news(&mut self.mesh) => self.add_all(|_| true),
                key = self.queue.next(), if synced => {
                    if let Some(owner) = self.due(&key) {
                        let to = Api::namespaced_with(self.client.clone(), &key.namespace, &self.resource);
                        let work = export(to, self.resource.clone(), key.clone(), owner);
                        self.queue.work(key, work).await;
                    }
                }
            }
        }
    }

    fn add_all(&mut self, which: impl Fn(&Key) -> bool) {
        let keys = self.services.iter().map(|(key, _)| key).filter(|key| which(key));
        keys.for_each(|key| self.queue.add(key.clone()));
    }

    /// The uid of a Service that is to be exported and is not.
    fn due(&self, key: &Key) -> Option<String> {
        let owner = self.services.get(key)?.clone()?;
        let there = self.exports.get(key).is_some() || self.namespaces.ends(&key.namespace);
        let name = host::service(&key.name, &key.namespace, &self.domain);
        let stays = is_cluster_local(&self.mesh.borrow().service_settings, &self.domain, &name);
        (!there && !stays && self.namespaces.is_selected(&key.namespace)).then_some(owner)
    }
}

async fn export(to: Api<DynamicObject>, resource: ApiResource, key: Key, owner: String) -> Outcome {
    let service = json!({"apiVersion": "v1", "kind": "Service", "name": key.name, "uid": owner});
    let mut export = DynamicObject::new(&key.name, &resource).within(&key.namespace);
    export.metadata.owner_references = serde_json::from_value(json!([service]))?;
    match to.create(&PostParams::default(), &export).await {
        Ok(_) => {
            tracing::debug!("Service {key} is exported");
            Ok(1)
        }
        // it is there, or its namespace or the whole kind is gone: the watch tells of it
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(1),
        Err(error) => Err(error.into()),
    }
}
