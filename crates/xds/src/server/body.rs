//! The response side of a stream as an HTTP body: pieces are made when the connection has room for them.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame as HttpFrame};
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

use super::codec::Frame;

/// What the stream's task hands over.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// A response; `taken` is told when the connection has taken all of it.
    Frame { frame: Box<Frame>, taken: oneshot::Sender<()> },
    /// The end of the stream.
    End(Status),
}

/// The body. It is polled only when the connection wants more, so a slow reader costs one piece, not one response.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    queue: mpsc::Receiver<Outgoing>,
    current: Option<(Box<Frame>, oneshot::Sender<()>)>,
    ended: bool,
}

impl ResponseBody {
    pub(crate) fn new(queue: mpsc::Receiver<Outgoing>) -> Self {
        Self { queue, current: None, ended: false }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<HttpFrame<Bytes>, Status>>> {
        loop {
            if self.ended {
                return Poll::Ready(None);
            }
            if let Some((frame, _)) = &mut self.current {
                if let Some(chunk) = frame.next_chunk() {
                    return Poll::Ready(Some(Ok(HttpFrame::data(chunk))));
                }
                // Asked for more, so the last piece has been taken. If the task is gone nobody needs to know.
                if let Some((_, taken)) = self.current.take() {
                    let _ = taken.send(());
                }
            }
            match self.queue.poll_recv(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Outgoing::Frame { frame, taken })) => self.current = Some((frame, taken)),
                Poll::Ready(Some(Outgoing::End(status))) => {
                    self.ended = true;
                    return Poll::Ready(Some(Ok(HttpFrame::trailers(trailers(&status)))));
                }
                Poll::Ready(None) => {
                    // The task ended without a word: a panic in the catalog.
                    self.ended = true;
                    let status = Status::internal("the stream was ended by a failure of the server");
                    return Poll::Ready(Some(Ok(HttpFrame::trailers(trailers(&status)))));
                }
            }
        }
    }
}

fn trailers(status: &Status) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if status.add_header(&mut headers).is_err() {
        // The message did not fit into a header; the code always does.
        headers = HeaderMap::new();
        let _ = Status::new(status.code(), "").add_header(&mut headers);
    }
    headers
}
