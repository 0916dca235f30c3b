//! Looking at the running mesh: metrics and certificates from the proxies, acknowledgements from the control plane.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::document::Proxy;
use super::edges::Counted;
use super::events::{Event, parse};
use crate::fetch::{FetchError, Fetcher};

/// How often the mesh is looked at.
const ROUND: Duration = Duration::from_secs(1);
/// How often the control plane is asked for events.
const EVENTS_ROUND: Duration = Duration::from_millis(150);

/// What one round found.
#[derive(Debug, Default)]
pub struct Observation {
    /// When the round began.
    pub began: Option<Instant>,
    /// Whether the control plane answered.
    pub control_plane: bool,
    /// The sum of all proxies' metrics.
    pub counted: Counted,
    /// Per proxy id.
    pub proxies: BTreeMap<String, Seen>,
}

/// What one round found of one proxy.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// Whether its agent says that it is ready.
    pub is_ready: bool,
    /// Connections that its Envoy refused since it started because no filter chain takes them: under strict mutual
    /// TLS the only trace of a caller that spoke plain text.
    pub refused_connections: u64,
    /// When its certificate ends, as RFC 3339; empty if unknown.
    pub certificate_expires: String,
    /// The newest acknowledged nonce over all types.
    pub version: String,
    /// Seconds since then.
    pub acked_seconds_ago: Option<i64>,
}

/// Where to look.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// URL of the control plane's debug endpoints.
    pub debug: String,
    /// Every proxy.
    pub proxies: Vec<Proxy>,
}

/// Observes round after round until nobody listens.
pub async fn observe(targets: watch::Receiver<Targets>, to: mpsc::Sender<Observation>) {
    let fetcher = Fetcher::new(Duration::from_secs(2));
    let mut tick = tokio::time::interval(ROUND);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let now = targets.borrow().clone();
        if to.send(round(&fetcher, &now).await).await.is_err() {
            return;
        }
    }
}

async fn round(fetcher: &Fetcher, targets: &Targets) -> Observation {
    let mut found = Observation { began: Some(Instant::now()), ..Observation::default() };
    let mut asking = JoinSet::new();
    for proxy in &targets.proxies {
        let (fetcher, proxy) = (fetcher.clone(), proxy.clone());
        asking.spawn(async move {
            let is_ready = fetcher.get(&proxy.ready_url()).await.is_ok();
            let metrics = fetcher.get(&proxy.metrics).await.ok();
            let certificates = fetcher.get(&format!("http://{}/certs", proxy.admin)).await.ok();
            (proxy.id, is_ready, metrics, certificates)
        });
    }
    let syncz = fetcher.get(&format!("{}/debug/syncz", targets.debug)).await.ok();
    while let Some(Ok((id, is_ready, metrics, certificates))) = asking.join_next().await {
        let seen = found.proxies.entry(id).or_default();
        seen.is_ready = is_ready;
        if let Some(metrics) = metrics {
            let metrics = String::from_utf8_lossy(&metrics);
            seen.refused_connections = refused_connections(&metrics);
            found.counted.add(&metrics);
        }
        if let Some(certificates) = certificates.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            seen.certificate_expires = expiry(&certificates);
        }
    }
    found.control_plane = syncz.is_some();
    if let Some(syncz) = syncz.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok()) {
        acknowledged(&syncz, jiff::Timestamp::now(), &mut found.proxies);
    }
    found
}

/// The suffix of Envoy's counter of connections that no filter chain takes, as its own name has it.
pub(super) const NO_CHAIN: &str = "no_filter_chain_match";

/// The sum of that counter over an Envoy's listeners, out of its Prometheus metrics.
fn refused_connections(metrics: &str) -> u64 {
    let name = |line: &str| line.split(['{', ' ']).next().is_some_and(|name| name.ends_with(NO_CHAIN));
    let lines = metrics.lines().filter(|line| name(line));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// The end of the workload's certificate in Envoy's `/certs`: the first chain there is.
fn expiry(certificates: &Value) -> String {
    let lists = certificates["certificates"].as_array().map_or(&[][..], Vec::as_slice);
    let chains = lists.iter().flat_map(|entry| entry["cert_chain"].as_array().into_iter().flatten());
    let mut times: Vec<&str> = chains.filter_map(|chain| chain["expiration_time"].as_str()).collect();
    times.sort_unstable();
    times.first().map(|time| (*time).to_owned()).unwrap_or_default()
}

fn acknowledged(syncz: &Value, now: jiff::Timestamp, proxies: &mut BTreeMap<String, Seen>) {
    for status in syncz.as_array().into_iter().flatten() {
        let Some(seen) = status["proxy"].as_str().and_then(|id| proxies.get_mut(id)) else { continue };
        let resources = status["resources"].as_object();
        let newest = resources.into_iter().flatten().filter_map(|(_, at)| {
            let acked = at["acked"].as_str().filter(|nonce| !nonce.is_empty())?;
            let time = at["sentTime"].as_str().and_then(|time| time.parse::<jiff::Timestamp>().ok());
            Some((time, acked.to_owned()))
        });
        if let Some((time, nonce)) = newest.max() {
            // nonces begin with what tells pushes apart; the rest is noise to a reader
            seen.version = nonce.chars().take(12).collect();
            seen.acked_seconds_ago = time.map(|time| now.as_second() - time.as_second());
        }
    }
}

/// Follows the control plane's events until nobody listens, or it has no such endpoint. What it did at its own start
/// is old news, except what it refused.
pub async fn follow(debug: String, to: mpsc::Sender<Vec<Event>>) {
    let fetcher = Fetcher::new(Duration::from_secs(5));
    let mut tick = tokio::time::interval(EVENTS_ROUND);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut since = None;
    loop {
        tick.tick().await;
        match fetcher.get(&format!("{debug}/debug/events?since={}", since.unwrap_or_default())).await {
            Ok(bytes) => {
                let mut events = parse(&String::from_utf8_lossy(&bytes));
                let last = events.iter().map(|event| event.seq).fold(since.unwrap_or_default(), u64::max);
                if since.is_none() {
                    events.retain(|event| event.kind == "refused");
                }
                since = Some(last);
                if !events.is_empty() && to.send(events).await.is_err() {
                    return;
                }
            }
            Err(FetchError::Status { .. }) => return,
            Err(_) => {
                if to.is_closed() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
