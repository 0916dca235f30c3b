//! Peer authentication: which mutual-TLS mode holds for a workload, a port, a namespace
//! (as pilot/pkg/model/authentication.go and pilot/pkg/security/authn).

use std::collections::BTreeMap;
use std::sync::Arc;

use config::security::{Mode, PeerAuthentication};
use mesh::World;
use mesh::policies::PeerPolicy;
use tables::{Level, Reads};

/// As pilot/pkg/model: `MutualTLSMode`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub enum MutualTls {
    /// Nobody said.
    #[default]
    Unknown,
    /// Plain text.
    Disable,
    /// Both.
    Permissive,
    /// Only mutual TLS.
    Strict,
}

impl MutualTls {
    fn of(mode: Mode) -> Self {
        match mode {
            Mode::Unset => Self::Unknown,
            Mode::Disable => Self::Disable,
            Mode::Permissive => Self::Permissive,
            Mode::Strict => Self::Strict,
        }
    }
}

fn mode_of(policy: &PeerAuthentication) -> MutualTls {
    policy.mtls.as_ref().map_or(MutualTls::Unknown, |m| MutualTls::of(m.mode))
}

fn has_selector(policy: &PeerAuthentication) -> bool {
    policy.selector.as_ref().is_some_and(|s| !s.match_labels.is_empty())
}

/// The oldest policy (then by name) without selector.
fn broad<'a>(policies: &[&'a PeerPolicy]) -> Option<&'a PeerPolicy> {
    policies.iter().copied().filter(|p| !has_selector(&p.spec)).min_by_key(|p| (p.created, p.name.clone()))
}

fn of_namespace<'a, L: Level>(r: &Reads<L>, world: &'a World, namespace: &Arc<str>) -> Vec<&'a PeerPolicy> {
    world
        .peer_policies
        .bucket::<mesh::world::PeerPoliciesOf, L>(r, namespace)
        .map(|(_, row)| &**row)
        .collect()
}

fn root_namespace<L: Level>(r: &Reads<L>, world: &World) -> Arc<str> {
    crate::settings(r, world).root_namespace().into()
}

/// The mesh-wide mode.
fn mesh_mode<L: Level>(r: &Reads<L>, world: &World) -> MutualTls {
    broad(&of_namespace(r, world, &root_namespace(r, world))).map_or(MutualTls::Unknown, |p| mode_of(&p.spec))
}

/// The mode of a namespace: its own policy, else the mesh's; unknown where nobody said
/// (as `GetNamespaceMutualTLSMode`).
pub fn namespace_mode<L: Level>(r: &Reads<L>, world: &World, namespace: &Arc<str>) -> MutualTls {
    let mesh = mesh_mode(r, world);
    if **namespace == *root_namespace(r, world) {
        return mesh;
    }
    match broad(&of_namespace(r, world, namespace)).map(|p| mode_of(&p.spec)) {
        None | Some(MutualTls::Unknown) => mesh,
        Some(mode) => mode,
    }
}

/// What holds for one workload.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PeerMode {
    /// Where no port says otherwise; never unknown.
    pub mode: MutualTls,
    /// By port.
    pub ports: BTreeMap<u32, MutualTls>,
}

impl PeerMode {
    /// The mode of a port (the port of the workload, not of the service).
    #[must_use]
    pub fn port(&self, port: u32) -> MutualTls {
        self.ports.get(&port).copied().unwrap_or(self.mode)
    }
}

/// As `ComposePeerAuthentication`: mesh, then namespace, then workload; unset inherits; the default is permissive.
pub fn workload_mode<L: Level>(
    r: &Reads<L>,
    world: &World,
    namespace: &Arc<str>,
    labels: &BTreeMap<Arc<str>, Arc<str>>,
) -> PeerMode {
    let or = |mode: MutualTls, parent: MutualTls| if mode == MutualTls::Unknown { parent } else { mode };
    let mut mode = or(mesh_mode(r, world), MutualTls::Permissive);
    if **namespace == *root_namespace(r, world) {
        // Policies of the root namespace without selector are the mesh's; with selector they apply below.
    } else if let Some(own) = broad(&of_namespace(r, world, namespace)) {
        mode = or(mode_of(&own.spec), mode);
    }
    let matching = of_namespace(r, world, namespace).into_iter().filter(|p| {
        has_selector(&p.spec)
            && p.spec.selector.iter().all(|s| {
                s.match_labels.iter().all(|(k, v)| labels.get(k.as_str()).is_some_and(|have| **have == **v))
            })
    });
    let mut ports = BTreeMap::new();
    if let Some(own) = matching.min_by_key(|p| (p.created, p.name.clone())) {
        mode = or(mode_of(&own.spec), mode);
        for (port, tls) in &own.spec.port_level_mtls {
            let Ok(port) = port.parse() else { continue };
            ports.insert(port, or(MutualTls::of(tls.mode), mode));
        }
    }
    PeerMode { mode, ports }
}
