//! Logging: named scopes with levels that can be changed while running, as text or JSON.
//!
//! A scope is a tracing target: `tracing::info!(target: "ads", ...)`. A target that is not a declared scope belongs to
//! `default`, those of the gRPC stack to `grpc` (as pkg/log/options.go, where `grpc` starts at `none`).

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tracing::{Metadata, Subscriber, subscriber::Interest};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, SubscriberExt};

mod format;
mod level;
#[cfg(test)]
mod tests;

pub use level::{Level, LevelError, parse_levels};

/// The scope of everything that names no other.
pub const DEFAULT: &str = "default";
/// The scope of the gRPC and HTTP libraries.
pub const GRPC: &str = "grpc";
/// In a level list: every scope.
pub const ALL: &str = "all";

/// A scope as its program declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// What users write in `--log_output_level`; no colon, comma or period.
    pub name: &'static str,
    /// What `admin log` shows about it.
    pub description: &'static str,
}

/// What the logging flags say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// `--log_output_level`: `scope:level,...`, a bare level meaning `default`; empty for all defaults.
    pub output_level: String,
    /// `--log_stacktrace_level`: in the same form, from which level on messages come with a stack trace.
    pub stack_trace_level: String,
    /// `--log_caller`: scopes, separated by commas, whose messages say where in the source they come from.
    pub callers: String,
    /// `--log_as_json`.
    pub as_json: bool,
    /// `--log_target`: paths, `stdout`, `stderr`; empty means stdout.
    pub targets: Vec<String>,
}

/// Why logging cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A list of scopes or levels is wrong.
    #[error("{flag}: {reason}")]
    Level {
        /// Which flag's.
        flag: &'static str,
        /// What is wrong with it.
        reason: LevelError,
    },
    /// A target cannot be written.
    #[error("--log_target: cannot open {path}: {source}")]
    Target {
        /// Which one.
        path: String,
        /// The system's reason.
        source: io::Error,
    },
    /// Logging was set up before in this process.
    #[error("logging is already set up in this process")]
    Twice,
}

/// A scope as it is set now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScopeState {
    /// Its name.
    pub name: &'static str,
    /// What is said about it.
    pub description: &'static str,
    /// The least level that is logged.
    pub output: Level,
    /// The least level that is logged with a stack trace.
    pub stack_trace: Level,
    /// Whether messages say where in the source they come from.
    pub callers: bool,
}

/// The scopes and their levels, shared with the running logger. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Levels(Arc<RwLock<BTreeMap<&'static str, ScopeState>>>);

impl Levels {
    /// The declared scopes, `default` at `info` and `grpc` at `none`, every other at `info`, then changed by `list`.
    pub fn new(scopes: &[Scope], list: &str) -> Result<Self, LevelError> {
        let state = |name, output, description| {
            (name, ScopeState { name, description, output, stack_trace: Level::None, callers: false })
        };
        let mut map = BTreeMap::from([
            state(DEFAULT, Level::Info, "Unscoped logging messages."),
            state(GRPC, Level::None, "Messages of the gRPC and HTTP libraries."),
        ]);
        map.extend(scopes.iter().map(|scope| state(scope.name, Level::Info, scope.description)));
        let levels = Self(Arc::new(RwLock::new(map)));
        levels.apply(list)?;
        Ok(levels)
    }

    /// Applies a level list (`ads:debug,default:warn`, `all:info`, `debug`) as a whole, or not at all if a scope or level
    /// in it is unknown. Takes effect on the next message.
    pub fn apply(&self, list: &str) -> Result<(), LevelError> {
        self.each(&parse_levels(list)?, |state, level| state.output = level)
    }

    /// As [`Levels::apply`], for the levels from which on messages come with a stack trace.
    pub fn apply_stack_traces(&self, list: &str) -> Result<(), LevelError> {
        self.each(&parse_levels(list)?, |state, level| state.stack_trace = level)
    }

    /// Lets messages of these scopes, separated by commas, say where in the source they come from.
    pub fn apply_callers(&self, list: &str) -> Result<(), LevelError> {
        let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
        let wanted: Vec<(String, ())> = names.map(|name| (name.to_owned(), ())).collect();
        self.each(&wanted, |state, ()| state.callers = true)
    }

    /// Changes one scope, if there is one of this name. Takes effect on the next message.
    pub fn change(&self, scope: &str, change: impl FnOnce(&mut ScopeState)) -> bool {
        let found = self.0.write().get_mut(scope).map(change).is_some();
        tracing::callsite::rebuild_interest_cache();
        found
    }

    /// Changes the scopes of a list, `all` being the floor the others stand on, wherever it is written.
    fn each<T: Copy>(
        &self,
        wanted: &[(String, T)],
        change: impl Fn(&mut ScopeState, T),
    ) -> Result<(), LevelError> {
        let mut map = self.0.write();
        if let Some((unknown, _)) = wanted.iter().find(|(s, _)| s != ALL && !map.contains_key(s.as_str())) {
            let known = map.keys().copied().collect::<Vec<_>>().join(", ");
            return Err(LevelError::Scope { name: unknown.clone(), known });
        }
        for (_, value) in wanted.iter().filter(|(s, _)| s == ALL) {
            map.values_mut().for_each(|state| change(state, *value));
        }
        for (scope, value) in wanted {
            if let Some(state) = map.get_mut(scope.as_str()) {
                change(state, *value);
            }
        }
        drop(map);
        tracing::callsite::rebuild_interest_cache();
        Ok(())
    }

    /// Every scope, sorted by name.
    #[must_use]
    pub fn list(&self) -> Vec<ScopeState> {
        self.0.read().values().copied().collect()
    }

    /// The scope of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<ScopeState> {
        self.0.read().get(name).copied()
    }

    /// The scope a tracing target belongs to.
    fn scope_of(&self, target: &str) -> Option<ScopeState> {
        let map = self.0.read();
        let name = if map.contains_key(target) {
            target
        } else if is_grpc_library(target) {
            GRPC
        } else {
            DEFAULT
        };
        map.get(name).copied()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let scope = self.scope_of(metadata.target());
        scope.map_or(Level::Info, |scope| scope.output).lets_through(*metadata.level())
    }
}

/// Whether a target is a module of a library below gRPC.
fn is_grpc_library(target: &str) -> bool {
    let root = target.split("::").next().unwrap_or(target);
    matches!(root, "tonic" | "h2" | "hyper" | "hyper_util" | "tower" | "rustls" | "tokio_rustls")
}

/// Sets up logging for the whole process, once. The returned levels can be changed while running.
pub fn init(options: &Options, scopes: &[Scope]) -> Result<Levels, Error> {
    let of = |flag| move |reason| Error::Level { flag, reason };
    let levels = Levels::new(scopes, &options.output_level).map_err(of("--log_output_level"))?;
    levels.apply_stack_traces(&options.stack_trace_level).map_err(of("--log_stacktrace_level"))?;
    levels.apply_callers(&options.callers).map_err(of("--log_caller"))?;
    let sinks = open(&options.targets)?;
    let layer = Lines { levels: levels.clone(), as_json: options.as_json, sinks: Mutex::new(sinks) };
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| Error::Twice)?;
    Ok(levels)
}

enum Sink {
    Stdout,
    Stderr,
    File(File),
}

impl Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout().lock().write_all(line),
            Self::Stderr => io::stderr().lock().write_all(line),
            Self::File(file) => file.write_all(line),
        }
    }
}

fn open(targets: &[String]) -> Result<Vec<Sink>, Error> {
    if targets.is_empty() {
        return Ok(vec![Sink::Stdout]);
    }
    let sink = |target: &String| match target.as_str() {
        "stdout" => Ok(Sink::Stdout),
        "stderr" => Ok(Sink::Stderr),
        path => match OpenOptions::new().create(true).append(true).open(path) {
            Ok(file) => Ok(Sink::File(file)),
            Err(source) => Err(Error::Target { path: path.to_string(), source }),
        },
    };
    targets.iter().map(sink).collect()
}

/// The layer that turns events into lines.
struct Lines {
    levels: Levels,
    as_json: bool,
    sinks: Mutex<Vec<Sink>>,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.levels.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.levels.enabled(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.levels.0.read().values().map(|scope| scope.output.filter()).max()
    }

    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let Some(scope) = self.levels.scope_of(event.metadata().target()) else { return };
        let time = format::timestamp(std::time::SystemTime::now());
        let line = format::line(&time, &scope, event, self.as_json);
        for sink in self.sinks.lock().iter_mut() {
            // There is nowhere left to tell that a log line could not be written.
            let _ = sink.write(line.as_bytes());
        }
    }
}
