//! The two directions of one relayed stream. Each holds one message at a time.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use prost::Message;
use proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use proto::google::rpc::Status as Detail;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::StreamExt;
use tonic::{Status, Streaming};
use xds::Variant;

use super::relay::{Health, LocalTypes, RelayCounters};
use super::wire::{
    ENVOY_TYPE_PREFIX, HEALTH_INFO, LISTENER, VIRTUAL_HOST, WORKLOAD, request_type, response_type,
};

const INTERNAL: i32 = 13;

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn refusal(message: Option<String>) -> Option<Detail> {
    message.map(|message| Detail { code: INTERNAL, message, ..Detail::default() })
}

/// A request of the agent's own.
fn request(variant: Variant, type_url: &str, version: String, nonce: String, why: Option<String>) -> Bytes {
    let bytes = match variant {
        Variant::Delta => DeltaDiscoveryRequest {
            type_url: type_url.to_owned(),
            response_nonce: nonce,
            error_detail: refusal(why),
            ..DeltaDiscoveryRequest::default()
        }
        .encode_to_vec(),
        Variant::Sotw => DiscoveryRequest {
            type_url: type_url.to_owned(),
            version_info: version,
            response_nonce: nonce,
            error_detail: refusal(why),
            ..DiscoveryRequest::default()
        }
        .encode_to_vec(),
    };
    bytes.into()
}

fn subscription(variant: Variant, type_url: &str) -> Bytes {
    request(variant, type_url, String::new(), String::new(), None)
}

fn health_report(variant: Variant, health: &Health) -> Bytes {
    request(variant, HEALTH_INFO, String::new(), String::new(), health.as_ref().err().cloned())
}

/// From Envoy to the control plane.
pub(super) struct Up {
    pub(super) variant: Variant,
    pub(super) envoy: Streaming<Bytes>,
    pub(super) answers: mpsc::UnboundedReceiver<Bytes>,
    pub(super) to_control_plane: mpsc::Sender<Bytes>,
    pub(super) health: watch::Receiver<Option<Health>>,
    pub(super) local: LocalTypes,
    /// Whether the control plane has virtual hosts as resources; known once it has answered.
    pub(super) virtual_hosts: watch::Receiver<Option<bool>>,
    /// Requests for them that came before that.
    pub(super) held_back: Vec<Bytes>,
}

impl Up {
    /// Relays until Envoy ends or nobody takes the messages any more.
    pub(super) async fn pump(mut self, counters: &RelayCounters) {
        // The agent's own subscriptions follow Envoy's for listeners, so that the proxy itself comes first.
        let mut listeners_asked = false;
        loop {
            let message = tokio::select! {
                message = self.envoy.next() => match message {
                    Some(Ok(message)) => message,
                    Some(Err(status)) => {
                        tracing::debug!(target: "xdsproxy", "Envoy's stream ended: {status}");
                        return;
                    }
                    None => return,
                },
                Some(answer) = self.answers.recv() => answer,
                Ok(()) = self.virtual_hosts.changed(), if !self.held_back.is_empty() => {
                    if self.release().await.is_err() {
                        return;
                    }
                    continue;
                }
                Ok(()) = self.health.changed(), if listeners_asked => {
                    let report = self.health.borrow_and_update().as_ref().map(|health| health_report(self.variant, health));
                    let Some(report) = report else { continue };
                    report
                }
            };
            let of = request_type(self.variant, &message);
            if of == Some(VIRTUAL_HOST) {
                let known = *self.virtual_hosts.borrow();
                match known {
                    Some(true) => {}
                    Some(false) => continue,
                    None => {
                        self.held_back.push(message);
                        continue;
                    }
                }
            }
            let first_for_listeners = !listeners_asked && of == Some(LISTENER);
            count(&counters.requests);
            if self.to_control_plane.send(message).await.is_err() {
                return;
            }
            if first_for_listeners {
                listeners_asked = true;
                if self.own_subscriptions().await.is_err() {
                    return;
                }
            }
        }
    }

    /// Sends what was held back, if the control plane knows what it is about. An Envoy that had virtual hosts of another
    /// control plane asks for them until it has routes of this one, which bring their own.
    async fn release(&mut self) -> Result<(), mpsc::error::SendError<Bytes>> {
        let held_back = std::mem::take(&mut self.held_back);
        if *self.virtual_hosts.borrow_and_update() != Some(true) {
            tracing::debug!(target: "xdsproxy", "the control plane has no virtual hosts of their own, not asked for them");
            return Ok(());
        }
        for message in held_back {
            self.to_control_plane.send(message).await?;
        }
        Ok(())
    }

    async fn own_subscriptions(&mut self) -> Result<(), mpsc::error::SendError<Bytes>> {
        for type_url in self.local.subscribed() {
            self.to_control_plane.send(subscription(self.variant, type_url)).await?;
        }
        let report =
            self.health.borrow_and_update().as_ref().map(|health| health_report(self.variant, health));
        match report {
            Some(report) => self.to_control_plane.send(report).await,
            None => Ok(()),
        }
    }
}

/// From the control plane to Envoy.
pub(super) struct Down {
    pub(super) variant: Variant,
    pub(super) responses: Streaming<Bytes>,
    pub(super) answer: mpsc::UnboundedSender<Bytes>,
    pub(super) to_envoy: mpsc::Sender<Result<Bytes, Status>>,
    pub(super) superseded: oneshot::Receiver<()>,
    pub(super) local: LocalTypes,
}

impl Down {
    /// Relays until one side ends. The end of the control plane's stream ends Envoy's; Envoy then opens another one and
    /// says what it has, so nothing is lost and nothing is sent twice.
    pub(super) async fn pump(mut self, counters: &RelayCounters) {
        loop {
            let message = tokio::select! {
                message = self.responses.next() => message,
                () = self.to_envoy.closed() => return count(&counters.envoy_ended),
                _ = &mut self.superseded => return,
            };
            let message = match message {
                Some(Ok(message)) => message,
                Some(Err(status)) => {
                    tracing::info!(target: "xdsproxy", "disconnected from XDS server: {status}");
                    count(&counters.control_plane_broke);
                    let _ = self.to_envoy.send(Err(status)).await;
                    return;
                }
                None => {
                    tracing::info!(target: "xdsproxy", "the XDS server ended the stream");
                    return count(&counters.control_plane_ended);
                }
            };
            count(&counters.responses);
            let type_url = response_type(&message).unwrap_or_default();
            if self.local.subscribed().any(|own| own == type_url) {
                self.take(&message);
            } else if type_url.starts_with(ENVOY_TYPE_PREFIX) || type_url == WORKLOAD {
                if self.to_envoy.send(Ok(message)).await.is_err() {
                    return count(&counters.envoy_ended);
                }
            } else {
                tracing::error!(target: "xdsproxy", "{type_url} is not of Envoy, not forwarded");
            }
        }
    }

    /// Takes a response that is meant for the agent, and answers it.
    fn take(&self, message: &Bytes) {
        let decoded = match self.variant {
            Variant::Delta => DeltaDiscoveryResponse::decode(message.clone()).map(|response| {
                let first = response.resources.into_iter().next().and_then(|resource| resource.resource);
                (response.type_url, response.system_version_info, response.nonce, first)
            }),
            Variant::Sotw => DiscoveryResponse::decode(message.clone()).map(|response| {
                (
                    response.type_url,
                    response.version_info,
                    response.nonce,
                    response.resources.into_iter().next(),
                )
            }),
        };
        let (type_url, version, nonce, resource) = match decoded {
            Ok(decoded) => decoded,
            Err(error) => {
                tracing::error!(target: "xdsproxy", "a response to the agent cannot be read: {error}");
                return;
            }
        };
        let taken = resource.map_or(Ok(()), |any| self.local.take(&type_url, &any.value));
        if let Err(why) = &taken {
            tracing::error!(target: "xdsproxy", "refused {type_url}: {why}");
        }
        // A refused version is not the one to be named.
        let version = if taken.is_ok() { version } else { String::new() };
        let _ = self.answer.send(request(self.variant, &type_url, version, nonce, taken.err()));
    }
}
