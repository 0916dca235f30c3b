//! One HTTP request at a time: Envoy's admin ports, the control plane's debug endpoints, the gateway.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

/// No admin or debug answer is larger.
const LIMIT: usize = 256 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address is not one.
    #[error("{0} is not an http address")]
    Address(String),
    /// Nobody answered there, or the answer broke off.
    #[error("{url}: {reason}")]
    Unreachable {
        /// Where the request went.
        url: String,
        /// What the network said.
        reason: String,
    },
    /// The answer is not a success.
    #[error("{url} answered {status}: {body}")]
    Status {
        /// Where the request went.
        url: String,
        /// The answer's status.
        status: StatusCode,
        /// The beginning of the answer's body.
        body: String,
    },
}

/// An HTTP client that keeps connections open between requests.
#[derive(Clone, Debug)]
pub struct Fetcher {
    client: Client<HttpConnector, Full<Bytes>>,
    timeout: Duration,
}

impl Fetcher {
    /// A client whose requests end after `timeout`, answered or not.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http(), timeout }
    }

    /// `GET url`; the body of a 200.
    ///
    /// # Errors
    /// If nobody answers in time, or the answer is not a success.
    pub async fn get(&self, url: &str) -> Result<Bytes, FetchError> {
        self.request(Method::GET, url).await
    }

    /// `POST url` without a body; the body of a 200.
    ///
    /// # Errors
    /// As [`Fetcher::get`].
    pub async fn post(&self, url: &str) -> Result<Bytes, FetchError> {
        self.request(Method::POST, url).await
    }

    async fn request(&self, method: Method, url: &str) -> Result<Bytes, FetchError> {
        let (status, body) = self.answer(method, url, &[]).await?;
        success(url, status, body)
    }

    /// Status and body of any answer.
    ///
    /// # Errors
    /// If nobody answers in time.
    pub async fn answer(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
    ) -> Result<(StatusCode, Bytes), FetchError> {
        self.send(method, url, headers, Bytes::new()).await
    }

    /// As [`Fetcher::answer`], with a body.
    ///
    /// # Errors
    /// If nobody answers in time.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), FetchError> {
        let unreachable = |reason: String| FetchError::Unreachable { url: url.to_owned(), reason };
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).map_err(|_| FetchError::Address(url.to_owned()))?;
        let exchange = async {
            let response = self.client.request(request).await.map_err(|e| unreachable(cause(&e)))?;
            collected(response).await.map_err(unreachable)
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(unreachable(format!("no answer within {:?}", self.timeout))),
        }
    }
}

/// The body of a success.
///
/// # Errors
/// The answer is none.
pub fn success(url: &str, status: StatusCode, body: Bytes) -> Result<Bytes, FetchError> {
    if status.is_success() {
        return Ok(body);
    }
    let body = String::from_utf8_lossy(&body).trim().chars().take(300).collect();
    Err(FetchError::Status { url: url.to_owned(), status, body })
}

async fn collected(response: Response<Incoming>) -> Result<(StatusCode, Bytes), String> {
    let status = response.status();
    let body = Limited::new(response.into_body(), LIMIT).collect().await;
    Ok((status, body.map_err(|e| cause(e.as_ref()))?.to_bytes()))
}

/// One request over a connection that somebody else made, which ends with it: status and body of any answer.
///
/// # Errors
/// What went wrong, in words.
pub async fn over<S>(
    stream: S,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<(StatusCode, Bytes), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let request = Request::builder().method(method).uri(path).header(http::header::HOST, "localhost");
    let request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| cause(&e))?;
    let driven = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(|e| cause(&e))?;
    let answer = collected(response).await;
    driven.abort();
    answer
}

/// The innermost reason, which is the one that tells (`Connection refused`).
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut at = error;
    while let Some(next) = at.source() {
        at = next;
    }
    at.to_string()
}
