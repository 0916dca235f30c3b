//! istioctl: the suites of `istioctl.json` that need no cluster, run in process against their golden texts.

use std::path::{Path, PathBuf};

use clap::Parser as _;
use istioctl::args::Root;
use istioctl::proxy_config::{ListenerFilter, describe_domains};
use istioctl::{commands, look, proxy_status};
use serde_json::Value;

use crate::corpus::Case;

type Check = fn(&Suite<'_>, &Value) -> Result<(), String>;

/// The suites that the product can answer, and how each is asked.
const SUITES: &[(&str, Check)] = &[
    ("envoy-configdump", command),
    ("proxy-config-all-file", command),
    ("xds-status", status),
    ("listener-filter", listener_filter),
    ("infer-pod-info", pod_info),
    ("describe-route-domains", route_domains),
];

struct Suite<'a> {
    /// The copied tree of Istio's test files.
    files: PathBuf,
    /// The folder in it that relative paths start at.
    cwd: PathBuf,
    runtime: &'a tokio::runtime::Runtime,
}

/// Runs every suite there is a check for.
///
/// # Errors
/// When the data itself cannot be read.
pub(crate) fn run(conformance: &Path) -> Result<Vec<Case>, String> {
    let corpus = conformance.join("istioctl.json");
    let corpus: Value = serde_json::from_str(&read(&corpus)?).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    for suite in corpus["suites"].as_array().ok_or("istioctl.json has no suites")? {
        let Some((_, check)) = SUITES.iter().find(|(name, _)| suite["suite"] == *name) else { continue };
        let files = conformance.join("files/istio");
        let cwd = files.join(text(suite, "cwd"));
        let asked = Suite { files, cwd, runtime: &runtime };
        for case in suite["cases"].as_array().into_iter().flatten() {
            out.push((format!("{}/{}", text(suite, "suite"), text(case, "id")), check(&asked, case)));
        }
    }
    Ok(out)
}

/// A command line with a file, against a golden text.
fn command(suite: &Suite<'_>, case: &Value) -> Result<(), String> {
    let mut argv: Vec<String> = vec!["istioctl".to_owned()];
    argv.extend(case["argv"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
    if let Some(at) = argv.iter().position(|word| word == "-f") {
        let file = argv.get_mut(at + 1).ok_or("-f without a file")?;
        *file = suite.cwd.join(&*file).display().to_string();
    }
    let root = Root::try_parse_from(argv).map_err(|error| error.to_string())?;
    let got = suite.runtime.block_on(look(root)).map_err(|error| error.to_string())?;
    compare(&read(&suite.files.join(text(case, "golden")))?, &got)
}

/// `proxy-status` of given answers of control planes.
fn status(suite: &Suite<'_>, case: &Value) -> Result<(), String> {
    use proxy_status::Format;
    let format = match text(case, "format").as_str() {
        "json" => Format::Json,
        "yaml" => Format::Yaml,
        _ => Format::Table,
    };
    let answers: Vec<Value> =
        case["input"].as_object().into_iter().flatten().map(|(_, v)| v.clone()).collect();
    let verbose = case["verbosity"].as_u64().unwrap_or_default() > 0;
    let now = proxy_status::now();
    let got = proxy_status::print(&answers, &text(case, "namespace"), format, verbose, now);
    let want = read(&suite.cwd.join(text(case, "wantFile")))?;
    if format != Format::Json {
        return compare(&want, &got);
    }
    let parse = |text: &str| serde_json::from_str::<Value>(text).map_err(|error| error.to_string());
    if parse(&want)? == parse(&got)? { Ok(()) } else { compare(&want, &got) }
}

fn listener_filter(_: &Suite<'_>, case: &Value) -> Result<(), String> {
    let of = &case["inFilter"];
    let port = of["Port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or_default();
    let filter =
        ListenerFilter { address: text(of, "Address"), port, kind: text(of, "Type"), verbose: false };
    expect(&case["expect"], &Value::Bool(filter.accepts(&unwrapped(&case["inListener"]))))
}

/// Values without the wrapper that names their type.
fn unwrapped(value: &Value) -> Value {
    match value {
        Value::Object(map) if map.contains_key("$type") => unwrapped(&map["value"]),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), unwrapped(value))).collect(),
        Value::Array(items) => items.iter().map(unwrapped).collect(),
        other => other.clone(),
    }
}

fn pod_info(_: &Suite<'_>, case: &Value) -> Result<(), String> {
    let (name, namespace) = commands::infer_pod(&text(case, "proxyName"), &text(case, "namespace"));
    let want = (text(case, "wantPodName"), text(case, "wantNamespace"));
    if (&name, &namespace) == (&want.0, &want.1) { Ok(()) } else { Err(format!("{name} in {namespace:?}")) }
}

fn route_domains(_: &Suite<'_>, case: &Value) -> Result<(), String> {
    let domains: Vec<&str> =
        case["domains"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    expect(&case["expected"], &Value::from(describe_domains(&domains)))
}

fn expect(want: &Value, got: &Value) -> Result<(), String> {
    if want == got { Ok(()) } else { Err(format!("want {want}, got {got}")) }
}

/// Equal texts, but for white space at both ends.
fn compare(want: &str, got: &str) -> Result<(), String> {
    let (want, got) = (want.trim(), got.trim());
    if want == got {
        return Ok(());
    }
    let differing = want.lines().zip(got.lines()).enumerate().find(|(_, (want, got))| want != got);
    Err(match differing {
        Some((line, (want, got))) => format!("line {}: want {want:?}, got {got:?}", line + 1),
        None => format!("{} lines, want {}", got.lines().count(), want.lines().count()),
    })
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}
