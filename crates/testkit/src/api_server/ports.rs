//! Where the programs of an API server listen.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context as _, Result};

/// Where the programs listen, all on loopback.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) etcd: u16,
    pub(super) peer: u16,
    pub(super) server: u16,
}

impl Ports {
    /// Three that are free now.
    pub(super) fn free() -> Result<Self> {
        let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a free port");
        // held together, so that no two are one
        let (etcd, peer, server) = (bind()?, bind()?, bind()?);
        let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
        Ok(Self { etcd: port(&etcd)?, peer: port(&peer)?, server: port(&server)? })
    }
}
