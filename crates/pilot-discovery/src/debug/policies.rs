//! Pages about policies and networks, in the words of pilot/pkg/model.

use std::collections::BTreeMap;
use std::sync::Arc;

use generate::Class;
use mesh::World;
use mesh::networks::{NetworkGateway, NetworkGateways};
use mesh::policies::{AccessPolicy, TelemetryPolicy};
use serde_json::{Map, Value, json};

fn root_namespace(world: &World) -> String {
    let settings = world.settings.peek(&());
    settings.map(|settings| settings.root_namespace().to_string()).unwrap_or_default()
}

/// Lists by namespace, the oldest of each first.
fn by_namespace(rows: impl Iterator<Item = (Arc<str>, (i64, Arc<str>), Value)>) -> Value {
    type Oldest = BTreeMap<(i64, Arc<str>), Value>;
    let mut namespaces: BTreeMap<Arc<str>, Oldest> = BTreeMap::new();
    for (namespace, place, value) in rows {
        namespaces.entry(namespace).or_default().insert(place, value);
    }
    let lists = namespaces.into_iter();
    lists.map(|(ns, list)| (ns.to_string(), list.into_values().collect())).collect::<Map<_, _>>().into()
}

fn access_policies(world: &World) -> Value {
    let one = |policy: &AccessPolicy| {
        let annotations: Map<String, Value> =
            policy.annotations.iter().map(|(key, value)| (key.to_string(), (**value).into())).collect();
        json!({
            "name": &*policy.name, "namespace": &*policy.namespace, "annotations": annotations,
            "spec": policy.spec.to_value().to_json(),
        })
    };
    let rows = world.access_policies.iter();
    let rows = rows.map(|(_, p)| (p.namespace.clone(), (p.created, p.name.clone()), one(p)));
    json!({ "namespace_to_policies": by_namespace(rows), "root_namespace": root_namespace(world) })
}

/// Authorization policies (as `AuthorizationDebug`).
pub(super) fn authorization(world: &World) -> Value {
    json!({ "authorization_policies": access_policies(world) })
}

/// All telemetry policies (as `TelemetryDebug`).
pub(super) fn telemetry(world: &World) -> Value {
    let one = |policy: &TelemetryPolicy| {
        json!({
            "name": &*policy.name, "namespace": &*policy.namespace, "spec": policy.spec.to_value().to_json(),
        })
    };
    let rows = world.telemetry_policies.iter();
    let rows = rows.map(|(_, p)| (p.namespace.clone(), (p.created, p.name.clone()), one(p)));
    json!({
        "telemetries": { "namespace_to_telemetries": by_namespace(rows), "root_namespace": root_namespace(world) },
    })
}

/// The telemetry policies of one proxy and what they say together (as `computedTelemetries`).
pub(super) fn telemetry_of(world: &World, class: &Class) -> Value {
    let policies = generate::telemetry::policies_of(world, class);
    let named = |policy: Option<&Arc<TelemetryPolicy>>| {
        let (namespace, name) = policy.map_or(("", ""), |policy| (&*policy.namespace, &*policy.name));
        json!({ "Namespace": namespace, "Name": name })
    };
    let all: Vec<Value> = policies.iter().map(|policy| policy.spec.to_value().to_json()).collect();
    let root = root_namespace(world);
    let wide = |policy: &&Arc<TelemetryPolicy>| generate::telemetry::is_wide(&policy.spec);
    let of_root = policies.iter().filter(wide).find(|p| *p.namespace == *root && *root != *class.namespace);
    let of_own = policies.iter().filter(wide).find(|p| p.namespace == class.namespace);
    let of_workload = policies.iter().find(|policy| !wide(policy));
    let parts = |field: &str| -> Value {
        let lists = all.iter().filter_map(|spec| spec[field].as_array());
        lists.flatten().cloned().collect()
    };
    let policies_of = |logging: Option<Value>| {
        let mut out = json!({
            "Root": named(of_root), "Proxy": named(of_own), "Namespace": named(None), "Workload": named(of_workload),
        });
        if let Some(logging) = logging {
            out["Logging"] = logging;
        }
        out
    };
    let logging = all.iter().map(|spec| &spec["accessLogging"]).filter(|logging| logging.is_array());
    let logging: Value = logging.map(|logging| policies_of(Some(logging.clone()))).collect();
    let mut out = policies_of(None);
    out["Metrics"] = parts("metrics");
    out["Logging"] = logging;
    out["Tracing"] = parts("tracing");
    out
}

fn gateway(gateway: &NetworkGateway) -> Value {
    let account =
        gateway.service_account.rsplit_once("/ns/").map_or(&*gateway.service_account, |(_, rest)| rest);
    let (namespace, name) =
        account.split_once("/sa/").or_else(|| account.split_once('/')).unwrap_or(("", account));
    json!({
        "Network": &*gateway.network, "Cluster": &*gateway.cluster, "Addr": &*gateway.address,
        "Port": gateway.port, "HBONEPort": gateway.hbone_port,
        "ServiceAccount": { "Namespace": namespace, "Name": name },
    })
}

fn gateways(world: &World, of: impl Fn(&NetworkGateways) -> &[NetworkGateway]) -> Value {
    world.networks.iter().flat_map(|(_, row)| of(row)).map(gateway).collect()
}

/// The gateways of all networks, by address.
pub(super) fn networks(world: &World) -> Value {
    gateways(world, |row| &row.resolved)
}

/// Policies and gateways at once (as `PushContextDebug`); unresolved are all gateways as they are named.
pub(super) fn push_context(world: &World) -> Value {
    json!({
        "AuthorizationPolicies": access_policies(world), "NetworkGateways": networks(world),
        "UnresolvedGateways": gateways(world, |row| &row.gateways),
    })
}
