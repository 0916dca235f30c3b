//! Pages about what the control plane keeps: resources, tables, what each proxy serves.

use std::collections::BTreeMap;

use generate::plan::TargetsOf;
use mesh::World;
use serde_json::{Map, Value, json};
use tables::{Def, Table};
use xds::server::Connection;

use super::{clients, registry};
use crate::catalog::MeshCatalog;

/// The names of what is kept, by type; with `sizes` how many bytes instead.
pub(super) fn cache(catalog: &MeshCatalog, sizes: bool) -> Value {
    let kept = catalog.kept();
    if !sizes {
        let names = |resources: &BTreeMap<(String, u64), usize>| {
            resources.keys().map(|(name, _)| name.as_str()).collect::<Vec<_>>().into()
        };
        return kept.iter().map(|(of, all)| ((*of).to_owned(), names(all))).collect::<Map<_, _>>().into();
    }
    let mut out = Map::new();
    let mut total = 0;
    for (of, resources) in &kept {
        let size: usize = resources.values().sum();
        total += size;
        out.insert((*of).to_owned(), byte_count(size).into());
    }
    out.insert("total".to_owned(), byte_count(total).into());
    out.into()
}

/// As pilot/pkg/networking/util: `ByteCount`.
fn byte_count(bytes: usize) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB", "TB"] {
        if value < 1000.0 {
            return if unit == "B" { format!("{bytes}B") } else { format!("{value:.1}{unit}") };
        }
        value /= 1000.0;
    }
    format!("{value:.1}PB")
}

/// The service ports that each connected proxy serves.
pub(super) fn instances(catalog: &MeshCatalog, connections: &[Connection]) -> Value {
    let world = catalog.world();
    let memos = catalog.generator().memos();
    let mut out = Map::new();
    for connection in connections {
        let Ok(class) = catalog.class(&connection.node, connection.variant) else { continue };
        let targets = memos.get(&world, &TargetsOf(class)).out;
        let list = targets.iter().map(|target| {
            let service = world.services.peek(&target.service);
            json!({
                "Service": service.map(|service| registry::service(&target.service, service)),
                "Port": {
                    "name": &*target.port.name, "port": target.port.number,
                    "protocol": target.port.protocol.to_string(), "TargetPort": target.target_port,
                },
            })
        });
        out.insert(clients::proxy_name(&connection.node.id).to_owned(), list.collect());
    }
    out.into()
}

/// The tables of the mesh: their keys, not their rows, some of which are secret.
pub(super) fn tables(world: &World) -> Value {
    json!([
        table(&world.namespaces),
        table(&world.workloads),
        table(&world.claims),
        table(&world.services),
        table(&world.endpoints),
        table(&world.accounts),
        table(&world.networks),
        table(&world.virtual_services),
        table(&world.rules),
        table(&world.sidecars),
        table(&world.gateways),
        table(&world.credentials),
        table(&world.peer_policies),
        table(&world.request_policies),
        table(&world.access_policies),
        table(&world.telemetry_policies),
        table(&world.patches),
        table(&world.extensions),
        table(&world.proxy_configs),
        table(&world.workload_groups),
    ])
}

fn table<D: Def>(table: &Table<D>) -> Value
where
    D::Key: std::fmt::Debug,
{
    let outputs: Map<String, Value> = table.iter().map(|(key, _)| (format!("{key:?}"), json!({}))).collect();
    json!({ "uid": D::ORDER, "name": D::NAME, "state": { "outputs": outputs, "synced": true } })
}

#[cfg(test)]
mod tests {
    use super::byte_count;

    #[test]
    fn sizes_are_told_as_upstream_does() {
        for (bytes, text) in
            [(0, "0B"), (999, "999B"), (1000, "1.0kB"), (1550, "1.6kB"), (25_000_000, "25.0MB")]
        {
            assert_eq!(byte_count(bytes), text);
        }
    }
}
