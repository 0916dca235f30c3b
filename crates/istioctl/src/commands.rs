//! The commands that only look: `version`, `proxy-status`, `proxy-config`.

mod status;
#[cfg(test)]
mod tests;

pub use status::{proxy_status, version};

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::args::{self, Endpoints, Global, Section, Target};
use crate::cluster::Cluster;
use crate::fetch::Fetcher;
use crate::plane::{Endpoint, base, cluster, running};
use crate::proxy_config::{
    ClusterFilter, Dump, EndpointFilter, Format, ListenerFilter, RouteFilter, bootstrap_dump,
    bootstrap_summary, camel, cluster_dump, cluster_summary, eds_dump, eds_summary, endpoint_dump,
    endpoint_summary, extension_dump, extension_summary, full_summary, listener_dump, listener_summary,
    render, route_dump, route_summary, secret_dump, secret_summary,
};

const TIMEOUT: Duration = Duration::from_secs(30);
/// Envoy's admin port in a pod.
const ADMIN_PORT: u16 = 15000;

/// Where a proxy's configuration can be read.
enum Source {
    File(Vec<u8>),
    /// Envoy's admin interface.
    Admin(Endpoint),
    /// The control plane's view: its debug address and the proxy's id.
    Plane(String, String),
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

async fn source(target: &Target, global: &Global, command: &str) -> anyhow::Result<Source> {
    let local_port = target.proxy_admin_port.filter(|_| target.file.is_none() && !global.names_a_cluster());
    if let Some(port) = local_port {
        return Ok(Source::Admin(Endpoint::Url(format!("http://127.0.0.1:{port}"))));
    }
    let proxy = match (&target.file, &target.proxy) {
        (Some(file), None) => return Ok(Source::File(read(file)?)),
        (None, Some(proxy)) => proxy,
        _ => bail!("{command} requires pod name or --file parameter"),
    };
    let (name, namespace) = infer_proxy(proxy, &global.namespace);
    if let Some(address) = &target.plane.xds_address {
        return Ok(Source::Plane(base(address), format!("{name}.{namespace}")));
    }
    let Some(document) = running(global) else {
        let cluster = cluster(global).await?;
        let (pod, namespace) = pod_in(&cluster, proxy, global).await?;
        let port = target.proxy_admin_port.unwrap_or(ADMIN_PORT);
        return Ok(Source::Admin(Endpoint::Pod { cluster, pod, namespace, port }));
    };
    let id = format!("{name}.{namespace}");
    let found = document.proxies.iter().find(|p| p.id == id).or_else(|| {
        let mut named = document.proxies.iter().filter(|p| p.workload == name);
        named.next().filter(|_| !proxy.contains('.') && named.next().is_none())
    });
    match found {
        Some(proxy) => Ok(Source::Admin(Endpoint::Url(base(&proxy.admin)))),
        None => {
            let known: Vec<&str> = document.proxies.iter().map(|p| p.id.as_str()).collect();
            bail!("unable to retrieve Pod: pods {name:?} not found (there are: {})", known.join(", "))
        }
    }
}

/// The pod and namespace that a name means in a cluster.
async fn pod_in(cluster: &Cluster, proxy: &str, global: &Global) -> anyhow::Result<(String, String)> {
    let of_context = cluster.namespace.as_deref().unwrap_or("default");
    let given = if global.namespace.is_empty() { of_context } else { &global.namespace };
    let (name, namespace) = infer_pod(proxy, given);
    Ok((cluster.pod_of(&name, &namespace).await?, namespace))
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

async fn dump(target: &Target, global: &Global, command: &str) -> anyhow::Result<Dump> {
    let bytes = match source(target, global, command).await? {
        Source::File(bytes) => bytes,
        Source::Admin(envoy) => envoy.get("/config_dump?include_eds", TIMEOUT).await?.to_vec(),
        Source::Plane(address, id) => {
            let fetcher = Fetcher::new(TIMEOUT);
            fetcher.get(&format!("{address}/debug/config_dump?proxyID={id}&include_eds=true")).await?.to_vec()
        }
    };
    Ok(Dump::parse(&bytes)?)
}

/// `istioctl proxy-config`: the text to print.
///
/// # Errors
/// If the proxy is unknown, unreachable, or its dump lacks what was asked for.
pub async fn proxy_config(section: Section, global: &Global) -> anyhow::Result<String> {
    match section {
        Section::Cluster { target, filter, port } => {
            let dump = dump(&target, global, "cluster").await?;
            let filter = cluster_filter(filter, port);
            Ok(match target.output.unwrap_or_default() {
                Format::Short => cluster_summary(&dump, &filter, false)?,
                format => render(&cluster_dump(&dump, &filter)?, format),
            })
        }
        Section::Listener { target, filter, port, verbose } => {
            let dump = dump(&target, global, "listener").await?;
            let filter =
                ListenerFilter { address: filter.address, port, kind: filter.kind, verbose: verbose.verbose };
            Ok(match target.output.unwrap_or_default() {
                Format::Short => listener_summary(&dump, &filter, false)?,
                format => render(&listener_dump(&dump, &filter)?, format),
            })
        }
        Section::Route { target, name, verbose } => {
            let dump = dump(&target, global, "route").await?;
            let filter = RouteFilter { name, verbose: verbose.verbose };
            Ok(match target.output.unwrap_or_default() {
                Format::Short => route_summary(&dump, &filter, false)?,
                format => render(&route_dump(&dump, &filter)?, format),
            })
        }
        Section::Endpoint(args) => endpoints(args, global).await,
        Section::Eds(args) => {
            let dump = dump(&args.target, global, "endpoints").await?;
            let format = args.target.output.unwrap_or_default();
            let filter = endpoint_filter(args);
            Ok(match format {
                Format::Short => eds_summary(&dump, &filter, false),
                format => render(&eds_dump(&dump, &filter), format),
            })
        }
        Section::Secret { target } => {
            let dump = dump(&target, global, "secret").await?;
            Ok(match target.output.unwrap_or_default() {
                Format::Short => secret_summary(&dump, false)?,
                format => render(&secret_dump(&dump)?, format),
            })
        }
        Section::Ecds { target } => {
            let dump = dump(&target, global, "ecds").await?;
            Ok(match target.output.unwrap_or_default() {
                Format::Short => extension_summary(&dump)?,
                format => render(&extension_dump(&dump)?, format),
            })
        }
        Section::Bootstrap { target } => {
            let dump = dump(&target, global, "bootstrap").await?;
            Ok(match target.output.unwrap_or(Format::Json) {
                Format::Short => bootstrap_summary(&dump)?,
                format => render(&bootstrap_dump(&dump)?, format),
            })
        }
        Section::All { target, clusters, listeners, port, name, verbose, with_headers } => {
            let dump = dump(&target, global, "all").await?;
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
        Section::Log { target, level, reset } => log(&target, level.as_deref(), reset, global).await,
    }
}

fn cluster_filter(flags: args::ClusterFlags, port: u16) -> ClusterFilter {
    ClusterFilter { fqdn: flags.fqdn, port, subset: flags.subset, direction: flags.direction }
}

fn endpoint_filter(args: Endpoints) -> EndpointFilter {
    EndpointFilter { address: args.address, port: args.port, cluster: args.cluster, status: args.status }
}

async fn endpoints(args: Endpoints, global: &Global) -> anyhow::Result<String> {
    let format = args.target.output.unwrap_or_default();
    let bytes = match source(&args.target, global, "endpoints").await? {
        Source::File(bytes) => bytes,
        Source::Admin(envoy) => envoy.get("/clusters?format=json", TIMEOUT).await?.to_vec(),
        // the control plane does not know Envoy's health; it knows what it sent
        Source::Plane(..) => {
            let dump = dump(&args.target, global, "endpoints").await?;
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

async fn log(target: &Target, level: Option<&str>, reset: bool, global: &Global) -> anyhow::Result<String> {
    let Source::Admin(envoy) = source(target, global, "log").await? else {
        bail!("log levels can only be read from a running proxy's admin port");
    };
    let mut answer = envoy.post("/logging", TIMEOUT).await?;
    let current = String::from_utf8_lossy(&answer).into_owned();
    let known: Vec<&str> =
        current.lines().filter_map(|line| line.trim().split_once(':').map(|(logger, _)| logger)).collect();
    let mut queries = if reset { vec!["level=warning".to_owned()] } else { vec![] };
    queries.extend(level.map(|levels| level_queries(levels, &known)).transpose()?.unwrap_or_default());
    for query in queries {
        answer = envoy.post(&format!("/logging?{query}"), TIMEOUT).await?;
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
