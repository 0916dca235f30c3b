//! A cluster for all tests that run at a time, and clients that remember what they wrote.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Namespace, Service, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{Api, ListParams, PostParams};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config, Resource};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use testkit::api_server::ApiServer;
use testkit::eventually;
use tokio::sync::watch;
use tower::layer::layer_fn;

/// How long something may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// An API server that tests share, each in namespaces of its own; it ends with the last of them.
pub(crate) async fn shared() -> Arc<ApiServer> {
    static SERVER: tokio::sync::Mutex<Weak<ApiServer>> = tokio::sync::Mutex::const_new(Weak::new());
    let mut server = SERVER.lock().await;
    if let Some(running) = server.upgrade() {
        return running;
    }
    let started = Arc::new(ApiServer::start().await.unwrap());
    *server = Arc::downgrade(&started);
    started
}

/// The rights of upstream's control plane in the cluster and, about locks, in its namespace
/// (as manifests/charts/istio-control/istio-discovery/templates: clusterrole.yaml, role.yaml).
fn rules() -> Value {
    let rule = |group: &str, resources: &[&str], verbs: &str| {
        let verbs: Vec<_> = verbs.split(' ').collect();
        json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
    };
    let mut attest = rule("certificates.k8s.io", &["signers"], "attest");
    attest["resourceNames"] = json!(["istio.io/istiod-ca"]);
    json!([
        rule(
            "admissionregistration.k8s.io",
            &["mutatingwebhookconfigurations"],
            "get list watch update patch"
        ),
        rule("networking.istio.io", &["*"], "get watch list"),
        rule("security.istio.io", &["*"], "get watch list"),
        rule("networking.istio.io", &["workloadentries"], "get watch list update patch create delete"),
        rule(
            "networking.istio.io",
            &["workloadentries/status", "serviceentries/status"],
            "get watch list update patch create delete"
        ),
        rule("", &["pods", "nodes", "services", "namespaces", "endpoints"], "get list watch"),
        rule("", &["nodes"], "patch"),
        rule("", &["configmaps"], "create get list watch update"),
        rule("certificates.k8s.io", &["clustertrustbundles"], "update create delete list watch get"),
        attest,
        rule("multicluster.x-k8s.io", &["serviceexports"], "get watch list create delete"),
        rule("coordination.k8s.io", &["leases"], "get update patch create"),
    ])
}

/// How a control plane in a new namespace of this name reaches the cluster, with the rights of upstream's and no more.
pub(crate) async fn control_plane(server: &ApiServer, namespace: &str) -> Config {
    let client = server.client().await.unwrap();
    let named = json!({"metadata": {"name": namespace}});
    create(&Api::<Namespace>::all(client.clone()), named.clone()).await;
    let mut role = named;
    role["rules"] = rules();
    create(&Api::<ClusterRole>::all(client.clone()), role).await;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    create(&accounts, json!({"metadata": {"name": "istiod"}})).await;
    let binding = json!({
        "metadata": {"name": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": namespace},
        "subjects": [{"kind": "ServiceAccount", "name": "istiod", "namespace": namespace}],
    });
    create(&Api::<ClusterRoleBinding>::all(client), binding).await;
    let asked: TokenRequest = object(json!({"metadata": {}, "spec": {"audiences": []}}));
    let token = accounts.create_token_request("istiod", &PostParams::default(), &asked).await.unwrap();
    let mut config = server.config().await.unwrap();
    config.auth_info.token = Some(token.status.unwrap().token.unwrap().into());
    // an API server hears of rights as everybody hears of everything, some time after they were written
    let istiod = Api::<Service>::all(Client::try_from(config.clone()).unwrap());
    let only = ListParams::default().limit(1);
    eventually("its rights count", PATIENCE, async || istiod.list(&only).await.ok()).await.unwrap();
    config
}

/// What a client wrote: method and path of each request, in order. What came too late to what somebody else had written (409)
/// is forgotten: it changed nothing and is tried again, on a busy machine as often as it takes.
#[derive(Clone, Default)]
pub(crate) struct Writes(Arc<Mutex<Vec<Option<String>>>>);

impl Writes {
    /// The writes so far whose path contains `part`.
    pub(crate) fn of(&self, part: &str) -> Vec<String> {
        self.0.lock().iter().flatten().filter(|write| write.contains(part)).cloned().collect()
    }

    /// Notes a request as a write, if it is one; `None` for one that only reads.
    fn note(&self, request: &Request<Body>) -> Option<usize> {
        if request.method() == Method::GET {
            return None;
        }
        let mut writes = self.0.lock();
        writes.push(Some(format!("{} {}", request.method(), request.uri().path())));
        Some(writes.len() - 1)
    }
}

/// A client with these rights that remembers its writes.
pub(crate) fn counting(config: Config) -> (Client, Writes) {
    let writes = Writes::default();
    let layer = layer_fn(|inner| Scribe { inner, writes: writes.clone() });
    (ClientBuilder::try_from(config).unwrap().with_layer(&layer).build(), writes)
}

/// Writes down what passes.
#[derive(Clone)]
struct Scribe<S> {
    inner: S,
    writes: Writes,
}

impl<S, B> tower::Service<Request<Body>> for Scribe<S>
where
    S: tower::Service<Request<Body>, Response = Response<B>, Future: Send + 'static>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (writes, noted) = (self.writes.clone(), self.writes.note(&request));
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            if let Some(noted) = noted.filter(|_| answer.status() == StatusCode::CONFLICT) {
                writes.0.lock()[noted] = None;
            }
            Ok(answer)
        })
    }
}

/// An object from JSON.
pub(crate) fn object<T: DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap()
}

/// Makes an object, and gives it back as it was stored.
pub(crate) async fn create<K>(api: &Api<K>, json: Value) -> K
where
    K: Resource + Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    api.create(&PostParams::default(), &object(json)).await.unwrap()
}

/// A client whose requests stay without an answer while the sender says so, as when a network loses every packet.
pub(crate) fn breakable(config: Config) -> (Client, watch::Sender<bool>) {
    let (is_cut, cut) = watch::channel(false);
    let layer = layer_fn(|inner| Cable { inner, cut: cut.clone() });
    (ClientBuilder::try_from(config).unwrap().with_layer(&layer).build(), is_cut)
}

/// A way to the cluster that can be cut.
#[derive(Clone)]
struct Cable<S> {
    inner: S,
    cut: watch::Receiver<bool>,
}

impl<S> tower::Service<Request<Body>> for Cable<S>
where
    S: tower::Service<Request<Body>, Future: Send + 'static>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = self.inner.call(request);
        let mut cut = self.cut.clone();
        Box::pin(async move {
            let _ = cut.wait_for(|is_cut| !is_cut).await;
            answer.await
        })
    }
}
