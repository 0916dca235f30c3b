//! Where a scope was written.

use config::Kind;
use mesh::World;
use tables::{Level, Reads};

use super::{Egress, Scope};
use crate::provenance::Origin;

impl Scope {
    /// Where an egress listener was written, or why there is one.
    pub(crate) fn egress_origin(&self, egress: Option<&Egress>) -> Origin {
        let number = egress.and_then(|wanted| self.egress.iter().position(|e| std::ptr::eq(e, wanted)));
        match (&self.sidecar, number) {
            (Some(sidecar), Some(number)) if self.egress[number].explicit => {
                Origin::named(Kind::Sidecar, sidecar, format!("spec.egress[{number}]"))
            }
            (Some(sidecar), _) => Origin::named(Kind::Sidecar, sidecar, "spec"),
            (None, _) => {
                Origin::default("every service exported to the proxy's namespace, as no Sidecar applies")
            }
        }
    }

    /// Where it was written what happens to calls of unknown hosts.
    pub(crate) fn policy_origin<L: Level>(&self, r: &Reads<L>, world: &World) -> Origin {
        let row = self.sidecar.as_ref().and_then(|name| Some((name, world.sidecars.get(r, name)?)));
        match row.filter(|(_, row)| row.sidecar.outbound_traffic_policy.is_some()) {
            Some((name, _)) => Origin::named(Kind::Sidecar, name, "spec.outboundTrafficPolicy"),
            None => Origin::mesh("outboundTrafficPolicy.mode"),
        }
    }
}
