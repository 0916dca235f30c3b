//! Mesh configuration: from a file, or from the ConfigMap `istio` among the objects; a bad edit keeps the last good one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::mesh::settings::Settings;
use config::kubernetes::ConfigMap;
use config::mesh::{self, LabelSelector, MeshConfig, MeshNetworks};
use config::{Kind, Origin, Problem, Severity};
use tokio::sync::watch;

use crate::files::Folder;
use crate::kubernetes::Maps;
use crate::verdict::{Regarded, Ruling, Verdict};

#[cfg(test)]
mod tests;

/// A text that was read.
#[derive(Debug, Clone)]
struct Text {
    /// Where.
    source: String,
    text: String,
    /// The ConfigMap of the API server that has it, and under which key.
    object: Option<(Regarded, &'static str)>,
}

/// Who has the same text is told of it; that alone is no other text.
impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        (&self.source, &self.text) == (&other.source, &other.text)
    }
}

/// What reading again came to.
#[derive(Debug, Default)]
pub struct Loaded {
    /// New settings, if they differ.
    pub settings: Option<Settings>,
    /// What is wrong with the texts, if those are other ones now.
    pub problems: Vec<Problem>,
    /// What became of those that ConfigMaps have, if they are other ones now.
    pub verdicts: Vec<Verdict>,
}

/// Where mesh configuration comes from, and what it said last.
#[derive(Debug)]
pub struct MeshConfiguration {
    /// `--meshConfig`.
    file: Option<PathBuf>,
    /// `--networksConfig`.
    networks_file: Option<PathBuf>,
    /// The name of the ConfigMap: `istio`, or `istio-<revision>`.
    config_map: String,
    /// The name of the ConfigMap that is applied before all else (`SHARED_MESH_CONFIG`); empty for none.
    shared: String,
    /// ConfigMaps of the API server, if there is one.
    maps: Option<watch::Receiver<Maps>>,
    settings: Settings,
    /// The texts that were read last, good or bad.
    texts: (Vec<Text>, Vec<Text>),
    /// How many of them are refused: of mesh configuration, and of networks.
    refused: (usize, usize),
    /// Where the fields of the last good mesh configuration were written.
    places: watch::Sender<Option<Arc<Origin>>>,
    /// Its `discoverySelectors`.
    selectors: watch::Sender<Vec<LabelSelector>>,
    /// All of it.
    effective: watch::Sender<Arc<MeshConfig>>,
}

impl MeshConfiguration {
    /// Starts from `base`, whose switches, domain and cluster stay as they are. A `file` that exists wins over the
    /// ConfigMap (as pilot/pkg/bootstrap/mesh.go).
    #[must_use]
    pub fn new(
        base: Settings,
        file: Option<PathBuf>,
        networks_file: Option<PathBuf>,
        revision: &str,
    ) -> Self {
        let config_map = match revision {
            "" | "default" => "istio".to_owned(),
            revision => format!("istio-{revision}"),
        };
        let places = watch::Sender::new(None);
        let shared = base.switches.shared_mesh_config.clone();
        let texts = (Vec::new(), Vec::new());
        let selectors = watch::Sender::new(base.mesh.discovery_selectors.clone());
        let effective = watch::Sender::new(base.mesh.clone());
        let (maps, refused, settings) = (None, (0, 0), base);
        Self {
            file,
            networks_file,
            config_map,
            shared,
            maps,
            settings,
            texts,
            refused,
            places,
            selectors,
            effective,
        }
    }

    /// The names of the ConfigMaps that it may stand in.
    #[must_use]
    pub fn config_maps(&self) -> Vec<String> {
        [&self.shared, &self.config_map].into_iter().filter(|name| !name.is_empty()).cloned().collect()
    }

    /// Reads ConfigMaps of an API server, those named by [`MeshConfiguration::config_maps`]; they go before a folder's.
    #[must_use]
    pub fn with_maps(mut self, maps: watch::Receiver<Maps>) -> Self {
        self.maps = Some(maps);
        self
    }

    /// The ConfigMaps of the API server, to wait for changes of them.
    #[must_use]
    pub fn maps(&self) -> Option<watch::Receiver<Maps>> {
        self.maps.clone()
    }

    /// The files it looks at.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.file.iter().chain(&self.networks_file).map(PathBuf::as_path)
    }

    /// The last good settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where the fields of the mesh configuration in effect were written, now and later; `None` while it has no text.
    /// No part of the settings: what only moved to another line is the same.
    #[must_use]
    pub fn places(&self) -> watch::Receiver<Option<Arc<Origin>>> {
        self.places.subscribe()
    }

    /// The `discoverySelectors` in effect, now and later.
    #[must_use]
    pub fn discovery_selectors(&self) -> watch::Receiver<Vec<LabelSelector>> {
        self.selectors.subscribe()
    }

    /// The mesh configuration in effect, now and later; an edit of the networks alone is no news.
    #[must_use]
    pub fn effective(&self) -> watch::Receiver<Arc<MeshConfig>> {
        self.effective.subscribe()
    }

    /// How many texts are refused now.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.refused.0 + self.refused.1
    }

    /// Reads again.
    pub fn load(&mut self, folder: Option<&Folder>) -> Loaded {
        let mut problems = Vec::new();
        let texts = self.read(self.file.as_deref(), "mesh", folder, &mut problems);
        let networks = self.read(self.networks_file.as_deref(), "meshNetworks", folder, &mut problems);
        let mut settings = self.settings.clone();
        let mut verdicts = Vec::new();
        if texts != self.texts.0 {
            if let Some(mesh) = read_mesh(&texts, &mut problems) {
                settings.mesh = Arc::new(mesh);
                let places = texts.last().and_then(|t| mesh::mesh_config_places(&t.source, &t.text));
                self.places.send_replace(places.map(Arc::new));
            }
            self.refused.0 = judge(&texts, &problems, &mut verdicts);
            self.texts.0 = texts;
        }
        if networks != self.texts.1 {
            let hosts = settings.switches.resolve_hostname_gateways;
            if let Some(networks) = read_networks(&networks, hosts, &mut problems) {
                settings.networks = Arc::new(networks);
            }
            self.refused.1 = judge(&networks, &problems, &mut verdicts);
            self.texts.1 = networks;
        }
        if settings == self.settings {
            return Loaded { settings: None, problems, verdicts };
        }
        self.selectors.send_if_modified(|selectors| {
            let differ = *selectors != settings.mesh.discovery_selectors;
            selectors.clone_from(&settings.mesh.discovery_selectors);
            differ
        });
        if *settings.mesh != *self.settings.mesh {
            self.effective.send_replace(settings.mesh.clone());
        }
        self.settings = settings.clone();
        Loaded { settings: Some(settings), problems, verdicts }
    }

    /// The texts to apply, in this order: that of the shared ConfigMap, then the file or else the own ConfigMap (as
    /// pilot/pkg/bootstrap/mesh.go: getConfigurationSources).
    fn read(
        &self,
        file: Option<&Path>,
        key: &'static str,
        folder: Option<&Folder>,
        problems: &mut Vec<Problem>,
    ) -> Vec<Text> {
        let shared = self.config_map(&self.shared, key, folder);
        let own = match file.map(|path| (path, std::fs::read_to_string(path))) {
            Some((path, Ok(text))) => {
                // in a pod the file is the mounted ConfigMap, and that is what its writer looks at
                let mounted = self.config_map(&self.config_map, key, folder).filter(|map| map.text == text);
                let source = path.display().to_string();
                Some(Text { source, text, object: mounted.and_then(|map| map.object) })
            }
            Some((path, Err(error))) if error.kind() != std::io::ErrorKind::NotFound => {
                let text = format!("cannot read the mesh configuration: {error}");
                problems.push(Problem::new(Severity::Error, &path.display().to_string(), text));
                self.config_map(&self.config_map, key, folder)
            }
            _ => self.config_map(&self.config_map, key, folder),
        };
        shared.into_iter().chain(own).collect()
    }

    fn config_map(&self, name: &str, key: &'static str, folder: Option<&Folder>) -> Option<Text> {
        let namespace = &self.settings.system_namespace;
        let served = self.maps.as_ref().and_then(|maps| maps.borrow().get(name).cloned());
        let object = match &served {
            Some(object) => object.as_ref(),
            None => folder?.get(Kind::ConfigMap, namespace, name)?,
        };
        let text = object.get::<ConfigMap>()?.data.get(key)?.clone();
        let meta = &object.meta;
        let source = format!("{} ({meta}, {key})", meta.origin.file);
        let object = served.is_some().then(|| {
            let (namespace, name) = (meta.namespace.clone(), meta.name.clone());
            (Regarded { kind: Kind::ConfigMap, namespace, name, uid: meta.uid.clone() }, key)
        });
        Some(Text { source, text, object })
    }
}

/// What became of texts; how many of them are refused.
fn judge(texts: &[Text], problems: &[Problem], verdicts: &mut Vec<Verdict>) -> usize {
    let mut refused = 0;
    for text in texts {
        let of = |problem: &&Problem| problem.is_error() && *problem.file == text.source;
        let errors: Vec<Problem> = problems.iter().filter(of).cloned().collect();
        refused += usize::from(!errors.is_empty());
        let Some((object, key)) = &text.object else { continue };
        let ruling = if errors.is_empty() { Ruling::Accepted } else { Ruling::Refused { kept: true } };
        let part = (*key).to_owned();
        verdicts.push(Verdict { part, problems: errors, ..Verdict::new(object.clone(), ruling) });
    }
    refused
}

/// The last good configuration stays if one of the texts is refused.
fn read_mesh(texts: &[Text], problems: &mut Vec<Problem>) -> Option<MeshConfig> {
    texts.iter().try_fold(mesh::default_mesh_config(), |under, Text { source, text, .. }| {
        settle(mesh::apply_mesh_config(&under, source, text), problems)
    })
}

/// Networks are not merged: those of the last text count.
fn read_networks(texts: &[Text], hosts: bool, problems: &mut Vec<Problem>) -> Option<MeshNetworks> {
    let Some(Text { source, text, .. }) = texts.last() else { return Some(MeshNetworks::default()) };
    settle(mesh::parse_mesh_networks(source, text, hosts), problems)
}

fn settle<T>(outcome: mesh::Outcome<T>, problems: &mut Vec<Problem>) -> Option<T> {
    match outcome {
        Ok((value, warnings)) => {
            problems.extend(warnings);
            Some(value)
        }
        Err(errors) => {
            problems.extend(errors);
            None
        }
    }
}
