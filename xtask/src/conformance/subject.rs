//! The one place where the real product is asked: one scenario in, what each of its proxies receives out.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use generate::{Generator, Proxy, TypeName};
use mesh::settings::Settings;
use mesh::{Batch, Mesh};
use prost::Message;
use proto::envoy::config::core::v3::Node;
use proto::google::protobuf::Any;
use proto::reflect;
use serde_json::Value;

use crate::scenario::{Document, Scenario};
use crate::subscribe::{self, Resource, Wanted};

/// The config cluster's id in the data.
pub(crate) const CLUSTER: &str = "Kubernetes";
const NODE: &str = "type.googleapis.com/envoy.config.core.v3.Node";

/// Documents in the form of the golden files, by proxy name.
///
/// # Errors
/// When the scenario cannot be fed at all; the scenario then counts as nothing received.
pub(crate) fn generate(scenario: &Scenario) -> Result<BTreeMap<String, Value>> {
    let mut batch = Batch::default();
    objects(scenario, CLUSTER, &scenario.input, &mut batch);
    for (cluster, document) in &scenario.clusters {
        objects(scenario, cluster, document, &mut batch);
    }
    generate_of(scenario, batch)
}

/// The same, of objects that were read by somebody else.
///
/// # Errors
/// See [`generate`].
pub(crate) fn generate_of(scenario: &Scenario, batch: Batch) -> Result<BTreeMap<String, Value>> {
    let mut mesh = Mesh::new(settings(scenario)?);
    mesh.commit(batch);
    let world = mesh.world();
    let generator = Generator::new(false);
    let mut out = BTreeMap::new();
    for proxy in &scenario.proxies {
        let bytes =
            reflect::from_json(NODE, &proxy.node).map_err(|e| anyhow!("node of {}: {e}", proxy.name))?;
        let node = Node::decode(&*bytes).context("node")?;
        let class = match Proxy::from_node(&node) {
            Ok(class) => Arc::new(class),
            Err(why) => bail!("{}: {why}", proxy.name),
        };
        let mut fetch = |type_url: &str, wanted: Wanted<'_>| {
            let Some(of) = TypeName::from_url(type_url) else { return Vec::new() };
            let key = generator.key(&world, &class, of);
            let (edition, _, _) = generator.edition(&world, &key);
            let chosen = edition.resources().filter(|r| match &wanted {
                Wanted::Wildcard => true,
                Wanted::Named(names) => names.contains(&*r.name),
            });
            chosen
                .map(|r| Resource {
                    name: r.name.to_string(),
                    aliases: Vec::new(),
                    body: Any { type_url: type_url.into(), value: r.body.clone() },
                })
                .collect()
        };
        let value = match proxy.kind.as_str() {
            "ztunnel" => subscribe::ztunnel(&mut fetch),
            "grpc" => continue,
            _ => subscribe::envoy(&mut fetch),
        };
        out.insert(proxy.name.clone(), value);
    }
    Ok(out)
}

fn settings(scenario: &Scenario) -> Result<Settings> {
    let mut settings = Settings::default();
    let read = |document: &Document| (document.path.display().to_string(), document.text.clone());
    if let Some((file, text)) = scenario.mesh.as_ref().map(read) {
        let outcome = config::mesh::apply_mesh_config(&settings.mesh, &file, &text);
        settings.mesh = Arc::new(outcome.map_err(|problems| said(&problems))?.0);
    }
    let pairs = scenario.features.iter().map(|(k, v)| (k.clone(), v.clone()));
    settings.switches = Arc::new(config::Switches::from_pairs(pairs).0);
    if let Some((file, text)) = scenario.mesh_networks.as_ref().map(read) {
        let outcome =
            config::mesh::parse_mesh_networks(&file, &text, settings.switches.resolve_hostname_gateways);
        settings.networks = Arc::new(outcome.map_err(|problems| said(&problems))?.0);
    }
    Ok(settings)
}

fn said(problems: &[config::Problem]) -> anyhow::Error {
    anyhow!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

fn objects(scenario: &Scenario, cluster: &str, document: &Document, batch: &mut Batch) {
    let cluster: Arc<str> = cluster.into();
    let decoded = config::decode::documents(&document.path.display().to_string(), &document.text);
    for object in decoded.objects {
        let refused =
            scenario.refuses(&object.meta.kind.to_string(), &object.meta.namespace, &object.meta.name);
        if !refused {
            batch.put(&cluster, object);
        }
    }
}
