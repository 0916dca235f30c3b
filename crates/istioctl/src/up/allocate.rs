//! Addresses and ports for every part of a local mesh, tried before anything starts.
//!
//! Envoy shares ports silently between processes of one user (SO_REUSEPORT): two proxies on one address would answer
//! for each other without any error. So each gets a loopback address of its own, and everything is bound for a
//! moment first.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};

use super::folder::Service;
use super::holders;

/// Ports of each proxy at its own address: Envoy's admin, the agent's status, health, Envoy's metrics.
pub const ADMIN: u16 = 15000;
/// The agent's status and merged metrics.
pub const STATUS: u16 = 15020;
/// Envoy's health listener.
pub const HEALTH: u16 = 15021;
/// Envoy's metrics listener.
pub const METRICS: u16 = 15090;
const OWN_PORTS: [u16; 4] = [ADMIN, STATUS, HEALTH, METRICS];
/// The gateway is one of the proxies, apart from the workloads.
const GATEWAY_INDEX: u16 = 0xFF01;
/// Nobody's address: who listens there has the network.
const CLAIM_INDEX: u16 = 0xFF02;
/// Where the search for any port begins if the kernel names none.
const ANY_FROM: u16 = 20000;
/// Ports below need privileges.
pub const PRIVILEGED: u16 = 1024;

/// Which of the 31 local meshes: 127.(64+2h) for inbound, 127.(65+2h) for outbound listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(u8);

impl Network {
    /// The address other proxies reach workload `index` at.
    #[must_use]
    pub fn inbound(self, index: u16) -> Ipv4Addr {
        let [high, low] = index.to_be_bytes();
        Ipv4Addr::new(127, 64 + 2 * self.0, high, low)
    }

    /// The address workload `index` reaches services at.
    #[must_use]
    pub fn egress(self, index: u16) -> Ipv4Addr {
        let [high, low] = index.to_be_bytes();
        Ipv4Addr::new(127, 65 + 2 * self.0, high, low)
    }
}

/// A port that somebody else holds.
#[derive(Debug, thiserror::Error)]
#[error("{address}, needed for {purpose}, is taken by {holder}: {remedy}")]
pub struct Taken {
    /// Which.
    pub address: SocketAddrV4,
    /// What for.
    pub purpose: String,
    /// By whom, as far as the kernel tells.
    pub holder: String,
    /// What to do.
    pub remedy: &'static str,
}

/// Where one workload's parts are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number in the mesh.
    pub index: u16,
    /// Its address for others.
    pub inbound: Ipv4Addr,
    /// Where it finds services.
    pub egress: Ipv4Addr,
    /// One entry per port that Services target.
    pub ports: Vec<PlacedPort>,
}

/// A port of a workload: where the proxy listens, where the program does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedPort {
    /// The Service's port name (needed to move the listener), may be empty.
    pub name: String,
    /// `targetPort` if it is a name.
    pub target_name: Option<String>,
    /// `targetPort` if it is a number.
    pub target: Option<u16>,
    /// Declared protocol, may be empty.
    pub protocol: String,
    /// The proxy's inbound listener at the workload's address.
    pub listener: u16,
    /// The program's port at 127.0.0.1.
    pub app: u16,
}

impl PlacedPort {
    /// Whether the listener is not where the Service's targetPort says, so that the WorkloadEntry must tell.
    #[must_use]
    pub fn is_moved(&self) -> bool {
        self.target != Some(self.listener)
    }
}

/// Hands out addresses; what it gave, it does not give again.
pub struct Allocator {
    network: Network,
    next: u16,
    given: BTreeSet<SocketAddr>,
    kept: BTreeSet<u16>,
    is_free: fn(SocketAddr) -> bool,
    /// Keeps others out of the network from its choice on: its first proxy listens only seconds later.
    _claim: Option<TcpListener>,
}

impl Allocator {
    /// Chooses the first local network in which nobody sits, and claims it for as long as this lives.
    ///
    /// # Errors
    /// If a proxy's own ports are held at every loopback address (a wildcard listener).
    pub fn new() -> Result<Self, Taken> {
        Self::with(holders::is_free, |address| TcpListener::bind(address).map(Some))
    }

    fn with(
        is_free: fn(SocketAddr) -> bool,
        claim: fn(SocketAddr) -> std::io::Result<Option<TcpListener>>,
    ) -> Result<Self, Taken> {
        let mut allocator = Self {
            network: Network(0),
            next: 1,
            given: BTreeSet::new(),
            kept: BTreeSet::new(),
            is_free,
            _claim: None,
        };
        for number in 0..31 {
            allocator.network = Network(number);
            let Ok(claimed) = claim((allocator.network.inbound(CLAIM_INDEX), ADMIN).into()) else { continue };
            let probes = [1, 2, GATEWAY_INDEX].map(|index| allocator.network.inbound(index));
            if probes.iter().all(|address| OWN_PORTS.iter().all(|port| allocator.free(*address, *port))) {
                return Ok(Self { _claim: claimed, ..allocator });
            }
        }
        allocator.network = Network(0);
        let probe = allocator.network.inbound(1);
        let port = OWN_PORTS.into_iter().find(|port| !allocator.free(probe, *port)).unwrap_or(ADMIN);
        Err(taken(probe, port, "the proxies", "stop it"))
    }

    fn free(&self, address: Ipv4Addr, port: u16) -> bool {
        let address = SocketAddr::from((address, port));
        !self.given.contains(&address) && (self.is_free)(address)
    }

    fn give(&mut self, address: Ipv4Addr, port: u16) {
        self.given.insert((address, port).into());
    }

    /// Ports that programs bind by themselves, perhaps on all addresses: no proxy listens for calls on one of them.
    pub fn keep(&mut self, ports: impl IntoIterator<Item = u16>) {
        self.kept.extend(ports);
    }

    /// A port at 127.0.0.1 that is free on every address: `first` or the next one that is; any if `first` is 0.
    ///
    /// # Errors
    /// If a thousand in a row are taken.
    pub fn port(&mut self, first: u16, purpose: &str) -> Result<u16, Taken> {
        let first = if first == 0 { holders::ephemeral().unwrap_or(ANY_FROM) } else { first };
        for port in first..first.saturating_add(1000) {
            if self.free(Ipv4Addr::UNSPECIFIED, port) && self.free(Ipv4Addr::LOCALHOST, port) {
                self.give(Ipv4Addr::LOCALHOST, port);
                return Ok(port);
            }
        }
        Err(taken(Ipv4Addr::LOCALHOST, first, purpose, "stop it, or choose another port"))
    }

    /// The gateway's address.
    #[must_use]
    pub fn gateway(&self) -> Ipv4Addr {
        self.network.inbound(GATEWAY_INDEX)
    }

    /// The next workload: an address that is free for every port it needs, listeners moved out of the way of
    /// programs that keep their own port (`own`: target port to program port).
    ///
    /// # Errors
    /// If a service's port is held on all addresses, or there is no address left.
    pub fn workload(
        &mut self,
        selecting: &[&Service],
        own: &std::collections::BTreeMap<u16, u16>,
        all: &[Service],
    ) -> Result<Place, Taken> {
        let index = self.free_index()?;
        let (inbound, egress) = (self.network.inbound(index), self.network.egress(index));
        for service in all {
            for port in service.ports.iter().map(|p| p.port).filter(|port| *port >= PRIVILEGED) {
                if !(self.is_free)((egress, port).into()) {
                    let purpose = format!("Service {}.{}", service.name, service.namespace);
                    return Err(taken(egress, port, &purpose, "stop it, or give the Service another port"));
                }
            }
        }
        let mut ports: Vec<PlacedPort> = Vec::new();
        for port in selecting.iter().flat_map(|service| &service.ports) {
            let same = |p: &PlacedPort| p.target == port.target && p.target_name == port.target_name;
            if ports.iter().any(same) {
                continue;
            }
            let app = match port.target.and_then(|target| own.get(&target)) {
                Some(app) => *app,
                None => self.port(18100, "a program")?,
            };
            let listener = self.listener(inbound, port.target, app)?;
            ports.push(PlacedPort {
                name: port.name.clone(),
                target_name: port.target_name.clone(),
                target: port.target,
                protocol: port.protocol.clone(),
                listener,
                app,
            });
        }
        for port in OWN_PORTS.into_iter().chain(ports.iter().map(|p| p.listener)) {
            self.give(inbound, port);
        }
        Ok(Place { index, inbound, egress, ports })
    }

    fn free_index(&mut self) -> Result<u16, Taken> {
        while self.next < GATEWAY_INDEX {
            let index = self.next;
            self.next += 1;
            let address = self.network.inbound(index);
            // .0 and .255 are fine on loopback, but look like mistakes
            if !matches!(index & 0xFF, 0 | 0xFF) && OWN_PORTS.iter().all(|port| self.free(address, *port)) {
                return Ok(index);
            }
        }
        Err(taken(self.network.inbound(self.next), ADMIN, "a workload", "run fewer workloads"))
    }

    /// The inbound listener: at the targetPort, unless a program on a wildcard address would exclude it there (its own
    /// or another one), or the number is privileged, unknown or taken; then at 18000 or above.
    fn listener(&self, inbound: Ipv4Addr, target: Option<u16>, app: u16) -> Result<u16, Taken> {
        let fits = |port: &u16| *port != app && !self.kept.contains(port) && self.free(inbound, *port);
        if let Some(target) = target.filter(|target| *target >= PRIVILEGED && fits(target)) {
            return Ok(target);
        }
        let moved = (18000..18100).find(fits);
        moved.ok_or_else(|| taken(inbound, 18000, "an inbound listener", "stop it"))
    }
}

fn taken(address: Ipv4Addr, port: u16, purpose: &str, remedy: &'static str) -> Taken {
    let address = SocketAddrV4::new(address, port);
    let holders = holders::holders(address);
    let holder =
        if holders.is_empty() { "a process that cannot be seen".to_owned() } else { holders.join(", ") };
    Taken { address, purpose: purpose.to_owned(), holder, remedy }
}

#[cfg(test)]
mod tests;
