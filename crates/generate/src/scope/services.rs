//! Services in scope, in order, in runs that many scopes share.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::ScopedService;
use crate::encoded::digest_of;

/// A run ends after a service whose hash is divisible by this, so about this many services are in one. Where runs end
/// depends on the services alone: one that comes or goes changes its own run, and the next if it was at the end.
const USUAL: u64 = 32;

/// No run is longer than this.
const LONGEST: usize = 128;

/// Some services in a row. It is compared by a hash that is known, so it is cheap as a part of keys.
#[derive(Clone)]
pub struct Run {
    hash: u64,
    services: Arc<[ScopedService]>,
}

impl Run {
    fn new(services: Vec<ScopedService>) -> Self {
        Self { hash: digest_of(&services), services: services.into() }
    }

    /// The services, in order.
    pub fn iter(&self) -> impl Iterator<Item = &ScopedService> {
        self.services.iter()
    }
}

impl PartialEq for Run {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
            && (Arc::ptr_eq(&self.services, &other.services) || self.services == other.services)
    }
}

impl Eq for Run {}

impl Hash for Run {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Run({} services, {:016x})", self.services.len(), self.hash)
    }
}

/// Services in scope, in order. Cloning copies no service.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Services(Vec<Run>);

impl Services {
    /// The runs, in order.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.0
    }

    /// The services, in order.
    pub fn iter(&self) -> impl Iterator<Item = &ScopedService> {
        self.0.iter().flat_map(Run::iter)
    }
}

impl FromIterator<ScopedService> for Services {
    fn from_iter<I: IntoIterator<Item = ScopedService>>(services: I) -> Self {
        let (mut runs, mut run) = (Vec::new(), Vec::new());
        for service in services {
            let last = digest_of(&service.key).is_multiple_of(USUAL);
            run.push(service);
            if last || run.len() == LONGEST {
                runs.push(Run::new(std::mem::take(&mut run)));
            }
        }
        if !run.is_empty() {
            runs.push(Run::new(run));
        }
        Self(runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(number: usize) -> ScopedService {
        let hostname = format!("svc-{number}.default.svc.cluster.local").as_str().into();
        ScopedService { key: mesh::ServiceKey { namespace: "default".into(), hostname }, ports: None }
    }

    #[test]
    fn one_service_more_leaves_the_other_runs_as_they_were() {
        let before: Services = (0..1000).map(service).collect();
        for place in [0, 1, 500, 999] {
            let mut all: Vec<ScopedService> = (0..1000).map(service).collect();
            all.insert(place, service(5000));
            let after: Services = all.iter().cloned().collect();
            assert!(after.iter().eq(all.iter()), "the order stays");
            let new = after.runs().iter().filter(|run| !before.runs().contains(run)).count();
            assert!(new <= 2, "{new} of {} runs are new", after.runs().len());
        }
    }

    #[test]
    fn runs_are_neither_single_services_nor_everything() {
        let all: Services = (0..1000).map(service).collect();
        assert!((10..80).contains(&all.runs().len()), "{}", all.runs().len());
    }
}
