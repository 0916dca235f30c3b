//! The network of pods that a test really runs: a bridge of this machine, and a network namespace for each pod.
//!
//! The machine is at the first address of it, so a control plane on this machine is reached there. Nobody forwards: what
//! is addressed to the world outside goes nowhere.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Error, Result, anyhow, bail};
use ipnet::Ipv4Net;
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

/// Where claims of networks are kept. A claim ends with the process, whatever happens to it.
const CLAIMS: &str = "/run/meltemi-testkit";

/// Where `ip` keeps the network namespaces that have names.
const NAMESPACES: &str = "/run/netns";

/// Where the kernel shows devices.
const DEVICES: &str = "/sys/class/net";

/// How many networks there are: 10.64.0.0/16 to 10.95.0.0/16. Cluster addresses begin above.
const NETWORKS: u8 = 32;
const FIRST: u8 = 64;

/// How long a connection inside may take.
const CONNECT: Duration = Duration::from_secs(10);

/// A network of pods on this machine. Dropped, it goes, with every namespace of it and whatever runs there.
#[derive(Debug, Clone)]
pub struct Network {
    claim: Arc<Claim>,
}

#[derive(Debug)]
struct Claim {
    number: u8,
    next: AtomicU32,
    // its lock is the claim
    _lock: File,
}

impl Network {
    /// Takes a network that nobody has, and removes what a killed test left in it.
    ///
    /// # Errors
    /// When this is not root, `ip` is missing or refuses, or all networks are in use.
    pub fn claim() -> Result<Self> {
        if !geteuid().is_root() {
            bail!("pods run in network namespaces, which only root can make: run these tests as root");
        }
        fs::create_dir_all(CLAIMS).context(CLAIMS)?;
        let routes = ip(&["-4", "route", "show"])?;
        for number in 0..NETWORKS {
            if is_routed(&routes, number) && !has_device(&bridge(number)) {
                continue;
            }
            let path = format!("{CLAIMS}/{number}");
            let lock = File::create(&path).context(path)?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => return Err(error).context("the claim of a network"),
            }
            sweep(number)?;
            let network = Self { claim: Arc::new(Claim { number, next: AtomicU32::new(1), _lock: lock }) };
            network.build()?;
            return Ok(network);
        }
        bail!("all {NETWORKS} networks for pods are in use, or this machine has routes to them")
    }

    fn build(&self) -> Result<()> {
        let (bridge, address) = (bridge(self.claim.number), format!("{}/16", self.host()));
        ip(&["link", "add", &bridge, "type", "bridge", "forward_delay", "0"])?;
        ip(&["addr", "add", &address, "dev", &bridge])?;
        ip(&["link", "set", &bridge, "up"])?;
        Ok(())
    }

    /// This machine's address in it.
    #[must_use]
    pub fn host(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, FIRST + self.claim.number, 0, 1)
    }

    /// The addresses of one node's pods, of as many nodes and clusters as there are; not 0, where the machine is.
    #[must_use]
    pub fn pods(&self, node: u8) -> Ipv4Net {
        Ipv4Net::new_assert(Ipv4Addr::new(10, FIRST + self.claim.number, node.max(1), 0), 24)
    }

    /// Whether an address is a pod's in it.
    #[must_use]
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        address.octets()[..2] == self.host().octets()[..2] && address != self.host()
    }

    /// A network namespace at an address of this network.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn sandbox(&self, address: Ipv4Addr) -> Result<Sandbox> {
        let number = self.claim.number;
        let at = self.claim.next.fetch_add(1, Ordering::Relaxed);
        // the namespace and its cable's end on this machine
        let (bridge, name) = (bridge(number), format!("{}{at}", prefix(number)));
        // from here on what was made is removed, also if the rest fails
        let sandbox = Sandbox { name: name.clone(), address, network: self.clone() };
        ip(&["netns", "add", &name])?;
        ip(&["link", "add", &name, "type", "veth", "peer", "name", "eth0", "netns", &name])?;
        ip(&["link", "set", &name, "master", &bridge, "up"])?;
        ip(&["-n", &name, "link", "set", "lo", "up"])?;
        ip(&["-n", &name, "addr", "add", &format!("{address}/16"), "dev", "eth0"])?;
        ip(&["-n", &name, "link", "set", "eth0", "up"])?;
        // addresses of Services are nobody's: a proxy takes calls to them, which must have a way out until then
        ip(&["-n", &name, "route", "add", "default", "via", &self.host().to_string()])?;
        Ok(sandbox)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // the next who claims it would find the rest
        let _ = sweep(self.number);
    }
}

/// The network namespace of a pod. Dropped, it goes, with whatever runs there.
#[derive(Debug)]
pub struct Sandbox {
    name: String,
    address: Ipv4Addr,
    // the bridge goes last
    network: Network,
}

impl Sandbox {
    /// Its address.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The network it belongs to.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Does something inside, in a thread of its own. Sockets that are made there stay there, whoever uses them then;
    /// so do processes.
    ///
    /// # Errors
    /// When the thread cannot be started or cannot go there; what `work` fails with.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        let namespace = File::open(Path::new(NAMESPACES).join(&self.name))?;
        let enter_and_work = || {
            setns(&namespace, CloneFlags::CLONE_NEWNET)?;
            work()
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().spawn_scoped(scope, enter_and_work)?;
            thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread inside panicked")))
        })
    }

    /// Listens at a port of all its addresses.
    ///
    /// # Errors
    /// When somebody else inside does.
    pub fn listen(&self, port: u16) -> io::Result<TcpListener> {
        self.inside(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))
    }

    /// Connects from inside, as a program there would.
    ///
    /// # Errors
    /// When nobody accepts within ten seconds.
    pub fn connect(&self, to: SocketAddrV4) -> io::Result<TcpStream> {
        self.inside(|| TcpStream::connect_timeout(&SocketAddr::V4(to), CONNECT))
    }

    /// Starts a program inside.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        self.inside(|| command.spawn())
    }

    /// Runs a program inside that reads `input` and ends soon.
    ///
    /// # Errors
    /// When it cannot be started, or fails; with what it said.
    pub(super) fn feed(&self, program: &str, input: &str) -> Result<()> {
        let mut command = Command::new(program);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = self.spawn(&mut command).map_err(|error| not_started(program, error))?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).with_context(|| program.to_owned())?;
        }
        let output = child.wait_with_output().with_context(|| program.to_owned())?;
        if !output.status.success() {
            bail!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // what remains is found with the network
        let _ = remove(&self.name);
    }
}

fn bridge(number: u8) -> String {
    format!("mlt{number}")
}

fn prefix(number: u8) -> String {
    format!("mlt{number}-")
}

/// Whether the machine reaches addresses of this network somewhere.
fn is_routed(routes: &str, number: u8) -> bool {
    routes.lines().any(|route| route.starts_with(&format!("10.{}.", FIRST + number)))
}

/// Removes what belongs to a network: namespaces and their processes, cables, then the bridge.
fn sweep(number: u8) -> Result<()> {
    let prefix = prefix(number);
    for name in names(NAMESPACES, &prefix).into_iter().chain(names(DEVICES, &prefix)) {
        remove(&name)?;
    }
    let bridge = bridge(number);
    if has_device(&bridge) {
        ip(&["link", "del", &bridge])?;
    }
    Ok(())
}

fn names(folder: &str, prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with(prefix)).collect()
}

fn has_device(name: &str) -> bool {
    Path::new(DEVICES).join(name).exists()
}

/// Ends what runs in a namespace of ours, and removes it with its cable.
fn remove(name: &str) -> Result<()> {
    // by itself the kernel would remove the cable some time later, when the name may be wanted again
    if has_device(name) {
        ip(&["link", "del", name])?;
    }
    if !Path::new(NAMESPACES).join(name).exists() {
        return Ok(());
    }
    for pid in ip(&["netns", "pids", name])?.lines().filter_map(|pid| pid.trim().parse().ok()) {
        // it may have ended by itself
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    ip(&["netns", "del", name])?;
    Ok(())
}

/// Runs `ip`; what it printed.
pub(super) fn ip(arguments: &[&str]) -> Result<String> {
    let output = Command::new("ip")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| not_started("ip", error))?;
    if !output.status.success() {
        bail!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn not_started(program: &str, error: io::Error) -> Error {
    if error.kind() == ErrorKind::NotFound {
        return anyhow!(
            "{program} is not on the PATH: install the packages iproute2 and iptables (`cargo ci --only pods` does)"
        );
    }
    Error::new(error).context(program.to_owned())
}

#[cfg(test)]
mod tests;
