//! `proxy-config bootstrap`: what the proxy was started with, and which versions run.

use serde_json::Value;

use super::dump::{Dump, DumpError, plain};
use super::fields::{number, path};
use crate::print::Columns;

/// Versions of Istio, its proxy build and Envoy, one a line.
///
/// # Errors
/// If the dump has no bootstrap (the control plane's has none).
pub fn bootstrap_summary(dump: &Dump) -> Result<String, DumpError> {
    let node = path(dump.section("BootstrapConfigDump")?, "bootstrap.node");
    let metadata = |key: &str| path(node, "metadata").get(key).and_then(Value::as_str).unwrap_or_default();
    let mut table = Columns::new(1);
    if !metadata("ISTIO_VERSION").is_empty() {
        table.row(["Istio Version:", metadata("ISTIO_VERSION")]);
    }
    let build = metadata("ISTIO_PROXY_SHA");
    if !build.is_empty() {
        table.row(["Istio Proxy Version:", build.split(':').nth(1).unwrap_or(build)]);
    }
    table.row(["Envoy Version:", &envoy_version(path(node, "user_agent_build_version"))]);
    Ok(table.render())
}

fn envoy_version(build: &Value) -> String {
    let part = |name: &str| number(build, &format!("version.{name}"));
    let mut out = format!("{}.{}.{}", part("major_number"), part("minor_number"), part("patch"));
    for (key, before) in
        [("build.label", '-'), ("revision.status", '/'), ("build.type", '/'), ("ssl.version", '/')]
    {
        if let Some(value) = path(build, "metadata").get(key) {
            out.push(before);
            out.push_str(value.as_str().unwrap_or_default());
        }
    }
    out
}

/// The bootstrap in full.
///
/// # Errors
/// If the dump has no bootstrap.
pub fn bootstrap_dump(dump: &Dump) -> Result<Value, DumpError> {
    let section = dump.section("BootstrapConfigDump")?;
    Ok(plain(section))
}
