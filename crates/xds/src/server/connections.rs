//! The table of connections: who is connected, how every type stands, and how to end one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;
use proto::envoy::config::core::v3::Node;
use tokio::sync::{Notify, watch};

use super::session::TypeStatus;
use crate::request::Variant;
use crate::type_url::TypeUrl;

/// All connections of a server. Clones are the same table.
#[derive(Debug, Clone, Default)]
pub struct Connections(Arc<Table>);

#[derive(Debug, Default)]
struct Table {
    next: AtomicU64,
    entries: Mutex<BTreeMap<u64, Arc<Entry>>>,
    closing: watch::Sender<bool>,
}

#[derive(Debug)]
struct Entry {
    info: Connection,
    types: Mutex<BTreeMap<TypeUrl, TypeStatus>>,
    stop: Notify,
    look_again: Notify,
}

/// One connection as it stood when listed.
#[derive(Debug, Clone)]
pub struct Connection {
    /// `<node id>-<number>`, as pilot/pkg/xds/ads.go: `connectionID`.
    pub id: Arc<str>,
    /// What the client said of itself.
    pub node: Arc<Node>,
    /// Where it is.
    pub address: Option<SocketAddr>,
    /// Since when.
    pub connected_at: SystemTime,
    /// Which variant it speaks.
    pub variant: Variant,
    /// How its types stand, in the order they are sent.
    pub types: BTreeMap<TypeUrl, TypeStatus>,
}

impl Connections {
    /// The connections, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Connection> {
        let entries: Vec<_> = self.0.entries.lock().values().cloned().collect();
        entries
            .iter()
            .map(|entry| Connection { types: entry.types.lock().clone(), ..entry.info.clone() })
            .collect()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.entries.lock().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends the connections with this id, or of this node. How many there were.
    pub fn disconnect(&self, id: &str) -> usize {
        self.each(id, |entry| entry.stop.notify_one())
    }

    /// Makes the connections with this id, or of this node, or all for an empty `id`, look for changes now.
    pub fn push(&self, id: &str) -> usize {
        self.each(id, |entry| entry.look_again.notify_one())
    }

    /// Ends all connections, for a shutdown: from now on, new ones end as soon as they are there.
    pub fn disconnect_all(&self) {
        self.0.closing.send_replace(true);
        self.each("", |entry| entry.stop.notify_one());
    }

    /// Ends when [`Connections::disconnect_all`] was called.
    pub(crate) async fn closing(&self) {
        // the sender lives as long as the table
        let _ = self.0.closing.subscribe().wait_for(|closing| *closing).await;
    }

    fn each(&self, id: &str, act: impl Fn(&Entry)) -> usize {
        let entries = self.0.entries.lock();
        let meant = entries.values().filter(|e| id.is_empty() || &*e.info.id == id || e.info.node.id == id);
        meant.map(|entry| act(entry)).count()
    }

    pub(crate) fn add(
        &self,
        node: Node,
        address: Option<SocketAddr>,
        variant: Variant,
        now: SystemTime,
    ) -> Registration {
        let number = self.0.next.fetch_add(1, Ordering::Relaxed) + 1;
        let id: Arc<str> = format!("{}-{number}", node.id).into();
        let node = Arc::new(node);
        let info = Connection { id, node, address, connected_at: now, variant, types: BTreeMap::new() };
        let entry =
            Arc::new(Entry { info, types: Mutex::default(), stop: Notify::new(), look_again: Notify::new() });
        self.0.entries.lock().insert(number, entry.clone());
        // looked at after it is in the table: whoever closes it meanwhile sees the one or the other
        if *self.0.closing.borrow() {
            entry.stop.notify_one();
        }
        Registration { table: self.clone(), number, entry }
    }
}

/// A connection's place in the table; it leaves the table when dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    table: Connections,
    number: u64,
    entry: Arc<Entry>,
}

impl Registration {
    pub(crate) fn id(&self) -> &Arc<str> {
        &self.entry.info.id
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.entry.info.node
    }

    pub(crate) fn report(&self, type_url: &TypeUrl, status: Option<TypeStatus>) {
        let mut types = self.entry.types.lock();
        match status {
            Some(status) => types.insert(type_url.clone(), status),
            None => types.remove(type_url),
        };
    }

    /// Somebody wants the connection to end.
    pub(crate) async fn stopped(&self) {
        self.entry.stop.notified().await;
    }

    /// Somebody wants the connection to look for changes.
    pub(crate) async fn asked_to_look(&self) {
        self.entry.look_again.notified().await;
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.table.0.entries.lock().remove(&self.number);
    }
}
