//! One discovery stream, typed: requests go out, responses come in with their bodies as bytes.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use prost::Message;
use proto::envoy::config::core::v3::Node;
use proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use proto::google::rpc::Status as RpcStatus;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::relay;
use super::wire::{RawResponse, read_response};
use crate::request::{Rejection, Request, Variant, Wish};
use crate::type_url::TypeUrl;

/// A discovery stream. It ends when dropped.
pub struct Stream {
    variant: Variant,
    node: Option<Node>,
    requests: mpsc::UnboundedSender<Bytes>,
    state: State,
}

enum State {
    /// The call is made when somebody waits for responses: servers may answer only after the first request.
    Opening(BoxFuture<'static, Result<Streaming<Bytes>, Status>>),
    Open(Box<Streaming<Bytes>>),
    Closed,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("variant", &self.variant).finish_non_exhaustive()
    }
}

impl Stream {
    /// A stream over `channel`; `node` goes with the first request, `headers` with the call.
    #[must_use]
    pub fn new(channel: Channel, variant: Variant, node: Node, headers: http::HeaderMap) -> Self {
        let (requests, receiver) = mpsc::unbounded_channel();
        let receiver = UnboundedReceiverStream::new(receiver);
        let opening = Box::pin(async move {
            let opened = relay::open(channel, variant, receiver, headers).await?;
            Ok(opened.into_inner())
        });
        Self { variant, node: Some(node), requests, state: State::Opening(opening) }
    }

    /// Which variant it speaks.
    #[must_use]
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// Queues a request. A wish of the other variant is sent as no wish at all.
    pub fn send(&mut self, request: Request) {
        let node = self.node.take();
        let error_detail = request.error.map(|error| RpcStatus {
            code: error.code,
            message: error.message,
            ..RpcStatus::default()
        });
        let (type_url, response_nonce) = (request.type_url.as_str().to_owned(), request.nonce);
        let bytes = match self.variant {
            Variant::Delta => {
                let mut wire = DeltaDiscoveryRequest {
                    node,
                    type_url,
                    response_nonce,
                    error_detail,
                    ..DeltaDiscoveryRequest::default()
                };
                if let Wish::Delta { subscribe, unsubscribe, claims } = request.wish {
                    wire.resource_names_subscribe = subscribe;
                    wire.resource_names_unsubscribe = unsubscribe;
                    wire.initial_resource_versions = claims.into_iter().collect();
                }
                wire.encode_to_vec()
            }
            Variant::Sotw => {
                let mut wire = DiscoveryRequest {
                    node,
                    type_url,
                    response_nonce,
                    error_detail,
                    ..DiscoveryRequest::default()
                };
                if let Wish::Sotw { names } = request.wish {
                    wire.resource_names = names;
                }
                wire.encode_to_vec()
            }
        };
        // If the stream is gone, the next read says so.
        let _ = self.requests.send(bytes.into());
    }

    /// Subscribes to names, or with none to everything; on a state-of-the-world stream, to these and no others.
    pub fn subscribe(&mut self, type_url: &TypeUrl, names: &[&str]) {
        let names = names.iter().map(ToString::to_string).collect();
        let wish = match self.variant {
            Variant::Delta => Wish::Delta { subscribe: names, unsubscribe: vec![], claims: vec![] },
            Variant::Sotw => Wish::Sotw { names },
        };
        self.send(Request { type_url: type_url.clone(), nonce: String::new(), error: None, wish });
    }

    /// Answers a response on a delta stream, or on a state-of-the-world stream with the `names` it goes on with.
    pub fn answer(&mut self, response: &RawResponse, refusal: Option<&str>, names: &[&str]) {
        let wish = match self.variant {
            Variant::Delta => Wish::Delta { subscribe: vec![], unsubscribe: vec![], claims: vec![] },
            Variant::Sotw => Wish::Sotw { names: names.iter().map(ToString::to_string).collect() },
        };
        let error = refusal
            .map(|message| Rejection { code: tonic::Code::Internal as i32, message: message.to_owned() });
        self.send(Request {
            type_url: response.type_url.clone(),
            nonce: response.nonce.clone(),
            error,
            wish,
        });
    }

    /// The next response; `None` when the server has ended the stream in peace. Nothing is lost if this is dropped.
    ///
    /// # Errors
    /// The status that the stream failed with; it is closed then.
    pub async fn next(&mut self) -> Result<Option<RawResponse>, Status> {
        let read = loop {
            match &mut self.state {
                State::Opening(opening) => match opening.await {
                    Ok(open) => self.state = State::Open(Box::new(open)),
                    Err(status) => break Err(status),
                },
                State::Open(responses) => break responses.message().await,
                State::Closed => return Ok(None),
            }
        };
        match read {
            Ok(Some(bytes)) => read_response(self.variant, bytes)
                .map(Some)
                .map_err(|error| Status::internal(format!("the response cannot be read: {error}"))),
            Ok(None) => {
                self.state = State::Closed;
                Ok(None)
            }
            Err(status) => {
                self.state = State::Closed;
                Err(status)
            }
        }
    }
}
