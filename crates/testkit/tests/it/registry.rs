//! What the registry means: clusters of objects in, what a proxy is sent out, one file of `tests/registry` for each claim.
//!
//! The first line of a file is its claim. Then come sections, each under a line `-- name --`: `switches` (a `NAME=value` per
//! line), `mesh` (MeshConfig), `networks` (MeshNetworks) at the beginning, then the objects of a cluster under its name, or
//! under `gone from NAME` where they are taken away. A section `look: ...` names a proxy, by words `key=value`, and has
//! questions, each a line `? ...` with its answer below: what this proxy is sent at that moment.
//! `UPDATE_EXPECT=1` writes the answers anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use expect_test::expect_file;
use generate::TypeName;
use mesh::settings::Settings;
use mesh::{Batch, Mesh, ObjectKey, World};
use proto::envoy::config::cluster::v3::{Cluster, cluster::ClusterDiscoveryType, cluster::DiscoveryType};
use proto::envoy::config::core::v3::{
    Address, DataSource, HealthStatus, Node, address, data_source::Specifier, socket_address::PortSpecifier,
};
use proto::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier,
};
use proto::envoy::config::route::v3::RouteConfiguration;
use proto::envoy::extensions::transport_sockets::tls::v3::{Secret, secret};
use proto::google::protobuf::{Struct, Value, value::Kind};
use proto::istio::networking::nds::v1::NameTable;
use testkit::check::{Output, node};
use testkit::fixture;

#[test]
fn every_claim_about_the_registry_holds() {
    let files = cases();
    let holds = |file: &&PathBuf| {
        let text = std::fs::read_to_string(file).unwrap();
        catch_unwind(AssertUnwindSafe(|| expect_file![*file].assert_eq(&answered(&text)))).is_ok()
    };
    let broken: Vec<_> = files.iter().filter(|file| !holds(file)).collect();
    assert!(broken.is_empty(), "these do not hold: {broken:#?}");
}

#[test]
fn the_reference_lists_every_claim() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/registry.md");
    let text = std::fs::read_to_string(&reference).unwrap();
    let (intro, _) = text.split_once("## Claims\n").unwrap();
    let mut wanted = format!("{intro}## Claims\n\n");
    for file in cases() {
        let claim = std::fs::read_to_string(&file).unwrap();
        let claim = claim.lines().next().unwrap();
        writeln!(wanted, "- {claim} (`{}`)", file.file_stem().unwrap().display()).unwrap();
    }
    expect_file![reference].assert_eq(&wanted);
}

/// The files, by name.
fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/registry");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 20, "where are the cases? {files:?}");
    files
}

/// The text of a case with the answers that the mesh gives, each section taken after those before it.
fn answered(text: &str) -> String {
    let (claim, sections) = sections(text);
    let mut settings = Some(Settings::default());
    let mut mesh = None;
    let mut out = format!("{}\n", claim.trim_end());
    for (name, body) in sections {
        let _ = writeln!(out, "\n-- {name} --");
        if !name.starts_with("look: ") {
            let _ = writeln!(out, "{}", body.trim());
        }
        if let Some(settings) = settings.as_mut().filter(|_| SETTINGS.contains(&name)) {
            set(settings, name, body);
            continue;
        }
        let mesh: &mut Mesh = mesh.get_or_insert_with(|| Mesh::new(settings.take().unwrap()));
        match name.strip_prefix("look: ") {
            Some(proxy) => out.push_str(&answers(&mesh.world(), proxy, body)),
            None => change(mesh, name, body),
        }
    }
    out
}

const SETTINGS: [&str; 3] = ["switches", "mesh", "networks"];

fn set(settings: &mut Settings, what: &str, body: &str) {
    match what {
        "switches" => settings.switches = Arc::new(switches(body)),
        "mesh" => settings.mesh = fixture::settings(body).mesh,
        _ => {
            let (networks, problems) = config::mesh::parse_mesh_networks("networks", body, true).unwrap();
            assert!(problems.is_empty(), "{problems:?}");
            settings.networks = Arc::new(networks);
        }
    }
}

/// Puts the objects of a cluster, or takes them away if the section is named `gone from CLUSTER`.
fn change(mesh: &mut Mesh, name: &str, body: &str) {
    let mut batch = Batch::default();
    for object in fixture::objects(body) {
        match name.strip_prefix("gone from ") {
            None => batch.put(&name.into(), object),
            Some(cluster) => {
                let (namespace, name) = (object.meta.namespace.clone(), object.meta.name.clone());
                batch.removes.push((object.kind(), ObjectKey { cluster: cluster.into(), namespace, name }));
            }
        }
    }
    let story = mesh.commit(batch);
    assert!(story.panics.is_empty() && story.conflicts.is_empty(), "{story:?}");
}

/// The claim, and the sections with their names.
fn sections(text: &str) -> (&str, Vec<(&str, &str)>) {
    let mut parts = text.split("\n-- ");
    let claim = parts.next().unwrap_or_default();
    let sections = parts.map(|part| {
        let (head, body) = part.split_once('\n').unwrap_or((part, ""));
        (head.strip_suffix(" --").unwrap_or_else(|| panic!("no section begins so: {head}")), body)
    });
    (claim, sections.collect())
}

fn switches(body: &str) -> config::Switches {
    let pairs = body.lines().filter_map(|line| line.split_once('='));
    let (switches, problems) =
        config::Switches::from_pairs(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert!(problems.is_empty(), "{problems:?}");
    switches
}

/// A proxy of these words: `kind ip pod namespace` have defaults, `labels` is `a:b,c:d`, all others are metadata.
fn proxy(words: &str) -> Node {
    let words: BTreeMap<&str, &str> = words.split_whitespace().filter_map(|w| w.split_once('=')).collect();
    let word = |key: &str, default| words.get(key).copied().unwrap_or(default);
    let labels = word("labels", "");
    let labels: Vec<(&str, &str)> = labels.split(',').filter_map(|label| label.split_once(':')).collect();
    let (ip, namespace) = (word("ip", "10.9.9.9"), word("namespace", "default"));
    let mut node = node(word("kind", "sidecar"), ip, word("pod", "caller-1"), namespace, &labels);
    let metadata = node.metadata.get_or_insert_with(Struct::default);
    let known = ["kind", "ip", "pod", "namespace", "labels", "at"];
    for (key, value) in words.iter().filter(|(key, _)| !known.contains(key)) {
        let value = Value { kind: Some(Kind::StringValue((*value).to_owned())) };
        metadata.fields.insert((*key).to_owned(), value);
    }
    if let (Some(at), Some(locality)) = (words.get("at"), &mut node.locality) {
        let mut parts = at.split('/').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        (locality.region, locality.zone, locality.sub_zone) = (next(), next(), next());
    }
    node
}

fn answers(world: &Arc<World>, words: &str, body: &str) -> String {
    let output = Output::of(world, &proxy(words));
    let mut out = String::new();
    for question in body.lines().filter_map(|line| line.strip_prefix("? ")) {
        let (what, of) = question.split_once(' ').unwrap_or((question, ""));
        let lines = match what {
            "clusters" => clusters(&output, of),
            "domains" => domains(&output, of),
            "endpoints" => endpoints(&output, of),
            "inbound" => inbound(&output, of),
            "listeners" => output.names(TypeName::Listener).iter().map(|name| (*name).to_owned()).collect(),
            "names" => names(&output, of),
            "secrets" => secrets(&output),
            other => panic!("nobody knows what {other:?} asks for"),
        };
        let _ = writeln!(out, "? {question}");
        lines.iter().for_each(|line| writeln!(out, "    {line}").unwrap());
    }
    out
}

/// The clusters whose names have a word in them, and how each finds its endpoints.
fn clusters(output: &Output, word: &str) -> Vec<String> {
    let names = output.names(TypeName::Cluster).into_iter().filter(|name| name.contains(word));
    let line = |name: &str| {
        let cluster: Cluster = output.get(TypeName::Cluster, name).unwrap();
        let found = match cluster.cluster_discovery_type {
            Some(ClusterDiscoveryType::Type(number)) => {
                DiscoveryType::try_from(number).unwrap().as_str_name()
            }
            _ => "?",
        };
        let mut line = format!("{name} {found}");
        let assignment = cluster.load_assignment.unwrap_or_default();
        let inline = assignment.endpoints.iter().flat_map(of_group);
        inline.for_each(|endpoint| write!(line, " {}", endpoint.trim()).unwrap());
        line
    };
    names.map(line).collect()
}

/// The services that a port of the workload serves.
fn inbound(output: &Output, port: &str) -> Vec<String> {
    let cluster: Option<Cluster> = output.get(TypeName::Cluster, &format!("inbound|{port}||"));
    let mut metadata = cluster.and_then(|cluster| cluster.metadata).unwrap_or_default();
    let services =
        metadata.filter_metadata.remove("istio").and_then(|mut istio| istio.fields.remove("services"));
    let Some(Kind::ListValue(list)) = services.and_then(|services| services.kind) else { return Vec::new() };
    let host = |value: Value| match value.kind {
        Some(Kind::StructValue(mut service)) => match service.fields.remove("host")?.kind {
            Some(Kind::StringValue(host)) => Some(host),
            _ => None,
        },
        _ => None,
    };
    list.values.into_iter().filter_map(host).collect()
}

fn domains(output: &Output, of: &str) -> Vec<String> {
    let routes: Option<RouteConfiguration> = output.get(TypeName::Route, of);
    let Some(routes) = routes else { return vec!["there is no such route".to_owned()] };
    let mut hosts: Vec<String> = routes
        .virtual_hosts
        .iter()
        .map(|host| format!("{}: {}", host.name, host.domains.join(" ")))
        .collect();
    hosts.sort();
    hosts
}

fn endpoints(output: &Output, cluster: &str) -> Vec<String> {
    let assignment: Option<ClusterLoadAssignment> = output.get(TypeName::Endpoint, cluster);
    let Some(assignment) = assignment else { return vec!["there is no such cluster".to_owned()] };
    assignment.endpoints.iter().flat_map(of_group).collect()
}

fn of_group(group: &LocalityLbEndpoints) -> Vec<String> {
    let locality = group.locality.clone().unwrap_or_default();
    let place = [locality.region, locality.zone, locality.sub_zone].join("/");
    let mut tail = String::new();
    if place != "//" {
        let _ = write!(tail, " at {}", place.trim_end_matches('/'));
    }
    if group.priority != 0 {
        let _ = write!(tail, " priority {}", group.priority);
    }
    group.lb_endpoints.iter().map(|endpoint| one(endpoint) + &tail).collect()
}

fn one(endpoint: &LbEndpoint) -> String {
    let Some(HostIdentifier::Endpoint(host)) = &endpoint.host_identifier else { return "?".to_owned() };
    let mut line = host.address.as_ref().map_or_else(|| "?".to_owned(), show);
    for more in &host.additional_addresses {
        let _ = write!(line, "+{}", more.address.as_ref().map_or_else(|| "?".to_owned(), show));
    }
    let health = HealthStatus::try_from(endpoint.health_status).unwrap().as_str_name().to_lowercase();
    let _ = write!(line, " {health}");
    let weight = endpoint.load_balancing_weight.map_or(1, |weight| weight.value);
    if weight != 1 {
        let _ = write!(line, " weight {weight}");
    }
    let metadata = endpoint.metadata.as_ref();
    if metadata.is_some_and(|m| m.filter_metadata.contains_key("envoy.transport_socket_match")) {
        line.push_str(" mTLS");
    }
    line
}

fn show(address: &Address) -> String {
    match &address.address {
        Some(address::Address::SocketAddress(socket)) => match socket.port_specifier {
            Some(PortSpecifier::PortValue(port)) => format!("{}:{port}", socket.address),
            _ => socket.address.clone(),
        },
        Some(address::Address::Pipe(pipe)) => format!("unix://{}", pipe.path),
        _ => "?".to_owned(),
    }
}

/// The secrets that are served, with the certificates in them, which need be none here.
fn secrets(output: &Output) -> Vec<String> {
    let text = |source: Option<DataSource>| match source.and_then(|source| source.specifier) {
        Some(Specifier::InlineBytes(bytes)) => String::from_utf8(bytes).unwrap(),
        _ => String::new(),
    };
    let line = |name: &str| {
        let secret: Secret = output.get(TypeName::Secret, name).unwrap();
        match secret.r#type {
            Some(secret::Type::TlsCertificate(own)) => format!("{name}: {}", text(own.certificate_chain)),
            Some(secret::Type::ValidationContext(roots)) => format!("{name}: {}", text(roots.trusted_ca)),
            _ => name.to_owned(),
        }
    };
    output.names(TypeName::Secret).into_iter().map(line).collect()
}

/// The addresses of a name, or of all names.
fn names(output: &Output, of: &str) -> Vec<String> {
    let table: NameTable = output.get(TypeName::NameTable, "").unwrap_or_default();
    let wanted = table.table.iter().filter(|(name, _)| of.is_empty() || name.contains(of));
    wanted
        .map(|(name, info)| {
            let short =
                if info.shortname.is_empty() { String::new() } else { format!(" ({})", info.shortname) };
            format!("{name}{short}: {}", info.ips.join(" "))
        })
        .collect()
}
