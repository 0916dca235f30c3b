//! The endpoints of a service: from every declaration of it, in one order.

use std::collections::BTreeSet;
use std::sync::Arc;

use tables::{Level, Reads, Table};

use super::{Endpoint, EndpointAccounts, Endpoints, entries, slices};
use crate::inputs::{Declaration, Declarations, ServiceExportFacts, SliceFacts};
use crate::key::ServiceKey;
use crate::services::{Service, multicluster};
use crate::world::{Claims, ClaimsOn, Ground, Workloads};

/// The tables endpoints are found in.
#[derive(Clone, Copy)]
pub(crate) struct Sources<'a> {
    pub(crate) ground: Ground<'a>,
    pub(crate) declarations: &'a Table<Declarations>,
    pub(crate) slices: &'a Table<SliceFacts>,
    pub(crate) exports: &'a Table<ServiceExportFacts>,
    pub(crate) workloads: &'a Table<Workloads>,
    pub(crate) claims: &'a Table<Claims>,
}

/// Stage: the endpoints of a service.
pub(crate) fn of<L: Level>(
    r: &Reads<L>,
    sources: Sources<'_>,
    key: &ServiceKey,
    service: &Service,
) -> Vec<(ServiceKey, Endpoints)> {
    let Some(settings) = sources.ground.settings(r) else { return Vec::new() };
    let mut found: Vec<Endpoint> = Vec::new();
    let mut podless = Vec::new();
    let mut external = Vec::new();
    let declared = service.common_name_of.as_ref().unwrap_or(key);
    for (claim, said) in sources.claims.bucket::<ClaimsOn, L>(r, declared) {
        let object = &claim.1.object;
        match sources.declarations.get(r, &claim.1).map(|d| &**d) {
            Some(Declaration::Kube(_)) => {
                let mut of_slices =
                    slices::endpoints(r, sources, settings, object, &said.service, &mut podless);
                if settings.switches.enable_mcs_service_discovery {
                    let exported = sources.exports.get(r, object).is_some();
                    let stays = multicluster::stays_in_cluster(settings, service, &object.cluster, exported);
                    of_slices.iter_mut().for_each(|e| e.stays_in_cluster = stays);
                }
                found.extend(of_slices);
                found.extend(slices::selected(r, sources, settings, object, &said.service));
            }
            Some(Declaration::Entry(fact)) if service.common_name_of.is_none() => {
                external.push((object, fact, &said.service));
            }
            Some(Declaration::Entry(_)) | None => {}
        }
    }
    external.sort_by_key(|(object, fact, _)| (fact.meta.creation, *object));
    found.extend(entries::endpoints(r, sources, settings, &external));
    found.retain(|e| has_port(service, e));
    sort(service, &mut found);
    let mut endpoints: Vec<Arc<Endpoint>> = found.into_iter().map(Arc::new).collect();
    // it is collected in the place of the rows themselves
    endpoints.shrink_to_fit();
    podless.sort();
    podless.dedup();
    vec![(key.clone(), Endpoints { endpoints, podless })]
}

/// An endpoint for a port that the service does not have is never called.
fn has_port(service: &Service, endpoint: &Endpoint) -> bool {
    let number = endpoint.service_port_number;
    service.ports.iter().any(|p| p.name == endpoint.service_port || (number != 0 && p.number == number))
}

fn sort(service: &Service, endpoints: &mut Vec<Endpoint>) {
    let place = |e: &Endpoint| service.ports.iter().position(|p| p.name == e.service_port);
    endpoints.sort_by(|a, b| {
        (place(a), &a.cluster, &a.addresses, a.port)
            .cmp(&(place(b), &b.cluster, &b.addresses, b.port))
            .then_with(|| {
                (a.external, &a.namespace, &a.workload).cmp(&(b.external, &b.namespace, &b.workload))
            })
            .then_with(|| (&a.locality, &a.network, a.weight).cmp(&(&b.locality, &b.network, b.weight)))
            .then_with(|| a.labels.cmp(&b.labels))
    });
    endpoints.dedup();
}

/// Stage: the identities behind a service, changing less often than its endpoints do.
pub(crate) fn accounts(key: &ServiceKey, endpoints: &Endpoints) -> Vec<(ServiceKey, EndpointAccounts)> {
    let known = endpoints.endpoints.iter().map(|e| &e.identity).filter(|a| !a.is_empty());
    let accounts: BTreeSet<Arc<str>> = known.cloned().collect();
    vec![(key.clone(), EndpointAccounts { accounts: accounts.into_iter().collect() })]
}
