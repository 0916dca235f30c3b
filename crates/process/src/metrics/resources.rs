//! What this process uses, read from `/proc` at each scrape; where there is no `/proc` there are no such metrics.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Clock ticks per second in `/proc`; fixed at 100 in Linux's interface to programs.
const TICKS: f64 = 100.0;

#[derive(Debug)]
pub(super) struct OfProcess;

/// The numbers of one reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Usage {
    pub(super) resident_bytes: u64,
    pub(super) virtual_bytes: u64,
    pub(super) cpu_seconds: f64,
    pub(super) threads: u64,
    pub(super) start_seconds: f64,
}

impl Collector for OfProcess {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(usage) = read() else {
            return Ok(());
        };
        let mut gauge = |name: &str, help: &str, value: f64| {
            let metric = ConstGauge::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        gauge(
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            usage.resident_bytes as f64,
        )?;
        gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", usage.virtual_bytes as f64)?;
        gauge("process_threads", "Number of threads of the process.", usage.threads as f64)?;
        gauge(
            "process_start_time_seconds",
            "Start time of the process since the Unix epoch in seconds.",
            usage.start_seconds,
        )?;
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            gauge("process_open_fds", "Number of open file descriptors.", files.count() as f64)?;
        }
        let cpu = ConstCounter::new(usage.cpu_seconds);
        let about = "Total user and system CPU time spent in seconds.";
        cpu.encode(encoder.encode_descriptor("process_cpu_seconds_total", about, None, cpu.metric_type())?)
    }
}

/// A reading of this process; `None` where the system does not tell.
pub(super) fn read() -> Option<Usage> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let boot = fs::read_to_string("/proc/stat").ok()?;
    parse(&stat, &status, &boot)
}

/// Puts a reading together from the texts of `/proc/self/stat`, `/proc/self/status` and `/proc/stat`.
pub(super) fn parse(stat: &str, status: &str, boot: &str) -> Option<Usage> {
    // The second field is the program's name in brackets and may hold anything; the rest starts after the last one.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    let line = |text: &str, key: &str| -> Option<u64> {
        let value = text.lines().find_map(|l| l.strip_prefix(key))?;
        value.split_whitespace().next()?.parse().ok()
    };
    Some(Usage {
        resident_bytes: line(status, "VmRSS:")? * 1024,
        virtual_bytes: line(status, "VmSize:")? * 1024,
        threads: line(status, "Threads:")?,
        cpu_seconds: (ticks(11)? + ticks(12)?) / TICKS,
        start_seconds: line(boot, "btime ")? as f64 + ticks(19)? / TICKS,
    })
}
