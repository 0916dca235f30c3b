//! Where the programs of an API server listen.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use anyhow::{Context as _, Result};

/// Below those that systems hand out for connections, which come and go while a server is down and comes back.
const RANGE: Range<u16> = 20_000..32_000;

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
        // held together, so that no two are one
        let (etcd, peer, server) = (bind()?, bind()?, bind()?);
        let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
        Ok(Self { etcd: port(&etcd)?, peer: port(&peer)?, server: port(&server)? })
    }
}

/// A port that is drawn, so that two that look at once look at different ones.
fn bind() -> Result<TcpListener> {
    let drawn = std::iter::repeat_with(|| {
        let drawn = RandomState::new().build_hasher().finish() % (RANGE.len() as u64);
        RANGE.start + u16::try_from(drawn).unwrap_or_default()
    });
    let mut tries = drawn.take(100).map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
    tries.find_map(Result::ok).context("a free port")
}
