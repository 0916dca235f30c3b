//! What the control plane did with a change: its event stream, told in lines for people.

use std::collections::BTreeMap;

use serde::Deserialize;

/// One line of the control plane's `/debug/events`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Event {
    /// Number, growing.
    pub seq: u64,
    /// `change`, `refused`, `push`, `ack` or `nack`.
    pub kind: String,
    /// The object, as `Kind/namespace/name`.
    pub object: String,
    /// Its file.
    pub file: String,
    /// Its line; 0 if unknown.
    pub line: u64,
    /// Why, for refusals and NACKs.
    pub message: String,
    /// The proxy's id.
    pub proxy: String,
    /// The resource type's short or full name.
    #[serde(rename = "type")]
    pub kind_of_resource: String,
    /// Milliseconds since the change.
    pub ms: f64,
}

/// Reads the stream's lines; a line that cannot be read is passed over.
#[must_use]
pub fn parse(text: &str) -> Vec<Event> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn place(event: &Event) -> String {
    match (event.file.as_str(), event.line) {
        ("", _) => String::new(),
        (file, 0) => file.to_owned(),
        (file, line) => format!("{file}:{line}"),
    }
}

fn milliseconds(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

/// A proxy's id out of a node's: `sidecar~address~name.namespace~domain`.
fn short_proxy(proxy: &str) -> &str {
    proxy.split('~').nth(2).unwrap_or(proxy)
}

/// A message in one line of bearable length: Envoy quotes whole resources.
pub(super) fn one_line(message: &str) -> String {
    let words: Vec<&str> = message.split_whitespace().collect();
    let line = words.join(" ");
    if line.chars().count() <= 300 { line } else { line.chars().take(300).chain(" ...".chars()).collect() }
}

/// The lines for a batch of events: changes and refusals one each, acknowledgements summed up per type.
#[must_use]
pub fn tell(events: &[Event]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut acks: BTreeMap<&str, (Vec<&str>, f64)> = BTreeMap::new();
    for event in events {
        match event.kind.as_str() {
            "change" => {
                let from = match place(event) {
                    place if place.is_empty() => String::new(),
                    place => format!(" ({place})"),
                };
                if event.message.starts_with("warning: ") {
                    lines.push(format!("{} {}: {}", place(event), event.object, one_line(&event.message)));
                    continue;
                }
                let what = if event.message.is_empty() { "changed" } else { &event.message };
                lines.push(format!("{what} {}{from}", event.object));
            }
            "refused" => {
                lines.push(format!(
                    "REFUSED {} {}: {}",
                    place(event),
                    event.object,
                    one_line(&event.message)
                ));
            }
            "nack" => lines.push(format!(
                "NACK by {} ({}): {}",
                short_proxy(&event.proxy),
                crate::proxy_status::short(&event.kind_of_resource),
                one_line(&event.message)
            )),
            "ack" => {
                let (proxies, slowest) = acks.entry(event.kind_of_resource.as_str()).or_default();
                let proxy = short_proxy(&event.proxy);
                if !proxies.contains(&proxy) {
                    proxies.push(proxy);
                }
                *slowest = slowest.max(event.ms);
            }
            _ => {}
        }
    }
    for (kind, (proxies, slowest)) in acks {
        let kind = crate::proxy_status::short(kind);
        lines.push(format!("  {kind} ACK by {} in {}", proxies.join(", "), milliseconds(slowest)));
    }
    lines
}

#[cfg(test)]
mod tests;
