//! The command line Envoy is started with.

use std::path::PathBuf;
use std::time::Duration;

/// Everything that becomes a flag of Envoy.
#[derive(Clone, Debug)]
pub struct EnvoyCommand {
    /// The binary.
    pub binary: PathBuf,
    /// The bootstrap.
    pub bootstrap: PathBuf,
    /// How long Envoy itself drains.
    pub drain: Duration,
    /// Whether all of the proxy's addresses are IPv6.
    pub ipv6_only: bool,
    /// How often access logs are flushed.
    pub file_flush_interval: Option<Duration>,
    /// How many kilobytes are flushed at least; 0 leaves it to Envoy.
    pub file_flush_min_size_kb: u32,
    /// `--proxyLogLevel`, a level with scopes behind it, e.g. `info,misc:error`.
    pub log_level: String,
    /// `--proxyComponentLogLevel`, used when the level has no scopes.
    pub component_log_level: String,
    /// Hide warnings about deprecated fields.
    pub skip_deprecated_logs: bool,
    /// Allow core dumps.
    pub core_dump: bool,
    /// Text for `--config-yaml`, laid over the bootstrap.
    pub override_json: Option<String>,
    /// Worker threads; 0 is one per core.
    pub concurrency: u32,
}

impl EnvoyCommand {
    /// The arguments, as pkg/envoy/proxy.go: args.
    #[must_use]
    pub fn args(&self) -> Vec<String> {
        let flush = self.file_flush_interval.unwrap_or(Duration::from_secs(1));
        let mut args: Vec<String> = Vec::with_capacity(24);
        let mut put = |name: &str, value: String| args.extend([name.to_owned(), value]);
        put("-c", self.bootstrap.display().to_string());
        put("--drain-time-s", self.drain.as_secs().to_string());
        put("--drain-strategy", "immediate".to_owned());
        put("--local-address-ip-version", if self.ipv6_only { "v6" } else { "v4" }.to_owned());
        put("--file-flush-interval-msec", flush.as_millis().to_string());
        args.push("--disable-hot-restart".to_owned());
        args.push("--allow-unknown-static-fields".to_owned());
        let mut put = |name: &str, value: String| args.extend([name.to_owned(), value]);
        if self.file_flush_min_size_kb > 0 {
            put("--file-flush-min-size-kb", self.file_flush_min_size_kb.to_string());
        }
        let (level, components) = split_log_level(&self.log_level);
        if !level.is_empty() {
            put("-l", level);
        }
        let components = if components.is_empty() { self.component_log_level.clone() } else { components };
        if !components.is_empty() {
            put("--component-log-level", components);
        }
        if self.skip_deprecated_logs {
            args.push("--skip-deprecated-logs".to_owned());
        }
        if self.core_dump {
            args.push("--enable-core-dump".to_owned());
        }
        let mut put = |name: &str, value: String| args.extend([name.to_owned(), value]);
        if let Some(json) = &self.override_json {
            put("--config-yaml", json.clone());
        }
        if self.concurrency > 0 {
            put("--concurrency", self.concurrency.to_string());
        }
        args
    }
}

/// Takes `info,misc:error,upstream:debug` apart into a level and component levels.
#[must_use]
pub fn split_log_level(text: &str) -> (String, String) {
    let mut level = String::new();
    let mut components: Vec<&str> = Vec::new();
    for part in text.split(',') {
        match part.matches(':').count() {
            0 => part.clone_into(&mut level),
            1 => components.push(part),
            _ => tracing::warn!("dropping invalid log level: {part}"),
        }
    }
    (level, components.join(","))
}

#[cfg(test)]
mod tests;
