//! `admin log`: the log levels of a control plane, read and set through its ControlZ (as
//! istioctl/pkg/admin/istiodconfig.go).

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::args::{AdminLog, Global};
use crate::plane::{Endpoint, base, cluster, of_cluster, running};
use crate::print::{Columns, to_json_indented, to_yaml};
use crate::proxy_config::Format;

const TIMEOUT: Duration = Duration::from_secs(30);
/// The levels that ControlZ takes.
const LEVELS: [&str; 5] = ["none", "error", "warn", "info", "debug"];

/// A scope, as ControlZ tells of it and is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Scope {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    output_level: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    stack_trace_level: String,
    // what is not told is turned off
    log_callers: bool,
}

/// Output and stack trace levels by scope.
type Changes = BTreeMap<String, (Option<String>, Option<String>)>;

/// `istioctl admin log`: the text to print; nothing where levels were set.
///
/// # Errors
/// If the control plane does not answer, or knows no such scope.
pub async fn log(args: &AdminLog, global: &Global) -> anyhow::Result<String> {
    let changes = changes(args)?;
    let controlz = controlz(args, global).await?;
    let known = scopes(&controlz).await?;
    if changes.is_empty() && !args.reset && !args.log_reset && !args.stack_trace_reset {
        return Ok(print(known, args.output));
    }
    for scope in wanted(args, known, changes)? {
        put(&controlz, &scope).await?;
    }
    Ok(String::new())
}

/// What shall be of every scope that changes, with what stays as it is.
fn wanted(args: &AdminLog, known: Vec<Scope>, mut changes: Changes) -> anyhow::Result<Vec<Scope>> {
    let names: Vec<String> = known.iter().map(|scope| scope.name.clone()).collect();
    let of = |on: bool, level: &str| (on).then(|| level.to_owned());
    let everywhere =
        (of(args.reset || args.log_reset, "info"), of(args.reset || args.stack_trace_reset, "none"));
    let mut out = Vec::new();
    for scope in known {
        let (output, stack) = changes.remove(&scope.name).unwrap_or_default();
        let (output, stack) = (output.or(everywhere.0.clone()), stack.or(everywhere.1.clone()));
        if output.is_some() || stack.is_some() {
            out.push(Scope {
                output_level: output.unwrap_or_default(),
                stack_trace_level: stack.unwrap_or_default(),
                ..scope
            });
        }
    }
    if let Some(unknown) = changes.keys().next() {
        bail!("unknown scope {unknown:?}: want one of {}", names.join(", "));
    }
    Ok(out)
}

/// What `--level` and `--stack-trace-level` say.
fn changes(args: &AdminLog) -> anyhow::Result<Changes> {
    let mut changes = Changes::new();
    for (scope, level) in pairs("level", args.level.as_deref())? {
        changes.entry(scope).or_default().0 = Some(level);
    }
    for (scope, level) in pairs("stack-trace-level", args.stack_trace_level.as_deref())? {
        changes.entry(scope).or_default().1 = Some(level);
    }
    Ok(changes)
}

fn pairs(flag: &str, list: Option<&str>) -> anyhow::Result<Vec<(String, String)>> {
    let pair = |text: &str| match text.split_once(':') {
        Some((scope, level)) if !scope.is_empty() && LEVELS.contains(&level) => {
            Ok((scope.to_owned(), level.to_owned()))
        }
        _ => bail!(
            "--{flag}: {text:?} is not of the form <scope>:<level> with a level of {}",
            LEVELS.join(", ")
        ),
    };
    list.unwrap_or_default().split(',').map(str::trim).filter(|text| !text.is_empty()).map(pair).collect()
}

/// The ControlZ that the flags mean.
async fn controlz(args: &AdminLog, global: &Global) -> anyhow::Result<Endpoint> {
    if let Some(address) = &args.plane.xds_address {
        return Ok(Endpoint::Url(base(address)).at(args.ctrlz_port));
    }
    if let Some(document) = running(global) {
        if document.control_plane.controlz.is_empty() {
            bail!("the running mesh does not say where its ControlZ is: start it anew with `istioctl up`");
        }
        return Ok(Endpoint::Url(base(&document.control_plane.controlz)));
    }
    let cluster = cluster(global).await?;
    if let Some(pod) = &args.pod {
        let namespace = global.istio_namespace.clone();
        return Ok(Endpoint::Pod { cluster, pod: pod.clone(), namespace, port: args.ctrlz_port });
    }
    let found = of_cluster(&cluster, global, &args.selector, args.revision.as_deref()).await?;
    let Some(first) = found.first() else { bail!("no pods found") };
    if found.len() > 1 {
        eprintln!("more than 1 pods fits the selector; will use pod: {}", first.id);
    }
    Ok(first.endpoint.at(args.ctrlz_port))
}

async fn scopes(controlz: &Endpoint) -> anyhow::Result<Vec<Scope>> {
    let body = controlz.get("/scopej/", TIMEOUT).await.context("could not get scopes information")?;
    let mut scopes: Vec<Scope> = serde_json::from_slice(&body)
        .with_context(|| format!("{controlz}/scopej/ is not what was expected"))?;
    scopes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(scopes)
}

async fn put(controlz: &Endpoint, scope: &Scope) -> anyhow::Result<()> {
    // names are what ControlZ itself told
    let path = format!("/scopej/{}", scope.name.replace(' ', "%20"));
    let body = Bytes::from(serde_json::to_vec(scope)?);
    let (status, answer) = controlz.send(Method::PUT, &path, body, TIMEOUT).await?;
    if status != StatusCode::ACCEPTED {
        let answer = String::from_utf8_lossy(&answer).into_owned();
        bail!("failed updating Scope {}: got status {status}: {}", scope.name, answer.trim());
    }
    Ok(())
}

fn print(scopes: Vec<Scope>, format: Format) -> String {
    if format == Format::Short {
        let mut table = Columns::new(3);
        table.row(["ACTIVE SCOPE", "DESCRIPTION", "LOG LEVEL", "STACK TRACE LEVEL"]);
        for scope in scopes {
            table.row([scope.name, scope.description, scope.output_level, scope.stack_trace_level]);
        }
        return table.render();
    }
    let list: Value = scopes
        .into_iter()
        .map(|scope| {
            json!({
                "scope_name": scope.name, "log_level": scope.output_level,
                "stack_trace_level": scope.stack_trace_level, "description": scope.description,
            })
        })
        .collect();
    if format == Format::Yaml { to_yaml(&list) } else { to_json_indented(&list, b"  ") + "\n" }
}

#[cfg(test)]
mod tests;
