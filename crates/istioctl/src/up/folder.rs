//! The user's folder: its YAML documents, as far as `up` must understand them itself (Services, Sidecars, ...).
//!
//! The control plane reads the same files and judges them; what cannot be read here is simply not seen here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;

/// One object and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// The object, `metadata.namespace` filled in.
    pub value: Value,
    /// File, relative to the folder.
    pub file: PathBuf,
    /// Line of the document's first line, from 1.
    pub line: usize,
    /// The document as written.
    pub text: String,
}

impl Object {
    /// `metadata.name`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.value["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// `metadata.namespace`, `default` if the document has none.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.value["metadata"]["namespace"].as_str().unwrap_or("default")
    }

    /// `kind`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.value["kind"].as_str().unwrap_or_default()
    }

    /// Whether it has this name and namespace.
    #[must_use]
    pub fn is(&self, name: &str, namespace: &str) -> bool {
        self.name() == name && self.namespace() == namespace
    }
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// `name`; empty if unnamed.
    pub name: String,
    /// `port`.
    pub port: u16,
    /// `targetPort` if it is a number, or `port` if there is none.
    pub target: Option<u16>,
    /// `targetPort` if it is a name.
    pub target_name: Option<String>,
    /// The protocol that name or `appProtocol` declare, as Istio spells it; empty if none.
    pub protocol: String,
}

/// A Service, as far as local processes matter to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// Selector; empty selects nothing.
    pub selector: BTreeMap<String, String>,
    /// TCP ports.
    pub ports: Vec<ServicePort>,
}

impl Service {
    /// Whether it selects a workload of this namespace with these labels.
    #[must_use]
    pub fn selects(&self, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        self.namespace == namespace && !self.selector.is_empty() && contains(labels, &self.selector)
    }
}

/// Whether `labels` has every pair of `wanted`.
#[must_use]
pub fn contains(labels: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// The string values of an object.
#[must_use]
pub fn string_map(value: &Value) -> BTreeMap<String, String> {
    let pairs = value.as_object().into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// Every document of a folder.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Folder {
    objects: Vec<Object>,
}

impl Folder {
    /// Reads every `.yaml`, `.yml` and `.json` below a folder but mesh.yaml; hidden files and what cannot be read
    /// are passed over.
    #[must_use]
    pub fn read(folder: &Path) -> Self {
        let mut found = Self::default();
        for (path, _) in files(folder) {
            if let Ok(text) = std::fs::read_to_string(&path) {
                let relative = path.strip_prefix(folder).unwrap_or(&path);
                found.add(relative, &text);
            }
        }
        found
    }

    /// A folder of one object that was made here.
    #[must_use]
    pub fn of(value: Value) -> Self {
        let text = crate::print::to_yaml(&value);
        Self { objects: vec![Object { value, file: PathBuf::new(), line: 1, text }] }
    }

    /// A folder of texts.
    #[cfg(test)]
    pub(crate) fn from_documents(files: &[(&str, &str)]) -> Self {
        let mut found = Self::default();
        for (name, text) in files {
            found.add(Path::new(name), text);
        }
        found
    }

    fn add(&mut self, file: &Path, text: &str) {
        for (line, document) in documents(text) {
            let Ok(mut value) = serde_saphyr::from_str::<Value>(&document) else { continue };
            let items = match value["items"].take() {
                Value::Array(items) if value["kind"].as_str().is_some_and(|k| k.ends_with("List")) => items,
                items => {
                    if !items.is_null() {
                        value["items"] = items;
                    }
                    vec![value]
                }
            };
            for mut value in items {
                if let Some(map) = value.as_object_mut() {
                    map.shift_remove("items")
                        .filter(|items| !items.is_null())
                        .map(|i| map.insert("items".into(), i));
                }
                if value["kind"].is_string() && value["metadata"]["name"].is_string() {
                    let object = Object { value, file: file.to_owned(), line, text: document.clone() };
                    self.objects.push(object);
                }
            }
        }
    }

    /// All objects, in the order of files and lines.
    #[must_use]
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// The objects of one kind.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Object> {
        self.objects.iter().filter(move |object| object.kind() == kind)
    }

    /// The Services.
    #[must_use]
    pub fn services(&self) -> Vec<Service> {
        self.of_kind("Service").map(service).collect()
    }
}

fn service(object: &Object) -> Service {
    let spec = &object.value["spec"];
    let ports = spec["ports"].as_array().map_or(&[][..], Vec::as_slice);
    Service {
        name: object.name().to_owned(),
        namespace: object.namespace().to_owned(),
        selector: string_map(&spec["selector"]),
        ports: ports
            .iter()
            .filter(|p| p["protocol"].as_str().unwrap_or("TCP") == "TCP")
            .filter_map(port)
            .collect(),
    }
}

fn port(value: &Value) -> Option<ServicePort> {
    let number = |value: &Value| value.as_u64().and_then(|n| u16::try_from(n).ok()).filter(|n| *n != 0);
    let port = number(&value["port"])?;
    let target = &value["targetPort"];
    let target_name = target.as_str().map(str::to_owned);
    let name = value["name"].as_str().unwrap_or_default().to_owned();
    let declared = value["appProtocol"].as_str().unwrap_or(&name);
    Some(ServicePort {
        protocol: protocol(declared),
        target: if target_name.is_some() { None } else { Some(number(target).unwrap_or(port)) },
        name,
        port,
        target_name,
    })
}

/// The protocol a port's name or appProtocol declares, as pkg/config/protocol: Parse of the part before the dash.
fn protocol(declared: &str) -> String {
    let lower = declared.to_ascii_lowercase();
    let lower = lower.strip_prefix("kubernetes.io/").unwrap_or(&lower);
    let known = match lower {
        name if name == "grpc-web" || name.starts_with("grpc-web-") => "GRPC-Web",
        name => match name.split('-').next().unwrap_or_default() {
            "http" | "ws" => "HTTP",
            "http2" | "h2c" => "HTTP2",
            "grpc" => "GRPC",
            "https" => "HTTPS",
            "tls" => "TLS",
            "tcp" => "TCP",
            "mongo" => "Mongo",
            "mysql" => "MySQL",
            "redis" => "Redis",
            _ => "",
        },
    };
    known.to_owned()
}

/// The documents of a YAML file with the line each begins on.
fn documents(text: &str) -> Vec<(usize, String)> {
    let mut found = vec![(1, String::new())];
    for (index, line) in text.lines().enumerate() {
        let separator =
            line.strip_prefix("---").is_some_and(|rest| rest.trim().is_empty() || rest.starts_with(" #"));
        if separator {
            found.push((index + 2, String::new()));
        } else if let Some((_, document)) = found.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    let is_empty = |text: &str| text.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#'));
    found.retain(|(_, document)| !is_empty(document));
    for (line, document) in &mut found {
        // the line that a reader looks for is the first one that says something
        let skipped =
            document.lines().take_while(|l| l.trim().is_empty() || l.trim_start().starts_with('#')).count();
        *line += skipped;
    }
    found
}

/// Every file that may hold objects, in the order of paths, with the time of its last change.
fn files(folder: &Path) -> BTreeMap<PathBuf, Option<SystemTime>> {
    let mut found = BTreeMap::new();
    let mut left = vec![(folder.to_owned(), 0)];
    while let Some((directory, depth)) = left.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let Ok(metadata) = std::fs::metadata(&path) else { continue };
            if name.starts_with('.') {
                continue;
            }
            if metadata.is_dir() {
                if depth < 8 {
                    left.push((path, depth + 1));
                }
            } else if [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end))
                && !(depth == 0 && name == super::meshfile::NAME)
            {
                found.insert(path, metadata.modified().ok());
            }
        }
    }
    found
}

/// What tells two states of a folder apart: its files and their times.
#[must_use]
pub fn fingerprint(folder: &Path) -> Vec<(PathBuf, Option<SystemTime>)> {
    files(folder).into_iter().collect()
}

#[cfg(test)]
mod tests;
