//! The import matrix: which of our crates a crate may use, and which outside ones it must not.

use crate::workspace::Package;

/// A room and who may come in. `ours: None` means anything.
struct Room {
    name: &'static str,
    ours: Option<&'static [&'static str]>,
    never: &'static [&'static str],
}

/// What nobody in the core may touch: time, sockets, threads of others, clusters.
const CORE: &[&str] = &[
    "tokio",
    "tonic",
    "kube",
    "k8s-openapi",
    "hyper",
    "axum",
    "reqwest",
    "notify",
    "nix",
    "rand",
    "tracing",
];
/// Of the agent, which runs in every pod, and of what it links.
const CLUSTER: &[&str] = &["kube", "k8s-openapi"];

const fn room(name: &'static str, ours: &'static [&'static str], never: &'static [&'static str]) -> Room {
    Room { name, ours: Some(ours), never }
}

const fn anything(name: &'static str) -> Room {
    Room { name, ours: None, never: &[] }
}

const ROOMS: &[Room] = &[
    room("proto", &[], CLUSTER),
    room("tables", &[], CORE),
    room("gotmpl", &[], CORE),
    room("process", &[], CLUSTER),
    room("envoy", &[], CORE),
    room("config", &["proto"], CORE),
    room("identity", &["proto"], CORE),
    room("mesh", &["config", "identity", "proto", "tables"], CORE),
    room("analysis", &["mesh", "config"], CORE),
    room("manifests", &["config", "gotmpl"], CORE),
    room("generate", &["mesh", "tables", "config", "identity", "proto"], CORE),
    room("simulate", &["proto", "config"], CORE),
    room("sources", &["mesh", "config", "proto", "process", "xds"], &[]),
    room("controllers", &["mesh", "manifests", "config", "identity", "process"], &[]),
    room("xds", &["proto", "process"], CLUSTER),
    room(
        "pilot-discovery",
        &[
            "analysis",
            "config",
            "controllers",
            "generate",
            "gotmpl",
            "identity",
            "manifests",
            "mesh",
            "process",
            "proto",
            "simulate",
            "sources",
            "tables",
            "xds",
        ],
        &[],
    ),
    room("pilot-agent", &["xds", "identity", "config", "proto", "process", "envoy"], CLUSTER),
    room(
        "istioctl",
        &[
            "analysis",
            "config",
            "envoy",
            "generate",
            "identity",
            "manifests",
            "mesh",
            "process",
            "proto",
            "simulate",
            "sources",
            "tables",
            "xds",
        ],
        &[],
    ),
    room("envtest", &["envoy"], CORE),
    anything("testkit"),
    anything("e2e"),
    // sees a control plane from outside only
    room("loadgen", &[], CLUSTER),
    anything("xtask"),
];

/// Rooms that only tests may enter.
const TESTS: [&str; 5] = ["envtest", "testkit", "e2e", "loadgen", "xtask"];

/// Dependencies that the matrix does not allow.
pub(super) fn check(packages: &[Package]) -> Vec<String> {
    let mut problems = Vec::new();
    for package in packages {
        let Some(room) = ROOMS.iter().find(|room| room.name == package.name) else {
            problems.push(format!(
                "{}: a new crate is a new wall: give it a line in xtask/src/tidy/imports.rs and a reason in ARCHITECTURE.md",
                package.name
            ));
            continue;
        };
        for dependency in &package.dependencies {
            let ours = packages.iter().any(|other| other.name == *dependency);
            if ours && room.ours.is_some_and(|allowed| !allowed.contains(&dependency.as_str())) {
                problems.push(format!("{} must not use {dependency}", package.name));
            }
            if TESTS.contains(&dependency.as_str()) && !TESTS.contains(&room.name) {
                problems.push(format!("{} may use {dependency} in tests only", package.name));
            }
            if room.never.contains(&dependency.as_str()) {
                problems.push(format!("{} must stay free of {dependency}", package.name));
            }
        }
    }
    problems
}
