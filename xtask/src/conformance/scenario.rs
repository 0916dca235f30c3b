//! One mesh of the parity data: what is fed in, who connects, what they should receive.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

/// A folder of `xds-parity/<group>/<name>/`.
pub(crate) struct Scenario {
    /// The folder above, such as `gateway-api`.
    pub(crate) group: String,
    /// The folder's own name.
    pub(crate) name: String,
    /// YAML documents of the config cluster, and the file they come from.
    pub(crate) input: Document,
    /// YAML documents of further clusters, by cluster id.
    pub(crate) clusters: BTreeMap<String, Document>,
    /// `MeshConfig` over the defaults.
    pub(crate) mesh: Option<Document>,
    /// `MeshNetworks`.
    pub(crate) mesh_networks: Option<Document>,
    /// The control plane's environment, such as `PILOT_HTTP10`.
    pub(crate) features: BTreeMap<String, String>,
    /// Objects of `input` that the API server refuses; the mesh must not see them.
    pub(crate) refused: Vec<Refused>,
    /// Who connects, in the order of the file.
    pub(crate) proxies: Vec<Proxy>,
    /// What each proxy should receive, by its name.
    pub(crate) golden: BTreeMap<String, Value>,
}

/// A text and where it stands.
pub(crate) struct Document {
    /// For messages about it.
    pub(crate) path: PathBuf,
    /// The whole file.
    pub(crate) text: String,
}

/// One proxy that connects.
#[derive(Deserialize)]
pub(crate) struct Proxy {
    /// Name of its golden file.
    pub(crate) name: String,
    /// `sidecar`, `router`, `waypoint`, `ztunnel`, `grpc`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// `core.v3.Node` of its first request, as proto JSON.
    pub(crate) node: Value,
}

/// An object of the input that validation turns down.
#[derive(Deserialize)]
pub(crate) struct Refused {
    /// Its kind.
    pub(crate) kind: String,
    /// Its namespace, empty for cluster-wide kinds.
    #[serde(default)]
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
    /// Why the webhook says no.
    #[serde(default)]
    rejected: Option<String>,
    /// Why the schema says no.
    #[serde(default, rename = "schemaError")]
    schema_error: Option<String>,
}

impl Scenario {
    /// `<group>/<name>`.
    pub(crate) fn id(&self) -> String {
        format!("{}/{}", self.group, self.name)
    }

    /// Whether validation turns down an object of the input.
    pub(crate) fn refuses(&self, kind: &str, namespace: &str, name: &str) -> bool {
        let is = |r: &Refused| {
            r.name == name && r.kind == kind && (r.namespace == namespace || r.namespace.is_empty())
        };
        self.refused.iter().any(is)
    }

    fn load(folder: &Path, group: &str, name: &str) -> Result<Scenario> {
        let optional = |file: &str| -> Result<Option<Document>> {
            let path = folder.join(file);
            if path.exists() { document(path).map(Some) } else { Ok(None) }
        };
        let mut clusters = BTreeMap::new();
        for file in names(folder)? {
            if let Some(id) = file.strip_prefix("cluster-").and_then(|rest| rest.strip_suffix(".yaml")) {
                clusters.insert(id.to_owned(), document(folder.join(&file))?);
            }
        }
        let features = match optional("features.yaml")? {
            Some(document) => yaml(&document)?,
            None => BTreeMap::new(),
        };
        let refused: Vec<Refused> = match optional("validation.json")? {
            Some(document) => {
                serde_json::from_str(&document.text).with_context(|| document.path.display().to_string())?
            }
            None => Vec::new(),
        };
        let mut golden = BTreeMap::new();
        for file in names(&folder.join("golden"))? {
            if let Some(proxy) = file.strip_suffix(".json").filter(|name| !name.starts_with('_')) {
                let document = document(folder.join("golden").join(&file))?;
                let value = serde_json::from_str(&document.text)
                    .with_context(|| document.path.display().to_string())?;
                golden.insert(proxy.to_owned(), value);
            }
        }
        Ok(Scenario {
            group: group.to_owned(),
            name: name.to_owned(),
            input: document(folder.join("input.yaml"))?,
            clusters,
            mesh: optional("mesh.yaml")?,
            mesh_networks: optional("meshnetworks.yaml")?,
            features,
            refused: refused
                .into_iter()
                .filter(|one| one.rejected.is_some() || one.schema_error.is_some())
                .collect(),
            proxies: yaml(&document(folder.join("proxies.yaml"))?)?,
            golden,
        })
    }
}

/// Every scenario below `root` whose `<group>/<name>` contains `only`, sorted.
///
/// # Errors
/// When a file cannot be read or is not what its name says.
pub(crate) fn load_all(root: &Path, only: &str) -> Result<Vec<Scenario>> {
    let mut out = Vec::new();
    for group in names(root)? {
        if !root.join(&group).is_dir() {
            continue;
        }
        for name in names(&root.join(&group))? {
            let folder = root.join(&group).join(&name);
            if folder.join("input.yaml").exists() && format!("{group}/{name}").contains(only) {
                out.push(
                    Scenario::load(&folder, &group, &name)
                        .with_context(|| format!("scenario {group}/{name}"))?,
                );
            }
        }
    }
    Ok(out)
}

fn document(path: PathBuf) -> Result<Document> {
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(Document { path, text })
}

fn yaml<T: serde::de::DeserializeOwned>(document: &Document) -> Result<T> {
    serde_saphyr::from_str(&document.text).with_context(|| document.path.display().to_string())
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
