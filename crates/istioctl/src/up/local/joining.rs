//! Processes of `istioctl run` that come and go while the mesh runs.

use std::collections::BTreeMap;

use anyhow::bail;

use super::{Local, Names};
use crate::up::children::Running;
use crate::up::control::{Answer, Join};
use crate::up::folder::Folder;
use crate::up::kept::Kept;
use crate::up::meshfile::{self, Workload};
use crate::up::{agents, allocate, generated};

impl Local {
    /// Makes a process of `istioctl run` a workload: objects, agent; the process itself is the asker's business.
    ///
    /// # Errors
    /// If the name is taken, or as for the workloads of mesh.yaml.
    pub fn join(&mut self, join: &Join) -> anyhow::Result<Answer> {
        let valid = meshfile::is_name;
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
                let port = own.filter(|port| *port >= allocate::PRIVILEGED).unwrap_or(8000);
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
            // it never ran: there is nothing to stop
            let _ = self.leave(&id);
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
        [inhabitant.app, inhabitant.agent].into_iter().filter_map(Kept::release).collect()
    }
}
