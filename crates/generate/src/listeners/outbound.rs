//! Outbound listeners of a sidecar.

use mesh::World;
use tables::{Level, Reads};

use super::Built;
use crate::proxy::Proxy;
use crate::scope::Scope;

/// See [`super::outbound`].
pub(super) fn listeners<L: Level>(_r: &Reads<L>, _world: &World, _proxy: &Proxy, _scope: &Scope) -> Built {
    Built::default()
}
