//! The readiness probe of a workload outside Kubernetes: the agent asks and tells the control plane what changes.

use std::sync::Arc;
use std::time::Duration;

use http::header::{HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::probe::{PROBE_V4, PROBE_V6, grpc_health, http_get, unverified_tls};
use super::ready::ReadyProbe;
use crate::http_client::Target;
use crate::proxy_config::number_of;

const AGENT: &str = "istio-probe/1.0";

/// What is asked.
#[derive(Clone, Debug)]
enum Check {
    Http { target: Target, path: String, headers: HeaderMap },
    Tcp(Target),
    Grpc { target: Target, service: String },
    Exec(Vec<String>),
}

/// The probe of ProxyConfig's `readinessProbe`.
#[derive(Clone, Debug)]
pub struct WorkloadProbe {
    check: Check,
    initial_delay: Duration,
    timeout: Duration,
    period: Duration,
    success_threshold: u32,
    failure_threshold: u32,
}

impl WorkloadProbe {
    /// Reads the probe; `host` is the workload's address. As pkg/istio-agent/health: NewWorkloadHealthChecker.
    ///
    /// # Errors
    /// When no method is configured, or one that cannot be used.
    pub fn parse(config: &Value, host: &str, ipv6: bool) -> Result<Self, String> {
        let number = |name: &str, default: u64| {
            config
                .get(name)
                .and_then(number_of)
                .and_then(|n| u64::try_from(n).ok())
                .filter(|n| *n > 0)
                .unwrap_or(default)
        };
        let seconds = |name: &str, default: u64| Duration::from_secs(number(name, default));
        let count = |name: &str| u32::try_from(number(name, 1)).unwrap_or(u32::MAX);
        Ok(Self {
            check: Check::parse(config, host, ipv6)?,
            initial_delay: seconds("initialDelaySeconds", 0),
            timeout: seconds("timeoutSeconds", 1),
            period: seconds("periodSeconds", 10),
            success_threshold: count("successThreshold"),
            failure_threshold: count("failureThreshold"),
        })
    }

    /// Asks again and again, Envoy first and then the application, and tells each change. Never ends.
    pub async fn run(self, envoy: Arc<ReadyProbe>, tell: impl Fn(Result<(), String>)) {
        tokio::time::sleep(self.initial_delay).await;
        let mut ticks = tokio::time::interval(self.period);
        let mut verdict = Verdict::default();
        loop {
            ticks.tick().await;
            let asked = async {
                envoy.check().await?;
                self.check.ask().await
            };
            let result = tokio::time::timeout(self.timeout, asked).await;
            let result = result.unwrap_or_else(|_| Err(format!("no answer within {:?}", self.timeout)));
            if verdict.changed(result.is_ok(), self.success_threshold, self.failure_threshold) {
                tracing::info!(target: "healthcheck", healthy = result.is_ok(), "health of the workload changed");
                tell(result);
            }
        }
    }
}

/// What was told last, and how many probes in a row say otherwise.
#[derive(Debug, Default)]
struct Verdict {
    told: Option<bool>,
    in_a_row: u32,
    last: Option<bool>,
}

impl Verdict {
    fn changed(&mut self, healthy: bool, successes: u32, failures: u32) -> bool {
        self.in_a_row = if self.last == Some(healthy) { self.in_a_row.saturating_add(1) } else { 1 };
        self.last = Some(healthy);
        let threshold = if healthy { successes } else { failures };
        if self.in_a_row < threshold || self.told == Some(healthy) {
            return false;
        }
        self.told = Some(healthy);
        true
    }
}

impl Check {
    fn parse(config: &Value, host: &str, ipv6: bool) -> Result<Self, String> {
        let text = |holder: &Value, name: &str| holder[name].as_str().unwrap_or_default().to_owned();
        let target = |action: &Value| {
            let port = action.get("port").and_then(number_of).and_then(|port| u16::try_from(port).ok());
            let own = text(action, "host");
            Ok::<_, String>(Target {
                host: if own.is_empty() { host.to_owned() } else { own },
                port: port.filter(|port| *port > 0).ok_or("readinessProbe: port is missing or no port")?,
                from: None,
                tls: None,
            })
        };
        if let Some(action) = config.get("httpGet") {
            let mut target = target(action)?;
            target.from = Some(if ipv6 { PROBE_V6 } else { PROBE_V4 });
            if text(action, "scheme").eq_ignore_ascii_case("https") {
                target.tls = Some(unverified_tls(false).map_err(|error| error.to_string())?);
            }
            let path = text(action, "path");
            let path = if path.starts_with('/') { path } else { format!("/{path}") };
            return Ok(Self::Http { target, path, headers: headers(action)? });
        }
        if let Some(action) = config.get("tcpSocket") {
            return Ok(Self::Tcp(target(action)?));
        }
        if let Some(action) = config.get("grpc") {
            return Ok(Self::Grpc { target: target(action)?, service: text(action, "service") });
        }
        let command = config.get("exec").and_then(|exec| exec.get("command")).and_then(Value::as_array);
        let command: Vec<String> =
            command.into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect();
        if command.is_empty() {
            return Err("readinessProbe: none of httpGet, tcpSocket, grpc, exec".to_owned());
        }
        Ok(Self::Exec(command))
    }

    async fn ask(&self) -> Result<(), String> {
        match self {
            Self::Http { target, path, headers } => {
                let response = http_get(target, path, headers).await.map_err(|error| error.to_string())?;
                match response.status().as_u16() {
                    200..400 => Ok(()),
                    code => Err(format!("status code was not from [200,400), bad code {code}")),
                }
            }
            Self::Tcp(target) => target.connect().await.map(drop).map_err(|error| error.to_string()),
            Self::Grpc { target, service } => grpc_health(target, service, AGENT).await,
            Self::Exec(command) => {
                let (program, args) = command.split_first().ok_or("no command")?;
                let mut command = tokio::process::Command::new(program);
                let status = command.args(args).kill_on_drop(true).status().await;
                match status.map_err(|error| format!("{program}: {error}"))? {
                    status if status.success() => Ok(()),
                    status => Err(format!("{program}: {status}")),
                }
            }
        }
    }
}

fn headers(action: &Value) -> Result<HeaderMap, String> {
    let mut out = HeaderMap::new();
    out.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    for header in action["httpHeaders"].as_array().into_iter().flatten() {
        let (name, value) =
            (header["name"].as_str().unwrap_or_default(), header["value"].as_str().unwrap_or_default());
        let bad = || format!("readinessProbe: header {name:?} cannot be sent");
        let name: HeaderName = name.parse().map_err(|_| bad())?;
        let value: HeaderValue = value.parse().map_err(|_| bad())?;
        if name == HOST || name == USER_AGENT {
            out.insert(name, value);
        } else {
            out.append(name, value);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
