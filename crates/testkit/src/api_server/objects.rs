//! Objects as a user has them in files, written to an API server as `kubectl apply` does, and taken away again.

use anyhow::{Context as _, Result, anyhow};
use config::Kind;
use config::decode::trees;
use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams};
use serde_json::{Map, Value, json};

/// Whose fields the written ones are.
const MANAGER: &str = "testkit";

/// Objects that stand in an API server because of a test.
#[derive(Debug, Default)]
pub struct Written(Vec<(Kind, String, String, String)>);

/// Writes every object of a YAML text whose kind the mesh reads; of others nothing is written. Namespaces that objects are in
/// and that the text does not have are made. What only an API server may set (times, versions) is left to it.
///
/// # Errors
/// What the API server refuses.
pub async fn apply(client: &Client, yaml: &str) -> Result<Written> {
    let mut written = Written::default();
    apply_some(client, yaml, |_, _, _| true, &mut written).await?;
    Ok(written)
}

/// Like [`apply`], of the objects that `wanted` says so of: kind, namespace, name. What stands in `written` afterwards has been
/// written, also if the rest could not be.
///
/// # Errors
/// See [`apply`].
pub async fn apply_some(
    client: &Client,
    yaml: &str,
    wanted: impl Fn(Kind, &str, &str) -> bool,
    written: &mut Written,
) -> Result<()> {
    let trees = trees(yaml).into_iter().collect::<Result<Vec<_>, _>>();
    let trees = trees.map_err(|wrong| anyhow!("the objects are no YAML: {}", wrong.message))?;
    let documents = trees.iter().map(|tree| tree.to_value().to_json());
    let mut objects: Vec<(Kind, Value)> = documents.filter_map(known).collect();
    objects.retain(|(kind, object)| {
        let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
        wanted(*kind, text("namespace"), text("name"))
    });
    let mut namespaces: Vec<&str> =
        objects.iter().filter_map(|(_, object)| object["metadata"]["namespace"].as_str()).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    let has = |name: &str| {
        objects.iter().any(|(kind, o)| *kind == Kind::Namespace && o["metadata"]["name"] == name)
    };
    let missing = namespaces.into_iter().filter(|name| !has(name));
    let missing: Vec<(Kind, Value)> =
        missing.map(|name| (Kind::Namespace, json!({"metadata": {"name": name}}))).collect();
    // what is in a namespace comes after it
    objects.extend(missing);
    objects.sort_by_key(|(kind, _)| *kind != Kind::Namespace);
    for (kind, object) in objects {
        put(client, kind, object, written).await?;
    }
    Ok(())
}

fn known(mut object: Value) -> Option<(Kind, Value)> {
    let kind = Kind::find(object.get("apiVersion")?.as_str()?, object.get("kind")?.as_str()?)?;
    let metadata = object.get_mut("metadata")?.as_object_mut()?;
    for set_by_the_server in ["creationTimestamp", "resourceVersion", "uid", "generation", "managedFields"] {
        metadata.remove(set_by_the_server);
    }
    if kind.namespaced() {
        metadata.entry("namespace").or_insert_with(|| "default".into());
    }
    Some((kind, object))
}

async fn put(client: &Client, kind: Kind, mut object: Value, written: &mut Written) -> Result<()> {
    let version = object["apiVersion"].as_str().map_or_else(|| kind.api_version(), str::to_owned);
    object["apiVersion"] = json!(version);
    object["kind"] = json!(kind.name());
    let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
    let (namespace, name) = (text("namespace"), text("name"));
    let api = api(client, kind, &version, &namespace);
    let status = object.as_object_mut().and_then(|object| object.remove("status"));
    let what = || format!("{} {namespace}/{name}", kind.name());
    let params = PatchParams::apply(MANAGER).force();
    api.patch(&name, &params, &Patch::Apply(&object)).await.with_context(what)?;
    if let Some(status) = status {
        let patch = json!({"status": status});
        api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await.with_context(what)?;
    }
    written.0.push((kind, version, namespace, name));
    Ok(())
}

fn api(client: &Client, kind: Kind, api_version: &str, namespace: &str) -> Api<DynamicObject> {
    let resource = ApiResource {
        group: kind.group().to_owned(),
        version: api_version.rsplit('/').next().unwrap_or(api_version).to_owned(),
        api_version: api_version.to_owned(),
        kind: kind.name().to_owned(),
        plural: kind.plural().to_owned(),
    };
    match namespace {
        "" => Api::all_with(client.clone(), &resource),
        namespace => Api::namespaced_with(client.clone(), namespace, &resource),
    }
}

impl Written {
    /// Takes the objects away. Namespaces stay, without labels: nobody here empties and ends them.
    ///
    /// # Errors
    /// What the API server refuses.
    pub async fn remove(self, client: &Client) -> Result<()> {
        for (kind, version, namespace, name) in self.0.into_iter().rev() {
            let api = api(client, kind, &version, &namespace);
            if kind == Kind::Namespace {
                let bare = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": Map::new()}});
                api.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&bare)).await?;
                continue;
            }
            match api.delete(&name, &DeleteParams::default().grace_period(0)).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("{} {namespace}/{name}", kind.name()));
                }
            }
        }
        Ok(())
    }
}
