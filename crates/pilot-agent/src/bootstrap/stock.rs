//! What an Envoy without Istio's extensions needs in its bootstrap so that Istio's standard metrics still come out.
//!
//! The generator writes `envoy.access_loggers.stats` loggers whose series carry one composite tag; the agent expands
//! them (see `stats::expand`). Envoy must keep Istio's histogram buckets for them and forget idle series.

use std::time::Duration;

use serde_json::{Value, json};

/// The scope under which the access loggers of a stock Envoy count.
pub const STATS_SCOPE: &str = "istiocustom";

/// Additions for a stock Envoy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockEnvoy {
    /// How long a series may be idle before Envoy forgets it; rounded up to a multiple of the flush interval.
    pub idle_series: Duration,
}

impl Default for StockEnvoy {
    fn default() -> Self {
        Self { idle_series: Duration::from_secs(3600) }
    }
}

impl StockEnvoy {
    /// Istio's buckets for the loggers' histograms.
    pub(super) fn histogram_buckets(&self) -> Vec<Value> {
        const BUCKETS: [f64; 19] = [
            0.5,
            1.0,
            5.0,
            10.0,
            25.0,
            50.0,
            100.0,
            250.0,
            500.0,
            1000.0,
            2500.0,
            5000.0,
            10_000.0,
            30_000.0,
            60_000.0,
            300_000.0,
            600_000.0,
            1_800_000.0,
            3_600_000.0,
        ];
        vec![json!({ "match": { "prefix": STATS_SCOPE }, "buckets": BUCKETS })]
    }

    /// Envoy wants a multiple of the flush interval.
    pub(super) fn eviction_interval(&self, flush: Duration) -> Duration {
        let flush_nanos = flush.as_nanos().max(1);
        let times = self.idle_series.as_nanos().div_ceil(flush_nanos).max(1);
        flush.saturating_mul(u32::try_from(times).unwrap_or(u32::MAX))
    }
}
