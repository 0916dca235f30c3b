//! Which of Envoy's statistics exist, how their names are cut into tags, and how often they move.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Config, metadata_discovery};
use crate::environment::parse_duration;
use crate::node::Node;

/// Prefixes the readiness check and the dashboards cannot do without.
const REQUIRED_PREFIXES: [&str; 5] =
    ["cluster_manager", "listener_manager", "server", "cluster.xds-grpc", "wasm"];
const REQUIRED_SUFFIXES: [&str; 4] = ["rbac.allowed", "rbac.denied", "shadow_allowed", "shadow_denied"];
/// Counted while draining until nobody is left.
const DRAIN_SUFFIX: &str = "downstream_cx_active";
const REQUIRED_REGEX: &str = r"vhost\..*\.route\..*";

/// `stats_config`, as pkg/bootstrap/config.go: getStatsOptions.
pub(super) fn config(config: &Config) -> Value {
    let node = &config.node;
    let mut out = json!({
        "use_all_default_tags": false,
        "stats_tags": tags(node),
        "stats_matcher": { "inclusion_list": { "patterns": patterns(config) } },
    });
    let mut buckets = histogram_buckets(node);
    if let Some(stock) = &config.stock {
        buckets.extend(stock.histogram_buckets());
    }
    if !buckets.is_empty()
        && let Some(fields) = out.as_object_mut()
    {
        fields.insert("histogram_bucket_settings".to_owned(), Value::Array(buckets));
    }
    out
}

fn tags(node: &Node) -> Vec<Value> {
    let fixed_first: [(&str, &str); 9] = [
        ("cluster_name", r"^cluster(\.(.+);)"),
        ("http_conn_manager_prefix", r"^http\.(((?:[_.[:digit:]\w]*|[_\[\]aAbBcCdDeEfF[:digit:]\w\:]*));\.)"),
        ("thread_name", r"^server(\.(.+))\.watchdog"),
        ("tcp_prefix", r"^tcp\.((.*?)\.)\w+?$"),
        ("response_code", r"_rq(_(\d{3}))$"),
        ("response_code_class", r"_rq(_(\dxx))$"),
        (
            "http_conn_manager_listener_prefix",
            r"^listener(?=\.).*?\.http\.(((?:[_.[:digit:]]*|[_\[\]aAbBcCdDeEfF[:digit:]]*))\.)",
        ),
        ("listener_address", r"^listener\.(((?:[_.[:digit:]]*|[_\[\]aAbBcCdDeEfF[:digit:]]*))\.)"),
        ("mongo_prefix", r"^mongo\.(.+?)\.(collection|cmd|cx_|op_|delays_|decoding_)(.*?)$"),
    ];
    let fixed_last: [(&str, &str); 7] = [
        ("cache", r"(cache\.(.+?)\.)"),
        ("component", r"(component\.(.+?)\.)"),
        ("tag", r"(tag\.(.+?);\.)"),
        ("wasm_filter", r"(wasm_filter\.(.+?)\.)"),
        ("authz_enforce_result", r"rbac(\.(allowed|denied))"),
        ("authz_dry_run_action", r"(\.istio_dry_run_(allow|deny)_)"),
        ("authz_dry_run_result", r"(\.shadow_(allowed|denied))"),
    ];
    let tag = |(name, regex): (&str, &str)| json!({ "tag_name": name, "regex": regex });
    let mut all: Vec<Value> = fixed_first.into_iter().map(tag).collect();
    for name in extra_tags(node) {
        all.push(json!({ "tag_name": name, "regex": format!(r"({name}=\.=(.*?);\.;)") }));
    }
    all.extend(fixed_last.into_iter().map(tag));
    all
}

fn extra_tags(node: &Node) -> Vec<String> {
    let configured = texts(node.proxy_config.get("extraStatTags"));
    let annotated = node.annotation("sidecar.istio.io/extraStatTags").unwrap_or_default();
    let mut out = Vec::new();
    for name in configured.iter().map(String::as_str).chain(annotated.split(',')) {
        if !name.is_empty() && !out.iter().any(|known| known == name) {
            out.push(name.to_owned());
        }
    }
    out
}

fn texts(list: Option<&Value>) -> Vec<String> {
    list.and_then(Value::as_array)
        .map(|items| items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
        .unwrap_or_default()
}

fn patterns(config: &Config) -> Vec<Value> {
    let node = &config.node;
    let matcher = |field: &str| texts(node.proxy_config.get("proxyStatsMatcher").and_then(|m| m.get(field)));
    // An annotation hides ProxyConfig instead of adding to it.
    let chosen = |annotation: &str, field: &str, required: &[&str]| -> Vec<String> {
        let given = match node.annotation(annotation) {
            Some(list) if !list.is_empty() => list.split(',').map(str::to_owned).collect(),
            _ => matcher(field),
        };
        let all = given.into_iter().chain(required.iter().map(|item| (*item).to_owned()));
        all.flat_map(|pattern| for_each_address(pattern, &node.instance_ips)).collect()
    };
    let mut suffixes = REQUIRED_SUFFIXES.to_vec();
    if node.flag("EXIT_ON_ZERO_ACTIVE_CONNECTIONS") {
        suffixes.push(DRAIN_SUFFIX);
    }
    let mut out = vec![json!({ "prefix": "reporter=" })];
    if metadata_discovery(config) {
        out.push(json!({ "prefix": "workload_discovery" }));
    }
    for prefix in chosen("sidecar.istio.io/statsInclusionPrefixes", "inclusionPrefixes", &REQUIRED_PREFIXES) {
        out.push(json!({ "prefix": prefix }));
    }
    for suffix in chosen("sidecar.istio.io/statsInclusionSuffixes", "inclusionSuffixes", &suffixes) {
        out.push(json!({ "suffix": suffix }));
    }
    for regex in chosen("sidecar.istio.io/statsInclusionRegexps", "inclusionRegexps", &[REQUIRED_REGEX]) {
        out.push(json!({ "safe_regex": { "regex": regex } }));
    }
    out.push(json!({ "prefix": "component" }));
    // Covers `istiocustom` of a stock Envoy, too.
    out.push(json!({ "prefix": "istio" }));
    out
}

/// `{pod_ip}` in a pattern stands for each address of the proxy.
fn for_each_address(pattern: String, addresses: &[String]) -> Vec<String> {
    if pattern.contains("{pod_ip}") {
        addresses.iter().map(|address| pattern.replace("{pod_ip}", address)).collect()
    } else {
        vec![pattern]
    }
}

fn histogram_buckets(node: &Node) -> Vec<Value> {
    let Some(text) = node.annotation("sidecar.istio.io/statsHistogramBuckets") else { return Vec::new() };
    match serde_json::from_str::<BTreeMap<String, Vec<f64>>>(text) {
        Ok(by_prefix) => by_prefix
            .into_iter()
            .map(|(prefix, buckets)| json!({ "match": { "prefix": prefix }, "buckets": buckets }))
            .collect(),
        Err(error) => {
            tracing::warn!("annotation sidecar.istio.io/statsHistogramBuckets left out: {error}");
            Vec::new()
        }
    }
}

/// Flush and eviction intervals where annotations ask for them; a stock Envoy always evicts idle series.
pub(super) fn put_intervals(config: &Config, put: &mut impl FnMut(&str, Value)) {
    let node = &config.node;
    let mut flush = Duration::from_secs(5);
    if let Some(text) = node.annotation("sidecar.istio.io/statsFlushInterval") {
        match parse_duration(text).filter(|interval| !interval.is_zero()) {
            Some(interval) => {
                flush = interval;
                put("stats_flush_interval", envoy_duration(interval));
            }
            None => tracing::warn!(text, "annotation sidecar.istio.io/statsFlushInterval is no duration"),
        }
    }
    let mut evicts = false;
    if let Some(text) = node.annotation("sidecar.istio.io/statsEvictionInterval") {
        match parse_duration(text).filter(|interval| !interval.is_zero()) {
            Some(interval) if interval.as_nanos().is_multiple_of(flush.as_nanos()) => {
                evicts = true;
                put("stats_eviction_interval", envoy_duration(Duration::from_secs(interval.as_secs())));
            }
            Some(_) => {
                tracing::warn!(
                    text,
                    "annotation sidecar.istio.io/statsEvictionInterval must be a multiple of the flush interval, {flush:?}"
                );
            }
            None => tracing::warn!(text, "annotation sidecar.istio.io/statsEvictionInterval is no duration"),
        }
    }
    if let Some(stock) = &config.stock
        && !evicts
    {
        put("stats_eviction_interval", envoy_duration(stock.eviction_interval(flush)));
    }
}

/// A duration as Envoy's JSON wants it: seconds, with a fraction where there is one.
fn envoy_duration(duration: Duration) -> Value {
    Value::from(match duration.subsec_nanos() {
        0 => format!("{}s", duration.as_secs()),
        nanos => format!("{}.{nanos:09}s", duration.as_secs()),
    })
}
