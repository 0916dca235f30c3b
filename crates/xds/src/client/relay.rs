//! Discovery streams relayed byte for byte: an agent between Envoy and the control plane must not lose the fields of a
//! newer version of either.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes};
use futures_util::Stream;
use futures_util::future::BoxFuture;
use http::uri::PathAndQuery;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{NamedService, StreamingService};
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};
use tower::Service as TowerService;

use crate::request::Variant;

/// A codec that does nothing: messages are their bytes.
#[derive(Debug, Default, Clone, Copy)]
pub struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.put(message);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buf.copy_to_bytes(buf.remaining())))
    }
}

const DELTA: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
const SOTW: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";

/// Responses may be as large as this: a mesh's clusters in one message.
pub const MAX_RESPONSE: usize = 256 << 20;

/// Opens a discovery stream over a channel. Some servers answer nothing, not even headers, before they have a
/// request; so the call may wait until `requests` has given one. The answer's metadata are the server's headers.
///
/// # Errors
/// The status that the call failed with.
pub async fn open(
    channel: Channel,
    variant: Variant,
    requests: impl Stream<Item = Bytes> + Send + 'static,
    headers: http::HeaderMap,
) -> Result<Response<Streaming<Bytes>>, Status> {
    let mut grpc = tonic::client::Grpc::new(channel).max_decoding_message_size(MAX_RESPONSE);
    grpc.ready().await.map_err(|error| Status::unavailable(format!("no connection: {error}")))?;
    let mut request = Request::new(requests);
    *request.metadata_mut() = tonic::metadata::MetadataMap::from_headers(headers);
    let path = PathAndQuery::from_static(if variant == Variant::Delta { DELTA } else { SOTW });
    grpc.streaming(request, path, RawCodec).await
}

/// The responses of a relayed stream.
pub type Responses = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// Who handles the streams that a [`Service`] accepts.
pub trait Handler: Clone + Send + Sync + 'static {
    /// A stream was opened; its requests are in `request`, its transport's
    /// [`Transport`](crate::server::incoming::Transport) among the extensions.
    fn open(
        &self,
        variant: Variant,
        request: Request<Streaming<Bytes>>,
    ) -> impl Future<Output = Result<Responses, Status>> + Send;
}

/// `AggregatedDiscoveryService` over raw messages, for a tonic router.
#[derive(Debug, Clone)]
pub struct Service<H>(pub H);

impl<H> NamedService for Service<H> {
    const NAME: &'static str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
}

struct Method<H>(H, Variant);

impl<H: Handler> StreamingService<Bytes> for Method<H> {
    type Response = Bytes;
    type ResponseStream = Responses;
    type Future = BoxFuture<'static, Result<Response<Responses>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let (handler, variant) = (self.0.clone(), self.1);
        Box::pin(async move { handler.open(variant, request).await.map(Response::new) })
    }
}

impl<H, B> TowerService<http::Request<B>> for Service<H>
where
    H: Handler,
    B: hyper::body::Body + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let variant = match request.uri().path() {
            DELTA => Variant::Delta,
            SOTW => Variant::Sotw,
            _ => {
                let status = Status::unimplemented("no such method of the discovery service");
                return Box::pin(std::future::ready(Ok(status.into_http())));
            }
        };
        let method = Method(self.0.clone(), variant);
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(RawCodec).max_decoding_message_size(MAX_RESPONSE);
            Ok(grpc.streaming(method, request).await)
        })
    }
}
