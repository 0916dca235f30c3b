//! Workloads outside of Kubernetes that connect: which they are, as their proxies' nodes have it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use controllers::registration::{
    Connection, Health, Identity, Options as Care, Refused, Registrar, Role, Workload,
};
use generate::Proxy;
use generate::proxy::metadata;
use identity::spiffe::Id;
use kube::Client;
use process::clock::Clock;
use process::metrics::Metrics;
use proto::envoy::config::core::v3::Node;
use proto::google::protobuf::Struct;
use tonic::Code;
use xds::{Refusal, Rejection};

use crate::options::Options;
use crate::ports;

/// The longest text that an agent's report leaves in an object, in bytes.
const LONGEST_MESSAGE: usize = 4096;

/// Registers workloads. Clones share what they know.
#[derive(Clone)]
pub struct Registration {
    registrar: Registrar,
    clock: Arc<dyn Clock>,
    /// `PILOT_ENABLE_WORKLOAD_ENTRY_AUTOREGISTRATION`: members of WorkloadGroups get entries.
    takes_members: bool,
    /// `PILOT_ENABLE_WORKLOAD_ENTRY_HEALTHCHECKS`: reports are written.
    takes_health: bool,
}

impl Registration {
    /// In the cluster that `client` reaches; `None` if all of it is switched off, or if the mesh's configuration is not
    /// read there.
    #[must_use]
    pub fn new(options: &Options, client: Client, clock: Arc<dyn Clock>, metrics: &Metrics) -> Option<Self> {
        let switches = &options.switches;
        let takes_members = switches.pilot_enable_workload_entry_autoregistration;
        let takes_health = switches.pilot_enable_workload_entry_healthchecks;
        if options.folder.is_some() || !(takes_members || takes_health) {
            return None;
        }
        let care = Care {
            grace: switches.pilot_workload_entry_grace_period.to_std().unwrap_or(Duration::from_secs(10)),
            longest_connection: options.max_age,
            validates_identity: switches.istio_workload_entry_validate_identity,
            clock: clock.clone(),
            ..Care::new(&options.instance())
        };
        Some(Self { registrar: Registrar::new(client, care, metrics), clock, takes_members, takes_health })
    }

    /// Writes what is to be written, until `stop` and until it is written who has left by then.
    pub async fn run(self, stop: ports::Stop) {
        let last = async {
            ports::stopped(stop).await;
            self.registrar.settled().await;
        };
        tokio::select! {
            () = self.registrar.clone().run() => {}
            () = last => {}
        }
    }

    /// Takes a proxy that connects and proved to be `identity`; `None` if there is nothing to do for it
    /// (as pilot/pkg/autoregistration/controller.go: `OnConnect`).
    ///
    /// # Errors
    /// It says that it is a workload outside of Kubernetes, and cannot be taken for it.
    pub async fn connect(
        &self,
        node: &Node,
        proxy: &Proxy,
        identity: Option<&Id>,
    ) -> Result<Option<Connection>, Refusal> {
        let Some(role) = self.role(node) else { return Ok(None) };
        let workload = workload(node, proxy, identity);
        let taken = self.registrar.connect(role, workload, self.clock.now()).await;
        taken.map_err(|refused| {
            let code = match refused {
                Refused::Precondition(_) => Code::FailedPrecondition,
                Refused::Denied(_) => Code::PermissionDenied,
                Refused::Unavailable(_) => Code::Unavailable,
            };
            Refusal::new(code, format!("registration failed: {refused}"))
        })
    }

    /// Takes what an agent reports of its workload: that it is well, or why not.
    pub fn report(&self, connection: &Connection, trouble: Option<&Rejection>) {
        if self.takes_health {
            let message = trouble.map(|trouble| shortened(&trouble.message)).unwrap_or_default();
            let health =
                Health { is_healthy: trouble.is_none(), message: message.to_owned(), at: self.clock.now() };
            connection.report(health);
        }
    }

    fn role(&self, node: &Node) -> Option<Role> {
        let named = |key: &str| {
            let value = node.metadata.as_ref()?.fields.get(key)?;
            metadata::scalar(value).filter(|name| !name.is_empty())
        };
        let group = named("AUTO_REGISTER_GROUP").filter(|_| self.takes_members).map(Role::Member);
        group.or_else(|| named("WORKLOAD_ENTRY").filter(|_| self.takes_health).map(Role::Behind))
    }
}

/// A workload as its proxy presents it (as `workloadEntryFromGroup`). Sidecars do not listen for HBONE yet.
fn workload(node: &Node, proxy: &Proxy, identity: Option<&Id>) -> Workload {
    let empty = Struct::default();
    let meta = node.metadata.as_ref().unwrap_or(&empty);
    let labels: BTreeMap<String, String> = metadata::labels(meta)
        .into_iter()
        .map(|(name, value)| (String::from(&*name), String::from(&*value)))
        .collect();
    Workload {
        proxy: format!("{}.{}", proxy.name, proxy.namespace),
        namespace: proxy.namespace.to_string(),
        address: proxy.ip().map(|ip| ip.to_string()).unwrap_or_default(),
        network: proxy.network.to_string(),
        locality: locality(node),
        labels,
        is_probed: proxy.config.as_ref().is_some_and(|config| config.readiness_probe.is_some()),
        takes_hbone: false,
        identity: identity.map(|id| Identity {
            namespace: id.namespace().to_owned(),
            service_account: id.service_account().to_owned(),
        }),
    }
}

/// The parts that are there, up to the first that is not (as pilot/pkg/networking/util: `LocalityToString`).
fn locality(node: &Node) -> String {
    let Some(of) = &node.locality else { return String::new() };
    let (region, zone, subzone) = (&of.region, &of.zone, &of.sub_zone);
    match (zone.as_str(), subzone.as_str()) {
        ("", _) => region.clone(),
        (_, "") => format!("{region}/{zone}"),
        _ => format!("{region}/{zone}/{subzone}"),
    }
}

fn shortened(message: &str) -> &str {
    &message[..message.floor_char_boundary(LONGEST_MESSAGE)]
}

#[cfg(test)]
mod tests;
