//! Where the endpoints of a cluster come from.

use config::Kind;
use mesh::World;
use mesh::endpoints::Endpoint;
use mesh::rules::Rule;
use mesh::services::Service;
use mesh::settings::Settings;
use tables::{Level, Reads};

use crate::authentication;
use crate::clusters::EdsName;
use crate::clusters::layers::Layers;
use crate::provenance::{Field, Origin, workload_at};

/// Of the assignment as a whole: its service, its subset, what says how localities are weighed.
pub(super) fn tell(
    settings: &Settings,
    service: &Service,
    rule: Option<&Rule>,
    cluster: &EdsName,
    say: &mut dyn FnMut(&str, Origin),
) {
    say("", Origin::service(service, Some(cluster.port)));
    let Some(merged) = rule else { return };
    if !cluster.subset.is_empty() {
        say("", Origin::rule(merged, [format!("spec.subsets[name={}].labels", cluster.subset)]));
    }
    let default = settings.mesh.default_traffic_policy.as_ref();
    let layers = Layers::of(Some(&merged.rule), cluster.port, &cluster.subset, default);
    for part in ["loadBalancer", "outlierDetection"] {
        layers.origin(rule, part, "").into_iter().for_each(|origin| say("endpoints", origin));
    }
}

/// Of one endpoint: the workload behind it, else what names its address.
pub(super) fn tell_endpoint<L: Level>(
    r: &Reads<L>,
    world: &World,
    service: &Service,
    row: &Endpoint,
    say: &mut dyn FnMut(&str, Origin),
) {
    let Some(address) = row.addresses.first() else { return };
    let path = format!("endpoints[{address}:{}]", row.port);
    say(&path, workload_at(r, world, address).unwrap_or_else(|| declared(service, address)));
    let mode = authentication::workload_origin(r, world, &row.namespace, &row.labels, row.port);
    if matches!(mode, Origin::Field(_)) {
        say(&format!("{path}.metadata"), mode);
    }
}

/// Where the declarations of a service name an address.
fn declared(service: &Service, address: &str) -> Origin {
    let Origin::Field(fields) = Origin::service(service, None) else { return Origin::service(service, None) };
    let of = |field: Field| match field.kind {
        Kind::ServiceEntry => Field { path: format!("spec.endpoints[address={address}]"), ..field },
        _ => field,
    };
    Origin::Field(fields.into_iter().map(of).collect())
}
