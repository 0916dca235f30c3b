//! The bootstrap on disk: the generated one, a custom one taken as it is, and the override given on the command line.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{BootstrapError, Config, clusters, render};

/// Why there is no bootstrap file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The configuration is at fault.
    #[error(transparent)]
    Render(#[from] BootstrapError),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// A custom bootstrap needs Go's template engine, which is not here.
    #[error(
        "{0}: custom bootstraps are taken as they are; this one contains template actions ({{{{ ... }}}})"
    )]
    Template(PathBuf),
    /// The override is neither YAML nor JSON.
    #[error("{path}: {reason}")]
    Override {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> FileError + '_ {
    move |source| FileError::Io { path: path.to_owned(), source }
}

/// Where Envoy reads its bootstrap: `envoy-rev.json` (or `.yaml`, for a custom YAML one) in the configuration folder.
#[must_use]
pub fn bootstrap_path(config_path: &Path, custom: Option<&Path>) -> PathBuf {
    let yaml = custom.is_some_and(|path| {
        let name = path.to_string_lossy();
        name.ends_with(".yaml") || name.ends_with(".yaml.tmpl")
    });
    config_path.join(if yaml { "envoy-rev.yaml" } else { "envoy-rev.json" })
}

/// Writes the bootstrap into `config_path` (created with mode 0700) and gives its name. With `custom` that file is
/// taken word by word. As pkg/bootstrap/instance.go: CreateFile.
///
/// # Errors
/// When the configuration cannot be rendered, or files cannot be read or written.
pub fn write(config: &Config, config_path: &Path, custom: Option<&Path>) -> Result<PathBuf, FileError> {
    create_private_dir(config_path).map_err(io(config_path))?;
    let target = bootstrap_path(config_path, custom);
    let text = match custom {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(io(path))?;
            if text.contains("{{") {
                return Err(FileError::Template(path.to_owned()));
            }
            text
        }
        None => render(config)?.to_string(),
    };
    std::fs::write(&target, text).map_err(io(&target))?;
    write_lightstep_token(config)?;
    Ok(target)
}

fn create_private_dir(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn write_lightstep_token(config: &Config) -> Result<(), FileError> {
    let token = config
        .node
        .proxy_config
        .get("tracing")
        .and_then(|tracing| tracing.get("lightstep"))
        .and_then(|lightstep| lightstep.get("accessToken"))
        .and_then(Value::as_str);
    let Some(token) = token else { return Ok(()) };
    let path = PathBuf::from(clusters::lightstep_token_file(config));
    std::fs::write(&path, token).map_err(io(&path))
}

/// Reads the file of `ISTIO_BOOTSTRAP_OVERRIDE` for Envoy's `--config-yaml`, as JSON, with the host's address put in
/// for `$(HOST_IP)`. As pkg/envoy/proxy.go: readBootstrapToJSON.
///
/// # Errors
/// When the file cannot be read or is no YAML.
pub fn envoy_override(path: &Path, host_ip: &str) -> Result<String, FileError> {
    let mut text = std::fs::read_to_string(path).map_err(io(path))?;
    let mut address = host_ip.to_owned();
    if address.contains(':') {
        address = format!("[{address}]");
        text = text.replace("[$(HOST_IP)]", &address);
    }
    let text = text.replace("$(HOST_IP)", &address);
    serde_saphyr::from_str::<Value>(&text)
        .map(|value| value.to_string())
        .map_err(|error| FileError::Override { path: path.to_owned(), reason: error.to_string() })
}
