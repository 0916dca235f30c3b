//! The running mesh: what it was told, what it allocated, which processes it started.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::agents::{self, Agent};
use super::allocate::{Allocator, Place};
use super::children::{Program, Running, Starter};
use super::control::{Answer, Join};
use super::credentials::Credentials;
use super::document::{ControlPlane, Document, Edge, Proxy, Stage};
use super::folder::{Folder, Service};
use super::generated::{self, GATEWAY, Member, ROOT_NAMESPACE};
use super::hosts;
use super::meshfile::{MeshFile, Workload};
use super::paths::Paths;
use super::record::{Process, Record};

/// How the control plane goes by in `proxy-status`.
const ISTIOD: &str = "istiod-local";

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
    pub agent: Option<Running>,
    /// The program, if the mesh starts it.
    pub app: Option<Running>,
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
    /// Names or a proxy variable.
    pub names: Names,
    /// The control plane's and the gateway's ports.
    pub ports: Ports,
}

/// A mesh on this machine.
pub struct Local {
    /// What was decided.
    pub plan: Plan,
    folder: Folder,
    allocator: Allocator,
    credentials: Credentials,
    machine_hosts: String,
    control_plane: Option<Running>,
    /// The workloads, by id.
    pub inhabitants: BTreeMap<String, Inhabitant>,
    gateway: Option<Running>,
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
        let trust_domain = plan.file.mesh_config.as_ref().and_then(|mesh| mesh["trustDomain"].as_str());
        let trust_domain = trust_domain.unwrap_or("cluster.local").to_owned();
        let credentials = Credentials::make(&plan.paths.run.join("cacerts"), &trust_domain)?;
        let folder = Folder::read(&plan.folder_path);
        let mut local = Self {
            folder,
            allocator,
            credentials,
            machine_hosts: std::fs::read_to_string("/etc/hosts").unwrap_or_default(),
            control_plane: None,
            inhabitants: BTreeMap::new(),
            gateway: None,
            gateway_seen: Proxy::default(),
            stages: Vec::new(),
            edges: Vec::new(),
            ready: false,
            plan,
        };
        for mut workload in local.plan.file.workloads.clone() {
            workload.complete(&local.folder);
            local.inhabit(workload, None)?;
        }
        let address = local.allocator.gateway();
        let Ports { gateway, gateway_tls, .. } = local.plan.ports;
        let mut objects = generated::gateway(address, gateway, gateway_tls);
        objects.push(generated::gateway_on_loopback(&[gateway, gateway_tls]));
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
        let inhabitant = Inhabitant { seen, workload, place, agent: None, app: None, service };
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
        let mut found: Vec<String> = Vec::new();
        for service in self.folder.services() {
            for port in service.ports.iter().filter(|p| p.port < super::allocate::PRIVILEGED) {
                found.push(format!("{}.{}:{}", service.name, service.namespace, port.port));
            }
        }
        found
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

    /// Starts the control plane.
    ///
    /// # Errors
    /// If its program is missing or cannot be started.
    pub fn start_control_plane(&mut self) -> anyhow::Result<()> {
        let directory = self.plan.paths.run.join("control-plane");
        super::paths::private_directory(&directory)?;
        let mesh_config = directory.join("mesh-config.yaml");
        let config =
            self.plan.file.mesh_config.clone().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        std::fs::write(&mesh_config, crate::print::to_yaml(&config))?;
        let ports = self.plan.ports;
        let local = |port: u16| format!("127.0.0.1:{port}");
        let binary = self.plan.binaries.join("pilot-discovery");
        if !binary.exists() {
            bail!("{} is missing: pilot-discovery belongs beside istioctl", binary.display());
        }
        let words = [
            binary.display().to_string(),
            "discovery".to_owned(),
            format!("--configDir={}", self.plan.folder_path.display()),
            format!("--generatedConfigDir={}", self.plan.paths.generated().display()),
            format!("--meshConfig={}", mesh_config.display()),
            "--registries=".to_owned(),
            "--domain=cluster.local".to_owned(),
            format!("--grpcAddr={}", local(ports.xds)),
            format!("--secureGRPCAddr={}", local(ports.secure)),
            format!("--httpAddr={}", local(ports.http)),
            "--httpsAddr=".to_owned(),
            format!("--monitoringAddr={}", local(ports.monitoring)),
        ];
        let env = [
            ("JWT_RULE", self.credentials.jwt_rule()),
            ("ROOT_CA_DIR", self.plan.paths.run.join("cacerts").display().to_string()),
            ("POD_NAMESPACE", ROOT_NAMESPACE.to_owned()),
            ("POD_NAME", ISTIOD.to_owned()),
            ("CLUSTER_ID", "Kubernetes".to_owned()),
            // a person waits for the answer to an edit; there are few proxies
            ("PILOT_DEBOUNCE_AFTER", "20ms".to_owned()),
        ];
        let env = env.map(|(key, value)| (key.to_owned(), value)).into();
        let program = Program {
            name: ISTIOD.to_owned(),
            command: words.to_vec(),
            directory,
            env,
            ..Program::default()
        };
        self.control_plane = Some(self.plan.starter.start(&program)?);
        Ok(())
    }

    /// Starts a workload's agent (and with it its Envoy).
    ///
    /// # Errors
    /// If it is not a member, or the program is missing or cannot be started.
    pub fn start_agent(&mut self, id: &str) -> anyhow::Result<()> {
        let directory = self.plan.paths.agent(id);
        let inhabitant = self.inhabitants.get_mut(id).context("no such workload")?;
        let member = inhabitant.member();
        self.credentials.equip(&directory, member.namespace, member.service_account)?;
        let http_proxy = (self.plan.names == Names::HttpProxy).then_some(18200 + inhabitant.place.index);
        let agent = Agent {
            role: "sidecar",
            name: member.name,
            namespace: member.namespace,
            service_account: member.service_account,
            labels: generated::labels(&member),
            address: inhabitant.place.inbound,
            http_proxy,
        };
        let program = agent.program(&self.plan, directory)?;
        let running = self.plan.starter.start(&program)?;
        inhabitant.seen.pid = running.process.pid;
        inhabitant.agent = Some(running);
        Ok(())
    }

    /// Starts the gateway's agent.
    ///
    /// # Errors
    /// As [`Local::start_agent`].
    pub fn start_gateway(&mut self) -> anyhow::Result<()> {
        let id = format!("{GATEWAY}.{ROOT_NAMESPACE}");
        let directory = self.plan.paths.agent(&id);
        self.credentials.equip(&directory, ROOT_NAMESPACE, GATEWAY)?;
        let agent = Agent {
            role: "router",
            name: GATEWAY,
            namespace: ROOT_NAMESPACE,
            service_account: GATEWAY,
            labels: generated::gateway_labels(),
            address: self.allocator.gateway(),
            http_proxy: None,
        };
        let program = agent.program(&self.plan, directory)?;
        let running = self.plan.starter.start(&program)?;
        self.gateway_seen.pid = running.process.pid;
        self.gateway = Some(running);
        Ok(())
    }

    /// Starts a workload's own program, if mesh.yaml names one.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_app(&mut self, id: &str) -> anyhow::Result<()> {
        let env = self.app_env(id);
        let inhabitant = self.inhabitants.get_mut(id).context("no such workload")?;
        let Some(command) = &inhabitant.workload.command else { return Ok(()) };
        let mut command = command.words();
        // the sample's programs are istioctl itself
        if command.first().is_some_and(|word| word == "istioctl") {
            command[0] = self.plan.starter.own.display().to_string();
        }
        let directory = match &inhabitant.workload.cwd {
            Some(directory) => self.plan.folder_path.join(directory),
            None => self.plan.folder_path.clone(),
        };
        let mut env = env;
        env.extend(inhabitant.workload.env.clone());
        let program = Program {
            name: format!("app-{id}"),
            command,
            directory,
            env,
            without: vec!["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
            hosts: (self.plan.names == Names::Hosts).then(|| self.plan.paths.hosts(id)),
        };
        let running = self.plan.starter.start(&program)?;
        inhabitant.seen.app_pid = Some(running.process.pid);
        inhabitant.app = Some(running);
        Ok(())
    }

    /// The variables a program gets: its port, its name, and only without private names an http_proxy.
    #[must_use]
    pub fn app_env(&self, id: &str) -> BTreeMap<String, String> {
        let Some(inhabitant) = self.inhabitants.get(id) else { return BTreeMap::new() };
        let mut env = BTreeMap::new();
        if let Some(port) = inhabitant.place.ports.first() {
            env.insert("PORT".to_owned(), port.app.to_string());
        }
        for port in &inhabitant.place.ports {
            if let Some(target) = port.target {
                env.insert(format!("PORT_{target}"), port.app.to_string());
            }
        }
        env.insert("HOSTNAME".to_owned(), inhabitant.workload.name.clone());
        if self.plan.names == Names::HttpProxy
            && let Some(port) = self.commonest_http_port()
        {
            // the listener of the services' own port: the dedicated http_proxy listener matches no host with a port
            env.insert("http_proxy".to_owned(), format!("http://{}:{port}", inhabitant.place.egress));
            env.insert("no_proxy".to_owned(), "localhost,127.0.0.0/8,::1".to_owned());
        }
        env
    }

    /// The port most HTTP services share.
    fn commonest_http_port(&self) -> Option<u16> {
        let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
        for port in self.services().iter().flat_map(|s| &s.ports) {
            if port.protocol.starts_with("HTTP") && port.port >= super::allocate::PRIVILEGED {
                *counts.entry(port.port).or_default() += 1;
            }
        }
        counts.into_iter().max_by_key(|(port, count)| (*count, u16::MAX - port)).map(|(port, _)| port)
    }

    /// Makes a process of `istioctl run` a workload: objects, agent; the process itself is the asker's business.
    ///
    /// # Errors
    /// If the name is taken, or as for the workloads of mesh.yaml.
    pub fn join(&mut self, join: &Join) -> anyhow::Result<Answer> {
        let valid = super::meshfile::is_name;
        if !valid(&join.name) || !valid(&join.namespace) {
            bail!("{:?} is not a DNS label (a-z, 0-9, -)", format!("{}.{}", join.name, join.namespace));
        }
        let id = format!("{}.{}", join.name, join.namespace);
        if self.inhabitants.contains_key(&id) {
            bail!("there is a workload {id} already; choose another --name");
        }
        let named =
            self.folder.services().into_iter().find(|s| s.name == join.name && s.namespace == join.namespace);
        let mut labels = BTreeMap::from([("app".to_owned(), join.name.clone())]);
        labels.extend(named.iter().flat_map(|service| service.selector.clone()));
        labels.extend(join.labels.clone());
        let services = self.services();
        let selected = services.iter().find(|s| s.selects(&join.namespace, &labels));
        let mut notes = Vec::new();
        let mut ports = BTreeMap::new();
        let service = match (selected, join.port) {
            (Some(service), own) => {
                let targets = service.ports.iter().filter_map(|port| port.target);
                ports.extend(targets.take(1).zip(own));
                notes.push(format!("Service {}.{} sends it traffic", service.name, service.namespace));
                None
            }
            (None, own) => {
                let port = own.filter(|port| *port >= super::allocate::PRIVILEGED).unwrap_or(8000);
                ports.extend(own.map(|own| (port, own)));
                notes.push(format!("no Service selects it: others reach it at http://{}:{port}", join.name));
                let made = Folder::of(generated::service(&join.name, &join.namespace, port)).services();
                made.into_iter().next()
            }
        };
        let workload = Workload {
            name: join.name.clone(),
            namespace: join.namespace.clone(),
            service_account: join.service_account.clone(),
            labels,
            ports,
            ..Workload::default()
        };
        self.inhabit(workload, service)?;
        let started = self.publish().and_then(|()| self.start_agent(&id));
        if let Err(error) = started {
            self.inhabitants.remove(&id);
            return Err(error);
        }
        let hosts = (self.plan.names == Names::Hosts).then(|| self.plan.paths.hosts(&id));
        let ready = self.inhabitants.get(&id).map(|i| agents::ready_url(i.place.inbound)).unwrap_or_default();
        Ok(Answer { error: String::new(), env: self.app_env(&id), hosts, ready, notes })
    }

    /// Takes a workload out of the mesh; its processes come back to be stopped.
    pub fn leave(&mut self, id: &str) -> Vec<Running> {
        let Some(inhabitant) = self.inhabitants.remove(id) else { return Vec::new() };
        let _ = std::fs::remove_file(self.plan.paths.generated().join(format!("{id}.yaml")));
        let _ = self.publish();
        inhabitant.app.into_iter().chain(inhabitant.agent).collect()
    }

    /// The first process that has ended although nobody stopped it, with the end of its output.
    pub fn casualty(&mut self) -> Option<(String, String)> {
        let agents = self.inhabitants.values_mut().flat_map(|i| i.agent.iter_mut().chain(i.app.iter_mut()));
        let all = self.control_plane.iter_mut().chain(self.gateway.iter_mut()).chain(agents);
        for running in all {
            if let Some(status) = running.ended() {
                let log = format!("{}\n{}", running.log.display(), running.log_tail(12));
                return Some((
                    running.name.clone(),
                    format!("{} ended ({status}); its output, {log}", running.name),
                ));
            }
        }
        None
    }

    /// Forgets a process that has ended, so that it is reported once. True if the mesh cannot go on without it.
    pub fn bury(&mut self, name: &str) -> bool {
        if self.control_plane.as_ref().is_some_and(|running| running.name == name) {
            return true;
        }
        let is = |running: &Option<Running>| running.as_ref().is_some_and(|running| running.name == name);
        if is(&self.gateway) {
            self.gateway = None;
        }
        for inhabitant in self.inhabitants.values_mut() {
            if is(&inhabitant.agent) {
                inhabitant.agent = None;
                inhabitant.seen.ready = false;
            }
            if is(&inhabitant.app) {
                inhabitant.app = None;
                inhabitant.seen.app_pid = None;
            }
        }
        false
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

    /// URL of the gateway.
    #[must_use]
    pub fn gateway_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.plan.ports.gateway)
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
                pid: self.control_plane.as_ref().map_or(0, |running| running.process.pid),
                id: ISTIOD.to_owned(),
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
        let programs = self.inhabitants.values().flat_map(|i| i.agent.iter().chain(&i.app));
        let running = self.control_plane.iter().chain(&self.gateway).chain(programs);
        let Some(supervisor) = Process::of(std::process::id()) else { return Ok(()) };
        let record = Record {
            instance: self.plan.starter.instance.clone(),
            supervisor,
            processes: running.map(|running| running.process).collect(),
            ready: self.ready,
            document: self.document(),
        };
        record.write(&self.plan.paths)
    }

    /// Stops everything: programs and proxies together, then the control plane.
    pub async fn stop(mut self) {
        let mut stopping = tokio::task::JoinSet::new();
        for inhabitant in std::mem::take(&mut self.inhabitants).into_values() {
            for running in inhabitant.app.into_iter().chain(inhabitant.agent) {
                stopping.spawn(running.stop());
            }
        }
        if let Some(gateway) = self.gateway.take() {
            stopping.spawn(gateway.stop());
        }
        while stopping.join_next().await.is_some() {}
        if let Some(control_plane) = self.control_plane.take() {
            control_plane.stop().await;
        }
    }
}
