//! Inbound listeners of a sidecar.

use mesh::World;
use mesh::workloads::ServiceTarget;
use tables::{Level, Reads};

use super::Built;
use crate::proxy::Proxy;
use crate::scope::Named;

/// See [`super::inbound`].
pub(super) fn listeners<L: Level>(
    _r: &Reads<L>,
    _world: &World,
    _proxy: &Proxy,
    _sidecar: Option<&Named>,
    _targets: &[ServiceTarget],
) -> Built {
    Built::default()
}
