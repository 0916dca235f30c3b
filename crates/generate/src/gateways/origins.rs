//! Where listeners and routes of a gateway come from.

use config::Kind;
use tables::Level;

use super::Server;
use super::chains::Chains;
use super::tls::{self, Transport};
use crate::encoded::TypeName;
use crate::provenance::{self, Origin};
use crate::scope::Named;

impl Server {
    /// Where it was written, or a field of it.
    pub(super) fn origin(&self, field: &str) -> Origin {
        let named = self.gateway.split_once('/').unwrap_or(("", &self.gateway));
        Origin::field(Kind::Gateway, named, format!("spec.servers[{}]{field}", self.at))
    }
}

impl<L: Level> Chains<'_, L> {
    /// Says what a server has of its own: the listener, its TLS, and the secrets of that.
    pub(super) fn tell(&self, server: &Server) {
        let r = self.view.r;
        provenance::notes(r, |say| {
            say("", server.origin(""));
            let chain = match &server.sni[..] {
                [] => "filter_chains".to_owned(),
                names => format!("filter_chains[{}]", names.join(",")),
            };
            say(&chain, server.origin(".hosts"));
            if server.spec.tls.is_some() {
                say(&format!("{chain}.transport_socket"), server.origin(".tls"));
            }
        });
        let secrets = || {
            let context = server.ending().map(|own| tls::context(own, &self.terms, Transport::Tcp, false));
            context.iter().flat_map(tls::served).collect::<Vec<_>>()
        };
        for name in r.trace().map(|_| secrets()).into_iter().flatten() {
            provenance::resource(
                r,
                TypeName::Secret,
                || name,
                || {
                    provenance::note(r, || ("", server.origin(".tls")));
                },
            );
        }
    }

    /// Says that chains come from a route of a virtual service.
    pub(super) fn tell_route(&self, by: &Named, path: impl FnOnce() -> String) {
        let origin = || Origin::named(Kind::VirtualService, by, path());
        provenance::note(self.view.r, || ("filter_chains", origin()));
    }
}
