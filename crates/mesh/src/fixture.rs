//! What the tests of the stages share: YAML in, a mesh out, rows as lines.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use config::Switches;
use expect_test::Expect;
use litemap::LiteMap;

use crate::services::{Service, TargetPort};
use crate::settings::Settings;
use crate::{Batch, Mesh, World};

/// The settings of a mesh that nobody configured.
pub(crate) fn settings() -> Settings {
    settings_of("", &[])
}

/// The same with a MeshConfig and switches.
pub(crate) fn settings_of(mesh: &str, switches: &[(&str, &str)]) -> Settings {
    let base = config::mesh::default_mesh_config();
    let pairs = switches.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let (switches, problems) = Switches::from_pairs(pairs);
    assert!(problems.is_empty(), "{problems:?}");
    let (mesh, problems) = config::mesh::apply_mesh_config(&base, "mesh.yaml", mesh).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    Settings {
        mesh: Arc::new(mesh),
        networks: Arc::default(),
        switches: Arc::new(switches),
        domain: "cluster.local".into(),
        cluster: "Kubernetes".into(),
        system_namespace: "istio-system".into(),
    }
}

/// The objects of a text; a mistake in it fails the test.
pub(crate) fn objects(yaml: &str) -> Vec<config::Object> {
    let decoded = config::decode::documents("test.yaml", yaml);
    assert!(decoded.problems.is_empty(), "{:?}", decoded.problems);
    decoded.objects
}

/// A batch that puts all objects of a text, as objects of `cluster`.
pub(crate) fn puts(cluster: &str, yaml: &str) -> Batch {
    let mut batch = Batch::default();
    for object in objects(yaml) {
        batch.put(&cluster.into(), object);
    }
    batch
}

/// A mesh of these objects.
pub(crate) fn mesh(yaml: &str) -> Mesh {
    mesh_of(settings(), &[("Kubernetes", yaml)])
}

/// A mesh of the objects of several clusters.
pub(crate) fn mesh_of(settings: Settings, clusters: &[(&str, &str)]) -> Mesh {
    let mut mesh = Mesh::new(settings);
    for (cluster, yaml) in clusters {
        let story = mesh.commit(puts(cluster, yaml));
        assert!(story.panics.is_empty() && story.conflicts.is_empty(), "{story:?}");
    }
    mesh
}

/// Compares what a test sees of a mesh of these objects.
pub(crate) fn check(yaml: &str, see: impl Fn(&World) -> String, expect: &Expect) {
    expect.assert_eq(&see(&mesh(yaml).world()));
}

/// A map as a test shows it.
pub(crate) fn by_key<K: Ord, V>(map: &LiteMap<K, V>) -> BTreeMap<&K, &V> {
    map.iter().collect()
}

/// The services, one line each.
pub(crate) fn services(world: &World) -> String {
    world.services.iter().map(|(_, s)| service(s)).collect()
}

fn service(s: &Service) -> String {
    let mut out = format!("{:?} {:?} {:?} {}", s.key, s.registry, s.resolution, s.default_address);
    for p in &s.ports {
        let target = match s.target_ports.get(&p.number) {
            Some(TargetPort::Number(n)) => n.to_string(),
            Some(TargetPort::Name(n)) => n.to_string(),
            None => "?".to_owned(),
        };
        let _ = write!(out, " {}:{}/{}->{target}", p.name, p.number, p.protocol);
    }
    let mut add = |name: &str, value: String| {
        if !matches!(value.as_str(), "[]" | "{}" | "None" | "false" | "Any" | "\"\"") {
            let _ = write!(out, "\n    {name} {value}");
        }
    };
    add("vips", format!("{:?}", by_key(&s.cluster_vips)));
    add("addresses", format!("{:?}", s.addresses));
    add("allocated", format!("{:?}", s.auto_allocated_v4));
    add("allocated v6", format!("{:?}", s.auto_allocated_v6));
    add("export to", format!("{:?}", s.export_to));
    add("accounts", format!("{:?}", s.declared_accounts));
    add("aliases", format!("{:?}", s.aliases));
    add("external", format!("{:?}", by_key(&s.external_addresses)));
    let ports: BTreeMap<_, _> = s.external_ports.iter().map(|(c, ports)| (c, by_key(ports))).collect();
    add("node ports", format!("{ports:?}"));
    add("distribution", format!("{:?}", s.traffic_distribution));
    add("node local", format!("{:?}", s.node_local));
    add("others", format!("{:?}", s.others.iter().map(|o| &o.declared_by).collect::<Vec<_>>()));
    out + "\n"
}

/// The endpoints of all services, one line each.
pub(crate) fn endpoints(world: &World) -> String {
    let mut out = String::new();
    for (key, row) in world.endpoints.iter() {
        let _ = writeln!(out, "{key:?}");
        for e in &row.endpoints {
            let at = e.addresses.join("+");
            let _ = write!(out, "    {} {at}:{} {:?}", e.service_port, e.port, e.health);
            for (name, value) in [
                ("sa", &e.identity),
                ("net", &e.network),
                ("cluster", &e.cluster),
                ("tls", &e.tls_mode),
                ("workload", &e.workload),
                ("host", &e.hostname),
            ] {
                if !value.is_empty() && (name != "cluster" || **value != *"Kubernetes") {
                    let _ = write!(out, " {name}={value}");
                }
            }
            let l = &e.locality;
            if !l.is_empty() {
                let _ = write!(out, " at={}/{}/{}", l.region, l.zone, l.subzone);
            }
            if e.weight > 0 {
                let _ = write!(out, " weight={}", e.weight);
            }
            out.push('\n');
        }
    }
    out
}
