//! Envoy bootstraps: `bootstrap.json` of the conformance data against `pilot_agent::bootstrap`.

use std::path::Path;

use pilot_agent::bootstrap::{Addresses, Config, render};
use pilot_agent::environment::Environment;
use pilot_agent::node::{Node, NodeOptions};
use pilot_agent::proxy_config::ProxyConfig;
use serde_json::{Map, Value};

/// One case with its verdict: `Err` says the first difference.
pub(crate) type Verdict = (String, Result<(), String>);

/// Runs every case of `bootstrap.json` in the folder of the conformance data.
///
/// # Errors
/// When the data itself cannot be read.
pub(crate) fn run(conformance: &Path) -> Result<Vec<Verdict>, String> {
    let corpus: Value = read_json(&conformance.join("bootstrap.json"))?;
    let cases = corpus["cases"].as_array().ok_or("bootstrap.json has no cases")?;
    Ok(cases.iter().map(|case| (text(case, "id"), check(conformance, &corpus["common"], case))).collect())
}

fn check(conformance: &Path, common: &Value, case: &Value) -> Result<(), String> {
    let files = conformance.join("files/istio");
    let golden = read_json(&files.join(text(case, "golden")))?;
    let prototext = read(&files.join(text(case, "proxy_config")))?;
    let config = config_of(common, case, &prototext)?;
    let mut ours = render(&config).map_err(|error| error.to_string())?;
    let mut theirs = golden;
    for side in [&mut ours, &mut theirs] {
        normalise(side, case);
    }
    match difference("", &ours, &theirs) {
        None => Ok(()),
        Some(found) => Err(found),
    }
}

fn config_of(common: &Value, case: &Value, prototext: &str) -> Result<Config, String> {
    let env = case["env"].as_object().cloned().unwrap_or_default();
    let mut pairs: Vec<(String, String)> = vec![("ISTIO_METAJSON_LABELS".to_owned(), "{}".to_owned())];
    pairs.extend(
        env.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())),
    );
    pairs.push(("ISTIO_METAJSON_ANNOTATIONS".to_owned(), case["annotations"].to_string()));

    let mut proxy = ProxyConfig::from_value(Value::Object(Prototext::parse(prototext)?));
    let file = text(case, "proxy_config");
    let stem = Path::new(&file).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    proxy.set("configPath", Value::from(format!("/tmp/bootstrap/{stem}")));
    proxy.set("customConfigFile", Value::from("envoy_bootstrap.json"));
    if proxy.port("statusPort") == 0 {
        proxy.set("statusPort", Value::from(15020));
    }
    let limit = "ISTIO_META_GLOBAL_DOWNSTREAM_MAX_CONNECTIONS";
    if let Some(value) = env.get(limit) {
        proxy.set("proxyMetadata", serde_json::json!({ limit: value }));
    }
    let annotations = case["annotations"].as_object().filter(|annotations| !annotations.is_empty());
    let annotations_file = annotations.map(|annotations| {
        annotations.iter().map(|(name, value)| format!("{name}={value}\n")).collect::<String>()
    });
    let port = |holder: &Value, name: &str| {
        holder[name].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or_default()
    };
    let options = NodeOptions {
        id: text(common, "node_id"),
        instance_ips: texts(&common["instance_ips"]),
        pilot_sans: texts(&common["pilot_subject_alt_names"]),
        outlier_log_path: text(common, "outlier_log_path"),
        envoy_status_port: port(common, "envoy_status_port"),
        envoy_prometheus_port: port(common, "envoy_prometheus_port"),
        secure_metrics_port: port(case, "secureMetricsPort"),
        secure_merged_metrics_port: port(case, "secureMergedMetricsPort"),
        workload_identity_socket_file: text(common, "workload_identity_socket_file"),
        version: text(common, "version.Info.Version"),
        annotations_file,
        ..NodeOptions::default()
    };
    let env = Environment::from_pairs(pairs);
    Ok(Config {
        addresses: Addresses::of_proxy(&options.instance_ips, false, None),
        node: Node::gather(&env, proxy, &options),
        compliance_policy: String::new(),
        log_as_json: false,
        delta_xds: true,
        status_port_proxy_protocol: false,
        strip_fragment: true,
        host_ip: None,
        stock: None,
    })
}

/// The replacements that the data asks for, on both sides: paths of the recording, and locality where it is not the point.
fn normalise(bootstrap: &mut Value, case: &Value) {
    if case["checkLocality"] != Value::Bool(true)
        && let Some(locality) = bootstrap["node"]["locality"].as_object_mut()
    {
        locality.retain(|_, part| part.as_str().is_some_and(|part| !part.is_empty()));
        for part in ["zone", "region"] {
            locality.remove(part);
        }
    }
    if let Some(path) = bootstrap.pointer_mut("/tracing/http/typed_config/access_token_file") {
        *path = Value::from("/test-path/lightstep_access_token.txt");
    }
    let clusters = bootstrap.pointer_mut("/static_resources/clusters").and_then(Value::as_array_mut);
    for cluster in clusters.into_iter().flatten() {
        let pipe = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/pipe/path";
        if let Some(path) = cluster.pointer_mut(pipe)
            && path.as_str().is_some_and(|path| path.ends_with("/XDS"))
        {
            *path = Value::from("/tmp/XDS");
        }
    }
}

/// The first place where two JSON values differ, as a path with both sides.
fn difference(path: &str, ours: &Value, theirs: &Value) -> Option<String> {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            for (name, value) in a {
                let at = format!("{path}/{name}");
                match b.get(name) {
                    Some(other) => {
                        if let Some(found) = difference(&at, value, other) {
                            return Some(found);
                        }
                    }
                    None => return Some(format!("{at}: only ours: {value}")),
                }
            }
            b.iter()
                .find(|(name, _)| !a.contains_key(*name))
                .map(|(name, value)| format!("{path}/{name}: missing: {value}"))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(i, (a, b))| difference(&format!("{path}/{i}"), a, b))
        }
        (a, b) if a == b => None,
        (a, b) => Some(format!("{path}: {a} != {b}")),
    }
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn read_json(path: &Path) -> Result<Value, String> {
    serde_json::from_str(&read(path)?).map_err(|error| format!("{}: {error}", path.display()))
}

fn text(holder: &Value, name: &str) -> String {
    holder[name].as_str().unwrap_or_default().to_owned()
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// A reader of the protobuf text format, as far as ProxyConfig in the data needs it; makes proto3 JSON.
struct Prototext<'a> {
    rest: &'a str,
}

impl<'a> Prototext<'a> {
    fn parse(text: &'a str) -> Result<Map<String, Value>, String> {
        let mut reader = Self { rest: text };
        let fields = reader.fields(None)?;
        Ok(fields)
    }

    fn skip(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',' || c == ';');
            match self.rest.strip_prefix('#') {
                Some(comment) => self.rest = comment.split_once('\n').map_or("", |(_, rest)| rest),
                None => return,
            }
        }
    }

    fn fields(&mut self, end: Option<char>) -> Result<Map<String, Value>, String> {
        let mut out = Map::new();
        loop {
            self.skip();
            match (self.rest.chars().next(), end) {
                (None, None) => return Ok(out),
                (Some(c), Some(end)) if c == end => {
                    self.rest = &self.rest[1..];
                    return Ok(out);
                }
                (None, Some(end)) => return Err(format!("prototext ends before {end:?}")),
                _ => {}
            }
            let name = self.word();
            if name.is_empty() {
                return Err(format!("prototext: a field name is expected at {:.20}", self.rest));
            }
            self.skip();
            self.rest = self.rest.strip_prefix(':').unwrap_or(self.rest);
            let value = self.value()?;
            out.insert(name.to_owned(), json_of(name, value));
        }
    }

    fn word(&mut self) -> &'a str {
        let end = self
            .rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || "_.-+".contains(c)))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn value(&mut self) -> Result<Value, String> {
        self.skip();
        if let Some(rest) = self.rest.strip_prefix('{') {
            self.rest = rest;
            return Ok(Value::Object(self.fields(Some('}'))?));
        }
        if let Some(rest) = self.rest.strip_prefix('[') {
            self.rest = rest;
            let mut items = Vec::new();
            loop {
                self.skip();
                if let Some(rest) = self.rest.strip_prefix(']') {
                    self.rest = rest;
                    return Ok(Value::Array(items));
                }
                items.push(self.value()?);
            }
        }
        if let Some(rest) = self.rest.strip_prefix('"') {
            let (quoted, rest) = rest.split_once('"').ok_or("prototext: a text without end")?;
            self.rest = rest;
            return Ok(Value::from(quoted));
        }
        let word = self.word();
        Ok(match word {
            "" => return Err(format!("prototext: a value is expected at {:.20}", self.rest)),
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => word.parse::<i64>().map_or_else(|_| Value::from(word), Value::from),
        })
    }
}

/// Durations, wrapped scalars and maps have a form of their own in JSON.
fn json_of(name: &str, value: Value) -> Value {
    match &value {
        Value::Object(fields) if fields.len() == 1 && fields.contains_key("value") => fields["value"].clone(),
        Value::Object(fields) if fields.len() == 1 && fields.contains_key("seconds") => {
            Value::from(format!("{}s", fields["seconds"]))
        }
        Value::Array(items) if matches!(name, "runtime_values" | "proxy_metadata") => Value::Object(
            items
                .iter()
                .map(|entry| (entry["key"].as_str().unwrap_or_default().to_owned(), entry["value"].clone()))
                .collect(),
        ),
        _ => value,
    }
}
