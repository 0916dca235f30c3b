//! The commands that only look: `version`, `proxy-status`, `proxy-config`.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::args::{self, Endpoints, Plane, Section, Target};
use crate::fetch::Fetcher;
use crate::proxy_config::{
    ClusterFilter, Dump, EndpointFilter, Format, ListenerFilter, RouteFilter, bootstrap_dump,
    bootstrap_summary, camel, cluster_dump, cluster_summary, compare, eds_dump, eds_summary, endpoint_dump,
    endpoint_summary, extension_dump, extension_summary, full_summary, listener_dump, listener_summary,
    render, route_dump, route_summary, secret_dump, secret_summary,
};
use crate::proxy_status;
use crate::up::Document;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Where a proxy's configuration can be read.
enum Source {
    File(Vec<u8>),
    /// Envoy's admin address, `http://host:port`.
    Admin(String),
    /// The control plane's view: its debug address and the proxy's id.
    Plane(String, String),
}

fn running() -> Option<Document> {
    crate::up::running_document()
}

fn base(address: &str) -> String {
    if address.contains("://") {
        address.trim_end_matches('/').to_owned()
    } else {
        format!("http://{address}")
    }
}

/// The debug address of the control plane: the one named, else the one of the running mesh.
fn plane_address(plane: &Plane) -> anyhow::Result<String> {
    if let Some(address) = &plane.xds_address {
        return Ok(base(address));
    }
    match running() {
        Some(document) => Ok(document.debug),
        None => bail!(
            "no mesh is running here: start one with `istioctl up`, or name a control plane with --xds-address HOST:PORT"
        ),
    }
}

/// `[type/]name[.namespace]` as (`[type/]name`, namespace), as istioctl/pkg/util/handlers: InferPodInfo.
#[must_use]
pub fn infer_pod(name: &str, namespace: &str) -> (String, String) {
    let after_type = name.rfind('/').map_or(0, |slash| slash + 1);
    match name[after_type..].rsplit_once('.') {
        Some((bare, given)) if !bare.is_empty() && !given.is_empty() => {
            (format!("{}{bare}", &name[..after_type]), given.to_owned())
        }
        _ => (name.to_owned(), namespace.to_owned()),
    }
}

/// As [`infer_pod`], the type left out and the namespace `default` if there is none: the parts of a proxy's id.
fn infer_proxy(name: &str, namespace: &str) -> (String, String) {
    let (name, namespace) = infer_pod(name, if namespace.is_empty() { "default" } else { namespace });
    (name.rsplit('/').next().unwrap_or_default().to_owned(), namespace)
}

fn source(target: &Target, namespace: &str, command: &str) -> anyhow::Result<Source> {
    if let Some(port) = target.proxy_admin_port.filter(|_| target.file.is_none()) {
        return Ok(Source::Admin(format!("http://127.0.0.1:{port}")));
    }
    let proxy = match (&target.file, &target.proxy) {
        (Some(file), None) => return Ok(Source::File(read(file)?)),
        (None, Some(proxy)) => proxy,
        _ => bail!("{command} requires pod name or --file parameter"),
    };
    let (name, namespace) = infer_proxy(proxy, namespace);
    if let Some(address) = &target.plane.xds_address {
        return Ok(Source::Plane(base(address), format!("{name}.{namespace}")));
    }
    let Some(document) = running() else {
        plane_address(&target.plane)?;
        bail!("unable to retrieve Pod: pods {name:?} not found");
    };
    let id = format!("{name}.{namespace}");
    let found = document.proxies.iter().find(|p| p.id == id).or_else(|| {
        let mut named = document.proxies.iter().filter(|p| p.workload == name);
        named.next().filter(|_| !proxy.contains('.') && named.next().is_none())
    });
    match found {
        Some(proxy) => Ok(Source::Admin(base(&proxy.admin))),
        None => {
            let known: Vec<&str> = document.proxies.iter().map(|p| p.id.as_str()).collect();
            bail!("unable to retrieve Pod: pods {name:?} not found (there are: {})", known.join(", "))
        }
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

async fn dump(target: &Target, namespace: &str, command: &str) -> anyhow::Result<Dump> {
    let fetcher = Fetcher::new(TIMEOUT);
    let bytes = match source(target, namespace, command)? {
        Source::File(bytes) => bytes,
        Source::Admin(address) => fetcher.get(&format!("{address}/config_dump?include_eds")).await?.to_vec(),
        Source::Plane(address, id) => {
            fetcher.get(&format!("{address}/debug/config_dump?proxyID={id}&include_eds=true")).await?.to_vec()
        }
    };
    Ok(Dump::parse(&bytes)?)
}

/// `istioctl proxy-config`: the text to print.
///
/// # Errors
/// If the proxy is unknown, unreachable, or its dump lacks what was asked for.
pub async fn proxy_config(section: Section, namespace: &str) -> anyhow::Result<String> {
    match section {
        Section::Cluster { target, filter, port } => {
            let dump = dump(&target, namespace, "cluster").await?;
            let filter = cluster_filter(filter, port);
            Ok(match target.output.unwrap_or_default() {
                Format::Short => cluster_summary(&dump, &filter, false)?,
                format => render(&cluster_dump(&dump, &filter)?, format),
            })
        }
        Section::Listener { target, filter, port, verbose } => {
            let dump = dump(&target, namespace, "listener").await?;
            let filter =
                ListenerFilter { address: filter.address, port, kind: filter.kind, verbose: verbose.verbose };
            Ok(match target.output.unwrap_or_default() {
                Format::Short => listener_summary(&dump, &filter, false)?,
                format => render(&listener_dump(&dump, &filter)?, format),
            })
        }
        Section::Route { target, name, verbose } => {
            let dump = dump(&target, namespace, "route").await?;
            let filter = RouteFilter { name, verbose: verbose.verbose };
            Ok(match target.output.unwrap_or_default() {
                Format::Short => route_summary(&dump, &filter, false)?,
                format => render(&route_dump(&dump, &filter)?, format),
            })
        }
        Section::Endpoint(args) => endpoints(args, namespace).await,
        Section::Eds(args) => {
            let dump = dump(&args.target, namespace, "endpoints").await?;
            let format = args.target.output.unwrap_or_default();
            let filter = endpoint_filter(args);
            Ok(match format {
                Format::Short => eds_summary(&dump, &filter, false),
                format => render(&eds_dump(&dump, &filter), format),
            })
        }
        Section::Secret { target } => {
            let dump = dump(&target, namespace, "secret").await?;
            Ok(match target.output.unwrap_or_default() {
                Format::Short => secret_summary(&dump, false)?,
                format => render(&secret_dump(&dump)?, format),
            })
        }
        Section::Ecds { target } => {
            let dump = dump(&target, namespace, "ecds").await?;
            Ok(match target.output.unwrap_or_default() {
                Format::Short => extension_summary(&dump)?,
                format => render(&extension_dump(&dump)?, format),
            })
        }
        Section::Bootstrap { target } => {
            let dump = dump(&target, namespace, "bootstrap").await?;
            Ok(match target.output.unwrap_or(Format::Json) {
                Format::Short => bootstrap_summary(&dump)?,
                format => render(&bootstrap_dump(&dump)?, format),
            })
        }
        Section::All { target, clusters, listeners, port, name, verbose, with_headers } => {
            let dump = dump(&target, namespace, "all").await?;
            let format = target.output.unwrap_or_default();
            if format != Format::Short {
                return Ok(render(&camel(dump.root()), format));
            }
            let verbose = verbose.verbose;
            let listeners =
                ListenerFilter { address: listeners.address, port, kind: listeners.kind, verbose };
            let clusters = cluster_filter(clusters, port);
            Ok(full_summary(&dump, &clusters, &listeners, &RouteFilter { name, verbose }, with_headers)?)
        }
        Section::Log { target, level, reset } => log(&target, level.as_deref(), reset, namespace).await,
    }
}

fn cluster_filter(flags: args::ClusterFlags, port: u16) -> ClusterFilter {
    ClusterFilter { fqdn: flags.fqdn, port, subset: flags.subset, direction: flags.direction }
}

fn endpoint_filter(args: Endpoints) -> EndpointFilter {
    EndpointFilter { address: args.address, port: args.port, cluster: args.cluster, status: args.status }
}

async fn endpoints(args: Endpoints, namespace: &str) -> anyhow::Result<String> {
    let format = args.target.output.unwrap_or_default();
    let bytes = match source(&args.target, namespace, "endpoints")? {
        Source::File(bytes) => bytes,
        Source::Admin(address) => {
            Fetcher::new(TIMEOUT).get(&format!("{address}/clusters?format=json")).await?.to_vec()
        }
        // the control plane does not know Envoy's health; it knows what it sent
        Source::Plane(..) => {
            let dump = dump(&args.target, namespace, "endpoints").await?;
            let filter = endpoint_filter(args);
            return Ok(match format {
                Format::Short => eds_summary(&dump, &filter, false),
                format => render(&eds_dump(&dump, &filter), format),
            });
        }
    };
    let clusters: Value =
        serde_json::from_slice(&bytes).context("error unmarshalling config dump response from Envoy")?;
    let filter = endpoint_filter(args);
    Ok(match format {
        Format::Short => endpoint_summary(&clusters, &filter),
        format => render(&endpoint_dump(&clusters, &filter), format),
    })
}

const LEVELS: [&str; 7] = ["trace", "debug", "info", "warning", "error", "critical", "off"];

/// The queries that `--level` stands for; `known` are the proxy's loggers.
fn level_queries(levels: &str, known: &[&str]) -> anyhow::Result<Vec<String>> {
    levels
        .split(',')
        .map(|item| {
            let (logger, level) =
                item.split_once(':').map_or((None, item), |(logger, level)| (Some(logger), level));
            if let Some(logger) = logger.filter(|logger| !known.contains(logger)) {
                bail!("unrecognized logger name: {logger}");
            }
            if !LEVELS.contains(&level) {
                bail!("unrecognized logging level: {level}");
            }
            Ok(format!("{}={level}", logger.unwrap_or("level")))
        })
        .collect()
}

async fn log(target: &Target, level: Option<&str>, reset: bool, namespace: &str) -> anyhow::Result<String> {
    let Source::Admin(address) = source(target, namespace, "log")? else {
        bail!("log levels can only be read from a running proxy's admin port");
    };
    let fetcher = Fetcher::new(TIMEOUT);
    let mut answer = fetcher.post(&format!("{address}/logging")).await?;
    let current = String::from_utf8_lossy(&answer).into_owned();
    let known: Vec<&str> =
        current.lines().filter_map(|line| line.trim().split_once(':').map(|(logger, _)| logger)).collect();
    let mut queries = if reset { vec!["level=warning".to_owned()] } else { vec![] };
    queries.extend(level.map(|levels| level_queries(levels, &known)).transpose()?.unwrap_or_default());
    for query in queries {
        answer = fetcher.post(&format!("{address}/logging?{query}")).await?;
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

async fn syncz(plane: &Plane) -> anyhow::Result<(Value, String)> {
    let address = plane_address(plane)?;
    let bytes = Fetcher::new(TIMEOUT).get(&format!("{address}/debug/syncz")).await?;
    let value =
        serde_json::from_slice(&bytes).with_context(|| format!("{address}/debug/syncz is not JSON"))?;
    let id = match running().filter(|d| d.debug == address) {
        Some(document) => document.control_plane.id,
        None => address.trim_start_matches("http://").to_owned(),
    };
    Ok((value, id))
}

/// `istioctl proxy-status`: the text to print.
///
/// # Errors
/// If no control plane answers, or the proxy asked for is not connected.
pub async fn proxy_status(args: &args::ProxyStatus, namespace: &str) -> anyhow::Result<String> {
    if let Some(proxy) = &args.proxy {
        return difference(args, proxy, namespace).await;
    }
    let (syncz, istiod) = syncz(&args.plane).await?;
    let answer = proxy_status::from_syncz(&syncz, &istiod);
    let verbose = args.verbosity > 0;
    Ok(proxy_status::print(&[answer], namespace, args.output, verbose, jiff::Timestamp::now()))
}

/// What the control plane has for one proxy, against what the proxy has.
async fn difference(args: &args::ProxyStatus, proxy: &str, namespace: &str) -> anyhow::Result<String> {
    let mut target = Target {
        proxy: Some(proxy.to_owned()),
        file: None,
        output: None,
        proxy_admin_port: args.proxy_admin_port,
        plane: Plane::default(),
    };
    if let Some(file) = &args.file {
        target = Target { proxy: None, file: Some(file.clone()), ..target };
    }
    let envoy = dump(&target, namespace, "proxy-status").await.context("could not contact sidecar")?;
    let (name, namespace) = infer_proxy(proxy, namespace);
    let address = plane_address(&args.plane)?;
    let url = format!("{address}/debug/config_dump?proxyID={name}.{namespace}");
    let istiod = Dump::parse(&Fetcher::new(TIMEOUT).get(&url).await?)?;
    Ok(compare(&istiod, &envoy))
}

fn build() -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"), "revision": "unknown", "golang_version": "",
        "status": if cfg!(debug_assertions) { "Modified" } else { "Clean" }, "tag": env!("CARGO_PKG_VERSION"),
    })
}

/// `istioctl version`: the text to print. A control plane that does not answer is left out, as in Istio.
///
/// # Errors
/// Never for now; the signature is that of its siblings.
pub async fn version(args: &args::Version) -> anyhow::Result<String> {
    let mut document = json!({ "clientVersion": build() });
    let mut proxies: Vec<(String, String)> = Vec::new();
    if args.remote
        && let Ok((list, istiod)) = syncz(&args.plane).await
    {
        for status in list.as_array().into_iter().flatten() {
            let text = |name: &str| status[name].as_str().unwrap_or_default().to_owned();
            proxies.push((text("proxy"), text("istio_version")));
        }
        if let Some(info) = plane_version(&args.plane).await {
            document["meshVersion"] = json!([{"Component": "pilot", "ID": istiod, "Info": info}]);
        }
        document["dataPlaneVersion"] =
            proxies.iter().map(|(id, version)| json!({"ID": id, "IstioVersion": version})).collect();
    }
    Ok(match args.output {
        Some(args::VersionFormat::Json) => crate::print::to_json_indented(&document, b"  ") + "\n",
        Some(args::VersionFormat::Yaml) => crate::print::to_yaml(&document) + "\n",
        None => version_text(&document, &proxies, args.short),
    })
}

fn version_text(document: &Value, proxies: &[(String, String)], short: bool) -> String {
    let form = |info: &Value| match short {
        true => info["version"].as_str().unwrap_or_default().to_owned(),
        false => info.to_string(),
    };
    let mut out = format!("client version: {}\n", form(&document["clientVersion"]));
    for plane in document["meshVersion"].as_array().into_iter().flatten() {
        out += &format!("control plane version: {}\n", form(&plane["Info"]));
    }
    if !document["dataPlaneVersion"].is_null() {
        let mut counts = std::collections::BTreeMap::new();
        for (_, version) in proxies {
            *counts.entry(version.as_str()).or_insert(0) += 1;
        }
        let parts: Vec<String> =
            counts.iter().map(|(version, count)| format!("{version} ({count} proxies)")).collect();
        out += &format!(
            "data plane version: {}\n",
            if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
        );
    }
    out
}

async fn plane_version(plane: &Plane) -> Option<Value> {
    let address = plane_address(plane).ok()?;
    let bytes = Fetcher::new(TIMEOUT).get(&format!("{address}/version")).await.ok()?;
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    // Go prints the structure: version.BuildInfo{Version:"1.32.0", ...}
    let quoted =
        text.split_once("Version:\"").and_then(|(_, rest)| rest.split_once('"')).map(|(v, _)| v.to_owned());
    Some(serde_json::from_str(&text).unwrap_or_else(|_| json!({ "version": quoted.unwrap_or(text) })))
}

#[cfg(test)]
mod tests;
