//! One HTTP request at a time: Envoy's admin ports, the control plane's debug endpoints, the gateway.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;

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
    client: Client<HttpConnector, Empty<Bytes>>,
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
        if status.is_success() {
            return Ok(body);
        }
        let body = String::from_utf8_lossy(&body).trim().chars().take(300).collect();
        Err(FetchError::Status { url: url.to_owned(), status, body })
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
        let unreachable = |reason: String| FetchError::Unreachable { url: url.to_owned(), reason };
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::new()).map_err(|_| FetchError::Address(url.to_owned()))?;
        let exchange = async {
            let response = self.client.request(request).await.map_err(|e| unreachable(cause(&e)))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LIMIT).collect().await;
            let body = body.map_err(|e| unreachable(cause(e.as_ref())))?.to_bytes();
            Ok((status, body))
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(unreachable(format!("no answer within {:?}", self.timeout))),
        }
    }
}

/// The innermost reason, which is the one that tells (`Connection refused`).
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut at = error;
    while let Some(next) = at.source() {
        at = next;
    }
    at.to_string()
}
