//! Who calls whom: edges out of the agents' merged metrics, as both ends reported them.

use std::collections::BTreeMap;
use std::time::Instant;

use super::document::Edge;

/// One series of Prometheus' text format.
struct Sample<'a> {
    name: &'a str,
    labels: Vec<(&'a str, String)>,
    value: f64,
}

impl Sample<'_> {
    fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value.as_str())
    }
}

/// What one side has counted of one edge.
#[derive(Clone, Debug, Default)]
struct Counts {
    requests: f64,
    failed: f64,
    mutual_tls: f64,
    plain: f64,
    /// Upper bound in milliseconds (as bits, to be a key) to cumulative count.
    buckets: BTreeMap<u64, f64>,
    tcp: f64,
}

/// (source, destination, whether the destination reports).
type Key = (String, String, bool);

/// The sum of one round over all proxies.
#[derive(Debug, Default)]
pub struct Counted(BTreeMap<Key, Counts>);

impl Counted {
    /// Adds one proxy's metrics.
    pub fn add(&mut self, text: &str) {
        for line in text.lines().filter(|line| line.starts_with("istio_")) {
            if let Some(sample) = parse(line) {
                self.count(&sample);
            }
        }
    }

    fn count(&mut self, sample: &Sample) {
        let requests = sample.name == "istio_requests_total";
        let bucket = sample.name == "istio_request_duration_milliseconds_bucket";
        let tcp = sample.name == "istio_tcp_connections_opened_total";
        if !(requests || bucket || tcp) {
            return;
        }
        let source = known(sample.label("source_workload")).or_else(|| known(sample.label("source_app")));
        let destination = known(sample.label("destination_workload"))
            .or_else(|| known(sample.label("destination_service_name")))
            .or_else(|| known(sample.label("destination_service")));
        let (Some(source), Some(destination)) = (source.or(Some("unknown")), destination) else { return };
        let at_destination = sample.label("reporter") == "destination";
        let counts = self.0.entry((source.to_owned(), destination.to_owned(), at_destination)).or_default();
        if bucket {
            let bound = sample.label("le").parse::<f64>().unwrap_or(f64::INFINITY);
            *counts.buckets.entry(bound.to_bits()).or_default() += sample.value;
            return;
        }
        match sample.label("connection_security_policy") {
            "mutual_tls" => counts.mutual_tls += sample.value,
            "none" => counts.plain += sample.value,
            _ => {}
        }
        if tcp {
            counts.tcp += sample.value;
            return;
        }
        counts.requests += sample.value;
        if sample.label("response_code").starts_with('5') || sample.label("response_code") == "0" {
            counts.failed += sample.value;
        }
    }
}

fn known(label: &str) -> Option<&str> {
    Some(label).filter(|label| !label.is_empty() && *label != "unknown")
}

fn parse(line: &str) -> Option<Sample<'_>> {
    let (name, rest) = line.split_once('{')?;
    let mut labels = Vec::new();
    let mut rest = rest;
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            let value = after.split_whitespace().next()?.parse().ok()?;
            return Some(Sample { name, labels, value });
        }
        let (key, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next()? {
                (at, '"') => break at,
                (_, '\\') => match chars.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        labels.push((key, value));
        rest = &after[end + 1..];
    }
}

/// Requests per (source, destination).
type Totals = BTreeMap<(String, String), f64>;

/// Edges over time: totals, and rates since the last round.
#[derive(Debug, Default)]
pub struct Edges {
    last: Option<(Instant, Totals)>,
    current: Vec<Edge>,
}

impl Edges {
    /// The edges of the last round.
    #[must_use]
    pub fn current(&self) -> &[Edge] {
        &self.current
    }

    /// Takes one round of counts.
    pub fn update(&mut self, counted: &Counted, now: Instant) {
        let mut pairs: BTreeMap<(String, String), [Option<&Counts>; 2]> = BTreeMap::new();
        for ((source, destination, at_destination), counts) in &counted.0 {
            let sides = pairs.entry((source.clone(), destination.clone())).or_default();
            sides[usize::from(*at_destination)] = Some(counts);
        }
        let mut totals = BTreeMap::new();
        let seen: Vec<Edge> = pairs
            .into_iter()
            .map(|(pair, [source, destination])| {
                let total = total(source).max(total(destination));
                let before = self.last.as_ref().and_then(|(at, totals)| Some((*at, *totals.get(&pair)?)));
                let rate = before.map_or(0.0, |(at, before)| {
                    let seconds = now.duration_since(at).as_secs_f64();
                    if seconds > 0.0 { ((total - before) / seconds).max(0.0) } else { 0.0 }
                });
                totals.insert(pair.clone(), total);
                edge(pair, source, destination, rate)
            })
            .collect();
        // Envoy drops idle series; what was seen stays seen
        let is_idle =
            |old: &Edge| !seen.iter().any(|e| e.source == old.source && e.destination == old.destination);
        let idle =
            self.current.iter().filter(|old| is_idle(old)).map(|old| Edge { rate: 0.0, ..old.clone() });
        let mut all: Vec<Edge> = idle.collect();
        all.extend(seen);
        all.sort_by(|a, b| (&a.source, &a.destination).cmp(&(&b.source, &b.destination)));
        self.current = all;
        self.last = Some((now, totals));
    }
}

fn total(side: Option<&Counts>) -> f64 {
    side.map_or(0.0, |counts| counts.requests + counts.tcp)
}

/// The source sees failures that never reached the destination; only the destination knows how it was reached.
fn edge(pair: (String, String), source: Option<&Counts>, destination: Option<&Counts>, rate: f64) -> Edge {
    let requests = total(source).max(total(destination));
    let side = source.or(destination);
    let failed = side.map_or(0.0, |counts| counts.failed);
    let seen = destination.filter(|counts| counts.mutual_tls + counts.plain > 0.0);
    let is_tcp = side.is_some_and(|counts| counts.tcp > 0.0 && counts.requests == 0.0);
    let timed = side.filter(|counts| !counts.buckets.is_empty()).or(destination);
    Edge {
        source: pair.0,
        destination: pair.1,
        mutual_tls: seen.map(|counts| counts.plain == 0.0),
        requests: requests as u64,
        failed: failed as u64,
        rate: (rate * 10.0).round() / 10.0,
        success_rate: if requests > 0.0 { 1.0 - (failed / requests).min(1.0) } else { 1.0 },
        p50_ms: timed.and_then(|counts| quantile(&counts.buckets, 0.5)),
        p99_ms: timed.and_then(|counts| quantile(&counts.buckets, 0.99)),
        protocol: if is_tcp { "tcp" } else { "http" }.to_owned(),
    }
}

/// A quantile by linear interpolation inside its bucket, as Prometheus' `histogram_quantile`.
fn quantile(buckets: &BTreeMap<u64, f64>, q: f64) -> Option<f64> {
    // bits of positive floats sort as the floats do, infinity last
    let total = buckets.last_key_value().map(|(_, count)| *count).filter(|count| *count > 0.0)?;
    let rank = q * total;
    let (mut lower, mut below) = (0.0, 0.0);
    for (bound, count) in buckets {
        let bound = f64::from_bits(*bound);
        if *count >= rank {
            if bound.is_infinite() {
                return Some(lower);
            }
            let inside = count - below;
            let part = if inside > 0.0 { (rank - below) / inside } else { 0.0 };
            return Some(((lower + (bound - lower) * part) * 100.0).round() / 100.0);
        }
        (lower, below) = (bound, *count);
    }
    None
}

#[cfg(test)]
mod tests;
