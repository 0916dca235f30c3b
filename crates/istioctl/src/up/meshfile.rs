//! mesh.yaml: which local commands are which workloads.
//!
//! ```yaml
//! apiVersion: meltemi.dev/v1                # so that the control plane knows that this document is not for it
//! kind: Mesh
//! traffic: {path: /productpage, rate: 5}   # optional: requests per second through the gateway
//! meshConfig: {}                            # optional: Istio's MeshConfig
//! workloads:
//! - name: reviews-v1                        # also the name of a Deployment in the folder, whose labels and
//!   namespace: default                      #   service account are then the defaults; namespace: default
//!   serviceAccount: bookinfo-reviews        # its identity; default: that of the Deployment, or `default`
//!   labels: {app: reviews, version: v1}     # what Service selectors and policies match; default: app: <name>
//!   command: [./reviews, --color, red]      # or one line for a shell; absent: you start it yourself
//!   cwd: reviews                            # relative to the folder
//!   env: {STAR_COLOR: red}
//!   ports: {9080: 3000}                     # Service targetPort: port the program listens on; absent: it gets
//! ```                                       #   a free one in $PORT (or $PORT_<targetPort> if it has several)

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::folder::Folder;

/// The file's name in a folder.
pub const NAME: &str = "mesh.yaml";

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct MeshFile {
    /// `meltemi.dev/v1`.
    pub api_version: Option<String>,
    /// `Mesh`.
    pub kind: Option<String>,
    /// Traffic through the gateway.
    pub traffic: Traffic,
    /// Istio's MeshConfig, handed to the control plane.
    pub mesh_config: Option<Value>,
    /// The workloads.
    pub workloads: Vec<Workload>,
}

/// Traffic that `up` sends.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Traffic {
    /// Path requested from the gateway.
    pub path: String,
    /// Requests per second; 0 for none.
    pub rate: f64,
}

impl Default for Traffic {
    fn default() -> Self {
        Self { path: "/".to_owned(), rate: 0.0 }
    }
}

/// One workload.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Workload {
    /// Unique within its namespace.
    pub name: String,
    /// `default` if empty.
    pub namespace: String,
    /// Its identity.
    pub service_account: String,
    /// What selectors match.
    pub labels: BTreeMap<String, String>,
    /// What is started; nothing if the user starts it.
    pub command: Option<CommandLine>,
    /// Where, relative to the folder.
    pub cwd: Option<String>,
    /// With which variables.
    pub env: BTreeMap<String, String>,
    /// Target port to the port the program listens on by itself.
    pub ports: BTreeMap<u16, u16>,
}

/// A command as words, or as a line for `sh -c`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum CommandLine {
    /// Program and arguments.
    Words(Vec<String>),
    /// Text for a shell.
    Line(String),
}

impl CommandLine {
    /// Program and arguments.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        match self {
            Self::Words(words) => words.clone(),
            Self::Line(line) => ["/bin/sh", "-c", line].map(str::to_owned).to_vec(),
        }
    }
}

impl MeshFile {
    /// What the file lacks to be passed over by the control plane, which reads the same folder.
    #[must_use]
    pub fn complaint(&self) -> Option<&'static str> {
        let headed =
            self.api_version.as_deref() == Some("meltemi.dev/v1") && self.kind.as_deref() == Some("Mesh");
        let empty = self.workloads.is_empty() && self.mesh_config.is_none();
        (!headed && !empty).then_some(
            "mesh.yaml: let it begin with `apiVersion: meltemi.dev/v1` and `kind: Mesh`, or the control plane will \
             report it as no object of its own",
        )
    }
}

impl Workload {
    /// `name.namespace`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}.{}", self.name, self.namespace)
    }

    /// Fills in what the file left open: from the Deployment of the same name if the folder has one.
    pub fn complete(&mut self, folder: &Folder) {
        if self.namespace.is_empty() {
            "default".clone_into(&mut self.namespace);
        }
        let same = |object: &&super::folder::Object| object.is(&self.name, &self.namespace);
        let pod = ["Deployment", "StatefulSet", "DaemonSet"]
            .iter()
            .flat_map(|kind| folder.of_kind(kind))
            .find(same)
            .map_or(&Value::Null, |object| &object.value["spec"]["template"]);
        if self.labels.is_empty() {
            self.labels = super::folder::string_map(&pod["metadata"]["labels"]);
        }
        if self.labels.is_empty() {
            self.labels.insert("app".to_owned(), self.name.clone());
        }
        if self.service_account.is_empty() {
            pod["spec"]["serviceAccountName"]
                .as_str()
                .unwrap_or("default")
                .clone_into(&mut self.service_account);
        }
    }
}

/// Reads a folder's mesh.yaml; an absent one is empty.
///
/// # Errors
/// With file and line if it cannot be read or says something unknown, or names a workload twice.
pub fn read(folder: &Path) -> anyhow::Result<MeshFile> {
    let path = folder.join(NAME);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(MeshFile::default()),
        Err(error) => anyhow::bail!("{}: {error}", path.display()),
    };
    parse(&text).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))
}

fn parse(text: &str) -> anyhow::Result<MeshFile> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(MeshFile::default());
    }
    let file: MeshFile = serde_saphyr::from_str(text)?;
    let mut seen = std::collections::BTreeSet::new();
    for workload in &file.workloads {
        anyhow::ensure!(
            is_name(&workload.name),
            "workload name {:?} is not a DNS label (a-z, 0-9, -)",
            workload.name
        );
        let namespace = if workload.namespace.is_empty() { "default" } else { &workload.namespace };
        anyhow::ensure!(is_name(namespace), "namespace {namespace:?} is not a DNS label (a-z, 0-9, -)");
        anyhow::ensure!(
            seen.insert((&workload.name, namespace)),
            "workload {} stands there twice",
            workload.name
        );
    }
    Ok(file)
}

/// Whether this may be the name of a workload: it becomes file names, DNS names and parts of ids.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty()
        && name.len() <= 63
        && name.chars().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests;
