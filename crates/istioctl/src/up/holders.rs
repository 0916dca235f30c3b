//! Who holds a port: free ports by trying, names of holders from /proc.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::time::Duration;

/// Whether nobody listens there now. Binds for a moment, without SO_REUSEPORT, so that an Envoy that would
/// silently share the port is seen. Somebody who holds it for moments only does not count: a
/// process just started has the sockets of its parent until it becomes its program, those of other trials too.
#[must_use]
pub fn is_free(address: SocketAddr) -> bool {
    let bind = || TcpListener::bind(address).is_ok();
    let again = || {
        std::thread::sleep(GLIMPSE);
        bind()
    };
    bind() || (0..TRIALS).any(|_| again())
}

/// Pause between two trials of one port.
const GLIMPSE: Duration = Duration::from_millis(10);
/// Trials after the first.
const TRIALS: usize = 5;

/// A port that the kernel says is free on every address.
#[must_use]
pub fn ephemeral() -> Option<u16> {
    Some(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?.local_addr().ok()?.port())
}

/// The processes that listen on a port that would clash with `address`, as `name (pid N)`; of other users only
/// the user is known.
#[must_use]
pub fn holders(address: SocketAddrV4) -> Vec<String> {
    let mut inodes = BTreeSet::new();
    let mut foreign = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for socket in listening(&fs::read_to_string(table).unwrap_or_default()) {
            if socket.port == address.port() && (socket.wildcard || socket.address == Some(*address.ip())) {
                inodes.insert(socket.inode);
                foreign.insert(socket.uid);
            }
        }
    }
    let mut found: Vec<String> = processes_with(&inodes).into_iter().collect();
    if found.is_empty() {
        found = foreign.into_iter().map(|uid| format!("a process of user id {uid}")).collect();
    }
    found
}

struct Listening {
    port: u16,
    address: Option<Ipv4Addr>,
    wildcard: bool,
    uid: u32,
    inode: u64,
}

/// The listening sockets of a /proc/net/tcp or tcp6 table.
fn listening(table: &str) -> Vec<Listening> {
    table.lines().skip(1).filter_map(listening_line).collect()
}

fn listening_line(line: &str) -> Option<Listening> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (address, port) = fields.get(1)?.split_once(':')?;
    if *fields.get(3)? != "0A" {
        return None;
    }
    // addresses are printed as 32-bit words in the machine's byte order
    let last = u32::from_str_radix(address.get(address.len().checked_sub(8)?..)?, 16).ok()?;
    let mapped = address.len() == 8 || address.to_ascii_uppercase().contains("0000FFFF");
    Some(Listening {
        port: u16::from_str_radix(port, 16).ok()?,
        address: mapped.then(|| Ipv4Addr::from(last.to_ne_bytes())),
        wildcard: address.bytes().all(|b| b == b'0'),
        uid: fields.get(7)?.parse().ok()?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// The ports on which a process group listens, in order.
#[must_use]
pub fn listening_in_group(group: u32) -> Vec<u16> {
    let mut inodes = BTreeSet::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let stat = fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        // after the name: state, parent, group
        let own = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(2)?.parse().ok());
        if own != Some(group) {
            continue;
        }
        for descriptor in fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            let to = fs::read_link(descriptor.path()).unwrap_or_default();
            let inode = to
                .to_str()
                .and_then(|to| to.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok());
            inodes.extend(inode);
        }
    }
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let sockets = tables.iter().flat_map(|table| listening(table));
    let ports: BTreeSet<u16> = sockets.filter(|s| inodes.contains(&s.inode)).map(|s| s.port).collect();
    ports.into_iter().collect()
}

fn processes_with(inodes: &BTreeSet<u64>) -> BTreeSet<String> {
    let wanted: BTreeSet<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let mut found = BTreeSet::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        let holds = descriptors.flatten().any(|descriptor| {
            fs::read_link(descriptor.path()).is_ok_and(|to| to.to_str().is_some_and(|to| wanted.contains(to)))
        });
        if holds {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            found.insert(format!("{} (pid {pid})", name.trim()));
        }
    }
    found
}

#[cfg(test)]
mod tests;
