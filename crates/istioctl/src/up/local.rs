//! The running mesh: what it was told, what it allocated, which processes it started.

mod joining;
mod processes;
mod revival;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

use serde_json::Value;

use super::agents;
use super::allocate::{Allocator, PRIVILEGED, Place};
use super::children::Starter;
use super::credentials::Credentials;
use super::document::{ControlPlane, Document, Edge, Proxy, Stage};
use super::folder::{Folder, Service};
use super::generated::{self, GATEWAY, Member, ROOT_NAMESPACE};
use super::hosts;
use super::kept::Kept;
use super::meshfile::{MeshFile, Workload};
use super::paths::Paths;
use super::record::{Process, Record};

/// How the control plane goes by in `proxy-status`.
pub(super) const ISTIOD: &str = "istiod-local";

/// How programs find services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// A private /etc/hosts.
    Hosts,
    /// The variable `http_proxy`.
    HttpProxy,
}

/// Ports at 127.0.0.1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    /// Plain xDS.
    pub xds: u16,
    /// xDS and CA with TLS.
    pub secure: u16,
    /// Debug endpoints and readiness.
    pub http: u16,
    /// Metrics and debug endpoints.
    pub monitoring: u16,
    /// ControlZ.
    pub controlz: u16,
    /// The gateway's plain listener.
    pub gateway: u16,
    /// The gateway's TLS listener.
    pub gateway_tls: u16,
}

/// A workload, its proxy and its program.
#[derive(Debug)]
pub struct Inhabitant {
    /// What it is.
    pub workload: Workload,
    /// Where it is.
    pub place: Place,
    /// Its agent, which runs its Envoy.
    pub agent: Kept,
    /// The program, if the mesh starts it.
    pub app: Kept,
    /// A Service made for it because the folder has none.
    service: Option<Service>,
    /// What was last learned of its proxy.
    pub seen: Proxy,
}

impl Inhabitant {
    fn member(&self) -> Member<'_> {
        Member {
            name: &self.workload.name,
            namespace: &self.workload.namespace,
            service_account: &self.workload.service_account,
            labels: &self.workload.labels,
            place: &self.place,
        }
    }
}

/// Everything that is decided before the first process starts.
pub struct Plan {
    /// Files.
    pub paths: Paths,
    /// The user's folder.
    pub folder_path: PathBuf,
    /// Its mesh.yaml.
    pub file: MeshFile,
    /// Starts processes.
    pub starter: Starter,
    /// Where pilot-discovery and pilot-agent are.
    pub binaries: PathBuf,
    /// The Envoy binary.
    pub envoy: PathBuf,
    /// Whether it is known to be a stock Envoy.
    pub stock: bool,
    /// Names or a proxy variable.
    pub names: Names,
    /// The control plane's and the gateway's ports.
    pub ports: Ports,
    /// Where the gateway listens.
    pub gateway_bind: Ipv4Addr,
}

/// A mesh on this machine.
pub struct Local {
    /// What was decided.
    pub plan: Plan,
    folder: Folder,
    allocator: Allocator,
    credentials: Credentials,
    machine_hosts: String,
    control_plane: Kept,
    /// The workloads, by id.
    pub inhabitants: BTreeMap<String, Inhabitant>,
    gateway: Kept,
    /// What was last learned of the gateway.
    pub gateway_seen: Proxy,
    /// How the start went.
    pub stages: Vec<Stage>,
    /// The last edges.
    pub edges: Vec<Edge>,
    /// Whether it was ready once.
    pub ready: bool,
}

impl Local {
    /// Makes credentials and settles every workload of mesh.yaml: addresses, ports, generated objects, hosts files.
    /// Starts nothing.
    ///
    /// # Errors
    /// If a port is taken or a file cannot be written.
    pub fn settle(plan: Plan, allocator: Allocator) -> anyhow::Result<Self> {
        let mode = plan.file.mesh_config.as_ref().map(|mesh| &mesh["outboundTrafficPolicy"]["mode"]);
        if mode.is_some_and(|mode| mode == generated::LOOPING_POLICY) {
            anyhow::bail!(
                "mesh.yaml: outboundTrafficPolicy {} cannot be used on one machine: a proxy called by its own address \
                 would call itself without end; use ALLOW_ANY or REGISTRY_ONLY",
                generated::LOOPING_POLICY
            );
        }
        let trust_domain = plan.file.mesh_config.as_ref().and_then(|mesh| mesh["trustDomain"].as_str());
        let trust_domain = trust_domain.unwrap_or("cluster.local").to_owned();
        let credentials = Credentials::make(&plan.paths.run.join("cacerts"), &trust_domain)?;
        let folder = Folder::read(&plan.folder_path);
        let mut local = Self {
            folder,
            allocator,
            credentials,
            machine_hosts: std::fs::read_to_string("/etc/hosts").unwrap_or_default(),
            control_plane: Kept::default(),
            inhabitants: BTreeMap::new(),
            gateway: Kept::default(),
            gateway_seen: Proxy::default(),
            stages: Vec::new(),
            edges: Vec::new(),
            ready: false,
            plan,
        };
        // before any listener is placed: a program that takes its port on all addresses takes it from every proxy
        local.allocator.keep(kept_ports(&local.plan.file.workloads));
        for mut workload in local.plan.file.workloads.clone() {
            workload.complete(&local.folder);
            local.inhabit(workload, None)?;
        }
        let address = local.allocator.gateway();
        let Ports { gateway, gateway_tls, .. } = local.plan.ports;
        let objects = generated::gateway(address, gateway, gateway_tls);
        generated::write(&local.plan.paths.generated(), &format!("{GATEWAY}.{ROOT_NAMESPACE}"), &objects)?;
        local.gateway_seen = agents::describe(GATEWAY, ROOT_NAMESPACE, address, None);
        local.publish()?;
        Ok(local)
    }

    /// The folder's Services and those made for joined processes.
    fn services(&self) -> Vec<Service> {
        let mut services = self.folder.services();
        services.extend(self.inhabitants.values().filter_map(|i| i.service.clone()));
        services
    }

    fn inhabit(&mut self, workload: Workload, service: Option<Service>) -> anyhow::Result<()> {
        let mut services = self.services();
        services.extend(service.clone());
        let selecting: Vec<&Service> =
            services.iter().filter(|s| s.selects(&workload.namespace, &workload.labels)).collect();
        let place = self.allocator.workload(&selecting, &workload.ports, &services)?;
        let seen = agents::describe(&workload.name, &workload.namespace, place.inbound, Some(place.inbound));
        let inhabitant =
            Inhabitant { seen, workload, place, agent: Kept::default(), app: Kept::default(), service };
        self.inhabitants.insert(inhabitant.workload.id(), inhabitant);
        Ok(())
    }

    /// Writes the generated objects and hosts files of all workloads; unchanged ones are left alone.
    ///
    /// # Errors
    /// If one cannot be written.
    pub fn publish(&self) -> anyhow::Result<()> {
        let services = self.services();
        for (id, inhabitant) in &self.inhabitants {
            let member = inhabitant.member();
            let users = generated::users_sidecar(&self.folder, member.namespace, member.labels);
            let mut objects = vec![generated::workload_entry(&member), generated::sidecar(&member, users)];
            if let Some(service) = &inhabitant.service {
                let port = service.ports.first().map_or(0, |port| port.port);
                objects.push(generated::service(&service.name, &service.namespace, port));
            }
            generated::write(&self.plan.paths.generated(), id, &objects)?;
            let egress = inhabitant.place.egress;
            let text = hosts::render(&self.machine_hosts, &services, &self.folder, egress, member.namespace);
            hosts::write_in_place(&self.plan.paths.hosts(id), &text)?;
        }
        Ok(())
    }

    /// Reads the folder again and brings names and Sidecars up to date.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn folder_changed(&mut self) -> anyhow::Result<()> {
        self.folder = Folder::read(&self.plan.folder_path);
        self.publish()
    }

    /// Services whose port nobody without privileges can bind.
    #[must_use]
    pub fn privileged_services(&self) -> Vec<String> {
        self.services_with(|port| port < PRIVILEGED)
    }

    /// Services at a port that a program keeps for itself: if it listens on all addresses, the proxies cannot.
    #[must_use]
    pub fn services_at_kept_ports(&self) -> Vec<String> {
        let kept = kept_ports(&self.plan.file.workloads);
        self.services_with(|port| kept.contains(&port))
    }

    fn services_with(&self, of: impl Fn(u16) -> bool) -> Vec<String> {
        let services = self.folder.services();
        let at = |service: &Service, port: u16| format!("{}.{}:{port}", service.name, service.namespace);
        let ports = services.iter().flat_map(|s| s.ports.iter().map(move |port| (s, port.port)));
        ports.filter(|(_, port)| of(*port)).map(|(service, port)| at(service, port)).collect()
    }

    /// Whether a Gateway of the folder asks for the port that the gateway's URL names.
    #[must_use]
    pub fn serves_gateway(&self) -> bool {
        let plain = |server: &Value| matches!(server["port"]["number"].as_u64(), Some(80 | 8080));
        self.folder.of_kind("Gateway").any(|gateway| {
            gateway.value["spec"]["selector"]["istio"] == "ingressgateway"
                && gateway.value["spec"]["servers"]
                    .as_array()
                    .is_some_and(|servers| servers.iter().any(plain))
        })
    }

    /// All proxies, the gateway last.
    pub fn proxies(&self) -> impl Iterator<Item = &Proxy> {
        self.inhabitants.values().map(|i| &i.seen).chain([&self.gateway_seen])
    }

    /// As [`Local::proxies`], to be updated.
    pub fn proxies_mut(&mut self) -> impl Iterator<Item = &mut Proxy> {
        self.inhabitants.values_mut().map(|i| &mut i.seen).chain([&mut self.gateway_seen])
    }

    /// URL of the control plane's debug endpoints.
    #[must_use]
    pub fn debug_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.plan.ports.monitoring)
    }

    /// URL at which the control plane says that it is ready.
    #[must_use]
    pub fn control_plane_ready_url(&self) -> String {
        format!("http://127.0.0.1:{}/ready", self.plan.ports.http)
    }

    /// Where this machine reaches the gateway.
    #[must_use]
    pub fn gateway_address(&self) -> SocketAddrV4 {
        let bind = self.plan.gateway_bind;
        let at = if bind.is_unspecified() { Ipv4Addr::LOCALHOST } else { bind };
        SocketAddrV4::new(at, self.plan.ports.gateway)
    }

    /// URL of the gateway.
    #[must_use]
    pub fn gateway_url(&self) -> String {
        format!("http://{}", self.gateway_address())
    }

    /// The mesh as a document.
    #[must_use]
    pub fn document(&self) -> Document {
        Document {
            gateway: self.gateway_url(),
            xds: format!("127.0.0.1:{}", self.plan.ports.xds),
            debug: self.debug_url(),
            folder: self.plan.folder_path.display().to_string(),
            logs: self.plan.paths.logs().display().to_string(),
            names: if self.plan.names == Names::Hosts { "hosts" } else { "http_proxy" }.to_owned(),
            pid: std::process::id(),
            control_plane: ControlPlane {
                pid: self.control_plane.running().map_or(0, |running| running.process.pid),
                id: ISTIOD.to_owned(),
                controlz: format!("127.0.0.1:{}", self.plan.ports.controlz),
            },
            proxies: self.proxies().cloned().collect(),
            edges: self.edges.clone(),
            stages: self.stages.clone(),
        }
    }

    /// Writes the record other commands read.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn remember(&self) -> std::io::Result<()> {
        let programs = self.inhabitants.values().flat_map(|i| [&i.agent, &i.app]);
        let running = [&self.control_plane, &self.gateway].into_iter().chain(programs);
        let Some(supervisor) = Process::of(std::process::id()) else { return Ok(()) };
        let record = Record {
            instance: self.plan.starter.instance.clone(),
            supervisor,
            processes: running.filter_map(Kept::running).map(|running| running.process).collect(),
            control: self.plan.paths.control.clone(),
            ready: self.ready,
            document: self.document(),
        };
        record.write(&self.plan.paths)
    }
}

/// The ports that programs choose themselves.
fn kept_ports(workloads: &[Workload]) -> BTreeSet<u16> {
    workloads.iter().flat_map(|workload| workload.ports.values().copied()).collect()
}

#[cfg(test)]
pub(super) mod tests;
