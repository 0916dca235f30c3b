//! `proxy-status` and `version`: what the control planes say of their proxies and of themselves.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{dump, infer_proxy, pod_in};
use crate::args::{self, Central, Global, Plane, Target};
use crate::plane::{Instance, cluster, instances, nearby};
use crate::proxy_config::{Dump, compare};
use crate::proxy_status;

/// `/debug/syncz` of an instance.
async fn syncz(instance: &Instance, central: &Central) -> anyhow::Result<Value> {
    let bytes = instance.endpoint.get("/debug/syncz", central.timeout).await?;
    serde_json::from_slice(&bytes).with_context(|| format!("{}/debug/syncz is not JSON", instance.endpoint))
}

/// `istioctl proxy-status`: the text to print.
///
/// # Errors
/// If no control plane answers, or the proxy asked for is not connected.
pub async fn proxy_status(args: &args::ProxyStatus, global: &Global) -> anyhow::Result<String> {
    if let Some(proxy) = &args.proxy {
        return difference(args, proxy, global).await;
    }
    let mut answers = Vec::new();
    for instance in instances(global, &args.central).await? {
        let syncz = syncz(&instance, &args.central).await?;
        answers.push(proxy_status::from_syncz(&syncz, &instance.id));
    }
    let verbose = args.verbosity > 0;
    Ok(proxy_status::print(&answers, &global.namespace, args.output, verbose, jiff::Timestamp::now()))
}

/// What the control plane has for one proxy, against what the proxy has.
async fn difference(args: &args::ProxyStatus, proxy: &str, global: &Global) -> anyhow::Result<String> {
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
    let envoy = dump(&target, global, "proxy-status").await.context("could not contact sidecar")?;
    let (name, namespace) = match nearby(global, &args.central.plane) {
        Some(_) => infer_proxy(proxy, &global.namespace),
        None => pod_in(&*cluster(global).await?, proxy, global).await?,
    };
    let path = format!("/debug/config_dump?proxyID={name}.{namespace}");
    // a proxy is connected to one instance; the others do not know it
    let mut failure = None;
    for instance in instances(global, &args.central).await? {
        match instance.endpoint.get(&path, args.central.timeout).await {
            Ok(bytes) => return Ok(compare(&Dump::parse(&bytes)?, &envoy)),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.map_or_else(|| anyhow::anyhow!("no control plane answers"), Into::into))
}

fn build() -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"), "revision": "unknown", "golang_version": "",
        "status": if cfg!(debug_assertions) { "Modified" } else { "Clean" }, "tag": env!("CARGO_PKG_VERSION"),
    })
}

/// `istioctl version`: the text to print. A control plane that does not answer is left out, as in Istio, and said on
/// stderr.
///
/// # Errors
/// Never for now; the signature is that of its siblings.
pub async fn version(args: &args::Version, global: &Global) -> anyhow::Result<String> {
    let mut document = json!({ "clientVersion": build() });
    let found = match args.remote {
        true => instances(global, &args.central).await.inspect_err(|error| {
            // who works without a control plane knows it
            if global.names_a_cluster() {
                eprintln!("Istio is not present in the cluster: {error:#}");
            }
        }),
        false => Ok(Vec::new()),
    };
    let (mut planes, mut proxies) = (Vec::new(), None::<Vec<Value>>);
    for instance in found.unwrap_or_default() {
        if let Some(info) = plane_version(&instance, &args.central).await {
            planes.push(json!({
                "Component": instance.component, "ID": instance.id, "Revision": instance.revision, "Info": info,
            }));
        }
        let Ok(list) = syncz(&instance, &args.central).await else { continue };
        let of = |status: &Value| json!({"ID": status["proxy"], "IstioVersion": status["istio_version"]});
        proxies.get_or_insert_default().extend(list.as_array().into_iter().flatten().map(of));
    }
    if !planes.is_empty() {
        document["meshVersion"] = planes.into();
    }
    if let Some(proxies) = proxies {
        document["dataPlaneVersion"] = proxies.into();
    }
    Ok(match args.output {
        Some(args::VersionFormat::Json) => crate::print::to_json_indented(&document, b"  ") + "\n",
        Some(args::VersionFormat::Yaml) => crate::print::to_yaml(&document) + "\n",
        None => version_text(&document, args.short),
    })
}

/// Equal versions of several instances are said once (as pkg/version/cobra.go: `coalesceVersions`).
fn version_text(document: &Value, short: bool) -> String {
    let form = |info: &Value| match short {
        true => info["version"].as_str().unwrap_or_default().to_owned(),
        false => info.to_string(),
    };
    let mut out = format!("client version: {}\n", form(&document["clientVersion"]));
    let planes = document["meshVersion"].as_array().map_or(&[][..], Vec::as_slice);
    let alike = planes.windows(2).all(|two| two[0]["Info"]["version"] == two[1]["Info"]["version"]);
    let said = if short && alike { &planes[..planes.len().min(1)] } else { planes };
    for plane in said {
        let who = if alike { "control plane" } else { plane["Component"].as_str().unwrap_or("pilot") };
        out += &format!("{who} version: {}\n", form(&plane["Info"]));
    }
    if let Some(proxies) = document["dataPlaneVersion"].as_array() {
        let mut counts = std::collections::BTreeMap::new();
        for proxy in proxies {
            *counts.entry(proxy["IstioVersion"].as_str().unwrap_or_default()).or_insert(0) += 1;
        }
        let parts: Vec<String> =
            counts.iter().map(|(version, count)| format!("{version} ({count} proxies)")).collect();
        let said = if parts.is_empty() { "none".to_owned() } else { parts.join(", ") };
        out += &format!("data plane version: {said}\n");
    }
    out
}

async fn plane_version(instance: &Instance, central: &Central) -> Option<Value> {
    let bytes = instance.endpoint.get("/version", central.timeout).await.ok()?;
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    Some(serde_json::from_str(&text).unwrap_or_else(|_| build_info(&text)))
}

/// `<version>-<revision>-<status>`, where versions may have dashes and revisions end in `-dirty` (as pkg/kube/client.go:
/// `setServerInfoWithIstiodVersionInfo`).
fn build_info(line: &str) -> Value {
    let parts: Vec<&str> = line.split('-').collect();
    let (version, revision, status) = match parts.as_slice() {
        [version @ .., revision, "dirty", status] if !version.is_empty() => {
            (version.join("-"), format!("{revision}-dirty"), *status)
        }
        [version @ .., revision, status] if !version.is_empty() => {
            (version.join("-"), (*revision).to_owned(), *status)
        }
        _ => return json!({ "version": line }),
    };
    json!({ "version": version, "revision": revision, "status": status, "tag": version })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_istiod_was_built_from_is_taken_apart() {
        let clean = build_info("1.30.0-rc.1-016bc46f-Clean");
        assert_eq!((&clean["version"], &clean["revision"]), (&json!("1.30.0-rc.1"), &json!("016bc46f")));
        let dirty = build_info("1.30.0-016bc46f-dirty-Modified");
        assert_eq!((&dirty["version"], &dirty["revision"]), (&json!("1.30.0"), &json!("016bc46f-dirty")));
        assert_eq!(dirty["status"], "Modified");
        assert_eq!(build_info("1.30.0"), json!({ "version": "1.30.0" }));
    }
}
