//! Mesh configuration: from a file, or from the ConfigMap `istio` among the objects; a bad edit keeps the last good one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::mesh::settings::Settings;
use config::kubernetes::ConfigMap;
use config::mesh::{self, MeshConfig, MeshNetworks};
use config::{Kind, Origin, Problem, Severity};
use tokio::sync::watch;

use crate::files::Folder;

#[cfg(test)]
mod tests;

/// A text that was read, and where.
type Text = Option<(String, String)>;

/// Where mesh configuration comes from, and what it said last.
#[derive(Debug)]
pub struct MeshConfiguration {
    /// `--meshConfig`.
    file: Option<PathBuf>,
    /// `--networksConfig`.
    networks_file: Option<PathBuf>,
    /// The name of the ConfigMap: `istio`, or `istio-<revision>`.
    config_map: String,
    settings: Settings,
    /// The texts that were read last, good or bad.
    texts: (Text, Text),
    /// Where the fields of the last good mesh configuration were written.
    places: watch::Sender<Option<Arc<Origin>>>,
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
        Self { file, networks_file, config_map, settings: base, texts: (None, None), places }
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

    /// Reads again; new settings if they differ, and what is wrong with the texts if those are other ones now.
    pub fn load(&mut self, folder: Option<&Folder>) -> (Option<Settings>, Vec<Problem>) {
        let mut problems = Vec::new();
        let text = self.text(self.file.as_deref(), "mesh", folder, &mut problems);
        let networks = self.text(self.networks_file.as_deref(), "meshNetworks", folder, &mut problems);
        let mut settings = self.settings.clone();
        if text != self.texts.0 {
            if let Some(mesh) = read_mesh(text.as_ref(), &mut problems) {
                settings.mesh = Arc::new(mesh);
                let places = text.as_ref().and_then(|(file, text)| mesh::mesh_config_places(file, text));
                self.places.send_replace(places.map(Arc::new));
            }
            self.texts.0 = text;
        }
        if networks != self.texts.1 {
            if let Some(networks) = read_networks(networks.as_ref(), &mut problems) {
                settings.networks = Arc::new(networks);
            }
            self.texts.1 = networks;
        }
        if settings == self.settings {
            return (None, problems);
        }
        self.settings = settings.clone();
        (Some(settings), problems)
    }

    fn text(
        &self,
        file: Option<&Path>,
        key: &str,
        folder: Option<&Folder>,
        problems: &mut Vec<Problem>,
    ) -> Text {
        if let Some(path) = file {
            match std::fs::read_to_string(path) {
                Ok(text) => return Some((path.display().to_string(), text)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    let text = format!("cannot read the mesh configuration: {error}");
                    problems.push(Problem::new(Severity::Error, &path.display().to_string(), text));
                }
            }
        }
        let namespace = &self.settings.system_namespace;
        let object = folder?.get(Kind::ConfigMap, namespace, &self.config_map)?;
        let map = object.get::<ConfigMap>()?;
        let text = map.data.get(key)?;
        let source = format!("{} ({}, {key})", object.meta.origin.file, object.meta);
        Some((source, text.clone()))
    }
}

/// The last good configuration stays if this one is refused.
fn read_mesh(text: Option<&(String, String)>, problems: &mut Vec<Problem>) -> Option<MeshConfig> {
    let Some((file, text)) = text else { return Some(mesh::default_mesh_config()) };
    settle(mesh::apply_mesh_config(&mesh::default_mesh_config(), file, text), problems)
}

fn read_networks(text: Option<&(String, String)>, problems: &mut Vec<Problem>) -> Option<MeshNetworks> {
    let Some((file, text)) = text else { return Some(MeshNetworks::default()) };
    settle(mesh::parse_mesh_networks(file, text), problems)
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
