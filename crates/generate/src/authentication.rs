//! Peer authentication: which mutual-TLS mode holds for a workload, a port, a namespace
//! (as pilot/pkg/model/authentication.go and pilot/pkg/security/authn).

use std::collections::BTreeMap;
use std::sync::Arc;

use config::Kind;
use config::security::{Mode, PeerAuthentication};
use mesh::World;
use mesh::policies::PeerPolicy;
use mesh::workloads::LabelSet;
use tables::{Level, Reads};

use crate::provenance::Origin;

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

/// The first policy of these that says a mode.
fn first_said<'a>(policies: impl IntoIterator<Item = Option<&'a PeerPolicy>>) -> Option<&'a PeerPolicy> {
    policies.into_iter().flatten().find(|p| mode_of(&p.spec) != MutualTls::Unknown)
}

/// The policies of a namespace and of the mesh that are for all workloads; the root namespace's are the mesh's.
fn broad_of<'a, L: Level>(
    r: &Reads<L>,
    world: &'a World,
    namespace: &Arc<str>,
) -> [Option<&'a PeerPolicy>; 2] {
    let root = root_namespace(r, world);
    let mesh = broad(&of_namespace(r, world, &root));
    let own = if *namespace == root { None } else { broad(&of_namespace(r, world, namespace)) };
    [own, mesh]
}

/// The mode of a namespace: its own policy, else the mesh's; unknown where nobody said
/// (as `GetNamespaceMutualTLSMode`).
pub fn namespace_mode<L: Level>(r: &Reads<L>, world: &World, namespace: &Arc<str>) -> MutualTls {
    first_said(broad_of(r, world, namespace)).map_or(MutualTls::Unknown, |p| mode_of(&p.spec))
}

/// Where [`namespace_mode`] was written.
pub(crate) fn namespace_origin<L: Level>(r: &Reads<L>, world: &World, namespace: &Arc<str>) -> Origin {
    first_said(broad_of(r, world, namespace)).map_or_else(unsaid, |p| field(p, "spec.mtls.mode".to_owned()))
}

fn field(policy: &PeerPolicy, path: String) -> Origin {
    Origin::field(Kind::PeerAuthentication, (&policy.namespace, &policy.name), path)
}

fn unsaid() -> Origin {
    Origin::default("PERMISSIVE, as no PeerAuthentication says a mode")
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

/// The oldest policy that selects a workload by its labels.
fn selecting<'a, L: Level>(
    r: &Reads<L>,
    world: &'a World,
    namespace: &Arc<str>,
    labels: &impl LabelSet,
) -> Option<&'a PeerPolicy> {
    let matching = of_namespace(r, world, namespace)
        .into_iter()
        .filter(|p| has_selector(&p.spec) && p.spec.selector.iter().all(|s| labels.has_all(&s.match_labels)));
    matching.min_by_key(|p| (p.created, p.name.clone()))
}

/// As `ComposePeerAuthentication`: mesh, then namespace, then workload; unset inherits; the default is permissive.
pub fn workload_mode<L: Level>(
    r: &Reads<L>,
    world: &World,
    namespace: &Arc<str>,
    labels: &impl LabelSet,
) -> PeerMode {
    let own = selecting(r, world, namespace, labels);
    let said = first_said([own].into_iter().chain(broad_of(r, world, namespace)));
    let mode = said.map_or(MutualTls::Permissive, |p| mode_of(&p.spec));
    let mut ports = BTreeMap::new();
    for (port, tls) in own.iter().flat_map(|p| &p.spec.port_level_mtls) {
        let Ok(port) = port.parse() else { continue };
        let said = MutualTls::of(tls.mode);
        ports.insert(port, if said == MutualTls::Unknown { mode } else { said });
    }
    PeerMode { mode, ports }
}

/// Where the mode of a port of a workload ([`workload_mode`]) was written.
pub(crate) fn workload_origin<L: Level>(
    r: &Reads<L>,
    world: &World,
    namespace: &Arc<str>,
    labels: &impl LabelSet,
    port: u32,
) -> Origin {
    let own = selecting(r, world, namespace, labels);
    let of_port = |p: &&PeerPolicy| {
        let tls = p.spec.port_level_mtls.get(&port.to_string());
        tls.is_some_and(|tls| MutualTls::of(tls.mode) != MutualTls::Unknown)
    };
    if let Some(policy) = own.filter(of_port) {
        return field(policy, format!("spec.portLevelMtls.{port}"));
    }
    let said = first_said([own].into_iter().chain(broad_of(r, world, namespace)));
    said.map_or_else(unsaid, |p| field(p, "spec.mtls.mode".to_owned()))
}
