//! A cluster for all tests that run at a time, and clients that remember what they wrote.

use std::sync::{Arc, Weak};
use std::time::Duration;

use http::{Method, Request};
use kube::api::{Api, PostParams};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config, Resource};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use testkit::api_server::ApiServer;
use tower::util::MapRequestLayer;

/// How long something may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

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

/// What a client wrote: method and path of each request.
#[derive(Clone, Default)]
pub(crate) struct Writes(Arc<Mutex<Vec<String>>>);

impl Writes {
    /// The writes so far whose path contains `part`.
    pub(crate) fn of(&self, part: &str) -> Vec<String> {
        self.0.lock().iter().filter(|write| write.contains(part)).cloned().collect()
    }
}

/// A client with these rights that remembers its writes.
pub(crate) fn counting(config: Config) -> (Client, Writes) {
    let writes = Writes::default();
    let count = {
        let writes = writes.clone();
        move |request: Request<Body>| {
            if request.method() != Method::GET {
                writes.0.lock().push(format!("{} {}", request.method(), request.uri().path()));
            }
            request
        }
    };
    let layer = MapRequestLayer::new(count);
    (ClientBuilder::try_from(config).unwrap().with_layer(&layer).build(), writes)
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
