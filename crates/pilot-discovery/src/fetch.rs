//! Documents of others by HTTP and HTTPS: one `GET`, bounded in time, size and redirects.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::Scheme;
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

#[cfg(test)]
pub(crate) mod tests;

/// Redirects that are followed.
const REDIRECTS: usize = 5;

/// Why a document could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Not an address that can be asked.
    #[error("{url}: {reason}")]
    Address {
        /// What was given, or where a redirect led.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Nobody answered there, or not in a way that is understood.
    #[error("{url}: {reason}")]
    Exchange {
        /// Where.
        url: String,
        /// What the network said.
        reason: String,
    },
    /// The answer is not the document.
    #[error("{url} answered {status}")]
    Status {
        /// Where.
        url: String,
        /// What.
        status: StatusCode,
    },
    /// It took too long, all redirects together.
    #[error("{url}: no answer within {after:?}")]
    Timeout {
        /// What was asked for.
        url: String,
        /// How long it was waited.
        after: Duration,
    },
}

/// Gets documents. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fetcher {
    /// How long a document may take.
    pub patience: Duration,
    /// How large one may be, in bytes.
    pub largest: usize,
    /// The PEM file of the roots that servers are verified with, read anew for each connection; `None` refuses HTTPS.
    pub roots: Option<PathBuf>,
}

impl Default for Fetcher {
    /// Five seconds, a megabyte, and the operating system's roots.
    fn default() -> Self {
        Self { patience: Duration::from_secs(5), largest: 1 << 20, roots: process::roots::system() }
    }
}

enum Answer {
    Document(Bytes),
    Elsewhere(String),
}

impl Fetcher {
    /// The document at `url`, following redirects, but never from HTTPS to HTTP.
    ///
    /// # Errors
    /// Why it could not be had.
    pub async fn get(&self, url: &str) -> Result<Bytes, FetchError> {
        let timeout = |_| FetchError::Timeout { url: url.to_owned(), after: self.patience };
        tokio::time::timeout(self.patience, self.follow(url)).await.map_err(timeout)?
    }

    async fn follow(&self, url: &str) -> Result<Bytes, FetchError> {
        let mut at = address(url)?;
        for _ in 0..=REDIRECTS {
            let location = match self.ask(&at).await? {
                Answer::Document(document) => return Ok(document),
                Answer::Elsewhere(location) => location,
            };
            let next = if location.starts_with('/') {
                let scheme = at.scheme_str().unwrap_or_default();
                let host = at.authority().map_or("", http::uri::Authority::as_str);
                address(&format!("{scheme}://{host}{location}"))?
            } else {
                address(&location)?
            };
            if at.scheme() == Some(&Scheme::HTTPS) && next.scheme() != Some(&Scheme::HTTPS) {
                let reason = "an encrypted document may not be redirected to plain HTTP";
                return Err(FetchError::Address { url: location, reason });
            }
            at = next;
        }
        Err(FetchError::Address { url: at.to_string(), reason: "too many redirects" })
    }

    async fn ask(&self, at: &Uri) -> Result<Answer, FetchError> {
        let failed = |reason: String| FetchError::Exchange { url: at.to_string(), reason };
        let response = self.send(at).await.map_err(|error| failed(cause(&error)))?;
        let status = response.status();
        let location = response.headers().get(header::LOCATION).and_then(|v| v.to_str().ok());
        if let Some(location) = location.filter(|_| status.is_redirection()) {
            return Ok(Answer::Elsewhere(location.to_owned()));
        }
        if status != StatusCode::OK {
            return Err(FetchError::Status { url: at.to_string(), status });
        }
        let body = Limited::new(response.into_body(), self.largest).collect().await;
        Ok(Answer::Document(body.map_err(|error| failed(error.to_string()))?.to_bytes()))
    }

    async fn send(&self, at: &Uri) -> io::Result<Response<Incoming>> {
        let encrypted = at.scheme() == Some(&Scheme::HTTPS);
        let host = at.host().unwrap_or_default();
        let port = at.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let path = at.path_and_query().map_or("/", |path| path.as_str());
        let authority = at.authority().map_or(host, http::uri::Authority::as_str);
        let request = Request::get(path).header(header::HOST, authority).body(Empty::<Bytes>::new());
        let request = request.map_err(io::Error::other)?;
        let bare = host.trim_matches(['[', ']']);
        let stream = TcpStream::connect((bare, port)).await?;
        if !encrypted {
            return exchange(stream, request).await;
        }
        let name = ServerName::try_from(bare.to_owned()).map_err(io::Error::other)?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(self.tls()?));
        exchange(connector.connect(name, stream).await?, request).await
    }

    /// How servers are verified, with the roots of this moment.
    ///
    /// # Errors
    /// There are none, or they cannot be read.
    pub(crate) fn tls(&self) -> io::Result<ClientConfig> {
        let path =
            self.roots.as_ref().ok_or_else(|| io::Error::other("this machine has no trusted roots"))?;
        let unreadable = |error| io::Error::other(format!("{}: {error}", path.display()));
        let mut roots = RootCertStore::empty();
        let found = CertificateDer::pem_file_iter(path).map_err(unreadable)?;
        // a bundle may hold certificates that rustls does not take; the others count
        roots.add_parsable_certificates(found.filter_map(Result::ok));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        Ok(builder.map_err(io::Error::other)?.with_root_certificates(roots).with_no_client_auth())
    }
}

fn address(url: &str) -> Result<Uri, FetchError> {
    let wrong = |reason| FetchError::Address { url: url.to_owned(), reason };
    let uri: Uri = url.parse().map_err(|_| wrong("not an address"))?;
    if uri.scheme() != Some(&Scheme::HTTP) && uri.scheme() != Some(&Scheme::HTTPS) {
        return Err(wrong("not an http or https address"));
    }
    Ok(uri)
}

async fn exchange<S>(stream: S, request: Request<Empty<Bytes>>) -> io::Result<Response<Incoming>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(io::Error::other)?;
    tokio::spawn(connection); // ends with the answer's body
    sender.send_request(request).await.map_err(io::Error::other)
}

/// The innermost reason, which is the one that tells (`Connection refused`).
fn cause(error: &io::Error) -> String {
    let mut at: &(dyn std::error::Error + 'static) = error;
    while let Some(next) = at.source() {
        at = next;
    }
    at.to_string()
}
