//! Turns the composite series of a stock Envoy into Istio's standard metrics, line by line.
//!
//! # The contract with the configuration generator
//!
//! A stock Envoy has no `istio.stats`. The generator therefore writes `envoy.access_loggers.stats` loggers in the scope
//! `istiocustom` whose metrics carry Istio's names and **one tag `k`** (TCP gauges a second one, `c`, the connection id).
//! Envoy exposes them as `envoy_istiocustom_<name>{k="..."}`. The value of `k` is fields joined with [`SEPARATOR`]
//! (U+001F, which no header and no name can contain):
//!
//! | kind | reporter | fields after the kind |
//! |---|---|---|
//! | `sh` | source, HTTP | peer, peer SAN, destination, response code, response flags |
//! | `sg` | source, gRPC | peer, peer SAN, destination, response code, response flags, gRPC status |
//! | `st` | source, TCP | peer, peer SAN, destination, response flags |
//! | `dh` | destination, HTTP | as `sh` |
//! | `dg` | destination, gRPC | as `sg` |
//! | `dt` | destination, TCP | as `st` |
//!
//! The operators that the generator writes, in this order:
//! - *peer*: `sh sg st` `%UPSTREAM_METADATA(istio:workload)%`; `dh dg` `%DYNAMIC_METADATA(istio.peer:p)%`; `dt`
//!   `%DOWNSTREAM_PEER_SUBJECT%`. It is `workload;namespace;canonical service;canonical revision;cluster`, with
//!   `;app;version` behind where they are known; or a certificate subject with `OU=w:` `OU=ns:` `OU=cs:` `OU=cr:`
//!   `OU=c:` `OU=a:` `OU=v:` for the same.
//! - *peer SAN*: `%UPSTREAM_PEER_URI_SAN%`, `%DOWNSTREAM_PEER_URI_SAN%`.
//! - *destination*: source side the cluster (`%UPSTREAM_CLUSTER_RAW%`, `outbound|80||host`) or, where the host header
//!   may be trusted to be few, `:authority`; destination side the service's host, literally.
//! - `%RESPONSE_CODE%`, `%RESPONSE_FLAGS%`, `%GRPC_STATUS_NUMBER%`.
//!
//! An empty field and `-` (for all but the flags) mean that nothing is known. Behind the fixed fields there may be any
//! number of changes that the Telemetry API asks for: `+label=value` adds or replaces a label, `-label` removes one.
//!
//! What is not in the key the agent adds: its own half, reporter, protocol, security policy. Series that come out equal
//! are added up. `istio_tcp_{sent,received}_bytes_open` are gauges of connections that still live; they are added to
//! the counters `..._bytes_total`.

mod labels;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

pub use labels::OwnWorkload;

/// Between the fields of a key.
pub const SEPARATOR: char = '\u{1f}';
/// How Envoy's exposition names begin for the scope of the loggers.
pub const EXPOSED_PREFIX: &str = "envoy_istiocustom_";

/// Expands one exposition. Feed it chunks, then call [`Expander::finish`].
pub struct Expander<'a> {
    own: &'a OwnWorkload,
    partial: Vec<u8>,
    family: Option<Family>,
    /// TCP byte totals wait for the gauges, which come later in the exposition.
    bytes: BTreeMap<String, HashMap<String, f64>>,
    last: Option<(String, String)>,
    hasher: RandomState,
}

/// The metric whose series are coming in.
struct Family {
    name: String,
    /// Counters and gauges: values by labels. Empty for histograms, which pass through at once.
    sums: HashMap<String, f64>,
    /// Histograms: hashes of the labels already written, so that a second one of the same labels is left out.
    written: HashSet<u64>,
    /// The key of the histogram that is coming in, and whether it is written.
    current: Option<(u64, bool)>,
}

impl<'a> Expander<'a> {
    /// An expander for the exposition of the proxy of `own`.
    #[must_use]
    pub fn new(own: &'a OwnWorkload) -> Self {
        Self {
            own,
            partial: Vec::new(),
            family: None,
            bytes: BTreeMap::new(),
            last: None,
            hasher: RandomState::new(),
        }
    }

    /// Takes the next bytes of the exposition and appends what can be said already.
    pub fn push(&mut self, chunk: &[u8], out: &mut String) {
        let mut rest = chunk;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, tail) = rest.split_at(end);
            rest = &tail[1..];
            if self.partial.is_empty() {
                self.line(&String::from_utf8_lossy(line), out);
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                self.line(&String::from_utf8_lossy(&whole), out);
            }
        }
        self.partial.extend_from_slice(rest);
    }

    /// Ends the exposition: what waited is written.
    pub fn finish(mut self, out: &mut String) {
        if !self.partial.is_empty() {
            let whole = std::mem::take(&mut self.partial);
            self.line(&String::from_utf8_lossy(&whole), out);
        }
        self.end_family(out);
        for (name, sums) in std::mem::take(&mut self.bytes) {
            write_type(&name, "counter", out);
            write_sums(&name, &sums, out);
        }
    }

    fn line(&mut self, line: &str, out: &mut String) {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            self.end_family(out);
            match declared.strip_prefix(EXPOSED_PREFIX).and_then(|family| family.rsplit_once(' ')) {
                Some((name, kind)) => self.begin_family(name, kind, out),
                None => write_line(line, out),
            }
            return;
        }
        if line.starts_with("# HELP ") && line[7..].starts_with(EXPOSED_PREFIX) {
            return;
        }
        let sample = line.strip_prefix(EXPOSED_PREFIX).and_then(Sample::parse);
        match sample {
            Some(sample) => self.sample(&sample, out),
            None => write_line(line, out),
        }
    }

    fn begin_family(&mut self, name: &str, kind: &str, out: &mut String) {
        if bytes_total(name).is_none() {
            write_type(name, kind, out);
        }
        self.family = Some(Family {
            name: name.to_owned(),
            sums: HashMap::new(),
            written: HashSet::new(),
            current: None,
        });
    }

    fn end_family(&mut self, out: &mut String) {
        if let Some(family) = self.family.take() {
            write_sums(&family.name, &family.sums, out);
        }
    }

    fn sample(&mut self, sample: &Sample<'_>, out: &mut String) {
        let labels = match &self.last {
            Some((key, labels)) if key == sample.key => labels.clone(),
            _ => {
                let labels = labels::expand(sample.key, self.own);
                self.last = Some((sample.key.to_owned(), labels.clone()));
                labels
            }
        };
        if let Some(total) = bytes_total(sample.name) {
            let value: f64 = sample.value.parse().unwrap_or_default();
            *self.bytes.entry(total).or_default().entry(labels).or_default() += value;
            return;
        }
        let (key, hash) = (self.hasher.hash_one(sample.key), self.hasher.hash_one(&labels));
        let Some(family) =
            self.family.as_mut().filter(|family| sample.name.starts_with(family.name.as_str()))
        else {
            // A sample without a TYPE line before it; Envoy writes none, but nothing is lost.
            write_sample(sample.name, &labels, sample.bucket, sample.value, out);
            return;
        };
        if sample.name == family.name {
            let value: f64 = sample.value.parse().unwrap_or_default();
            *family.sums.entry(labels).or_default() += value;
            return;
        }
        // Lines of one histogram stand together, so a change of key is a new histogram.
        let first = match family.current {
            Some((current, first)) if current == key => first,
            _ => family.written.insert(hash),
        };
        family.current = Some((key, first));
        if first {
            write_sample(sample.name, &labels, sample.bucket, sample.value, out);
        }
    }
}

/// The counter that a TCP byte metric, closed or open, is part of.
fn bytes_total(name: &str) -> Option<String> {
    let stem = name.strip_suffix("_bytes_open").or_else(|| name.strip_suffix("_bytes_total"))?;
    stem.starts_with("istio_tcp_").then(|| format!("{stem}_bytes_total"))
}

/// One line of the exposition, without the prefix of its name.
struct Sample<'a> {
    name: &'a str,
    /// As exposed, with its escapes.
    key: &'a str,
    bucket: Option<&'a str>,
    value: &'a str,
}

impl<'a> Sample<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (name, mut rest) = line.split_once('{')?;
        let (mut key, mut bucket) = (None, None);
        loop {
            rest = rest.trim_start_matches([',', ' ']);
            if let Some(tail) = rest.strip_prefix('}') {
                let value = tail.split_whitespace().next()?;
                return Some(Self { name, key: key?, bucket, value });
            }
            let (label, tail) = rest.split_once("=\"")?;
            let end = end_of_quoted(tail)?;
            match label {
                "k" => key = Some(&tail[..end]),
                "le" => bucket = Some(&tail[..end]),
                _ => {}
            }
            rest = &tail[end + 1..];
        }
    }
}

/// The place of the quote that ends a label's value.
fn end_of_quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at),
            _ => {}
        }
    }
    None
}

fn write_line(line: &str, out: &mut String) {
    out.push_str(line);
    out.push('\n');
}

fn write_type(name: &str, kind: &str, out: &mut String) {
    for part in ["# TYPE ", name, " ", kind, "\n"] {
        out.push_str(part);
    }
}

fn write_sample(name: &str, labels: &str, bucket: Option<&str>, value: &str, out: &mut String) {
    for part in [name, "{", labels] {
        out.push_str(part);
    }
    if let Some(bound) = bucket {
        for part in [",le=\"", bound, "\""] {
            out.push_str(part);
        }
    }
    for part in ["} ", value, "\n"] {
        out.push_str(part);
    }
}

fn write_sums(name: &str, sums: &HashMap<String, f64>, out: &mut String) {
    let mut sorted: Vec<_> = sums.iter().collect();
    sorted.sort_by_key(|(labels, _)| *labels);
    for (labels, value) in sorted {
        write_sample(name, labels, None, &value.to_string(), out);
    }
}

#[cfg(test)]
mod tests;
