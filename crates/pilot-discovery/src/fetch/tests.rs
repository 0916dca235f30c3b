//! Documents over loopback: redirects, bounds, TLS.

use std::time::SystemTime;

use identity::authority::{Authority, Limits, Request, San, SelfSigned};
use identity::csr::PublicKey;
use identity::key::{Kind, PrivateKey};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

/// Reads a request and answers what `page` says of its path.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, page: impl Fn(&str) -> String) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.is_ok_and(|n| n == 1) {
        request.push(byte[0]);
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let _ = stream.write_all(page(path).as_bytes()).await;
    let _ = stream.shutdown().await;
}

pub(crate) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn moved(to: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
}

fn page(path: &str) -> String {
    match path {
        "/" => moved("/keys?x=1"),
        "/keys?x=1" => ok("keys"),
        "/round" => moved("/round"),
        "/file" => moved("ftp://example.com/keys"),
        "/large" => ok(&"x".repeat(2000)),
        "/silent" => "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n".to_owned(),
        _ => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
    }
}

async fn plain() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, page));
        }
    });
    url
}

#[tokio::test]
async fn redirects_are_followed_and_bounds_are_kept() {
    let url = plain().await;
    let fetcher = Fetcher { largest: 1000, ..Fetcher::default() };
    assert_eq!(fetcher.get(&url).await.unwrap(), "keys");
    for (path, what) in [
        ("/none", "404"),
        ("/round", "too many redirects"),
        ("/file", "not an http or https address"),
        ("/large", "length limit"),
        ("/silent", "/silent: "),
    ] {
        let error = fetcher.get(&format!("{url}{path}")).await.unwrap_err().to_string();
        assert!(error.contains(what), "{path}: {error}");
    }
    for bad in ["", "keys", "ftp://x/keys"] {
        assert!(fetcher.get(bad).await.is_err(), "{bad}");
    }
    let hasty = Fetcher { patience: Duration::from_millis(50), ..Fetcher::default() };
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = hasty.get(&format!("http://{}/", mute.local_addr().unwrap())).await.unwrap_err();
    assert!(matches!(error, FetchError::Timeout { .. }), "{error}");
}

/// A server over TLS as `localhost`, and who vouches for it.
pub(crate) async fn encrypted(
    page: impl Fn(&str) -> String + Clone + Send + Sync + 'static,
) -> (String, Authority) {
    let options = SelfSigned { key: Kind::P256, ..SelfSigned::of("idp") };
    let authority = Authority::self_signed(&options, Limits::default(), SystemTime::now()).unwrap();
    let key = PrivateKey::generate(Kind::P256).unwrap();
    let (public, sans) = (PublicKey::of(&key), [San::Dns("localhost".into())]);
    let wanted = Request { key: &public, sans: &sans, ttl: None, labels: None };
    let leaf = authority.sign(&wanted, SystemTime::now()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key.to_rustls())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            tokio::spawn(answer(stream, page.clone()));
        }
    });
    (url, authority)
}

#[tokio::test]
async fn a_server_over_tls_is_verified_and_does_not_lead_out_of_it() {
    let out = plain().await;
    let (url, authority) = encrypted(move |path| if path == "/out" { moved(&out) } else { page(path) }).await;
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, authority.bundle().to_pem()).unwrap();
    let fetcher = Fetcher { roots: Some(roots), ..Fetcher::default() };
    assert_eq!(fetcher.get(&format!("{url}/keys?x=1")).await.unwrap(), "keys");
    let error = fetcher.get(&format!("{url}/out")).await.unwrap_err().to_string();
    assert!(error.contains("may not be redirected"), "{error}");
    let stranger = Fetcher::default().get(&format!("{url}/keys?x=1")).await.unwrap_err().to_string();
    assert!(stranger.contains("certificate"), "{stranger}");
}
