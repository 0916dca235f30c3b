//! Asks for listeners.

use std::sync::Arc;

use mesh::World;
use tables::{Ask, Asking, Level};

use super::{GatewayOf, OutboundOf, ScopeOf, TargetsOf};
use crate::encoded::{digest_debug, digest_of};
use crate::proxy::{OwnWorkload, Proxy};
use crate::scope::{Run, ScopedService, Services};
use crate::{gateways, listeners};

/// The services of a run that outbound listeners depend on.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RunListening(pub Run);
level!(RunListening = 2290);
impl Ask for RunListening {
    type World = World;
    type Out = Vec<ScopedService>;
    fn build(&self, r: &Asking<'_, Self>) -> Vec<ScopedService> {
        listeners::listening(r, r.world(), self.0.iter())
    }
    fn digest(out: &Vec<ScopedService>) -> u64 {
        digest_of(out)
    }
}

/// What the outbound listeners of an outbound form are made from.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ListenersSee(pub Arc<Proxy>);
level!(ListenersSee = 2295);
impl Ask for ListenersSee {
    type World = World;
    type Out = listeners::Seen;
    fn build(&self, r: &Asking<'_, Self>) -> listeners::Seen {
        let mut scope = (*r.ask(&ScopeOf(self.0.clone()))).clone();
        scope.services = Services::default();
        let mut listening = Vec::new();
        for egress in &mut scope.egress {
            // a listener for one port asks each of its services
            let services = if egress.port.is_none() {
                std::mem::take(&mut egress.services)
            } else {
                Services::default()
            };
            let runs: Vec<_> = services.runs().iter().map(|run| r.ask(&RunListening(run.clone()))).collect();
            listening.push(listeners::listening(r, r.world(), runs.iter().flat_map(|run| run.iter())));
        }
        listeners::Seen { scope, listening }
    }
    fn digest(out: &listeners::Seen) -> u64 {
        out.digest()
    }
}

/// Finds services in a form's scope. Who asks depends on the scope only then.
fn in_scope<'a, A: Ask<World = World>>(
    r: &'a Asking<'_, A>,
    form: &'a Arc<Proxy>,
) -> impl Fn(&str) -> Option<ScopedService> + use<'a, A> {
    const { assert!(<ScopeOf as Level>::ORDER < <A as Level>::ORDER, "asked from below only") }
    |host: &str| r.ask(&ScopeOf(form.clone())).service(host).cloned()
}

/// Outbound listeners of a sidecar.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct OutboundListeners {
    /// Outbound form.
    pub proxy: Arc<Proxy>,
    /// What they tell of the workload.
    pub own: Option<Arc<OwnWorkload>>,
}
level!(OutboundListeners = 2300);
impl Ask for OutboundListeners {
    type World = World;
    type Out = listeners::Built;
    fn build(&self, r: &Asking<'_, Self>) -> listeners::Built {
        let seen = r.ask(&ListenersSee(self.proxy.clone()));
        let told = Proxy { own: self.own.clone(), ..(*self.proxy).clone() };
        listeners::outbound(r, r.world(), &told, &seen, &in_scope(r, &self.proxy))
    }
    fn digest(out: &listeners::Built) -> u64 {
        out.digest()
    }
}

/// Names of the route configurations that a sidecar's outbound listeners ask for. Cheaper than the listeners, and the same
/// for all workloads of an outbound form.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct OutboundRoutes(pub Arc<Proxy>);
level!(OutboundRoutes = 2305);
impl Ask for OutboundRoutes {
    type World = World;
    type Out = Vec<Arc<str>>;
    fn build(&self, r: &Asking<'_, Self>) -> Vec<Arc<str>> {
        let seen = r.ask(&ListenersSee(self.0.clone()));
        listeners::outbound_routes(r, r.world(), &self.0, &seen, &in_scope(r, &self.0))
    }
    fn digest(out: &Vec<Arc<str>>) -> u64 {
        digest_debug(out)
    }
}

/// Inbound listeners of a sidecar.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct InboundListeners(pub Arc<Proxy>);
level!(InboundListeners = 2310);
impl Ask for InboundListeners {
    type World = World;
    type Out = listeners::Built;
    fn build(&self, r: &Asking<'_, Self>) -> listeners::Built {
        let targets = r.ask(&TargetsOf(self.0.clone()));
        let outbound = r.ask(&OutboundOf(self.0.clone()));
        listeners::inbound(r, r.world(), &self.0, outbound.sidecar.as_ref(), &targets)
    }
    fn digest(out: &listeners::Built) -> u64 {
        out.digest()
    }
}

/// Listeners of a gateway.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct GatewayListeners(pub Arc<Proxy>);
level!(GatewayListeners = 2320);
impl Ask for GatewayListeners {
    type World = World;
    type Out = listeners::Built;
    fn build(&self, r: &Asking<'_, Self>) -> listeners::Built {
        let merged = r.ask(&GatewayOf(self.0.clone()));
        let outbound = r.ask(&OutboundOf(self.0.clone()));
        let seen = r.ask(&ScopeOf((*outbound).clone()));
        gateways::listeners(r, r.world(), &self.0, &merged, &seen)
    }
    fn digest(out: &listeners::Built) -> u64 {
        out.digest()
    }
}
