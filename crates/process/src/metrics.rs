//! Metrics: one registry, rendered as Prometheus text under exactly the names it was given.

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::{Metric, Registry};

mod resources;
#[cfg(test)]
mod tests;

/// The `Content-Type` of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A registry that everybody in the process shares. Cheap to clone.
#[derive(Clone, Default)]
pub struct Metrics(Arc<RwLock<Registry>>);

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers `metric` and gives it back (its clones share the value). `name` is what scrapers see: no suffix is
    /// added to it. Registering a name twice shows it twice; do it once, where the program is put together.
    pub fn register<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        self.0.write().register(name, help, metric.clone());
        metric
    }

    /// Adds the standard `process_*` gauges of this process (memory, CPU, open files, start time), read at each scrape.
    pub fn register_process(&self) {
        self.register_collector(resources::OfProcess);
    }

    /// Adds metrics that are computed at each scrape.
    pub fn register_collector(&self, collector: impl Collector) {
        self.0.write().register_collector(Box::new(collector));
    }

    /// Everything as Prometheus text format 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail; a metric that cannot be encoded ends the text where it stands.
        let _ = encode(&mut text, &self.0.read());
        plain(&text)
    }
}

/// Rewrites OpenMetrics text as the older Prometheus format: counters lose the `_total` that the encoder adds, and the
/// `# UNIT` and `# EOF` lines go.
fn plain(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len());
    let mut counter: Option<String> = None;
    for line in open_metrics.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.rsplit_once(' ').unwrap_or((declared, ""));
            counter = (kind == "counter").then(|| format!("{name}_total"));
            // The older format has no type for what OpenMetrics calls unknown or info.
            let kind = if matches!(kind, "unknown" | "info" | "stateset") { "untyped" } else { kind };
            out.push_str(&format!("# TYPE {name} {kind}\n"));
            continue;
        }
        let sample = match counter.as_deref().filter(|_| !line.starts_with('#')) {
            Some(suffixed) => line.strip_prefix(suffixed).map(|rest| (suffixed, rest)),
            None => None,
        };
        match sample {
            Some((suffixed, rest)) => {
                out.push_str(suffixed.strip_suffix("_total").unwrap_or(suffixed));
                out.push_str(rest);
            }
            None => out.push_str(line),
        }
        out.push('\n');
    }
    out
}
