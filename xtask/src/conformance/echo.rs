//! A subject that answers with the golden files themselves, by way of bytes: what it loses, `proto` or the assembly lost.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use proto::google::protobuf::Any;
use proto::reflect;
use serde_json::Value;

use crate::scenario::Scenario;
use crate::subscribe::{self, Fetch, Resource, Wanted, type_url};

/// What every proxy of the scenario receives when its golden file is the control plane.
///
/// # Errors
/// When a golden resource has no form in bytes.
pub(crate) fn generate(scenario: &Scenario) -> Result<BTreeMap<String, Value>> {
    let mut out = BTreeMap::new();
    for proxy in &scenario.proxies {
        let Some(golden) = scenario.golden.get(&proxy.name) else { continue };
        let mut failure = None;
        let fetch: &mut Fetch<'_> =
            &mut |type_url: &str, wanted: Wanted<'_>| match answer(golden, type_url, &wanted) {
                Ok(found) => found,
                Err(error) => {
                    failure = Some(error);
                    Vec::new()
                }
            };
        let document =
            if proxy.kind == "ztunnel" { subscribe::ztunnel(fetch) } else { subscribe::envoy(fetch) };
        if let Some(error) = failure {
            return Err(error.context(format!("{} {}", scenario.id(), proxy.name)));
        }
        out.insert(proxy.name.clone(), document);
    }
    Ok(out)
}

fn answer(golden: &Value, type_url: &str, wanted: &Wanted<'_>) -> Result<Vec<Resource>> {
    let (list, key) = match type_url {
        type_url::CLUSTER => ("clusters", "name"),
        type_url::ENDPOINTS => ("endpoints", "cluster_name"),
        type_url::LISTENER => ("listeners", "name"),
        type_url::ROUTE => ("routes", "name"),
        type_url::EXTENSION => ("extensionConfigs", "name"),
        type_url::SECRET => ("secretResources", "name"),
        type_url::ADDRESS => ("addresses", "name"),
        type_url::AUTHORIZATION => ("authorizations", "name"),
        type_url::NAME_TABLE => {
            let table = &golden["nameTable"];
            return if table.is_null() {
                Ok(Vec::new())
            } else {
                Ok(vec![resource("", &[], type_url, table)?])
            };
        }
        other => return Err(anyhow!("nobody should ask for {other}")),
    };
    let mut out = Vec::new();
    for one in golden[list].as_array().into_iter().flatten() {
        let name = one[key].as_str().unwrap_or_default();
        if matches!(wanted, Wanted::Named(names) if !names.contains(name)) {
            continue;
        }
        let aliases: Vec<Value> = one["aliases"].as_array().cloned().unwrap_or_default();
        out.push(resource(name, &aliases, type_url, one.get("resource").unwrap_or(one))?);
    }
    Ok(out)
}

fn resource(name: &str, aliases: &[Value], type_url: &str, json: &Value) -> Result<Resource> {
    let value = reflect::from_json(type_url, json)?.into();
    let aliases = aliases.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    Ok(Resource { name: name.to_owned(), aliases, body: Any { type_url: type_url.to_owned(), value } })
}
