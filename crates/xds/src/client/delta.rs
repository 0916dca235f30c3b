//! A delta client that stays: it reconnects, goes through its addresses, and tells the server what it already holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use process::retry::Policy;
use proto::envoy::config::core::v3::Node;

use super::dial::Dial;
use super::stream::Stream;
use super::wire::RawResponse;
use crate::request::{Rejection, Request, Variant, Wish};
use crate::type_url::TypeUrl;

/// The headers of each call, made anew for each: tokens rotate.
pub type Headers = Arc<dyn Fn() -> http::HeaderMap + Send + Sync>;

/// How to reach the server and who asks.
#[derive(Clone)]
pub struct Config {
    /// Makes connections.
    pub dial: Dial,
    /// Who asks.
    pub node: Node,
    /// Waits between attempts; starts again after a connection that brought a response.
    pub backoff: Policy,
    /// The headers of each call.
    pub headers: Headers,
}

impl Config {
    /// With upstream's back-off and no headers.
    #[must_use]
    pub fn new(dial: Dial, node: Node) -> Self {
        Self { dial, node, backoff: Policy::default(), headers: Arc::new(http::HeaderMap::new) }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("node", &self.node.id).finish_non_exhaustive()
    }
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// A stream is open; every subscription was sent.
    Connected,
    /// A response, to be answered with [`Client::ack`] or [`Client::nack`].
    Response(RawResponse),
    /// The connection failed or ended; the next attempt comes after `retry_in`.
    Disconnected {
        /// Why.
        reason: String,
        /// How long until the next attempt.
        retry_in: Duration,
    },
}

#[derive(Debug, Default)]
struct Subscription {
    wildcard: bool,
    names: BTreeSet<String>,
    /// Names and versions accepted.
    held: BTreeMap<String, String>,
}

/// A delta client. It does its work inside [`Client::next`].
pub struct Client {
    config: Config,
    subscriptions: BTreeMap<TypeUrl, Subscription>,
    delays: Box<dyn Iterator<Item = Duration> + Send>,
    attempts: usize,
    phase: Phase,
}

enum Phase {
    Dial,
    Open(Box<Stream>),
    Wait(std::pin::Pin<Box<tokio::time::Sleep>>),
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("subscriptions", &self.subscriptions).finish_non_exhaustive()
    }
}

impl Client {
    /// A client that has subscribed to nothing; it connects at the first [`Client::next`].
    #[must_use]
    pub fn new(config: Config) -> Self {
        let delays = Box::new(config.backoff.delays());
        Self { config, subscriptions: BTreeMap::new(), delays, attempts: 0, phase: Phase::Dial }
    }

    /// Subscribes to names, or to everything of the type if there are none.
    pub fn subscribe(&mut self, type_url: &TypeUrl, names: &[&str]) {
        let subscription = self.subscriptions.entry(type_url.clone()).or_default();
        let mut add: Vec<String> = names.iter().map(ToString::to_string).collect();
        subscription.names.extend(add.iter().cloned());
        if names.is_empty() {
            subscription.wildcard = true;
            add.push("*".to_owned());
        }
        self.tell(type_url, add, Vec::new());
    }

    /// Lets go of names, or of everything of the type if there are none.
    pub fn unsubscribe(&mut self, type_url: &TypeUrl, names: &[&str]) {
        let Some(subscription) = self.subscriptions.get_mut(type_url) else { return };
        let mut take: Vec<String> = names.iter().map(ToString::to_string).collect();
        if names.is_empty() {
            take.extend(std::mem::take(&mut subscription.names));
            take.push("*".to_owned());
            subscription.wildcard = false;
        }
        for name in &take {
            subscription.names.remove(name);
        }
        if !subscription.wildcard {
            let names = &subscription.names;
            subscription.held.retain(|name, _| names.contains(name));
        }
        self.tell(type_url, Vec::new(), take);
    }

    /// Accepts a response: what it brought is held from now on.
    pub fn ack(&mut self, response: &RawResponse) {
        if let Some(subscription) = self.subscriptions.get_mut(&response.type_url) {
            for resource in &response.resources {
                subscription.held.insert(resource.name.clone(), resource.version.clone());
            }
            for name in &response.removed {
                subscription.held.remove(name);
            }
        }
        self.answer(response, None);
    }

    /// Refuses a response; what was held before stays.
    pub fn nack(&mut self, response: &RawResponse, message: &str) {
        let code = tonic::Code::Internal as i32;
        self.answer(response, Some(Rejection { code, message: message.to_owned() }));
    }

    /// Names and versions held of a type.
    #[must_use]
    pub fn held(&self, type_url: &TypeUrl) -> Vec<(&str, &str)> {
        let held = self.subscriptions.get(type_url).map(|subscription| &subscription.held);
        held.into_iter().flatten().map(|(name, version)| (name.as_str(), version.as_str())).collect()
    }

    /// Closes the connection, as if the server had; the next one comes after a delay.
    pub fn drop_connection(&mut self) {
        self.phase = Phase::Dial;
    }

    /// Connects if need be and waits for the next event. Nothing is lost if this is dropped, except an attempt to
    /// connect, which is then made again.
    pub async fn next(&mut self) -> Event {
        loop {
            match &mut self.phase {
                Phase::Wait(delay) => {
                    delay.as_mut().await;
                    self.phase = Phase::Dial;
                }
                Phase::Dial => match (self.config.dial)(self.attempts).await {
                    Ok(channel) => {
                        self.attempts += 1;
                        let (node, headers) = (self.config.node.clone(), (self.config.headers)());
                        let mut stream = Stream::new(channel, Variant::Delta, node, headers);
                        for (type_url, subscription) in &self.subscriptions {
                            stream.send(subscription.opening(type_url));
                        }
                        self.phase = Phase::Open(Box::new(stream));
                        return Event::Connected;
                    }
                    Err(error) => {
                        self.attempts += 1;
                        return self.disconnected(error.to_string());
                    }
                },
                Phase::Open(stream) => match stream.next().await {
                    Ok(Some(response)) => {
                        self.delays = Box::new(self.config.backoff.delays());
                        return Event::Response(response);
                    }
                    Ok(None) => return self.disconnected("the server ended the stream".to_owned()),
                    Err(status) => {
                        let reason = format!("{}: {}", status.code(), status.message());
                        return self.disconnected(reason);
                    }
                },
            }
        }
    }

    fn disconnected(&mut self, reason: String) -> Event {
        let retry_in = self.delays.next().unwrap_or(self.config.backoff.max);
        self.phase = Phase::Wait(Box::pin(tokio::time::sleep(retry_in)));
        Event::Disconnected { reason, retry_in }
    }

    fn tell(&mut self, type_url: &TypeUrl, subscribe: Vec<String>, unsubscribe: Vec<String>) {
        if let Phase::Open(stream) = &mut self.phase {
            let wish = Wish::Delta { subscribe, unsubscribe, claims: Vec::new() };
            stream.send(Request { type_url: type_url.clone(), nonce: String::new(), error: None, wish });
        }
    }

    fn answer(&mut self, response: &RawResponse, error: Option<Rejection>) {
        if let Phase::Open(stream) = &mut self.phase {
            let wish = Wish::Delta { subscribe: vec![], unsubscribe: vec![], claims: vec![] };
            let (type_url, nonce) = (response.type_url.clone(), response.nonce.clone());
            stream.send(Request { type_url, nonce, error, wish });
        }
    }
}

impl Subscription {
    /// The first request of the type on a stream.
    fn opening(&self, type_url: &TypeUrl) -> Request {
        let mut subscribe: Vec<String> = self.names.iter().cloned().collect();
        let mut unsubscribe = Vec::new();
        if self.wildcard || subscribe.is_empty() {
            subscribe.push("*".to_owned());
        }
        if !self.wildcard && self.names.is_empty() {
            // An empty first request would mean everything.
            unsubscribe.push("*".to_owned());
        }
        let claims = self.held.iter().map(|(name, version)| (name.clone(), version.clone())).collect();
        let wish = Wish::Delta { subscribe, unsubscribe, claims };
        Request { type_url: type_url.clone(), nonce: String::new(), error: None, wish }
    }
}
