//! The mesh's processes: control plane, agents, gateway, programs; started, watched, stopped.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::{ISTIOD, Local, Names};
use crate::up::agents::Agent;
use crate::up::children::Program;
use crate::up::generated::{self, GATEWAY, ROOT_NAMESPACE};
use crate::up::kept::Kept;
use crate::up::{allocate, holders, paths};

impl Local {
    /// Starts the control plane.
    ///
    /// # Errors
    /// If its program is missing or cannot be started.
    pub fn start_control_plane(&mut self) -> anyhow::Result<()> {
        let directory = self.plan.paths.run.join("control-plane");
        paths::private_directory(&directory)?;
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
            "--shutdownDuration=1s".to_owned(),
            "--domain=cluster.local".to_owned(),
            format!("--grpcAddr={}", local(ports.xds)),
            format!("--secureGRPCAddr={}", local(ports.secure)),
            format!("--httpAddr={}", local(ports.http)),
            "--httpsAddr=".to_owned(),
            format!("--monitoringAddr={}", local(ports.monitoring)),
            format!("--ctrlz_port={}", ports.controlz),
            "--ctrlz_address=127.0.0.1".to_owned(),
        ];
        let env = [
            ("JWT_RULE", self.credentials.jwt_rule()),
            ("ROOT_CA_DIR", self.plan.paths.run.join("cacerts").display().to_string()),
            ("MELTEMI_CA_DIR", directory.join("ca").display().to_string()),
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
        let running = self.plan.starter.start(&program, self.control_plane.is_missed())?;
        self.control_plane.begin(running, Instant::now());
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
        let running = self.plan.starter.start(&program, inhabitant.agent.is_missed())?;
        inhabitant.seen.pid = running.process.pid;
        inhabitant.agent.begin(running, Instant::now());
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
        let running = self.plan.starter.start(&program, self.gateway.is_missed())?;
        self.gateway_seen.pid = running.process.pid;
        self.gateway.begin(running, Instant::now());
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
        let running = self.plan.starter.start(&program, inhabitant.app.is_missed())?;
        inhabitant.seen.app_pid = Some(running.process.pid);
        inhabitant.app.begin(running, Instant::now());
        Ok(())
    }

    /// The ports that a started program listens on, whatever it was told.
    #[must_use]
    pub fn ports_of_app(&self, id: &str) -> Vec<u16> {
        let app = self.inhabitants.get(id).and_then(|inhabitant| inhabitant.app.running());
        app.map(|running| holders::listening_in_group(running.process.pid)).unwrap_or_default()
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
            if port.protocol.starts_with("HTTP") && port.port >= allocate::PRIVILEGED {
                *counts.entry(port.port).or_default() += 1;
            }
        }
        counts.into_iter().max_by_key(|(port, count)| (*count, u16::MAX - port)).map(|(port, _)| port)
    }

    /// The first process that has ended although nobody stopped it, with the end of its output. For the start, which
    /// gives up then; a mesh that runs mends itself, see [`Local::revive`].
    pub fn casualty(&mut self) -> Option<String> {
        let members = self.inhabitants.values_mut().flat_map(|i| [&mut i.agent, &mut i.app]);
        let all = [&mut self.control_plane, &mut self.gateway].into_iter().chain(members);
        for running in all.filter_map(Kept::running_mut) {
            if let Some(status) = running.ended() {
                let log = format!("{}\n{}", running.log.display(), running.log_tail(12));
                return Some(format!("{} ended ({status}); its output, {log}", running.name));
            }
        }
        None
    }

    /// Stops everything: programs and proxies together, then the control plane.
    pub async fn stop(mut self) {
        let mut stopping = tokio::task::JoinSet::new();
        let gateway = std::mem::take(&mut self.gateway);
        let inhabitants = std::mem::take(&mut self.inhabitants).into_values();
        for kept in inhabitants.flat_map(|i| [i.app, i.agent]).chain([gateway]) {
            if let Some(running) = kept.release() {
                stopping.spawn(running.stop());
            }
        }
        while stopping.join_next().await.is_some() {}
        if let Some(control_plane) = self.control_plane.release() {
            control_plane.stop().await;
        }
    }
}
