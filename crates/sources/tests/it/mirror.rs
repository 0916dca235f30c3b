//! What a mesh would hold of everything it was told, and how to wait for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use config::{Kind, Object};
use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::{Value, json};
use sources::Change;
use sources::kubernetes::{self, Counters, Directory, Options, Wanted};
use tokio::sync::mpsc;

/// Long enough for a machine that does other things, too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The namespace in which nobody but the test writes.
pub(crate) const OWN: &str = "shop";

/// What was told, by cluster, kind, namespace and name.
pub(crate) struct Mirror {
    pub(crate) objects: BTreeMap<(String, Kind, String, String), Object>,
    pub(crate) directory: Directory,
    /// How many objects of [`OWN`] were told as put. What the API server writes elsewhere comes when it likes.
    pub(crate) puts: usize,
    /// How many of them as removed.
    pub(crate) removes: usize,
    /// What was told of problems.
    pub(crate) problems: Vec<String>,
    pub(crate) refused: usize,
    /// What became of Secrets that name other clusters.
    pub(crate) verdicts: Vec<sources::Verdict>,
    changes: mpsc::Receiver<Change>,
}

pub(crate) fn options() -> Options {
    Options {
        cluster: "one".into(),
        configures: true,
        revision: String::new(),
        namespace: String::new(),
        wanted: Wanted::default(),
        multicluster: None,
        remote_workloads: true,
        remote_credentials: true,
        renewal: kubernetes::RENEWAL,
        kubeconfigs: None,
        registries_namespace: "istio-system".to_owned(),
        remote_timeout: Duration::from_secs(300),
        insecure: String::new(),
        pace: kubernetes::Pace::default(),
    }
}

impl Mirror {
    /// Reads, and has taken in the first change.
    pub(crate) async fn of(client: Client, options: Options) -> Self {
        let mut mirror = Self::begin(client, options);
        let first = mirror.changes.recv().await.unwrap();
        mirror.take(first);
        mirror
    }

    pub(crate) fn begin(client: Client, options: Options) -> Self {
        Self::begin_with(client, None, options)
    }

    /// With the Secrets that name other clusters elsewhere.
    pub(crate) fn begin_with(client: Client, registries: Option<Client>, options: Options) -> Self {
        let (tell, changes) = mpsc::channel(16);
        let directory = kubernetes::begin(client, registries, options, Counters::default(), tell);
        Self {
            objects: BTreeMap::new(),
            directory,
            puts: 0,
            removes: 0,
            problems: Vec::new(),
            refused: 0,
            verdicts: Vec::new(),
            changes,
        }
    }

    /// Removals first, as a mesh does.
    fn take(&mut self, change: Change) {
        let batch = &change.batch;
        self.removes += batch.removes.iter().filter(|(_, key)| &*key.namespace == OWN).count();
        self.puts += batch.puts.iter().filter(|(_, object)| &*object.meta.namespace == OWN).count();
        for (kind, key) in change.batch.removes {
            let (cluster, namespace, name) =
                (key.cluster.to_string(), key.namespace.to_string(), key.name.to_string());
            self.objects.remove(&(cluster, kind, namespace, name));
        }
        for (cluster, object) in change.batch.puts {
            let meta = &object.meta;
            let key = (cluster.to_string(), object.kind(), meta.namespace.to_string(), meta.name.to_string());
            self.objects.insert(key, object);
        }
        self.verdicts.extend(change.verdicts.into_iter().filter(|v| v.object.kind == Kind::Secret));
        self.problems.extend(change.problems.iter().map(ToString::to_string));
        self.refused = change.refused.unwrap_or(self.refused);
    }

    /// Takes in what comes until it is as wanted.
    pub(crate) async fn until(&mut self, what: &str, wanted: impl Fn(&Self) -> bool) {
        let end = tokio::time::Instant::now() + PATIENCE;
        while !wanted(self) {
            match tokio::time::timeout_at(end, self.changes.recv()).await {
                Ok(Some(change)) => self.take(change),
                Ok(None) => panic!("the reader ended; wanted: {what}"),
                Err(_) => panic!("not within {PATIENCE:?}: {what}; there are {:?}", self.objects.keys()),
            }
        }
    }

    pub(crate) fn get(&self, cluster: &str, kind: Kind, namespace: &str, name: &str) -> Option<&Object> {
        self.objects.get(&(cluster.to_owned(), kind, namespace.to_owned(), name.to_owned()))
    }

    pub(crate) fn has(&self, kind: Kind, namespace: &str, name: &str) -> bool {
        self.get("one", kind, namespace, name).is_some()
    }

    pub(crate) fn count(&self, cluster: &str, kind: Kind) -> usize {
        self.objects.keys().filter(|(of, k, ..)| of == cluster && *k == kind).count()
    }
}

/// The API of a kind.
pub(crate) fn api(client: &Client, kind: Kind, namespace: &str) -> Api<DynamicObject> {
    let version = kind.versions().first().unwrap();
    let kind_of = GroupVersionKind::gvk(kind.group(), version, kind.name());
    let resource = ApiResource::from_gvk_with_plural(&kind_of, kind.plural());
    if namespace.is_empty() {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), namespace, &resource)
    }
}

/// Writes an object as `kubectl apply --server-side` does.
pub(crate) async fn apply(client: &Client, kind: Kind, namespace: &str, name: &str, mut object: Value) {
    object["apiVersion"] = json!(kind.api_version());
    object["kind"] = json!(kind.name());
    object["metadata"]["name"] = json!(name);
    let manager = PatchParams::apply("test").force();
    api(client, kind, namespace).patch(name, &manager, &Patch::Apply(&object)).await.unwrap();
}

pub(crate) async fn delete(client: &Client, kind: Kind, namespace: &str, name: &str) {
    api(client, kind, namespace).delete(name, &DeleteParams::default()).await.unwrap();
}

pub(crate) async fn namespace(client: &Client, name: &str) {
    apply(client, Kind::Namespace, "", name, json!({})).await;
}

pub(crate) fn service(port: u16) -> Value {
    json!({"spec": {"ports": [{"name": "http", "port": port}], "selector": {"app": "cart"}}})
}

pub(crate) fn route(host: &str) -> Value {
    json!({"spec": {"hosts": [host], "http": [{"route": [{"destination": {"host": host}}]}]}})
}

/// A namespace `shop` with a Service `cart`, its route and a Secret of Helm that nobody wants to read.
pub(crate) async fn shop(client: &Client) -> Arc<str> {
    namespace(client, "shop").await;
    apply(client, Kind::Service, "shop", "cart", service(80)).await;
    apply(client, Kind::VirtualService, "shop", "cart", route("cart")).await;
    apply(client, Kind::Secret, "shop", "chart", json!({"type": "helm.sh/release.v1"})).await;
    "shop".into()
}
