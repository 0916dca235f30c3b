//! Where the application's own metrics are, as the injector wrote it down.

use serde_json::Value;

/// Ports of the proxy and the agent, and why they cannot be scraped as an application's.
const RESERVED: [(u16, &str); 9] = [
    (15000, "Envoy admin"),
    (15001, "outbound traffic capture"),
    (15004, "pilot debug"),
    (15006, "inbound traffic capture"),
    (15008, "HBONE tunnel"),
    (15020, "pilot-agent status / merged Prometheus"),
    (15021, "Envoy health"),
    (15053, "DNS proxy"),
    (15090, "Envoy Prometheus (already merged)"),
];

/// One place to read application metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrapeTarget {
    /// Port on the pod.
    pub port: u16,
    /// Path with a slash in front.
    pub path: String,
}

/// Reads `ISTIO_PROMETHEUS_ANNOTATIONS`; no targets mean that the application is not scraped. As
/// pilot/cmd/pilot-agent/status/server.go: NewServer.
///
/// # Errors
/// When the text is no JSON object, or a target is the agent itself or another port of the mesh.
pub fn scrape_targets(text: &str, status_port: u16) -> Result<Vec<ScrapeTarget>, String> {
    let bad = |reason: String| format!("ISTIO_PROMETHEUS_ANNOTATIONS: {reason}");
    let config: Value = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
    let field = |holder: &Value, name: &str| match &holder[name] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    if field(&config, "scrape") == "false" {
        return Ok(Vec::new());
    }
    let or = |text: String, default: &str| if text.is_empty() { default.to_owned() } else { text };
    let listed = config["targets"].as_array().filter(|targets| !targets.is_empty());
    let pairs: Vec<(String, String)> = match listed {
        Some(targets) => targets
            .iter()
            .map(|target| (field(target, "port"), or(field(target, "path"), "/metrics")))
            .collect(),
        None => vec![(or(field(&config, "port"), "80"), or(field(&config, "path"), "/metrics"))],
    };
    pairs
        .into_iter()
        .map(|(port, path)| {
            let number: u16 = port
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(|| bad(format!("invalid target port {port:?}")))?;
            if number == status_port {
                return Err(bad(format!("port {number} is the agent's own, which would never end")));
            }
            if let Some((_, what)) = RESERVED.iter().find(|(reserved, _)| *reserved == number) {
                return Err(bad(format!("port {number} is reserved ({what}) and cannot be scraped")));
            }
            let path = if path.starts_with('/') { path } else { format!("/{path}") };
            Ok(ScrapeTarget { port: number, path })
        })
        .collect()
}

#[cfg(test)]
mod tests;
