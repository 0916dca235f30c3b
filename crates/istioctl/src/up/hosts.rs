//! Private hosts files: the names of Services at a workload's own egress address.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::path::Path;

use serde_json::Value;

use super::allocate::PRIVILEGED;
use super::folder::{Folder, Service};

/// The machine's own hosts file, then every name the mesh answers for: of Services all four spellings (the short one
/// in its own namespace only), of ServiceEntries the plain hosts whose ports can be bound without privileges.
#[must_use]
pub fn render(
    machine: &str,
    services: &[Service],
    folder: &Folder,
    egress: Ipv4Addr,
    namespace: &str,
) -> String {
    let mut out = machine.trim_end().to_owned();
    out.push_str("\n\n# services of the mesh, by way of this workload's proxy\n");
    for service in services {
        let (name, at) = (&service.name, &service.namespace);
        let short = if at == namespace { format!(" {name}") } else { String::new() };
        let _ = writeln!(out, "{egress}{short} {name}.{at} {name}.{at}.svc {name}.{at}.svc.cluster.local");
    }
    for host in entry_hosts(folder) {
        let _ = writeln!(out, "{egress} {host}");
    }
    out
}

/// Hosts of ServiceEntries that a hosts file can hold. One with a privileged port would lose its way out: nobody
/// listens for it here.
fn entry_hosts(folder: &Folder) -> Vec<String> {
    let mut found = Vec::new();
    for entry in folder.of_kind("ServiceEntry") {
        let spec = &entry.value["spec"];
        let ports = spec["ports"].as_array().map_or(&[][..], Vec::as_slice);
        let bindable = |p: &Value| p["number"].as_u64().is_some_and(|n| n >= u64::from(PRIVILEGED));
        if ports.is_empty() || !ports.iter().all(bindable) {
            continue;
        }
        let plain = |host: &&str| {
            !host.contains('*') && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c))
        };
        let hosts = spec["hosts"].as_array().into_iter().flatten().filter_map(Value::as_str);
        found.extend(hosts.filter(plain).map(str::to_owned));
    }
    found.sort();
    found.dedup();
    found
}

/// Writes a hosts file in place: it is bound over /etc/hosts in running processes, and a rename would not be seen there.
///
/// # Errors
/// If it cannot be written.
pub fn write_in_place(path: &Path, text: &str) -> io::Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    // first the new text, then the new length: never a moment without names
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)
}

#[cfg(test)]
mod tests;
