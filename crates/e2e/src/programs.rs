//! The workspace's programs, and one local mesh of them that is taken down whatever happens.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::sync::OnceLock;

use serde_json::Value;

const PROGRAMS: [&str; 3] = ["istioctl", "pilot-agent", "pilot-discovery"];

/// The folder with the three programs. They are used as they are; a missing one is built first.
///
/// # Panics
/// If they cannot be built.
#[must_use]
#[expect(clippy::panic, reason = "a test without its programs cannot go on")]
pub fn programs() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let test = std::env::current_exe().unwrap_or_default();
        // .../target/debug/deps/it-...
        let folder = test.ancestors().nth(2).map(Path::to_owned).unwrap_or_default();
        if PROGRAMS.iter().all(|name| folder.join(name).exists()) {
            return folder;
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.arg("build").args(PROGRAMS.iter().flat_map(|name| ["-p", name]));
        if folder.ends_with("release") {
            build.arg("--release");
        }
        if let Some(target) = folder.parent() {
            build.env("CARGO_TARGET_DIR", target);
        }
        match build.output() {
            Ok(output) if output.status.success() => folder,
            Ok(output) => panic!("the programs do not build:\n{}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => panic!("cannot run cargo: {error}"),
        }
    })
}

/// The Envoy of this machine, as the programs find it; installed into the cache if there is none.
///
/// # Panics
/// If there is none and it cannot be installed.
#[must_use]
#[expect(clippy::panic, reason = "a test without its programs cannot go on")]
pub fn envoy() -> PathBuf {
    match envoy::find_or_install(&envoy::Places::from_environment(None), &mut |_| {}) {
        Ok(envoy) => envoy.path,
        Err(error) => panic!("{error}"),
    }
}

/// A mesh with its own state directory.
#[derive(Debug)]
pub struct Mesh {
    state: PathBuf,
    variables: Vec<(&'static str, &'static str)>,
}

impl Mesh {
    /// A place for a mesh; nothing runs yet. `state` shall be an empty directory.
    #[must_use]
    pub fn in_directory(state: &Path) -> Self {
        Self { state: state.to_owned(), variables: Vec::new() }
    }

    /// The same with an environment variable, which the mesh's processes inherit.
    #[must_use]
    pub fn with_variable(mut self, name: &'static str, value: &'static str) -> Self {
        self.variables.push((name, value));
        self
    }

    /// Runs istioctl in this mesh's place.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn istioctl(&self, arguments: &[&str]) -> std::io::Result<Output> {
        self.command(arguments).output()
    }

    /// Starts istioctl in this mesh's place and lets it run.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn spawn(&self, arguments: &[&str]) -> std::io::Result<Child> {
        self.command(arguments).spawn()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(programs().join("istioctl"));
        command.args(arguments).env("XDG_STATE_HOME", &self.state).env_remove("XDG_RUNTIME_DIR");
        command.envs(self.variables.iter().copied());
        command
    }

    /// Starts it, detached, and returns its document.
    ///
    /// # Panics
    /// If it does not start; with what it said.
    #[must_use]
    #[expect(clippy::panic, reason = "a test without its mesh cannot go on")]
    pub fn up(&self, arguments: &[&str]) -> Value {
        // a loaded machine is not a broken one
        let patient: &[&str] = &["up", "--detach", "-o", "json", "--readiness-timeout=300"];
        let arguments = [patient, arguments].concat();
        match self.istioctl(&arguments) {
            Ok(output) if output.status.success() => match serde_json::from_slice(&output.stdout) {
                Ok(document) => document,
                Err(error) => panic!("{error}: {}", String::from_utf8_lossy(&output.stdout)),
            },
            Ok(output) => panic!("up: {}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => panic!("up: {error}"),
        }
    }

    /// Its state directory.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        let _ = self.istioctl(&["down"]);
    }
}
