//! Scenarios through real API servers: written as a user would, read as the control plane does.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use config::Kind;
use kube::Client;
use mesh::Batch;
use serde_json::{Value, json};
use sources::kubernetes::{self, Counters, Options, Wanted};
use testkit::api_server::ApiServer;
use testkit::api_server::objects::{self, Written};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, mpsc};

use crate::scenario::Scenario;
use crate::subject::{CLUSTER, generate_of};

/// The API servers, by cluster; one scenario after the other has them.
pub(crate) struct Clusters {
    runtime: Runtime,
    servers: Mutex<BTreeMap<String, ApiServer>>,
}

impl Clusters {
    /// None yet.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { runtime: Runtime::new()?, servers: Mutex::default() })
    }

    /// Documents in the form of the golden files, by proxy name.
    ///
    /// # Errors
    /// When an API server refuses an object, or as [`generate_of`].
    pub(crate) fn generate(&self, scenario: &Scenario) -> Result<BTreeMap<String, Value>> {
        let batch = self.runtime.block_on(self.batch(scenario))?;
        generate_of(scenario, batch)
    }

    async fn batch(&self, scenario: &Scenario) -> Result<Batch> {
        let mut servers = self.servers.lock().await;
        for id in scenario.clusters.keys().map(String::as_str).chain([CLUSTER]) {
            if !servers.contains_key(id) {
                servers.insert(id.to_owned(), ApiServer::start().await?);
            }
        }
        let mut written = BTreeMap::new();
        let batch = match write(scenario, &servers, &mut written).await {
            Ok(client) => read(client).await,
            Err(error) => Err(error),
        };
        for (id, written) in written {
            let server = servers.get(id).context("it was written to")?;
            written.remove(&server.client().await?).await?;
        }
        batch
    }
}

/// Writes a scenario, the config cluster last; its client. `written` is what stands there then, also if something was refused.
async fn write<'a>(
    scenario: &'a Scenario,
    servers: &BTreeMap<String, ApiServer>,
    written: &mut BTreeMap<&'a str, Written>,
) -> Result<Client> {
    let of = |id: &str| servers.get(id).context("every cluster has been started");
    let wanted =
        |kind: Kind, namespace: &str, name: &str| !scenario.refuses(&kind.to_string(), namespace, name);
    for (id, document) in &scenario.clusters {
        let client = of(id)?.client().await?;
        objects::apply_some(&client, &document.text, wanted, written.entry(id).or_default()).await?;
    }
    let client = of(CLUSTER)?.client().await?;
    let ours = written.entry(CLUSTER).or_default();
    objects::apply_some(&client, &scenario.input.text, wanted, ours).await?;
    for other in scenario.clusters.keys() {
        let secret = secret(other, &of(other)?.kubeconfig()?);
        objects::apply_some(&client, &secret, wanted, ours).await?;
    }
    Ok(client)
}

/// Everything that the control plane reads before it serves anybody.
async fn read(client: Client) -> Result<Batch> {
    let (tell, mut changes) = mpsc::channel(1);
    let _directory = kubernetes::begin(client, None, options(), Counters::default(), tell);
    let mut first = changes.recv().await.ok_or_else(|| anyhow!("the reader ended"))?;
    // that of the API server itself, which no scenario has
    first.batch.puts.retain(|(_, o)| (&*o.meta.namespace, &*o.meta.name) != ("default", "kubernetes"));
    Ok(first.batch)
}

fn options() -> Options {
    Options {
        cluster: CLUSTER.into(),
        configures: true,
        revision: String::new(),
        namespace: String::new(),
        wanted: Wanted::default(),
        multicluster: None,
        remote_workloads: true,
        remote_credentials: true,
        registries_namespace: "istio-system".to_owned(),
        remote_timeout: Duration::from_secs(60),
        kubeconfigs: None,
        insecure: String::new(),
        pace: kubernetes::Pace::default(),
        renewal: kubernetes::RENEWAL,
    }
}

/// The Secret that names another cluster, as text.
fn secret(cluster: &str, kubeconfig: &str) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": format!("istio-remote-secret-{cluster}"),
            "namespace": "istio-system",
            "labels": {"istio/multiCluster": "true"},
        },
        "stringData": {cluster: kubeconfig},
    })
    .to_string()
}
