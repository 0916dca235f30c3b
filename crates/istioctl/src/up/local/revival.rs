//! Processes that died while the mesh ran: mourned, started again, welcomed back.

use std::time::{Duration, Instant};

use super::Local;
use crate::up::events::one_line;
use crate::up::kept::Kept;
use crate::up::observe::Observation;

/// What a process is to the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Role {
    ControlPlane,
    Gateway,
    /// The agent of the workload with this id.
    Agent(String),
    /// The program of the workload with this id.
    App(String),
}

/// What became of the dead.
#[derive(Debug, Default)]
pub struct Revived {
    /// A line for the user each.
    pub lines: Vec<String>,
    /// Whether the control plane runs anew: it counts its events from one again.
    pub control_plane: bool,
    /// How many run again.
    started: usize,
}

impl Revived {
    /// Whether process ids have changed.
    #[must_use]
    pub fn is_news(&self) -> bool {
        self.started > 0 || !self.lines.is_empty()
    }
}

impl Local {
    fn roles(&self) -> Vec<Role> {
        let members = self.inhabitants.keys().flat_map(|id| [Role::Agent(id.clone()), Role::App(id.clone())]);
        [Role::ControlPlane, Role::Gateway].into_iter().chain(members).collect()
    }

    fn kept(&mut self, role: &Role) -> Option<&mut Kept> {
        match role {
            Role::ControlPlane => Some(&mut self.control_plane),
            Role::Gateway => Some(&mut self.gateway),
            Role::Agent(id) => self.inhabitants.get_mut(id).map(|inhabitant| &mut inhabitant.agent),
            Role::App(id) => self.inhabitants.get_mut(id).map(|inhabitant| &mut inhabitant.app),
        }
    }

    fn start(&mut self, role: &Role) -> anyhow::Result<()> {
        match role {
            Role::ControlPlane => self.start_control_plane(),
            Role::Gateway => self.start_gateway(),
            Role::Agent(id) => self.start_agent(id),
            Role::App(id) => self.start_app(id),
        }
    }

    /// Nobody is there any more: neither ready nor to be found under the old process id.
    fn unsettle(&mut self, role: &Role) {
        match role {
            Role::ControlPlane => {}
            Role::Gateway => (self.gateway_seen.ready, self.gateway_seen.pid) = (false, 0),
            Role::Agent(id) => {
                if let Some(inhabitant) = self.inhabitants.get_mut(id) {
                    (inhabitant.seen.ready, inhabitant.seen.pid) = (false, 0);
                }
            }
            Role::App(id) => {
                if let Some(inhabitant) = self.inhabitants.get_mut(id) {
                    inhabitant.seen.app_pid = None;
                }
            }
        }
    }

    /// Notices deaths and starts again what is due.
    pub fn revive(&mut self, now: Instant) -> Revived {
        let mut revived = Revived::default();
        for role in self.roles() {
            let Some(kept) = self.kept(&role) else { continue };
            if let Some(death) = kept.mourn(now) {
                death.of.clear_away();
                let log = death.of.log.display();
                let said = match death.of.last_words() {
                    words if words.is_empty() => format!("its output: {log}"),
                    words => format!("last words: {} ({log})", one_line(&words)),
                };
                let again = seconds(death.again_in);
                revived.lines.push(format!(
                    "{} ended ({}), is started again in {again}; {said}",
                    death.of.name, death.status
                ));
                self.unsettle(&role);
            } else if kept.is_due(now) {
                match self.start(&role) {
                    Ok(()) => {
                        revived.started += 1;
                        revived.control_plane |= role == Role::ControlPlane;
                    }
                    Err(error) => {
                        let Some(kept) = self.kept(&role) else { continue };
                        let again = seconds(kept.postpone(now));
                        revived.lines.push(format!("{error:#}; the next attempt is in {again}"));
                    }
                }
            }
        }
        revived
    }

    /// Who does its work again, by what was just observed: a line for the user each.
    pub fn welcome(&mut self, observation: &Observation, now: Instant) -> Vec<String> {
        let mut lines = Vec::new();
        for role in self.roles() {
            let returned = self.kept(&role).is_some_and(|kept| kept.is_returning_before(observation.began));
            if !returned || !self.works(&role, observation) {
                continue;
            }
            let Some(kept) = self.kept(&role) else { continue };
            let (Some(after), Some(running)) = (kept.back(now), kept.running()) else { continue };
            lines.push(format!("{} is back after {}", running.name, seconds(after)));
        }
        lines
    }

    fn works(&self, role: &Role, observation: &Observation) -> bool {
        let is_ready = |id: &String| observation.proxies.get(id).is_some_and(|seen| seen.is_ready);
        match role {
            Role::ControlPlane => observation.control_plane,
            Role::Gateway => is_ready(&self.gateway_seen.id),
            Role::Agent(id) => is_ready(id),
            Role::App(id) => {
                let listening = self.ports_of_app(id);
                let places = self.inhabitants.get(id).map(|inhabitant| &inhabitant.place.ports);
                places.into_iter().flatten().all(|port| listening.contains(&port.app))
            }
        }
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests;
