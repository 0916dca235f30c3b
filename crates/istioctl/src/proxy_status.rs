//! `proxy-status`: what the control plane sent each proxy and what the proxy acknowledged.

use serde_json::{Map, Value, json};

use crate::print::{Columns, to_json, to_yaml};

const CLIENT_CONFIG: &str = "type.googleapis.com/envoy.service.status.v3.ClientConfig";
const CORE: [(&str, &str); 5] = [
    ("type.googleapis.com/envoy.config.cluster.v3.Cluster", "CDS"),
    ("type.googleapis.com/envoy.config.listener.v3.Listener", "LDS"),
    ("type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment", "EDS"),
    ("type.googleapis.com/envoy.config.route.v3.RouteConfiguration", "RDS"),
    ("type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", "ECDS"),
];

/// Marks an answer that was made of a debug page.
const FROM_SYNCZ: &str = "syncz";

/// How the status is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// The answer of the control plane, as JSON.
    Json,
    /// The same as YAML.
    Yaml,
    /// One row per proxy.
    #[default]
    Table,
}

/// Turns `/debug/syncz` of one control plane into the answer that `istioctl ps -o json` shows
/// (a `DiscoveryResponse` of `ClientConfig`s). `istiod` names the control plane.
#[must_use]
pub fn from_syncz(syncz: &Value, istiod: &str) -> Value {
    let resources: Vec<Value> = syncz.as_array().into_iter().flatten().map(client_config).collect();
    json!({
        "versionInfo": FROM_SYNCZ,
        "resources": resources,
        "typeUrl": CLIENT_CONFIG,
        "controlPlane": {"identifier": json!({"Component": "istiod", "ID": istiod}).to_string()},
    })
}

fn client_config(status: &Value) -> Value {
    let text = |name: &str| status.get(name).and_then(Value::as_str).unwrap_or_default();
    let proxy = text("proxy");
    let namespace = proxy.rsplit_once('.').map_or("", |(_, namespace)| namespace);
    let mut types: Map<String, Value> =
        status.get("resources").and_then(Value::as_object).cloned().unwrap_or_default();
    if types.is_empty() {
        let legacy = ["cluster", "listener", "endpoint", "route", "extensionconfig"];
        for ((url, _), name) in CORE.iter().zip(legacy) {
            let sent = text(&format!("{name}_sent"));
            let acked = text(&format!("{name}_acked"));
            if !sent.is_empty() {
                types.insert((*url).to_owned(), json!({"sent": sent, "acked": acked}));
            }
        }
    }
    let configs: Vec<Value> = types
        .iter()
        .map(|(url, at)| {
            let of = |name: &str| at.get(name).and_then(Value::as_str).unwrap_or_default();
            let state = match (of("sent"), of("acked")) {
                _ if !of("lastError").is_empty() => "ERROR",
                ("", _) => "NOT_SENT",
                (sent, acked) if sent == acked => "SYNCED",
                _ => "STALE",
            };
            let mut config = json!({"typeUrl": url, "configStatus": state});
            let time = of("sentTime");
            if !time.is_empty() && !time.starts_with("0001-") {
                config["lastUpdated"] = json!(time);
            }
            config
        })
        .collect();
    json!({
        "@type": CLIENT_CONFIG,
        "node": {"id": proxy, "metadata": {
            "CLUSTER_ID": text("cluster_id"), "ISTIO_VERSION": text("istio_version"), "NAMESPACE": namespace,
        }},
        "genericXdsConfigs": configs,
    })
}

/// The time that ages are told against.
#[must_use]
pub fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

struct Row<'a> {
    proxy: &'a str,
    cluster: &'a str,
    istiod: String,
    version: &'a str,
    types: Vec<(&'a str, String)>,
}

impl Row<'_> {
    /// The worst state of what it subscribes to: what needs a look comes before what is well.
    fn worst(&self) -> &str {
        let word = |state: &'_ str| {
            ["ERROR", "STALE", "NOT SENT", "SYNCED"].iter().position(|w| state.starts_with(w))
        };
        let worst = self.types.iter().filter_map(|(_, state)| word(state)).min();
        worst.map_or("-", |at| ["ERROR", "STALE", "NOT SENT", "SYNCED"][at])
    }
}

/// Prints the answers of all control planes; `namespace` empty for every namespace, `verbose` for a column per
/// type (as istioctl/pkg/writer/pilot/status.go).
#[must_use]
pub fn print(
    answers: &[Value],
    namespace: &str,
    format: Format,
    verbose: bool,
    now: jiff::Timestamp,
) -> String {
    if format != Format::Table {
        return answers.iter().map(|answer| machine_readable(answer, namespace, format)).collect();
    }
    let mut rows: Vec<Row> = answers.iter().flat_map(|answer| rows(answer, namespace, now)).collect();
    rows.sort_by_key(|row| row.proxy);
    let mut seen: Vec<&str> = rows.iter().flat_map(|row| row.types.iter().map(|(url, _)| *url)).collect();
    let mut table = Columns::new(5);
    if verbose {
        seen.extend(CORE.iter().map(|(url, _)| *url));
        seen.sort_unstable();
        seen.dedup();
        let types = seen.iter().map(|url| short(url));
        table.row(["NAME", "CLUSTER"].into_iter().chain(types).chain(["ISTIOD", "VERSION"]));
        for row in &rows {
            let state = |url: &&str| {
                let found = row.types.iter().find(|(u, _)| u == url);
                found.map_or_else(|| "IGNORED".to_owned(), |(_, state)| state.clone())
            };
            let mut cells = vec![row.proxy.to_owned(), row.cluster.to_owned()];
            cells.extend(seen.iter().map(state));
            cells.extend([row.istiod.clone(), row.version.to_owned()]);
            table.row(cells);
        }
        return table.render();
    }
    let order = |url: &str| CORE[..4].iter().position(|(u, _)| *u == url).unwrap_or(4);
    seen.sort_by_key(|url| (order(url), *url));
    seen.dedup();
    // What a debug page told can also say whether all of it was acknowledged; upstream's answer has no such column.
    let told = answers.iter().any(|answer| answer["versionInfo"] == FROM_SYNCZ);
    let state = told.then_some("STATUS");
    table.row(["NAME", "CLUSTER", "ISTIOD", "VERSION", "SUBSCRIBED TYPES"].into_iter().chain(state));
    for row in &rows {
        let has = |url: &&&str| row.types.iter().any(|(u, state)| u == *url && state != "IGNORED");
        let subscribed: Vec<&str> = seen.iter().filter(has).map(|url| short(url)).collect();
        let subscribed = match subscribed.len() {
            0 => "0".to_owned(),
            count => format!("{count} ({})", subscribed.join(",")),
        };
        let state = told.then(|| row.worst());
        table.row([row.proxy, row.cluster, &row.istiod, row.version, &subscribed].into_iter().chain(state));
    }
    table.render()
}

fn rows<'a>(answer: &'a Value, namespace: &str, now: jiff::Timestamp) -> Vec<Row<'a>> {
    let identifier = answer["controlPlane"]["identifier"].as_str().unwrap_or_default();
    let istiod = serde_json::from_str::<Value>(identifier)
        .ok()
        .and_then(|info| info["ID"].as_str().map(str::to_owned))
        .unwrap_or_default();
    let resources = answer["resources"].as_array().map_or(&[][..], Vec::as_slice);
    resources
        .iter()
        .filter(|r| namespace.is_empty() || r["node"]["metadata"]["NAMESPACE"] == namespace)
        .map(|r| {
            let node = &r["node"];
            let configs = r["genericXdsConfigs"].as_array().map_or(&[][..], Vec::as_slice);
            let types =
                configs.iter().map(|c| (c["typeUrl"].as_str().unwrap_or_default(), state(c, now))).collect();
            Row {
                proxy: node["id"].as_str().unwrap_or_default(),
                cluster: node["metadata"]["CLUSTER_ID"].as_str().unwrap_or_default(),
                istiod: istiod.clone(),
                version: node["metadata"]["ISTIO_VERSION"].as_str().unwrap_or_default(),
                types,
            }
        })
        .collect()
}

fn state(config: &Value, now: jiff::Timestamp) -> String {
    match config["configStatus"].as_str().unwrap_or("UNKNOWN") {
        "UNKNOWN" => "IGNORED".to_owned(),
        "NOT_SENT" => "NOT SENT".to_owned(),
        state => match config["lastUpdated"].as_str().and_then(|t| t.parse::<jiff::Timestamp>().ok()) {
            Some(at) => format!("{state} ({})", age(now.as_second() - at.as_second())),
            None => state.to_owned(),
        },
    }
}

/// A span of seconds in at most two units, as Kubernetes prints ages.
#[must_use]
pub fn age(seconds: i64) -> String {
    let two = |large: i64, unit: &str, small: i64, lesser: &str| {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{lesser}") }
    };
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        ..0 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        _ => format!("{days}d"),
    }
}

/// The short name of a resource type: `CDS` for clusters, ...
#[must_use]
pub fn short(url: &str) -> &str {
    if let Some((_, name)) = CORE.iter().find(|(known, _)| *known == url) {
        return name;
    }
    match url {
        "type.googleapis.com/envoy.config.route.v3.VirtualHost" => "VHDS",
        "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret" => "SDS",
        "type.googleapis.com/istio.networking.nds.v1.NameTable" => "NDS",
        "type.googleapis.com/istio.mesh.v1alpha1.ProxyConfig" => "PCDS",
        "type.googleapis.com/istio.workload.Address" => "WDS",
        "type.googleapis.com/istio.security.Authorization" => "WADS",
        other => other,
    }
}

fn machine_readable(answer: &Value, namespace: &str, format: Format) -> String {
    let mut answer = answer.clone();
    if !namespace.is_empty()
        && let Some(resources) = answer.get_mut("resources").and_then(Value::as_array_mut)
    {
        resources.retain(|r| r["node"]["metadata"]["NAMESPACE"] == namespace);
    }
    if format == Format::Yaml { to_yaml(&answer) + "\n" } else { to_json(&answer) + "\n" }
}

#[cfg(test)]
mod tests;
