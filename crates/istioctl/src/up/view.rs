//! The live view: workloads, edges, last events, as one screen of text.

use std::collections::VecDeque;

use super::document::{Document, Edge};
use crate::print::Columns;
use crate::proxy_status::age;

/// Events kept for the view.
pub const KEPT: usize = 8;
/// The alternate screen, so that what was there before comes back.
pub const OPEN: &str = "\x1b[?1049h\x1b[?25l";
/// Back to the ordinary screen.
pub const CLOSE: &str = "\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
const TO_END_OF_LINE: &str = "\x1b[K";
const TO_END_OF_SCREEN: &str = "\x1b[J";

/// The whole screen, cut to (columns, rows).
#[must_use]
pub fn screen(
    document: &Document,
    events: &VecDeque<String>,
    (columns, rows): (usize, usize),
    now: jiff::Timestamp,
) -> String {
    let mut out = HOME.to_owned();
    for line in text(document, events, now).lines().take(rows.saturating_sub(1)) {
        out.extend(line.chars().take(columns));
        out.push_str(TO_END_OF_LINE);
        out.push_str("\r\n");
    }
    out.push_str(TO_END_OF_SCREEN);
    out
}

/// The same without control characters.
#[must_use]
pub fn text(document: &Document, events: &VecDeque<String>, now: jiff::Timestamp) -> String {
    let mut out =
        format!("mesh of {}   gateway {}   debug {}\n\n", document.folder, document.gateway, document.debug);
    out.push_str(&workloads(document, now));
    out.push('\n');
    out.push_str(&edges(&document.edges));
    if !events.is_empty() {
        out.push_str("\nEVENTS\n");
        for event in events {
            out.push_str("  ");
            out.push_str(event);
            out.push('\n');
        }
    }
    out.push_str("\nCtrl-C stops everything.\n");
    out
}

fn workloads(document: &Document, now: jiff::Timestamp) -> String {
    let mut table = Columns::new(3);
    table.row(["WORKLOAD", "NAMESPACE", "PROXY", "CONFIG", "LAST ACK", "CERTIFICATE", "ADMIN"]);
    for proxy in &document.proxies {
        let acked = proxy.acked_seconds_ago.map_or("-".to_owned(), |seconds| age(seconds) + " ago");
        let certificate = match proxy.certificate_expires.parse::<jiff::Timestamp>() {
            Ok(end) if end > now => format!("{} left", age(end.as_second() - now.as_second())),
            Ok(_) => "EXPIRED".to_owned(),
            Err(_) => "-".to_owned(),
        };
        let version = if proxy.version.is_empty() { "-" } else { &proxy.version };
        let state = if proxy.ready { "ready" } else { "NOT READY" };
        table.row([&proxy.workload, &proxy.namespace, state, version, &acked, &certificate, &proxy.admin]);
    }
    table.render()
}

/// The table of edges, as the view and the end of the start show it.
#[must_use]
pub fn edges(edges: &[Edge]) -> String {
    if edges.is_empty() {
        return "no traffic seen yet\n".to_owned();
    }
    let mut table = Columns::new(3);
    table.row(["FROM", "TO", "SECURED", "REQ/S", "SUCCESS", "P50", "P99", "TOTAL"]);
    for edge in edges {
        let secured = match edge.mutual_tls {
            Some(true) => "mTLS",
            Some(false) => "PLAIN",
            None => "-",
        };
        let ms = |value: Option<f64>| value.map_or("-".to_owned(), |ms| format!("{ms:.1}ms"));
        table.row([
            edge.source.clone(),
            edge.destination.clone(),
            secured.to_owned(),
            format!("{:.1}", edge.rate),
            format!("{:.1}%", edge.success_rate * 100.0),
            ms(edge.p50_ms),
            ms(edge.p99_ms),
            edge.requests.to_string(),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests;
