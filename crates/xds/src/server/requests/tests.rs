//! Requests however the transport cuts them.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BufMut;
use futures_util::FutureExt;
use hyper::body::Frame;

use super::*;
use crate::type_url::TypeUrl;

/// A body of these frames; pending at `None`.
struct Frames(VecDeque<Option<Bytes>>);

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.pop_front() {
            Some(Some(bytes)) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Some(None) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None => Poll::Ready(None),
        }
    }
}

fn message(name: &str) -> Vec<u8> {
    let request = DeltaDiscoveryRequest {
        type_url: TypeUrl::Cluster.as_str().to_owned(),
        response_nonce: name.to_owned(),
        ..DeltaDiscoveryRequest::default()
    };
    let (mut out, body) = (Vec::new(), request.encode_to_vec());
    out.put_u8(0);
    out.put_u32(u32::try_from(body.len()).unwrap());
    out.extend(body);
    out
}

fn requests(frames: Vec<Option<Bytes>>) -> Requests {
    Requests::new(Frames(frames.into()), Variant::Delta, 1000)
}

async fn nonces(mut requests: Requests) -> Vec<String> {
    let mut out = Vec::new();
    while let Some(received) = requests.next().await {
        out.push(received.unwrap().request.nonce);
    }
    out
}

#[tokio::test]
async fn a_request_may_be_cut_anywhere_and_share_a_frame_with_others() {
    let all: Vec<u8> = ["one", "two", "three"].iter().flat_map(|name| message(name)).collect();
    for size in 1..=all.len() {
        let frames = all.chunks(size).map(|cut| Some(Bytes::copy_from_slice(cut))).collect();
        assert_eq!(nonces(requests(frames)).await, ["one", "two", "three"], "in frames of {size} bytes");
    }
}

#[tokio::test]
async fn a_wait_that_is_given_up_loses_nothing() {
    let all = message("one");
    let (head, tail) = all.split_at(7);
    let frames = vec![Some(Bytes::copy_from_slice(head)), None, Some(Bytes::copy_from_slice(tail))];
    let mut requests = requests(frames);
    assert!(requests.next().now_or_never().is_none());
    assert_eq!(requests.next().await.unwrap().unwrap().request.nonce, "one");
    assert!(matches!(&requests.rest, Rest::Frame(rest) if rest.is_empty()), "nothing is kept");
    assert!(requests.next().await.is_none());
}

#[tokio::test]
async fn what_cannot_be_read_ends_the_stream_with_the_reason() {
    let refused = |bytes: Vec<u8>| async {
        let mut requests = requests(vec![Some(bytes.into())]);
        let status = requests.next().await.unwrap().unwrap_err();
        assert!(requests.next().await.is_none());
        (status.code(), status.message().to_owned())
    };
    let mut compressed = message("one");
    compressed[0] = 1;
    assert_eq!(refused(compressed).await.0, tonic::Code::Unimplemented);
    let large = refused(vec![0, 0, 0, 4, 0]).await;
    assert_eq!(large.0, tonic::Code::OutOfRange);
    assert!(large.1.contains("1024 bytes; the limit is 1000"), "{}", large.1);
    assert_eq!(refused(vec![0, 0, 0, 0, 1, 0xff]).await.0, tonic::Code::InvalidArgument);
}
