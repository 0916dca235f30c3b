//! Services of extension providers: which cluster leads to them (as pilot/pkg/model/telemetry_logging.go:
//! `LookupCluster`).

use mesh::World;
use mesh::world::ServicesNamed;
use tables::{Level, Reads};

/// Host and outbound cluster of `[namespace/]host`; `None` if there is no such service, or several without namespace.
pub(crate) fn lookup<L: Level>(
    r: &Reads<L>,
    world: &World,
    service: &str,
    port: u32,
) -> Option<(String, String)> {
    let (namespace, host) = service.split_once('/').map_or((None, service), |(n, h)| (Some(n), h));
    if host.is_empty() || host.contains('/') {
        return None;
    }
    let named = world.services.bucket::<ServicesNamed, L>(r, &host.into()).map(|(_, row)| row);
    let mut found = named.filter(|s| namespace.is_none_or(|n| *s.key.namespace == *n));
    let one = found.next()?;
    if found.next().is_some() {
        return None;
    }
    let host = one.key.hostname.as_str();
    Some((host.to_owned(), format!("outbound|{port}||{host}")))
}
