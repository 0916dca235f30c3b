//! The small commands: a request to the admin interface, the wait for readiness, the version.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Empty};

use crate::args::{RequestFlags, VersionFlags, WaitFlags};
use crate::http_client::{Target, send, text};
use crate::settings::ISTIO_VERSION;

/// Ports that may be asked: Envoy's admin interface, xDS debugging, status, health.
const ALLOWED_PORTS: [u16; 4] = [15000, 15004, 15020, 15021];
const REQUEST_PATIENCE: Duration = Duration::from_secs(60);

/// Asks the admin interface and writes the answer as it is: `istioctl` reads it. As
/// pilot/cmd/pilot-agent/app/request.go.
///
/// # Errors
/// When the port is not one of ours, nobody answers, or the answer is an error.
pub async fn request(flags: &RequestFlags, out: &mut impl Write) -> anyhow::Result<()> {
    let port = flags.debug_port;
    if !ALLOWED_PORTS.contains(&port) {
        bail!("debug port {port} is not in allowed list {ALLOWED_PORTS:?}");
    }
    if flags.body.as_deref().is_some_and(|body| !body.is_empty()) {
        bail!("a body is not supported: Envoy's admin interface takes none");
    }
    let host = flags.bind_address.map_or_else(|| "localhost".to_owned(), |address| address.to_string());
    let target = Target::plain(&host, port);
    let method: Method = flags.method.to_uppercase().parse().context("not a method")?;
    let path = format!("/{}", flags.path.trim_start_matches('/'));
    let exchange = async {
        let request = Request::builder().method(method).uri(path).body(Empty::<Bytes>::new())?;
        let mut response = send(&target, request).await?;
        let status = response.status();
        // A configuration dump is large; it is written as it comes.
        while let Some(frame) = response.frame().await {
            if let Some(data) = frame?.data_ref()
                && let Err(error) = out.write_all(data)
            {
                // Whoever read the answer has seen enough, as `| head` does.
                anyhow::ensure!(error.kind() == std::io::ErrorKind::BrokenPipe, "cannot write: {error}");
                return Ok(());
            }
        }
        out.flush()?;
        if !(200..=300).contains(&status.as_u16()) {
            bail!("received unsuccessful status code {}", status.as_u16());
        }
        Ok(())
    };
    tokio::time::timeout(REQUEST_PATIENCE, exchange).await.context("no answer within a minute")?
}

/// Waits until the health listener says that the proxy is ready. As pilot/cmd/pilot-agent/app/wait.go.
///
/// # Errors
/// When it is not ready in time; the text has the last reason.
pub async fn wait(flags: &WaitFlags) -> anyhow::Result<()> {
    let uri: Uri = flags.url.parse().with_context(|| format!("--url {}", flags.url))?;
    let host = uri.host().context("--url names no host")?.trim_matches(['[', ']']).to_owned();
    let target = Target::plain(&host, uri.port_u16().unwrap_or(80));
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let patience = Duration::from_millis(flags.request_timeout_millis);
    tracing::info!("Waiting for Envoy proxy to be ready (timeout: {} seconds)...", flags.timeout_seconds);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(flags.timeout_seconds);
    loop {
        let last = match text(&target, Method::GET, path, patience).await {
            Ok((status, _)) if status == 200 => {
                tracing::info!("Envoy is ready!");
                return Ok(());
            }
            Ok((status, _)) => format!("HTTP status code {}", status.as_u16()),
            Err(error) => error.to_string(),
        };
        tracing::debug!("Not ready yet: {last}");
        if tokio::time::Instant::now() >= deadline {
            bail!("timeout waiting for Envoy proxy to become ready. Last error: {last}");
        }
        tokio::time::sleep(Duration::from_millis(flags.period_millis)).await;
    }
}

/// Writes the version: of Istio whose behaviour this is, and of this program.
///
/// # Errors
/// When `out` cannot be written.
pub fn version(flags: &VersionFlags, out: &mut impl Write) -> std::io::Result<()> {
    let build = env!("CARGO_PKG_VERSION");
    match (flags.output.as_deref(), flags.short) {
        (Some("json"), _) => writeln!(
            out,
            "{:#}",
            serde_json::json!({ "clientVersion": { "version": ISTIO_VERSION, "tag": build } })
        ),
        (Some(_), _) => writeln!(out, "clientVersion:\n  tag: {build}\n  version: {ISTIO_VERSION}"),
        (None, true) => writeln!(out, "{ISTIO_VERSION}"),
        (None, false) => {
            writeln!(out, "version.BuildInfo{{Version:\"{ISTIO_VERSION}\", GitTag:\"meltemi-{build}\"}}")
        }
    }
}
