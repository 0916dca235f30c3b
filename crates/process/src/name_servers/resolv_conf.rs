//! `/etc/resolv.conf`: the name servers to hand questions on to, and the first search domain.

use std::net::{IpAddr, SocketAddr};

/// What programs need of a resolver configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvConf {
    /// Name servers in the order of the file, port 53.
    pub servers: Vec<SocketAddr>,
    /// Search domains of the last `search` line, as written.
    pub search: Vec<String>,
}

impl ResolvConf {
    /// Reads the text of a `resolv.conf`; lines that mean nothing here are skipped.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut out = Self::default();
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    // A zone (`fe80::1%eth0`) cannot be told to a socket address; such a server is left out.
                    if let Some(ip) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) {
                        out.servers.push(SocketAddr::new(ip, 53));
                    }
                }
                Some("search") => out.search = words.map(str::to_owned).collect(),
                Some("domain") if out.search.is_empty() => out.search = words.map(str::to_owned).collect(),
                _ => {}
            }
        }
        out
    }
}

#[cfg(test)]
mod tests;
