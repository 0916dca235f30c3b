//! One sidecar: a connection of its own with one delta stream, subscriptions in Envoy's order, an ACK per message.
//!
//! Clusters and names first, endpoints of the clusters that ask for them, listeners once those came, then the routes
//! the listeners name. Only names are kept.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use bytes::{Bytes, BytesMut};
use http::uri::PathAndQuery;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;
use tonic::transport::Endpoint;

use crate::codec::Raw;
use crate::seen::{Amount, CDS, EDS, LDS, NDS, RDS, Seen, TYPES};
use crate::wire;

#[cfg(test)]
mod tests;

/// Envoy's pauses between attempts: a random part of a limit that doubles.
const PAUSE: (u64, u64) = (500, 30_000);

/// One of many.
pub(crate) struct Sidecar {
    pub(crate) index: usize,
    /// `http://host:port`.
    pub(crate) server: String,
    /// An encoded `Node`.
    pub(crate) node: Bytes,
    pub(crate) seen: Arc<Seen>,
}

/// What a stream subscribed to and holds.
#[derive(Default)]
struct State {
    /// Resources that name others (clusters, listeners), by type and name, with what they name.
    held: [HashMap<Box<str>, Vec<Arc<str>>>; TYPES.len()],
    /// How many of those name a resource, by its type and name; without a name nobody names any more.
    users: [HashMap<Arc<str>, usize>; TYPES.len()],
    asked: [bool; TYPES.len()],
    got: [bool; TYPES.len()],
    complete: bool,
}

impl Sidecar {
    /// Keeps a stream open for ever.
    pub(crate) async fn run(self) {
        let mut limit = PAUSE.0;
        let mut chance = self.index as u64;
        loop {
            let mut state = State::default();
            // Every stream ends with an error; the number of them is in the report.
            let _ = self.stream(&mut state).await;
            self.seen.lost(state.complete);
            if state.got[CDS] {
                limit = PAUSE.0;
            }
            // SplitMix64: the same pauses in every run
            chance = chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = (chance ^ (chance >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            tokio::time::sleep(Duration::from_millis((z ^ (z >> 31)) % limit)).await;
            limit = (limit * 2).min(PAUSE.1);
        }
    }

    async fn stream(&self, state: &mut State) -> Result<()> {
        let endpoint = Endpoint::from_shared(self.server.clone())?
            // what the agent of a pod offers its control plane
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(1 << 20)
            .tcp_nodelay(true);
        let mut grpc =
            tonic::client::Grpc::new(endpoint.connect().await?).max_decoding_message_size(512 << 20);
        grpc.ready().await?;
        let (requests, receiver) = mpsc::channel(16);
        for kind in [CDS, NDS] {
            state.asked[kind] = true;
            requests.send(self.request(kind, "", &[], &[], kind == CDS)).await?;
        }
        let path = PathAndQuery::from_static(
            "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
        );
        let mut responses =
            grpc.streaming(Request::new(ReceiverStream::new(receiver)), path, Raw).await?.into_inner();
        while let Some(message) = responses.next().await {
            self.handle(state, &message?, &requests).await?;
        }
        bail!("the server ended the stream")
    }

    async fn handle(&self, state: &mut State, message: &[u8], requests: &mpsc::Sender<Bytes>) -> Result<()> {
        let url = wire::text(message, 4);
        let Some(kind) = TYPES.iter().position(|(_, known)| *known == url) else {
            bail!("nobody asked for {url}");
        };
        let Taken { resources, removed, add, drop } = state.take(kind, message);
        let amount = Amount { messages: 1, bytes: message.len() as u64, resources, removed };
        self.seen.received(self.index, kind, amount);
        state.got[kind] = true;
        requests.send(self.request(kind, wire::text(message, 5), &[], &[], false)).await?;
        if let Some(watched) = named_by(kind)
            && !(add.is_empty() && drop.is_empty())
        {
            state.asked[watched] = true;
            state.got[watched] &= add.is_empty();
            requests.send(self.request(watched, "", &add, &drop, false)).await?;
        }
        if state.warm() && !state.asked[LDS] {
            state.asked[LDS] = true;
            requests.send(self.request(LDS, "", &[], &[], false)).await?;
        }
        self.seen.acknowledged(self.index);
        if !state.complete && state.is_complete() {
            state.complete = true;
            self.seen.completed(self.index);
        }
        Ok(())
    }

    fn request(&self, kind: usize, nonce: &str, add: &[Arc<str>], drop: &[Arc<str>], first: bool) -> Bytes {
        let mut out = BytesMut::new();
        if first {
            wire::put(&mut out, 1, &self.node);
        }
        wire::put(&mut out, 2, TYPES[kind].1.as_bytes());
        for name in add {
            wire::put(&mut out, 3, name.as_bytes());
        }
        for name in drop {
            wire::put(&mut out, 4, name.as_bytes());
        }
        if !nonce.is_empty() {
            wire::put(&mut out, 6, nonce.as_bytes());
        }
        out.freeze()
    }
}

/// The type whose resources are named by those of another.
fn named_by(kind: usize) -> Option<usize> {
    match kind {
        CDS => Some(EDS),
        LDS => Some(RDS),
        _ => None,
    }
}

/// What came with a message.
#[derive(Default)]
struct Taken {
    resources: u64,
    removed: u64,
    add: Vec<Arc<str>>,
    drop: Vec<Arc<str>>,
}

impl State {
    /// Notes the names in a response.
    fn take(&mut self, kind: usize, message: &[u8]) -> Taken {
        let mut taken = Taken::default();
        let mut add = HashSet::new();
        let mut drop = HashSet::new();
        for resource in wire::all(message, 2) {
            taken.resources += 1;
            let Some(watched) = named_by(kind) else { continue };
            let (name, body) = (wire::text(resource, 3), wire::one(wire::one(resource, 2), 2));
            let names: Vec<Arc<str>> = match kind {
                CDS => wire::endpoints_of(body).map(Into::into).into_iter().collect(),
                _ => wire::routes_of(body).map(Into::into).collect(),
            };
            for name in &names {
                let users = self.users[watched].entry(Arc::clone(name)).or_default();
                *users += 1;
                if *users == 1 && !drop.remove(name) {
                    add.insert(Arc::clone(name));
                }
            }
            let old = self.held[kind].insert(name.into(), names).unwrap_or_default();
            self.release(watched, old, &mut add, &mut drop);
        }
        for name in wire::all(message, 6) {
            taken.removed += 1;
            let Some(watched) = named_by(kind) else { continue };
            let old =
                self.held[kind].remove(std::str::from_utf8(name).unwrap_or_default()).unwrap_or_default();
            self.release(watched, old, &mut add, &mut drop);
        }
        taken.add.extend(add);
        taken.drop.extend(drop);
        taken
    }

    fn release(
        &mut self,
        watched: usize,
        names: Vec<Arc<str>>,
        add: &mut HashSet<Arc<str>>,
        drop: &mut HashSet<Arc<str>>,
    ) {
        for name in names {
            let Some(users) = self.users[watched].get_mut(&name) else { continue };
            *users -= 1;
            if *users == 0 {
                self.users[watched].remove(&name);
                if !add.remove(&name) {
                    drop.insert(name);
                }
            }
        }
    }

    fn warm(&self) -> bool {
        self.got[CDS] && (self.got[EDS] || self.users[EDS].is_empty())
    }

    fn is_complete(&self) -> bool {
        self.warm() && self.got[LDS] && self.got[NDS] && (self.got[RDS] || self.users[RDS].is_empty())
    }
}
