//! Kubelet's probes of the application, which the injector pointed at the agent: they are asked again from inside.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use rustls::ClientConfig;
use serde_json::Value;

use super::probe::{PROBE_V4, PROBE_V6, grpc_health, http_get, unverified_tls};
use crate::http_client::Target;

/// Of a probe's answer this much is passed on.
const LARGEST_BODY: usize = 10 << 10;

/// Where the application is.
#[derive(Clone, Debug)]
pub struct AppPlace {
    /// The pod's address, or `localhost` in the old mode.
    pub host: String,
    /// Whether probes come from the IPv6 probe address.
    pub ipv6: bool,
    /// The agent's own port, which probes name in their `Host`.
    pub status_port: u16,
    /// Offer HTTP/2 to HTTPS applications.
    pub http2: bool,
    /// Come from 127.0.0.6. Off where the probe address is not captured, as on a laptop.
    pub from_probe_address: bool,
}

#[derive(Clone, Debug)]
enum Kind {
    Http { path: String, port: u16, tls: bool },
    Tcp { port: u16 },
    Grpc { port: u16, service: String },
}

#[derive(Clone, Debug)]
struct AppProbe {
    kind: Kind,
    timeout: Duration,
}

/// All probes of the pod, by the path under which kubelet asks.
#[derive(Debug)]
pub struct AppProbes {
    probes: BTreeMap<String, AppProbe>,
    place: AppPlace,
    tls: Option<Arc<ClientConfig>>,
}

impl AppProbes {
    /// Reads `ISTIO_KUBE_APP_PROBERS`. As pilot/cmd/pilot-agent/status/server.go: validateAppKubeProber.
    ///
    /// # Errors
    /// When it is no JSON, or a probe is none.
    pub fn parse(text: &str, place: AppPlace) -> Result<Self, String> {
        let bad = |reason: String| format!("ISTIO_KUBE_APP_PROBERS: {reason}");
        let all: BTreeMap<String, Value> = if text.is_empty() {
            BTreeMap::new()
        } else {
            serde_json::from_str(text).map_err(|error| bad(error.to_string()))?
        };
        let mut probes = BTreeMap::new();
        for (path, config) in all {
            if !is_probe_path(&path) {
                return Err(bad(format!("{path}: not a path of a probe")));
            }
            let probe = read_probe(&config).map_err(|reason| bad(format!("{path}: {reason}")))?;
            probes.insert(path, probe);
        }
        let any_tls = probes.values().any(|probe| matches!(probe.kind, Kind::Http { tls: true, .. }));
        let tls = any_tls.then(|| unverified_tls(place.http2)).transpose();
        Ok(Self { probes, tls: tls.map_err(|error| bad(error.to_string()))?, place })
    }

    /// Asks the application for whoever asked for `path` with `headers`. Status and text are for kubelet.
    pub async fn answer(&self, path: &str, headers: &HeaderMap) -> (StatusCode, Bytes) {
        let Some(probe) = self.probes.get(path) else {
            tracing::error!(target: "probes", "no probe is configured for {path}");
            let text = format!("app prober config does not exists for {path}");
            return (StatusCode::BAD_REQUEST, text.into());
        };
        let asked = tokio::time::timeout(probe.timeout, self.ask(probe, headers)).await;
        match asked.unwrap_or_else(|_| Err(format!("no answer within {:?}", probe.timeout))) {
            Ok(answer) => answer,
            Err(reason) => {
                tracing::error!(target: "probes", "probe {path} failed: {reason}");
                (StatusCode::INTERNAL_SERVER_ERROR, Bytes::new())
            }
        }
    }

    fn target(&self, port: u16, tls: bool) -> Target {
        let from = if self.place.ipv6 { PROBE_V6 } else { PROBE_V4 };
        Target {
            host: self.place.host.clone(),
            port,
            from: self.place.from_probe_address.then_some(from),
            tls: self.tls.clone().filter(|_| tls),
        }
    }

    async fn ask(&self, probe: &AppProbe, headers: &HeaderMap) -> Result<(StatusCode, Bytes), String> {
        match &probe.kind {
            Kind::Http { path, port, tls } => {
                let mut headers = headers.clone();
                headers.remove(http::header::CONNECTION);
                self.name_the_real_port(&mut headers, *port);
                let response = http_get(&self.target(*port, *tls), path, &headers).await;
                let response = response.map_err(|error| error.to_string())?;
                if response.status().is_redirection() {
                    return Ok((StatusCode::OK, Bytes::new())); // to another host: kubelet is content
                }
                let status = response.status();
                let mut body = response.into_body();
                let mut text = Vec::new();
                while let Some(Ok(frame)) = body.frame().await {
                    if let Some(data) = frame.data_ref() {
                        text.extend_from_slice(&data[..data.len().min(LARGEST_BODY - text.len())]);
                    }
                    if text.len() >= LARGEST_BODY {
                        break;
                    }
                }
                Ok((status, text.into()))
            }
            Kind::Tcp { port } => {
                self.target(*port, false).connect().await.map_err(|error| error.to_string())?;
                Ok((StatusCode::OK, Bytes::new()))
            }
            Kind::Grpc { port, service } => {
                let agent =
                    headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or("kube-probe");
                grpc_health(&self.target(*port, false), service, agent).await?;
                Ok((StatusCode::OK, Bytes::new()))
            }
        }
    }

    /// Kubelet names the agent's port in `Host`; the application must see its own.
    fn name_the_real_port(&self, headers: &mut HeaderMap, port: u16) {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let own = format!(":{}", self.place.status_port);
        if let Some(name) = host.and_then(|host| host.strip_suffix(&own))
            && let Ok(real) = format!("{name}:{port}").parse()
        {
            headers.insert(HOST, real);
        }
    }
}

fn is_probe_path(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    matches!(
        parts.as_slice(),
        ["", "app-health" | "app-lifecycle", container, "livez" | "readyz" | "startupz" | "prestopz" | "poststartz"]
            if !container.is_empty()
    )
}

fn read_probe(config: &Value) -> Result<AppProbe, String> {
    let port = |action: &Value| {
        action["port"]
            .as_u64()
            .and_then(|port| u16::try_from(port).ok())
            .ok_or_else(|| "the port must be int type".to_owned())
    };
    let text = |holder: &Value, name: &str| holder[name].as_str().unwrap_or_default().to_owned();
    let (http, tcp, grpc) = (&config["httpGet"], &config["tcpSocket"], &config["grpc"]);
    let kind = match (http.is_object(), tcp.is_object(), grpc.is_object()) {
        (true, false, false) => {
            let path = text(http, "path");
            let path = if path.starts_with('/') { path } else { format!("/{path}") };
            Kind::Http { path, port: port(http)?, tls: text(http, "scheme") == "HTTPS" }
        }
        (false, true, false) => Kind::Tcp { port: port(tcp)? },
        (false, false, true) => Kind::Grpc { port: port(grpc)?, service: text(grpc, "service") },
        _ => return Err("invalid prober type, must be one of type httpGet, tcpSocket or gRPC".to_owned()),
    };
    let seconds = config["timeoutSeconds"].as_u64().filter(|seconds| *seconds > 0).unwrap_or(1);
    Ok(AppProbe { kind, timeout: Duration::from_secs(seconds) })
}

#[cfg(test)]
mod tests;
