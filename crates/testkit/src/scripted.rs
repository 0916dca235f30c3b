//! A scripted proxy over real gRPC: it subscribes as an Envoy does, collects what it is sent, and counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use generate::TypeName;
use proto::envoy::config::core::v3::Node;
use xds::TypeUrl;
use xds::client::dial::{self, Dial};
use xds::client::{Client, Config, Event};

use crate::simulation::references;

/// What was received of one type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Responses.
    pub messages: usize,
    /// Resources in them.
    pub resources: usize,
    /// Names declared gone.
    pub removed: usize,
    /// Bytes of the resources' messages.
    pub bytes: usize,
}

/// A resource that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its version on the wire.
    pub version: String,
    /// The message inside the `Any`.
    pub body: Bytes,
}

/// A scripted proxy on one delta stream. It works only while it is awaited.
pub struct Scripted {
    client: Client,
    held: BTreeMap<TypeUrl, BTreeMap<String, Held>>,
    named: BTreeMap<TypeUrl, BTreeSet<String>>,
    counts: BTreeMap<TypeUrl, Count>,
    disconnects: Vec<String>,
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted").field("counts", &self.counts).finish_non_exhaustive()
    }
}

impl Scripted {
    /// A proxy that will connect to `host:port` over plain TCP, wanting clusters, listeners, and what they mention.
    #[must_use]
    pub fn tcp(address: &str, node: Node) -> Self {
        Self::new(dial::plain(vec![address.to_owned()]), node)
    }

    /// The same over a unix socket.
    #[must_use]
    pub fn unix(path: impl Into<std::path::PathBuf>, node: Node) -> Self {
        Self::new(dial::unix(path.into()), node)
    }

    /// The same over any connection.
    #[must_use]
    pub fn new(dial: Dial, node: Node) -> Self {
        Self::of(Config::new(dial, node))
    }

    /// The same with headers of its own, a token for example, and its own pauses between attempts.
    #[must_use]
    pub fn of(config: Config) -> Self {
        let mut client = Client::new(config);
        client.subscribe(&TypeUrl::Cluster, &[]);
        client.subscribe(&TypeUrl::Listener, &[]);
        Self {
            client,
            held: BTreeMap::new(),
            named: BTreeMap::new(),
            counts: BTreeMap::new(),
            disconnects: Vec::new(),
        }
    }

    /// Subscribes to more: to names, or to everything of the type if there are none.
    pub fn subscribe(&mut self, type_url: &TypeUrl, names: &[&str]) {
        self.client.subscribe(type_url, names);
    }

    /// What it holds of a type.
    #[must_use]
    pub fn held(&self, type_url: &TypeUrl) -> BTreeMap<&str, &Held> {
        self.held.get(type_url).into_iter().flatten().map(|(name, held)| (name.as_str(), held)).collect()
    }

    /// Holds a resource as if it had been sent, or none of this name.
    #[cfg(test)]
    pub(crate) fn hold(&mut self, type_url: &TypeUrl, name: &str, body: Option<Bytes>) {
        let held = self.held.entry(type_url.clone()).or_default();
        held.remove(name);
        let held_of = |body: Bytes| Held { version: format!("{body:?}"), body };
        held.extend(body.map(|body| (name.to_owned(), held_of(body))));
    }

    /// Has lost its connection as if that had happened.
    #[cfg(test)]
    pub(crate) fn lose(&mut self) {
        self.disconnects.push("lost".to_owned());
    }

    /// One resource, decoded; `None` if it is not held, or not an `M`.
    #[must_use]
    pub fn get<M: prost::Message + Default>(&self, type_url: &TypeUrl, name: &str) -> Option<M> {
        let held = self.held.get(type_url)?.get(name)?;
        M::decode(held.body.clone()).ok()
    }

    /// What it was sent of a type since the beginning.
    #[must_use]
    pub fn count(&self, type_url: &TypeUrl) -> Count {
        self.counts.get(type_url).copied().unwrap_or_default()
    }

    /// Why connections ended or were not made, oldest first.
    #[must_use]
    pub fn disconnects(&self) -> &[String] {
        &self.disconnects
    }

    /// Breaks the connection; the next one comes while it is awaited.
    pub fn cut(&mut self) {
        self.client.drop_connection();
    }

    /// Works until the condition holds.
    ///
    /// # Errors
    /// What was received, and why connections ended, when the deadline has passed.
    pub async fn wait_until(
        &mut self,
        mut condition: impl FnMut(&Self) -> bool,
        deadline: Duration,
    ) -> Result<(), String> {
        let until = tokio::time::Instant::now() + deadline;
        while !condition(self) {
            if tokio::time::timeout_at(until, self.next()).await.is_err() {
                return Err(format!(
                    "not so after {deadline:?}: {:?}, disconnects {:?}",
                    self.counts, self.disconnects
                ));
            }
        }
        Ok(())
    }

    /// Works for so long, to see that nothing more comes.
    pub async fn drain(&mut self, time: Duration) {
        let until = tokio::time::Instant::now() + time;
        while tokio::time::timeout_at(until, self.next()).await.is_ok() {}
    }

    /// Works until something was received, or a connection was made or ended.
    pub async fn next(&mut self) {
        let response = match self.client.next().await {
            Event::Connected => return,
            Event::Disconnected { reason, .. } => return self.disconnects.push(reason),
            Event::Response(response) => response,
        };
        self.client.ack(&response);
        let count = self.counts.entry(response.type_url.clone()).or_default();
        let held = self.held.entry(response.type_url.clone()).or_default();
        count.messages += 1;
        count.removed += response.removed.len();
        for name in &response.removed {
            held.remove(name);
        }
        for resource in response.resources {
            count.resources += 1;
            count.bytes += resource.body.len();
            held.insert(resource.name, Held { version: resource.version, body: resource.body });
        }
        self.follow(&response.type_url);
    }

    /// Asks for what clusters and listeners mention, and lets go of what they do not mention any more.
    fn follow(&mut self, changed: &TypeUrl) {
        if !matches!(changed, TypeUrl::Cluster | TypeUrl::Listener) {
            return;
        }
        let mut wanted: [(TypeUrl, BTreeSet<String>); 3] =
            [TypeUrl::Endpoint, TypeUrl::Route, TypeUrl::Secret].map(|of| (of, BTreeSet::new()));
        for (of, as_name) in [(TypeUrl::Cluster, TypeName::Cluster), (TypeUrl::Listener, TypeName::Listener)]
        {
            for (name, held) in self.held.get(&of).into_iter().flatten() {
                let resource = xds::Resource::new(name.as_str(), held.body.clone());
                let Ok(mentioned) = references::of(as_name, &resource) else { continue };
                let [endpoints, routes, secrets] = &mut wanted;
                endpoints.1.extend(mentioned.endpoints.iter().map(ToString::to_string));
                routes.1.extend(mentioned.routes.iter().map(ToString::to_string));
                secrets.1.extend(mentioned.secrets.iter().map(ToString::to_string));
            }
        }
        for (of, names) in wanted {
            let before = self.named.insert(of.clone(), names.clone()).unwrap_or_default();
            let added: Vec<&str> = names.difference(&before).map(String::as_str).collect();
            let gone: Vec<&str> = before.difference(&names).map(String::as_str).collect();
            if !added.is_empty() {
                self.client.subscribe(&of, &added);
            }
            if !gone.is_empty() {
                self.client.unsubscribe(&of, &gone);
                self.held.entry(of).or_default().retain(|name, _| !gone.contains(&name.as_str()));
            }
        }
    }
}
