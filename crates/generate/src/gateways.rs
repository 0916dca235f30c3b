//! Gateways: Gateway objects merged per workload, their listeners and routes.

use std::sync::Arc;

use bytes::Bytes;
use mesh::World;
use mesh::workloads::ServiceTarget;
use tables::{Level, Reads};

use crate::encoded::Resource;
use crate::listeners::Built;
use crate::proxy::Proxy;
use crate::routes::BuiltRoute;
use crate::scope::Scope;

/// The servers of all Gateway objects that select a router, by port (as pilot/pkg/model/gateway.go: `MergedGateway`).
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Merged {}

/// Merges the Gateway objects that select the proxy.
pub fn merge<L: Level>(_r: &Reads<L>, _world: &World, _proxy: &Proxy, _targets: &[ServiceTarget]) -> Merged {
    Merged::default()
}

/// Listeners of a gateway.
pub fn listeners<L: Level>(_r: &Reads<L>, _world: &World, _proxy: &Proxy, _merged: &Merged, _scope: &Scope) -> Built {
    Built::default()
}

/// One route configuration of a gateway.
pub fn route<L: Level>(
    _r: &Reads<L>,
    _world: &World,
    _proxy: &Proxy,
    _merged: &Merged,
    _scope: &Scope,
    name: &Arc<str>,
) -> BuiltRoute {
    BuiltRoute { route: Resource::from_bytes(name.clone(), Bytes::new()), virtual_hosts: Vec::new() }
}
