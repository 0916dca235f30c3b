//! The page about the Multi-Cluster Services API.

use std::collections::BTreeSet;

use config::host::{self, CLUSTER_SET};
use mesh::World;
use mesh::inputs::DeclarationKey;
use mesh::key::{ObjectKey, ServiceKey};
use mesh::services::Service;
use mesh::services::multicluster::{has_common_names, stays_in_cluster};
use mesh::settings::Settings;
use serde_json::{Map, Value, json};

/// What is exported or imported, by cluster, namespace and name (in the words of pilot/pkg/model/service.go:
/// `MCSServiceInfo`); nothing where it has no effect.
pub(super) fn services(world: &World) -> Value {
    let Some(settings) = world.settings.peek(&()).filter(|s| s.switches.enable_mcs_service_discovery) else {
        return json!([]);
    };
    let mut objects: BTreeSet<&ObjectKey> = world.exports.iter().map(|(key, _)| key).collect();
    if has_common_names(&settings.switches) {
        objects.extend(world.imports.iter().map(|(key, _)| key));
    }
    objects.into_iter().map(|key| service(world, settings, key)).collect()
}

fn service(world: &World, settings: &Settings, key: &ObjectKey) -> Value {
    let named = |domain: &str| ServiceKey {
        hostname: host::service(&key.name, &key.namespace, domain).as_str().into(),
        namespace: key.namespace.clone(),
    };
    let is_exported = world.exports.peek(key).is_some();
    let own = named(&settings.domain);
    let declared = (own.clone(), DeclarationKey { entry: false, object: key.clone() });
    let own = world.services.peek(&own).filter(|_| world.claims.peek(&declared).is_some());
    let common =
        world.services.peek(&named(CLUSTER_SET)).filter(|s| s.cluster_vips.contains_key(&key.cluster));
    let policy = |service: &Service| match stays_in_cluster(settings, service, &key.cluster, is_exported) {
        true => "DiscoverableFromSameCluster",
        false => "AlwaysDiscoverable",
    };
    let known = [own, common].into_iter().flatten().filter(|_| is_exported);
    let policies: Map<String, Value> =
        known.map(|service| (service.hostname().as_str().to_owned(), policy(service).into())).collect();
    let vip = common.and_then(|service| service.cluster_vips.get(&key.cluster)?.first());
    json!({
        "Cluster": &*key.cluster,
        "Name": &*key.name,
        "Namespace": &*key.namespace,
        "Exported": is_exported,
        "Imported": has_common_names(&settings.switches) && world.imports.peek(key).is_some(),
        "ClusterSetVIP": vip.map_or("", |vip| &**vip),
        "Discoverability": if is_exported { policies.into() } else { Value::Null },
    })
}
